#!/bin/sh
# The main job from start to end: a container from the default root, a command run in it
# through its control socket, its processes and what it uses, and its end. `make demo`.
set -eu

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

trap 'pyinit-ctl rm --force demo >/dev/null 2>&1 || true' EXIT INT TERM

show pyinit-ctl run --detach --name demo --hostname demo -- sleep infinity
show pyinit-ctl ls
show pyinit-ctl exec demo -- hostname
show pyinit-ctl exec --user nobody demo -- id
show pyinit-ctl ps demo
show pyinit-ctl stats demo
show pyinit-ctl stop demo
show pyinit-ctl rm demo
show pyinit-ctl ls
trap - EXIT
