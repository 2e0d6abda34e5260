-- The components of one gateway in such a rollout change together or not at all.
ALTER TABLE rollouts ADD COLUMN bundle boolean NOT NULL DEFAULT false;
