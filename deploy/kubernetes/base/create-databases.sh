#!/bin/bash
# Each service owns one database and sees no other.
set -euo pipefail
for service in appid-registry consent inventory liaison package-store rollout; do
  psql -v ON_ERROR_STOP=1 --username postgres <<SQL
CREATE ROLE "$service" LOGIN;
CREATE DATABASE "$service" OWNER "$service";
REVOKE CONNECT ON DATABASE "$service" FROM PUBLIC;
SQL
done
