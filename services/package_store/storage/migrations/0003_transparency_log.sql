-- The transparency log, as tlog-tiles lays it out. Nothing in it is ever changed or removed.
CREATE TABLE log_entries (
  leaf_index bigint PRIMARY KEY CHECK (leaf_index >= 0),
  leaf bytea NOT NULL,
  appended_at timestamptz NOT NULL
);

-- 1 to 256 hashes each; hash n of a tile is that of the full tile n below, or of leaf n. The last tile of each level grows,
-- so that every older tree's tiles are the first bytes of these.
CREATE TABLE log_tiles (
  level integer NOT NULL,
  tile_index bigint NOT NULL,
  hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
  PRIMARY KEY (level, tile_index)
);
ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress

-- The head that was signed last.
CREATE TABLE log_head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  size bigint NOT NULL,
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  checkpoint bytea NOT NULL,              -- the signed note
  signed_at timestamptz NOT NULL
);

-- The entry that says that the package was approved; there is none of those that were approved before there was a log.
ALTER TABLE packages ADD COLUMN log_index bigint REFERENCES log_entries;
