-- Packages that are approved no longer: beside `packages`, so that nothing that asks what is approved can forget to ask twice.
CREATE TABLE ended_packages (
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
  approval_statement bytea NOT NULL,
  log_index bigint REFERENCES log_entries,  -- of the approval
  state text NOT NULL CHECK (state IN ('REVOKED', 'WITHDRAWN')),  -- REVOKED is for ever
  ended_by text NOT NULL,
  ended_at timestamptz NOT NULL,
  end_reason text NOT NULL,
  revocation_statement bytea CHECK ((state = 'REVOKED') = (revocation_statement IS NOT NULL))
);
CREATE INDEX ended_packages_of_manufacturer ON ended_packages (manufacturer, target_path);

CREATE VIEW all_packages AS
  SELECT target_path, manufacturer, length_bytes, sha256, hardware_ids, version, release_counter, role_version,
         manufacturer_key_ids, authority_key_ids, approved_by, approved_at, approval_statement, log_index,
         'APPROVED' AS state, '' AS ended_by, NULL::timestamptz AS ended_at, '' AS end_reason,
         NULL::bytea AS revocation_statement
  FROM packages
  UNION ALL
  SELECT target_path, manufacturer, length_bytes, sha256, hardware_ids, version, release_counter, role_version,
         manufacturer_key_ids, authority_key_ids, approved_by, approved_at, approval_statement, log_index,
         state, ended_by, ended_at, end_reason, revocation_statement
  FROM ended_packages;

-- Who did what to which package, when and why.
CREATE TABLE package_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('PROPOSED', 'APPROVED', 'REFUSED', 'SUPERSEDED', 'REVOKED', 'WITHDRAWN')),
  happened_at timestamptz NOT NULL,
  manufacturer text NOT NULL,
  target_path text COLLATE "C" NOT NULL,  -- empty for a proposal that changes no target
  sha256 bytea,
  role_version bigint NOT NULL,
  proposal text NOT NULL,                 -- empty where there is none
  identity text NOT NULL,
  key_ids text[] NOT NULL,
  reason text NOT NULL,
  log_index bigint REFERENCES log_entries  -- of what is an entry of the transparency log
);
CREATE INDEX package_events_of_manufacturer ON package_events (manufacturer, id);
CREATE INDEX package_events_of_target ON package_events (target_path, id);

CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'package_events is never changed';
END
$$;
CREATE TRIGGER package_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON package_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
