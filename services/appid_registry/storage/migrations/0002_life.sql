-- The whole life of an App-ID: who gave it out, the versions of its profile, and what was done to it, when, by whom and why.

-- Every App-ID that was ever given out. Letter case aside, so that nobody gets one that people take for another's.
CREATE TABLE app_ids (
  folded text COLLATE "C" PRIMARY KEY,             -- lower(app_id)
  app_id text COLLATE "C" NOT NULL,
  authority_id text COLLATE "C" NOT NULL,
  registrar text COLLATE "C" NOT NULL,             -- id of the certificate; '' for those from before this table
  issued_at timestamptz NOT NULL
);
INSERT INTO app_ids
  SELECT lower(app_id), app_id, split_part(substr(app_id, 2), '.', 1), '', created_at FROM profiles;

CREATE TABLE registrants (
  id text COLLATE "C" PRIMARY KEY,
  display_name text NOT NULL,
  public_key_pem text NOT NULL,
  registrar text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  created_at timestamptz NOT NULL
);

-- What is searched for stays in columns; all of the profile is in `content`, as domain/profile.h writes it.
ALTER TABLE profiles
  ADD COLUMN authority_id text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN registrant text COLLATE "C" NOT NULL DEFAULT '',  -- who signed the terms; '' when nobody did
  ADD COLUMN registrar text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN state_reason text NOT NULL DEFAULT '',
  ADD COLUMN version integer NOT NULL DEFAULT 1,
  ADD COLUMN revision bigint NOT NULL DEFAULT 1,               -- one more with every change of anything
  ADD COLUMN content jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN signed_terms bytea NOT NULL DEFAULT '',           -- '' when there are none
  ADD COLUMN updated_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE profiles SET
  authority_id = split_part(substr(app_id, 2), '.', 1),
  updated_at = created_at,
  content = jsonb_build_object(
    'app_id', app_id, 'application_type', application_type, 'application_class', application_class,
    'security_capability', security_capability, 'authentication_type', authentication_type,
    'root_of_trust_sha256', root_of_trust_sha256, 'communications_class', communications_class,
    'data_model', jsonb_build_object('name', data_model_name, 'ontology_mapping', ontology_mapping),
    'data_privacy', jsonb_build_object(
      'category', privacy_category, 'protection_level', protection_level, 'purpose', privacy_purpose,
      'retention_days', retention_days, 'shared', shared, 'collectors', '[]'::jsonb, 'collection_time', 0,
      'countries', '[]'::jsonb, 'shared_with', '[]'::jsonb),
    'manufacturer', manufacturer, 'not_before', NULL, 'not_after', NULL, 'ae_ids', '[]'::jsonb,
    'signed_terms_sha256', '');
ALTER TABLE profiles
  DROP COLUMN security_capability, DROP COLUMN authentication_type, DROP COLUMN root_of_trust_sha256,
  DROP COLUMN communications_class, DROP COLUMN data_model_name, DROP COLUMN ontology_mapping,
  DROP COLUMN privacy_category, DROP COLUMN protection_level, DROP COLUMN privacy_purpose,
  DROP COLUMN retention_days, DROP COLUMN shared,
  ALTER COLUMN authority_id DROP DEFAULT, ALTER COLUMN registrant DROP DEFAULT, ALTER COLUMN registrar DROP DEFAULT,
  ALTER COLUMN state_reason DROP DEFAULT, ALTER COLUMN version DROP DEFAULT, ALTER COLUMN revision DROP DEFAULT,
  ALTER COLUMN content DROP DEFAULT, ALTER COLUMN signed_terms DROP DEFAULT, ALTER COLUMN updated_at DROP DEFAULT;
CREATE INDEX profiles_by_authority ON profiles (authority_id, app_id);
CREATE INDEX profiles_by_registrant ON profiles (registrant, app_id);
CREATE INDEX profiles_by_type ON profiles (application_type, app_id);
CREATE INDEX profiles_out_of_force ON profiles (state, app_id) WHERE state <> 1;

-- What was registered at a time.
CREATE TABLE profile_versions (
  app_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  content jsonb NOT NULL,
  signed_terms bytea NOT NULL,
  actor text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (app_id, version)
);
INSERT INTO profile_versions SELECT app_id, 1, content, signed_terms, '', created_at FROM profiles;

-- What was done.
CREATE TABLE profile_events (
  app_id text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  kind smallint NOT NULL,                          -- 1 registered, 2 updated, 3 suspended, 4 reinstated, 5 revoked
  happened_at timestamptz NOT NULL,
  actor text NOT NULL,                             -- "registrar/ara"
  reason text NOT NULL,
  version integer NOT NULL,
  PRIMARY KEY (app_id, revision)
);
INSERT INTO profile_events SELECT app_id, 1, 1, created_at, '', '', 1 FROM profiles;

CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is never changed', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER profile_versions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON profile_versions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
CREATE TRIGGER profile_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON profile_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
CREATE TRIGGER app_ids_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON app_ids
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
