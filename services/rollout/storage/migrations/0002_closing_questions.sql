-- Questions to users that need no answer any more, until the consent service has been told.
CREATE TABLE closing_questions (
  gateway text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  rollout text COLLATE "C" NOT NULL,
  PRIMARY KEY (gateway, ecu_serial, rollout)
);
