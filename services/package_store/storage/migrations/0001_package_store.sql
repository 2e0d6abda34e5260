-- The one row that every publication locks: two replicas never issue a version twice.
CREATE TABLE repository (
  id uuid NOT NULL DEFAULT gen_random_uuid(),  -- the folder of the images belongs to this repository and no other
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO repository DEFAULT VALUES;

-- Each role's version in force. A role never leaves: a snapshot lists every role that it ever listed.
CREATE TABLE roles (
  role text PRIMARY KEY,                  -- root, targets, snapshot, timestamp, or a delegated role's name
  version bigint NOT NULL CHECK (version BETWEEN 1 AND 2147483647),
  expires_at timestamptz NOT NULL
);

-- Metadata files, byte for byte as clients fetch them. timestamp.json is replaced, the others stay; snapshots that no
-- timestamp in force can name any more are deleted.
CREATE TABLE metadata_files (
  file_name text PRIMARY KEY,             -- timestamp.json, or <version>.<role>.json
  role text NOT NULL,
  version bigint NOT NULL,
  content bytea NOT NULL,
  published_at timestamptz NOT NULL,
  UNIQUE (role, version)
);

-- Images that are stored, by content.
CREATE TABLE images (
  sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
  length_bytes bigint NOT NULL CHECK (length_bytes > 0),
  stored_at timestamptz NOT NULL
);

-- Who proved to possess an image, by uploading it. An owner's images count against its quota.
CREATE TABLE image_owners (
  manufacturer text NOT NULL,
  sha256 bytea NOT NULL REFERENCES images,
  stored_at timestamptz NOT NULL,
  PRIMARY KEY (manufacturer, sha256)
);

-- Uploads that are not complete. How far one is, its file tells.
CREATE TABLE uploads (
  manufacturer text NOT NULL,
  sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
  length_bytes bigint NOT NULL CHECK (length_bytes > 0),
  created_at timestamptz NOT NULL,
  PRIMARY KEY (manufacturer, sha256)
);

CREATE TABLE proposals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order of lists
  proposal text NOT NULL UNIQUE,
  manufacturer text NOT NULL,
  role_version bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('AWAITING_APPROVAL', 'APPROVED', 'REFUSED', 'SUPERSEDED')),
  metadata bytea NOT NULL,                -- with the signatures that it has
  proposed_by text NOT NULL,
  created_at timestamptz NOT NULL,
  decided_by text,
  decided_at timestamptz,
  refusal_reason text
);
CREATE INDEX proposals_of_manufacturer ON proposals (manufacturer, id);
CREATE UNIQUE INDEX proposals_one_waits ON proposals (manufacturer) WHERE state = 'AWAITING_APPROVAL';

-- The targets that a proposal adds or changes.
CREATE TABLE proposal_targets (
  proposal_id bigint NOT NULL REFERENCES proposals,
  target_path text NOT NULL,
  length_bytes bigint NOT NULL,
  sha256 bytea NOT NULL,
  hardware_ids text[] NOT NULL,
  version text NOT NULL,
  release_counter bigint NOT NULL,
  PRIMARY KEY (proposal_id, target_path)
);
CREATE INDEX proposal_targets_by_image ON proposal_targets (sha256);

-- The targets that both parties signed and that the delegation in force still covers.
CREATE TABLE packages (
  target_path text COLLATE "C" PRIMARY KEY,
  manufacturer text NOT NULL,
  length_bytes bigint NOT NULL,
  sha256 bytea NOT NULL REFERENCES images,
  hardware_ids text[] NOT NULL,
  version text NOT NULL,
  release_counter bigint NOT NULL,
  role_version bigint NOT NULL,
  manufacturer_key_ids text[] NOT NULL,
  authority_key_ids text[] NOT NULL,
  approved_by text NOT NULL,
  approved_at timestamptz NOT NULL,
  approval_statement bytea NOT NULL
);
CREATE INDEX packages_by_image ON packages (sha256);
CREATE INDEX packages_of_manufacturer ON packages (manufacturer, target_path);

-- The highest release counter that was ever published for a component: what is published next is not below it, also
-- when the target that set it is gone.
CREATE TABLE release_counters (
  manufacturer text NOT NULL,
  component text NOT NULL,
  highest bigint NOT NULL,
  PRIMARY KEY (manufacturer, component)
);
