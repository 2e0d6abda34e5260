-- Campaigns. The counts change in the transactions that change the assignments, under this row's lock (PLUS-4).
CREATE TABLE rollouts (
  id text COLLATE "C" PRIMARY KEY,
  display_name text NOT NULL,
  filter text NOT NULL,
  max_concurrent bigint NOT NULL,
  max_failures bigint NOT NULL,
  assignment_timeout_us bigint NOT NULL,
  state smallint NOT NULL,
  state_reason text NOT NULL DEFAULT '',
  created_by text NOT NULL,
  create_time timestamptz NOT NULL,
  launched_by text NOT NULL DEFAULT '',
  launch_time timestamptz,
  end_time timestamptz,
  total bigint NOT NULL DEFAULT 0,
  waiting bigint NOT NULL DEFAULT 0,
  active bigint NOT NULL DEFAULT 0,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  cancelled bigint NOT NULL DEFAULT 0,
  failures_since_go bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 1,
  planner text NOT NULL DEFAULT '',  -- who plans it, until planner_until
  planner_until timestamptz,
  CONSTRAINT rollouts_counts CHECK (waiting >= 0 AND active >= 0 AND
                                    waiting + active + succeeded + failed + cancelled = total),
  CONSTRAINT rollouts_max_concurrent CHECK (max_concurrent = 0 OR active <= max_concurrent)
) WITH (fillfactor = 50);

CREATE INDEX rollouts_newest ON rollouts (create_time DESC, id DESC);
CREATE INDEX rollouts_open ON rollouts (id) WHERE end_time IS NULL;

-- What a rollout installs, as liaison told it when the rollout was made.
CREATE TABLE rollout_releases (
  rollout text COLLATE "C" NOT NULL REFERENCES rollouts (id),
  ordinal smallint NOT NULL,
  name text NOT NULL,
  manufacturer text NOT NULL,
  target_path text NOT NULL,
  length_bytes bigint NOT NULL,
  sha256 text COLLATE "C" NOT NULL,
  version text NOT NULL,
  version_format smallint NOT NULL,
  release_counter bigint NOT NULL,
  models text[] NOT NULL,
  hardware_ids text[] NOT NULL,
  minimum_installed_version text NOT NULL,
  kind text NOT NULL,
  info bytea NOT NULL,               -- the manufacturer's statement, serialised countersign.common.v1.ReleaseInfo
  manufacturer_key_ids text[] NOT NULL DEFAULT '{}',  -- from here on: what the package store said at the launch
  approved_by text NOT NULL DEFAULT '',
  PRIMARY KEY (rollout, ordinal)
);

-- One component's part in a rollout. No foreign key: a million rows are inserted at once.
CREATE TABLE assignments (
  gateway text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  rollout text COLLATE "C" NOT NULL,
  hardware_id text NOT NULL,
  release smallint NOT NULL,
  from_version text NOT NULL,
  from_release_counter bigint NOT NULL,
  from_report_counter bigint NOT NULL,
  state smallint NOT NULL,           -- below 10 waits, from 10 is let in, from 20 is over
  failure_reason smallint NOT NULL DEFAULT 0,
  failure_detail text NOT NULL DEFAULT '',
  consent_record text NOT NULL DEFAULT '',
  consented_by text NOT NULL DEFAULT '',
  signed_consent bytea,
  consent_until timestamptz,         -- until when a grant holds, or to when the answer was put off
  proxied boolean NOT NULL DEFAULT false,
  admit_time timestamptz,
  update_time timestamptz NOT NULL,
  due_time timestamptz,              -- when a worker has to look at it; NULL while only news from outside moves it
  PRIMARY KEY (gateway, ecu_serial, rollout)
) WITH (fillfactor = 80);

-- A component has at most one open assignment over all rollouts.
CREATE UNIQUE INDEX assignments_open ON assignments (gateway, ecu_serial) WHERE state < 20;
CREATE INDEX assignments_of_rollout ON assignments (rollout, gateway, ecu_serial);
CREATE INDEX assignments_due ON assignments (rollout, state, due_time) WHERE due_time IS NOT NULL;

-- The Director's root metadata, one for all gateways.
CREATE TABLE director_roots (
  version bigint PRIMARY KEY,
  content bytea NOT NULL,
  create_time timestamptz NOT NULL
);

-- Each gateway's Director repository: what was signed last, and the state before it, which a gateway may just be
-- fetching.
CREATE TABLE director_metadata (
  gateway text COLLATE "C" PRIMARY KEY,
  revision bigint NOT NULL DEFAULT 1,         -- rises when the gateway's entries change
  signed_revision bigint NOT NULL DEFAULT 0,  -- the revision that is signed: another one has to be signed
  signed_under text NOT NULL DEFAULT '',      -- root version and keys that it was signed under
  targets_version bigint NOT NULL DEFAULT 0,
  snapshot_version bigint NOT NULL DEFAULT 0,
  timestamp_version bigint NOT NULL DEFAULT 0,
  targets bytea,
  snapshot bytea,
  timestamp bytea,
  previous_targets bytea,
  previous_snapshot bytea,
  refresh_targets timestamptz,
  refresh_timestamp timestamptz
) WITH (fillfactor = 70);

-- What the service's own client of the image repository has verified, so that nobody can hand it older metadata.
CREATE TABLE image_repository_roles (
  role text PRIMARY KEY,
  version bigint NOT NULL,
  content bytea NOT NULL
);
