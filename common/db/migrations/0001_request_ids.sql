-- What makes a mutation idempotent: the record commits with the change that the request made.
CREATE TABLE request_ids (
  principal text NOT NULL,          -- who asked, e.g. "operator/alice"
  method text NOT NULL,
  request_id text NOT NULL,
  request_digest bytea NOT NULL,    -- SHA-256 of the serialised request
  response bytea,                   -- the serialised response; NULL only within the transaction that runs the request
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (principal, method, request_id)
) WITH (fillfactor = 80);           -- the response is filled in by an update, which then stays in the page

-- Rows come in the order of time, so a BRIN finds the old ones and costs a write next to nothing.
CREATE INDEX request_ids_created_at ON request_ids USING brin (created_at) WITH (pages_per_range = 16);
