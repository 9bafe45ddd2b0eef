#!/bin/sh
# The command of the container: PostgreSQL beside Apache, both with Debian's defaults.
set -e
hostname > /var/www/html/name.txt
pg_ctlcluster "$(ls /etc/postgresql)" main start
mkdir -p /run/apache2
. /etc/apache2/envvars
trap 'kill "$apache"; pg_ctlcluster "$(ls /etc/postgresql)" main stop --mode fast; exit 0' TERM
apache2 -D FOREGROUND &
apache=$!
until curl --silent --output /dev/null http://localhost/ && pg_isready --quiet; do sleep 0.05; done
touch /run/ready
wait "$apache"
