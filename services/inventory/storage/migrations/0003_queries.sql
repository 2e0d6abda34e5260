-- What answers filters without reading the fleet.
--
-- Each report rewrites its component's row. While it says what the last one said, no indexed column changes, and the new row
-- stays in its page (a HOT update). So an index stands on columns only that change rarely; time, which every report moves, is
-- indexed by the slot of six hours that it falls into, which changes at most four times a day.

-- The place of a version among all versions; NULL when it is none. The same as VersionSortKey (common/version/version.h), which
-- says what it means: a test compares them.
CREATE FUNCTION version_sort_key(version text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  numbers text;
  number text;
  key text := '';
BEGIN
  IF version ~ '[\x01-\x1f\x7f]' THEN
    RETURN NULL;
  END IF;
  IF version ~ '^0[xX][0-9a-fA-F]{1,16}$' THEN
    DECLARE
      value numeric := ('x' || lpad(substr(version, 3), 16, '0'))::bit(64)::bigint;
    BEGIN
      IF value < 0 THEN
        value := value + 18446744073709551616;
      END IF;
      number := ltrim(value::text, '0');
      RETURN chr(66 + length(number)) || number || E'\x03\x02';
    END;
  END IF;
  numbers := substring(version FROM '^[0-9]+(?:\.[0-9]+)*');
  IF numbers IS NULL THEN
    RETURN NULL;
  END IF;
  FOREACH number IN ARRAY string_to_array(numbers, '.') LOOP
    number := ltrim(number, '0');
    IF length(number) > 50 THEN
      RETURN NULL;
    END IF;
    key := key || chr(66 + length(number)) || number;
  END LOOP;
  RETURN key || E'\x03' || translate(substr(version, length(numbers) + 1), '~', E'\x01') || E'\x02';
END $$;

-- The beginning of the six hours that a time is in, in UTC.
CREATE FUNCTION time_slot(at timestamptz) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT date_bin('6 hours', at AT TIME ZONE 'UTC', TIMESTAMP '2000-01-01') $$;

ALTER TABLE gateways
  ADD COLUMN manifest_slot timestamp
    GENERATED ALWAYS AS (date_bin('6 hours', last_manifest_at AT TIME ZONE 'UTC', TIMESTAMP '2000-01-01')) STORED;
CREATE INDEX gateways_by_manifest_slot ON gateways (manifest_slot);
CREATE INDEX gateways_by_display_name ON gateways ((display_name COLLATE "C"));
CREATE INDEX gateways_by_created_at ON gateways (created_at);
CREATE INDEX gateways_by_tags ON gateways USING gin (tags);

CREATE INDEX devices_by_id ON devices (device_id);
CREATE INDEX devices_by_model ON devices ((model COLLATE "C"));
CREATE INDEX devices_by_app_id ON devices ((app_id COLLATE "C"));
CREATE INDEX devices_by_app_id_status ON devices (app_id_status) WHERE app_id_status >= 2;
CREATE INDEX devices_by_created_at ON devices (created_at);
CREATE INDEX devices_by_tags ON devices USING gin (tags);

ALTER TABLE components
  ADD COLUMN version_key text COLLATE "C" GENERATED ALWAYS AS (version_sort_key(image_version)) STORED,
  ADD COLUMN report_slot timestamp
    GENERATED ALWAYS AS (date_bin('6 hours', reported_at AT TIME ZONE 'UTC', TIMESTAMP '2000-01-01')) STORED;
CREATE INDEX components_by_serial ON components (ecu_serial);
CREATE INDEX components_by_device ON components (device_id);
CREATE INDEX components_by_hardware ON components (hardware_id);
CREATE INDEX components_by_model_version ON components (model, version_key);
CREATE INDEX components_by_version ON components (version_key);
CREATE INDEX components_by_digest ON components ((image_sha256 COLLATE "C"));
CREATE INDEX components_by_report_slot ON components (report_slot);
CREATE INDEX components_by_first_report ON components (first_reported_at);
CREATE INDEX components_by_tags ON components USING gin (tags);
CREATE INDEX components_by_reason ON components ((state_reason COLLATE "C")) WHERE (state_reason COLLATE "C") <> '';
CREATE INDEX components_that_failed ON components (failure_count) WHERE failure_count > 0;
CREATE INDEX components_refused ON components (refused_reports) WHERE refused_reports > 0;
CREATE INDEX components_attacked ON components ((attacks_detected COLLATE "C")) WHERE (attacks_detected COLLATE "C") <> '';
CREATE INDEX components_by_approval ON components ((approval_result COLLATE "C"));
CREATE INDEX components_stopped ON components (stopped) WHERE stopped;
