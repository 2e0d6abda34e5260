-- One row for each gateway that consent has heard of: whoever changes anything of a gateway locks it first.
CREATE TABLE gateways (
  gateway text PRIMARY KEY
);

CREATE TABLE policies (
  gateway text NOT NULL,
  id text NOT NULL,
  principal_id text NOT NULL,
  kinds integer[] NOT NULL,               -- numbers of countersign.common.v1.UpdateKind
  minimum_criticality smallint,           -- number of countersign.common.v1.Criticality; NULL for any
  ecu_serials text[] NOT NULL,            -- empty for all
  accepted_terms_sha256 text[] NOT NULL,
  language text NOT NULL,
  text_sha256 text NOT NULL,
  active boolean NOT NULL,
  created_at timestamptz NOT NULL,
  withdrawn_at timestamptz,
  PRIMARY KEY (gateway, id)
);

-- Questions, with the prompt and the record that they have become: all three have the same id.
CREATE TABLE questions (
  gateway text NOT NULL,
  id text NOT NULL,
  assignment text NOT NULL,
  ecu_serial text NOT NULL,
  target_path text NOT NULL,
  image_sha256 text NOT NULL,
  from_version text NOT NULL,
  to_version text NOT NULL,
  kind smallint NOT NULL,
  criticality smallint NOT NULL,
  terms_sha256 text NOT NULL,             -- empty when there are none
  notices text NOT NULL,                  -- a line "<language> <sha256 of the text>" for each
  wire bytea,                             -- the question as it was asked; NULL when a policy decided at once
  state smallint NOT NULL,                -- QuestionState
  created_at timestamptz NOT NULL,
  asked_at timestamptz,                   -- NULL when a policy decided at once
  latest_deferral timestamptz,
  due_at timestamptz,                     -- when it changes by itself: asked again, expired, closed
  -- The latest decision; all NULL before the first.
  recorded_at timestamptz,                -- of the first
  decided_at timestamptz,
  valid_until timestamptz,
  decision smallint,                      -- QuestionState
  principal_id text,
  policy_id text,                         -- empty when the user decided
  text_sha256 text,
  signed_record bytea,
  PRIMARY KEY (gateway, id),
  UNIQUE (gateway, assignment, image_sha256)
);

CREATE INDEX questions_due ON questions (due_at) WHERE due_at IS NOT NULL;
-- For the operator's lists over all gateways; a gateway's own few rows are found by the primary key.
CREATE INDEX questions_waiting ON questions (asked_at, gateway, id) WHERE state = 1;
CREATE INDEX questions_recorded ON questions (recorded_at, gateway, id) WHERE recorded_at IS NOT NULL;

-- Every decision that was ever made, as it was signed. Append-only.
CREATE TABLE record_events (
  gateway text NOT NULL,
  id text NOT NULL,
  sequence bigint GENERATED ALWAYS AS IDENTITY,
  decision smallint NOT NULL,
  principal_id text NOT NULL,
  policy_id text NOT NULL,
  decided_at timestamptz NOT NULL,
  valid_until timestamptz NOT NULL,
  signed_record bytea NOT NULL,
  PRIMARY KEY (gateway, id, sequence)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'record_events is append-only';
END $$;

CREATE TRIGGER record_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON record_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
