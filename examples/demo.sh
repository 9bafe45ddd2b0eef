#!/bin/sh
# A container from start to end; `make demo` runs this. Needs root, or user namespaces.
set -eu
name=demo-$$

show() {
    printf '$ %s\n' "$*"
    "$@"
}

trap 'pyinit-ctl rm --force "$name" >/dev/null 2>&1 || true' EXIT
show pyinit-ctl run --detach --name "$name" --hostname demo -- sleep 1000
show pyinit-ctl exec "$name" -- sh -c 'echo "$(hostname): I am process $$, and PID 1 is $(cat /proc/1/comm)"'
show pyinit-ctl ps "$name"
show pyinit-ctl stats "$name"
show pyinit-ctl stop "$name"
show pyinit-ctl rm "$name"
show pyinit-ctl ls
