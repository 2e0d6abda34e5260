-- Packages that the package store revoked or withdrew, until it publishes them again: nobody is to install them.
CREATE TABLE ended_packages (
  target_path text COLLATE "C" PRIMARY KEY,
  why text NOT NULL
);

-- Whether all that could be stopped of a release whose package has ended is.
ALTER TABLE rollout_releases ADD COLUMN stopped boolean NOT NULL DEFAULT false;
CREATE INDEX rollout_releases_of_target ON rollout_releases (target_path);
