#!/bin/sh
# Usage: run.sh NAME ROOT. Makes the container NAME; ROOT is a folder with a Debian root that has
# the packages gunicorn, python3-redis, redis-server and curl, for example from
#   mmdebstrap --include=gunicorn,python3-redis,redis-server,curl bookworm ROOT
set -e
here=$(dirname "$(readlink -f "$0")")
exec pyinit-ctl run --detach --name "$1" --layer "$2" -v "$here:/srv:ro" \
    --services "$here/services.toml"
