-- Registered App-IDs with their profiles (oneM2M TS-0001, 7.1.3).
CREATE TABLE profiles (
  app_id text COLLATE "C" PRIMARY KEY,
  application_type text NOT NULL,
  application_class smallint NOT NULL,
  security_capability smallint NOT NULL,
  authentication_type smallint NOT NULL,
  root_of_trust_sha256 text NOT NULL,              -- '' only for pre-shared keys
  communications_class smallint NOT NULL,
  data_model_name text NOT NULL,
  ontology_mapping text NOT NULL,
  privacy_category smallint NOT NULL,
  protection_level smallint NOT NULL,
  privacy_purpose text NOT NULL,
  retention_days integer NOT NULL,
  shared boolean NOT NULL,
  manufacturer text COLLATE "C" NOT NULL,          -- '' when it is nobody's
  state smallint NOT NULL,                         -- 1 registered, 2 suspended, 3 revoked
  created_at timestamptz NOT NULL
);
CREATE INDEX profiles_by_manufacturer ON profiles (manufacturer, app_id);
