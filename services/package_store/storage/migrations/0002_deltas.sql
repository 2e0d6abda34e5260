-- How one image is had from another. A row is a question that somebody asked, and later its answer.
CREATE TABLE deltas (
  base_sha256 bytea NOT NULL REFERENCES images,
  sha256 bytea NOT NULL REFERENCES images,
  state text NOT NULL CHECK (state IN ('PENDING', 'READY', 'NOT_WORTHWHILE')),
  requested_by text NOT NULL,             -- the first who asked, as role/id
  requested_at timestamptz NOT NULL,
  asked_at timestamptz NOT NULL,          -- when somebody asked last, to about an hour
  read_bytes bigint NOT NULL,             -- of both images
  claim text,                             -- of the replica that makes it, or did when it died
  claimed_until timestamptz,              -- afterwards another may
  attempts integer NOT NULL DEFAULT 0,    -- claims; not those that were given back
  decided_at timestamptz,
  object text CHECK ((object IS NOT NULL) = (state = 'READY')),  -- its name in the blob store
  length_bytes bigint,
  delta_sha256 bytea CHECK (octet_length(delta_sha256) = 32),
  PRIMARY KEY (sha256, base_sha256)
);
CREATE INDEX deltas_that_wait ON deltas (requested_at) WHERE state = 'PENDING';
CREATE UNIQUE INDEX deltas_by_object ON deltas (object) WHERE object IS NOT NULL;
