#!/bin/sh
# Writes requirements/*.txt from pyproject.toml: every package
# with one version and the hashes of its files, for each supported Python on Linux.
# Without arguments it keeps what is pinned and adds what is new; --upgrade takes the newest.
set -eu
cd "$(dirname "$0")/.."

tool=.cache/pins
[ -x "$tool/bin/uv" ] || {
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet --upgrade uv
}

compile() {
    output=$1
    shift
    # No addresses in the output: where packages come from is the installing machine's matter.
    "$tool/bin/uv" pip compile --quiet \
        --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make pins' \
        "$@" --output-file "$output" pyproject.toml >/dev/null
    if grep -n '://' "$output"; then
        echo "pins: $output holds an address" >&2
        exit 1
    fi
}

compile requirements/dev.txt --group dev "$@"
compile requirements/vm.txt --group vm --constraint requirements/dev.txt "$@"
# The run-time pins are a part of the others: same versions, so that what is tested is what runs.
compile requirements/run.txt --group build --constraint requirements/dev.txt "$@"
