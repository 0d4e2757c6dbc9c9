#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [check|bench] - installs what is missing, and says what it installs.
#
# Looks before it installs, so a second run takes a fraction of a second. Debian's packages need root; the Python
# packages go into .venv (pinned in tests/requirements.txt), DuckDB's library into .deps.
set -euo pipefail
cd "$(dirname "$0")/.."
what="${1:-}"

packages=(
    build-essential pkg-config meson ninja-build
    libjansson-dev libsimdjson-dev libsqlite3-dev libmicrohttpd-dev libcurl4-openssl-dev libssl-dev
    libzstd-dev libxxhash-dev libdeflate-dev libpcre2-dev
    python3 python3-venv ca-certificates curl jq tar
    libpq-dev python3-dev             # PyGreSQL, which has no wheel
    openssl postgresql-client procps) # what the tests call
command -v npm >/dev/null || packages+=(nodejs npm) # fetches DuckDB's library
[ "$what" = check ] && packages+=(default-jre-headless libpostgresql-jdbc-java) # Spark, JDBC
[ "$what" = bench ] && packages+=(wrk)

missing() {
    local there
    there="$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p' || true)"
    printf '%s\n' "$@" | grep -vxF -e "$there" || true
}

install_packages() {
    local wanted log sudo=()
    mapfile -t wanted < <(missing "${packages[@]}")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    echo "setup: installing with apt: ${wanted[*]}"
    log="$(mktemp)"
    if ! { "${sudo[@]}" apt-get update &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${wanted[@]}"; } \
        >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: apt could not install them; all it said is in $log" >&2
        exit 1
    fi
    rm -f "$log"
}

# install_python FILE: the pinned packages of a requirements file, when they are not there yet.
install_python() {
    local file="$1" stamp
    stamp=".venv/.$(basename "$file").$(sha256sum <"$file" | cut -c1-16)"
    [ -f "$stamp" ] && return 0
    [ -x .venv/bin/python ] || python3 -m venv .venv
    echo "setup: installing into .venv: $(grep -v '^#' "$file" | tr '\n' ' ')"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$file"
    touch "$stamp"
}

install_packages
install_python tests/requirements.txt
[ "$what" = check ] && install_python tests/requirements-check.txt
[ "$what" = bench ] && [ -f bench/requirements.txt ] && install_python bench/requirements.txt
tools/fetch_duckdb.sh
