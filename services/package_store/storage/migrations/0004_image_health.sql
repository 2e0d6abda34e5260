-- Whether the bytes of an image are still what they were: every image is read again once in a period, and one that is
-- missing, truncated or changed is not served until somebody who has it uploads it again.
ALTER TABLE images
  ADD COLUMN checked_at timestamptz,      -- when all of it was last read and found right, or repaired
  ADD COLUMN damaged_at timestamptz,      -- since when it is known to be damaged
  ADD COLUMN damage text,                 -- what is wrong with it
  ADD COLUMN scrub_holder uuid,           -- the replica that reads it, as long as
  ADD COLUMN scrub_until timestamptz,     -- this has not passed
  ADD COLUMN scrub_state text;            -- how far it is: the state of the digest after so many bytes
CREATE INDEX images_to_check ON images ((coalesce(checked_at, stored_at))) WHERE damaged_at IS NULL;
