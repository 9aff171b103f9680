#!/bin/sh
# Makes the role `grafana`, which reads what analysts may read. `poller migrate` grants the rights to `poller_reader`.
set -eu
psql --set ON_ERROR_STOP=1 --set "password=$(cat /run/secrets/reader_password)" \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE poller_reader NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'password' IN ROLE poller_reader;
SQL
