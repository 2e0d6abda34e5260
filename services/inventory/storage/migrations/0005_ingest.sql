-- What makes a report that says what the last one said cost one update and nothing else.

-- Challenges are no longer stored when they are given: their nonces carry a MAC with this key. Made by the first replica.
CREATE TABLE challenge_key (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  key bytea NOT NULL
);

-- The nonce of the last accepted manifest; those that are made later compare higher.
ALTER TABLE gateways DROP COLUMN nonce, DROP COLUMN nonce_expires_at,
  ADD COLUMN answered_nonce text COLLATE "C" NOT NULL DEFAULT '';

-- Digest of what the last accepted report said, all but its counter and nonce; '' when that is to be looked at in full.
ALTER TABLE components ADD COLUMN said bytea NOT NULL DEFAULT '';
