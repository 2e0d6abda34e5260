-- The service's changes, written with them and read by Watch in the order of (xid, id).
--
-- After a restore by pg_dump, or into another cluster, transaction ids begin again: empty both tables then. Every
-- token from before is then from the future and expired, and consumers list the state anew.
CREATE TABLE outbox (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id bigint GENERATED ALWAYS AS IDENTITY,
  kind text NOT NULL,
  key text NOT NULL,
  payload bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (xid, id)
);

-- The last position whose event was trimmed: whoever stands before it has missed something. At most one row.
CREATE TABLE outbox_horizon (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  xid xid8 NOT NULL,
  id bigint NOT NULL
);
