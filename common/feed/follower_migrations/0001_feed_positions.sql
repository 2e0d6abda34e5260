-- How far this service has followed the Watch streams of others; moves in the transaction that applies the events.
CREATE TABLE feed_positions (
  source text PRIMARY KEY,
  token text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
