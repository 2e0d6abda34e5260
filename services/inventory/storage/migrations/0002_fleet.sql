-- What a fleet needs: what an image is, orders to stop, failures, tags, devices that await enrolment, and a history that is
-- partitioned by month.

ALTER TABLE gateways ADD COLUMN tags jsonb NOT NULL DEFAULT '{}';

ALTER TABLE devices
  ADD COLUMN tags jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN app_id_findings text NOT NULL DEFAULT '[]';  -- JSON: what the App-ID registry found at provisioning

ALTER TABLE components
  ADD COLUMN factory_sha256 text NOT NULL DEFAULT '',     -- '' when it was not declared
  ADD COLUMN tags jsonb NOT NULL DEFAULT '{}',            -- of its device and gateway, the device's first
  ADD COLUMN image_verdict smallint NOT NULL DEFAULT 0,
  ADD COLUMN approval_result text NOT NULL DEFAULT '',
  ADD COLUMN approval_override boolean NOT NULL DEFAULT false,
  ADD COLUMN stopped boolean NOT NULL DEFAULT false,      -- as it reports
  ADD COLUMN first_reported_at timestamptz,
  ADD COLUMN failure_count bigint NOT NULL DEFAULT 0,
  ADD COLUMN last_errors text NOT NULL DEFAULT '[]',      -- JSON, newest first
  ADD COLUMN quarantine_ordered_at timestamptz,           -- this and the next are NULL unless it is ordered to stop
  ADD COLUMN quarantine_ordered_by text,
  ADD COLUMN quarantine_reason text,
  ADD COLUMN quarantine_confirmed_at timestamptz,
  ADD COLUMN released_sha256 text;                        -- an operator let it run with this image: the policy does not stop it again

-- Reports rewrite none of these columns while they say what the last one said, so that their updates stay in the page.
CREATE INDEX components_in_trouble ON components (state, gateway_id, ecu_serial) WHERE state >= 4;
CREATE INDEX components_not_published ON components (manufacturer, hardware_id, gateway_id, ecu_serial)
  WHERE image_verdict NOT IN (1, 2);

-- The history by month: what is old enough goes with its partition. The default partition is there for a clock that jumped.
ALTER TABLE component_history RENAME TO component_history_before;
ALTER TABLE component_history_before RENAME CONSTRAINT component_history_pkey TO component_history_before_pkey;

CREATE TABLE component_history (
  gateway_id text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  changed_at timestamptz NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  manifest_counter bigint NOT NULL,                       -- 0 when no manifest brought it
  report_counter bigint NOT NULL,
  state smallint NOT NULL,
  state_reason text NOT NULL,
  image_path text,
  image_length bigint,
  image_sha256 text,
  image_version text,
  image_release_counter bigint,
  image_verdict smallint NOT NULL DEFAULT 0,
  software_versions text NOT NULL,
  attacks_detected text NOT NULL,
  cause smallint NOT NULL DEFAULT 1,
  actor text NOT NULL DEFAULT '',
  note text NOT NULL DEFAULT '',
  PRIMARY KEY (gateway_id, ecu_serial, changed_at, id)
) PARTITION BY RANGE (changed_at);
CREATE TABLE component_history_default PARTITION OF component_history DEFAULT;

-- Makes the partition of the month that has `at`, with what the default partition holds of that month. Months are UTC's.
-- Returns whether there was something to do.
CREATE FUNCTION make_history_partition(at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  first timestamptz := date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  past timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  part text := 'component_history_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
  -- Replicas come together.
  PERFORM pg_advisory_xact_lock(hashtext('make_history_partition'));
  IF to_regclass(part) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE component_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
  EXECUTE format('WITH moved AS (DELETE FROM component_history_default WHERE changed_at >= %L AND changed_at < %L RETURNING *) '
                 'INSERT INTO %I SELECT * FROM moved', first, past, part);
  EXECUTE format('ALTER TABLE component_history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, past);
  RETURN true;
END $$;

DO $$
DECLARE
  month timestamptz;
BEGIN
  FOR month IN SELECT DISTINCT date_trunc('month', changed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
               FROM component_history_before LOOP
    PERFORM make_history_partition(month);
  END LOOP;
END $$;

INSERT INTO component_history (gateway_id, ecu_serial, changed_at, id, manifest_counter, report_counter, state, state_reason,
  image_path, image_length, image_sha256, image_version, image_release_counter, software_versions, attacks_detected)
OVERRIDING SYSTEM VALUE
SELECT gateway_id, ecu_serial, changed_at, id, manifest_counter, report_counter, state, state_reason, image_path, image_length,
  image_sha256, image_version, image_release_counter, software_versions, attacks_detected
FROM component_history_before;
SELECT setval(pg_get_serial_sequence('component_history', 'id'),
              (SELECT COALESCE(max(id), 0) + 1 FROM component_history_before), false);

UPDATE components c SET first_reported_at =
  (SELECT min(h.changed_at) FROM component_history_before h
   WHERE h.gateway_id = c.gateway_id AND h.ecu_serial = c.ecu_serial AND h.image_sha256 IS NOT NULL)
WHERE c.reported_at IS NOT NULL;
DROP TABLE component_history_before;

-- The gateways that a component was behind before, for its history.
CREATE TABLE component_moves (
  ecu_serial text COLLATE "C" NOT NULL,
  gateway_id text COLLATE "C" NOT NULL,
  moved_at timestamptz NOT NULL,
  PRIMARY KEY (ecu_serial, gateway_id)
);

-- Devices that a gateway announced and nobody has enrolled. They hold no serial number: who only says so takes none away.
CREATE TABLE pending_devices (
  gateway_id text COLLATE "C" NOT NULL REFERENCES gateways,
  device_id text COLLATE "C" NOT NULL,
  manufacturer text COLLATE "C" NOT NULL,
  payload bytea NOT NULL,                                 -- the device as it was announced
  announced_at timestamptz NOT NULL,
  PRIMARY KEY (gateway_id, device_id)
);
CREATE INDEX pending_devices_by_manufacturer ON pending_devices (manufacturer, gateway_id, device_id);

-- What the package store published, as far as its news have come. Whoever compares an image with it within a transaction holds
-- the advisory lock `published_images` shared, whoever changes it holds it alone: so that each either sees the other's rows or
-- is followed by a look at them (image_checks).
CREATE TABLE published_images (
  target_path text COLLATE "C" PRIMARY KEY,
  manufacturer text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  sha256 text COLLATE "C" NOT NULL,
  hardware_ids text[] NOT NULL,
  revoked boolean NOT NULL
);
CREATE INDEX published_images_by_version ON published_images (manufacturer, version);
CREATE INDEX published_images_by_digest ON published_images (manufacturer, sha256);

-- Whether all that was published has come once; before that nothing is compared. At most one row.
CREATE TABLE published_images_complete (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

-- Components that have to be looked at again, because of what was published, in steps: after which component to go on.
CREATE TABLE image_checks (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  target_path text COLLATE "C",                           -- NULL: all that were never compared
  revoked boolean NOT NULL DEFAULT false,                 -- then also those whose image was published
  after_gateway text COLLATE "C" NOT NULL DEFAULT '',
  after_serial text COLLATE "C" NOT NULL DEFAULT ''
);
