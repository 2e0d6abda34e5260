-- The targets of the manufacturers' pending roles in force: what gateways may fetch although nobody approved it. No packages.
CREATE TABLE pending_targets (
  target_path text COLLATE "C" PRIMARY KEY,
  manufacturer text NOT NULL,
  sha256 bytea NOT NULL REFERENCES images
);
CREATE INDEX pending_targets_by_image ON pending_targets (sha256);
CREATE INDEX pending_targets_of_manufacturer ON pending_targets (manufacturer);
