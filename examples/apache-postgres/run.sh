#!/bin/sh
# Two containers of one Debian root, each with Apache on port 80 and PostgreSQL on 5432.
# usage: run.sh ROOT     where ROOT was made by
#   mmdebstrap --variant=apt --include=apache2,postgresql,procps,curl bookworm ROOT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for name in site-a site-b; do
    pyinit-ctl run --detach --name "$name" --layer "$1" -v "$here/serve.sh:/serve.sh:ro" -- sh /serve.sh
    pyinit-ctl exec "$name" -- sh -c 'until [ -e /run/ready ]; do sleep 0.05; done'
    pyinit-ctl exec -u postgres "$name" -- psql -c 'select 1'
    pyinit-ctl exec "$name" -- curl --silent http://localhost/name.txt
done
pyinit-ctl ls
for name in site-a site-b; do
    pyinit-ctl stop "$name"
    pyinit-ctl rm "$name"
done
