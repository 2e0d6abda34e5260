-- Components that the inventory has ordered to stop: the Director tells their gateways (FOTA-R3).
CREATE TABLE quarantined_components (
  gateway text COLLATE "C" NOT NULL,
  ecu_serial text COLLATE "C" NOT NULL,
  PRIMARY KEY (gateway, ecu_serial)
);
