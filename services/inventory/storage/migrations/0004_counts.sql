-- How many components there are of what, kept beside them: to count a fleet by reading it takes seconds, and metrics and people
-- ask all the time.
--
-- Whoever changes components appends what that changes of the counts, by triggers, so that no way past them exists; writers
-- never wait for each other's counts. fold_component_counts() takes what was appended into the counts. Both together are right
-- in every snapshot. Reports that say what the last one said do not set the columns that the trigger is about.

CREATE TABLE component_counts (
  manufacturer text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  image_version text COLLATE "C" NOT NULL,               -- '' when nothing has been reported
  state smallint NOT NULL,
  state_reason text COLLATE "C" NOT NULL,
  n bigint NOT NULL,
  version_key text COLLATE "C" GENERATED ALWAYS AS (version_sort_key(image_version)) STORED,
  PRIMARY KEY (manufacturer, model, image_version, state, state_reason)
);

CREATE TABLE component_count_changes (
  manufacturer text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  image_version text COLLATE "C" NOT NULL,
  state smallint NOT NULL,
  state_reason text COLLATE "C" NOT NULL,
  n bigint NOT NULL
);

CREATE FUNCTION component_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO component_count_changes VALUES
    (OLD.manufacturer, OLD.model, COALESCE(OLD.image_version, ''), OLD.state, OLD.state_reason, -1),
    (NEW.manufacturer, NEW.model, COALESCE(NEW.image_version, ''), NEW.state, NEW.state_reason, 1);
  RETURN NULL;
END $$;
CREATE TRIGGER component_counted AFTER UPDATE OF manufacturer, model, image_version, state, state_reason ON components
  FOR EACH ROW WHEN ((OLD.manufacturer, OLD.model, OLD.image_version, OLD.state, OLD.state_reason) IS DISTINCT FROM
                     (NEW.manufacturer, NEW.model, NEW.image_version, NEW.state, NEW.state_reason))
  EXECUTE FUNCTION component_counted();

CREATE FUNCTION components_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO component_count_changes
  SELECT manufacturer, model, COALESCE(image_version, ''), state, state_reason,
         CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
  FROM counted GROUP BY 1, 2, 3, 4, 5;
  RETURN NULL;
END $$;
CREATE TRIGGER components_inserted AFTER INSERT ON components REFERENCING NEW TABLE AS counted
  FOR EACH STATEMENT EXECUTE FUNCTION components_counted();
CREATE TRIGGER components_deleted AFTER DELETE ON components REFERENCING OLD TABLE AS counted
  FOR EACH STATEMENT EXECUTE FUNCTION components_counted();

-- Takes what was appended into the counts, unless another replica is at it.
CREATE FUNCTION fold_component_counts() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('fold_component_counts')) THEN
    RETURN;
  END IF;
  WITH gone AS (DELETE FROM component_count_changes RETURNING *)
  INSERT INTO component_counts AS c (manufacturer, model, image_version, state, state_reason, n)
  SELECT manufacturer, model, image_version, state, state_reason, sum(n) FROM gone GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
  ON CONFLICT (manufacturer, model, image_version, state, state_reason) DO UPDATE SET n = c.n + EXCLUDED.n;
  DELETE FROM component_counts WHERE n = 0;
END $$;

-- Counts anew, for who filled the table past its triggers.
CREATE FUNCTION recount_components() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  LOCK TABLE components IN SHARE MODE;
  PERFORM pg_advisory_xact_lock(hashtext('fold_component_counts'));
  DELETE FROM component_count_changes;
  DELETE FROM component_counts;
  INSERT INTO component_counts (manufacturer, model, image_version, state, state_reason, n)
  SELECT manufacturer, model, COALESCE(image_version, ''), state, state_reason, count(*) FROM components GROUP BY 1, 2, 3, 4, 5;
END $$;
SELECT recount_components();
