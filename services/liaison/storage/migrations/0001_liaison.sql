CREATE TABLE manufacturers (
  id text PRIMARY KEY,
  display_name text NOT NULL,
  channel int NOT NULL,                     -- countersign.liaison.v1.Manufacturer.Channel
  backend_address text NOT NULL,
  create_time timestamptz NOT NULL,
  refresh_state int NOT NULL DEFAULT 0,     -- Manufacturer.RefreshState
  refresh_time timestamptz,
  refresh_error text NOT NULL DEFAULT '',
  next_refresh timestamptz NOT NULL,        -- its backend is asked when this is over
  lease_owner text,                         -- the replica that asks it now, until lease_until
  lease_until timestamptz,
  proposed_sha256 text NOT NULL DEFAULT ''  -- of the role metadata that was proposed last
);

CREATE TABLE releases (
  manufacturer text NOT NULL REFERENCES manufacturers (id),
  id text NOT NULL,
  component text NOT NULL,                  -- "<manufacturer>/<component>" of the target path
  version text NOT NULL,
  version_format int NOT NULL,              -- countersign.common.v1.VersionFormat
  release_counter bigint NOT NULL,
  models text[] NOT NULL,
  hardware_ids text[] NOT NULL,
  minimum_installed_version text NOT NULL,
  info bytea NOT NULL,                      -- countersign.common.v1.ReleaseInfo, as it was said
  state int NOT NULL,                       -- Release.State
  create_time timestamptz NOT NULL,
  PRIMARY KEY (manufacturer, id)
);

CREATE TABLE notices (
  manufacturer text NOT NULL REFERENCES manufacturers (id),
  id text NOT NULL,
  kind int NOT NULL,                        -- Notice.Kind
  models text[] NOT NULL,
  body text NOT NULL,
  state int NOT NULL,                       -- Notice.State
  create_time timestamptz NOT NULL,
  next_attempt timestamptz NOT NULL,
  PRIMARY KEY (manufacturer, id)
);

CREATE INDEX notices_pending ON notices (next_attempt) WHERE state = 1;
