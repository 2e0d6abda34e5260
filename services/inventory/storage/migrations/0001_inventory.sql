-- Gateways, the devices behind them, and what their components have proved to run.
--
-- Identifiers are compared byte by byte (COLLATE "C"): cheaper, and the same order everywhere.
-- Whoever changes a component holds the row of its gateway (FOR NO KEY UPDATE): a gateway's manifests are taken one after
-- the other, and nothing else has to be locked.

CREATE TABLE gateways (
  gateway_id text COLLATE "C" PRIMARY KEY,
  kind smallint NOT NULL,
  display_name text NOT NULL,
  public_key_pem text NOT NULL,
  proxy_public_key_pem text NOT NULL,              -- '' when it signs for no constrained component
  created_at timestamptz NOT NULL,
  nonce text,                                      -- of the outstanding challenge
  nonce_expires_at timestamptz,
  last_manifest_counter bigint NOT NULL DEFAULT 0,
  last_manifest_at timestamptz
) WITH (fillfactor = 60);                          -- each manifest updates the row twice, within its page

CREATE TABLE devices (
  gateway_id text COLLATE "C" NOT NULL REFERENCES gateways,
  device_id text COLLATE "C" NOT NULL,
  manufacturer text COLLATE "C" NOT NULL,
  model text NOT NULL,
  hardware_version text NOT NULL,
  app_id text NOT NULL,
  app_id_status smallint NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (gateway_id, device_id)
);
CREATE INDEX devices_by_manufacturer ON devices (manufacturer, gateway_id, device_id);

-- Which gateway a serial number stands behind: serial numbers are unique in the fleet, also when the tables below are
-- distributed by gateway.
CREATE TABLE serials (
  ecu_serial text COLLATE "C" PRIMARY KEY,
  gateway_id text COLLATE "C" NOT NULL
);

-- What follows the model is rewritten by each report; none of it is indexed, so that the update stays in its page.
CREATE TABLE components (
  gateway_id text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  device_id text COLLATE "C" NOT NULL,
  hardware_id text COLLATE "C" NOT NULL,
  public_key_pem text NOT NULL,                    -- '' exactly when constrained
  manufacturer text COLLATE "C" NOT NULL,          -- of the device
  model text COLLATE "C" NOT NULL,                 -- of the device
  state smallint NOT NULL,
  state_reason text NOT NULL DEFAULT '',
  image_path text,                                 -- the image columns are NULL until the first accepted report
  image_length bigint,
  image_sha256 text,
  image_version text COLLATE "C",
  image_release_counter bigint,
  software_versions text NOT NULL DEFAULT '{}',    -- JSON object, names to versions
  report_counter bigint NOT NULL DEFAULT 0,
  reported_at timestamptz,
  attacks_detected text NOT NULL DEFAULT '',
  refused_reports bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (gateway_id, ecu_serial)
) WITH (fillfactor = 70);
CREATE INDEX components_by_model ON components (manufacturer, model, gateway_id, ecu_serial);

-- What a component was known to be and to run, one row for each change.
CREATE TABLE component_history (
  gateway_id text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  changed_at timestamptz NOT NULL,
  manifest_counter bigint NOT NULL,
  report_counter bigint NOT NULL,
  state smallint NOT NULL,
  state_reason text NOT NULL,
  image_path text,
  image_length bigint,
  image_sha256 text,
  image_version text,
  image_release_counter bigint,
  software_versions text NOT NULL,
  attacks_detected text NOT NULL,
  PRIMARY KEY (gateway_id, ecu_serial, id)
);

-- Reports that were refused, as evidence. The gateway is the one that sent them, whatever they speak of.
CREATE TABLE refused_reports (
  gateway_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  received_at timestamptz NOT NULL,
  manifest_counter bigint NOT NULL,
  ecu_serial text NOT NULL,                        -- as the report names it; '' when it could not be read
  reason text NOT NULL,
  message text NOT NULL,
  report bytea NOT NULL,                           -- as it came, cut at 8 KiB
  PRIMARY KEY (gateway_id, id)
);
CREATE INDEX refused_reports_received_at ON refused_reports USING brin (received_at) WITH (pages_per_range = 16);
