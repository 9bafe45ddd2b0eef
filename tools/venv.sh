#!/bin/sh
# Makes .venv with the pinned packages and this tree in it, and does nothing where that is done.
#   tools/venv.sh run    what pyinit needs to run
#   tools/venv.sh dev    that, and what its tests and checks need
#   tools/venv.sh vm     that, and what boots Debian's kernel for tests
# $PYTHON names the interpreter (python3 by default).
set -eu
cd "$(dirname "$0")/.."

want=${1:-dev}
python=${PYTHON:-python3}
venv=.venv

case $want in
run | dev | vm) ;;
*)
    echo "venv: no such set of packages: $want (run, dev or vm)" >&2
    exit 2
    ;;
esac

# What an installation depends on: the pins, the entry points, and where the tree lies, since
# an editable install names it.
state() {
    { pwd && cat pyproject.toml tools/venv.sh scripts/* "requirements/$1.txt"; } | sha256sum
}

done_already() {
    [ -x $venv/bin/python ] && $venv/bin/python -c '' 2>/dev/null || return 1
    for set in vm dev run; do
        [ "$(cat $venv/.installed-$set 2>/dev/null)" = "$(state $set)" ] && return 0
        [ $set = "$want" ] && return 1
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo -n "$@"
    else
        return 1
    fi
}

# Debian and Ubuntu ship python3 without ensurepip, which is in a package of its own.
install_ensurepip() {
    command -v apt-get >/dev/null 2>&1 || return 1
    echo "venv: installing Debian's python3-venv, which this python3 lacks" >&2
    apt="apt-get -qq -o DPkg::Lock::Timeout=300"
    export DEBIAN_FRONTEND=noninteractive
    as_root $apt install --yes --no-install-recommends python3-venv >/dev/null 2>&1 && return 0
    as_root $apt update && as_root $apt install --yes --no-install-recommends python3-venv
}

make_venv() {
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "venv: pyinit needs Python 3.11 or newer: set PYTHON to one" >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip' 2>/dev/null && ! install_ensurepip; then
        echo "venv: $python has no ensurepip: install python3-venv (as root: apt-get install" \
            "python3-venv), or set PYTHON to a Python that has it" >&2
        exit 1
    fi
    rm -rf $venv
    "$python" -m venv $venv
}

done_already && exit 0
[ -x $venv/bin/pip ] && $venv/bin/python -c '' 2>/dev/null || make_venv
rm -f $venv/.installed-*
pip="$venv/bin/python -m pip --disable-pip-version-check install --quiet"
# Every file is checked against its hash, and the pins are complete: nothing is resolved.
$pip --no-deps --require-hashes --requirement "requirements/$want.txt"
$pip --no-deps --no-build-isolation --editable .
state "$want" >"$venv/.installed-$want"
