#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh FOLDER MESON-OPTION... - configures a build folder when it is new, and builds it.
#
# Quiet when all is well: one line. A failure shows what the compiler said.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="$1"
shift

if [ ! -f "$folder/build.ninja" ]; then
    meson setup "$folder" "$@" >"/tmp/tributary-meson-$$.log" 2>&1 || {
        cat "/tmp/tributary-meson-$$.log"
        rm -f "/tmp/tributary-meson-$$.log"
        exit 1
    }
    rm -f "/tmp/tributary-meson-$$.log"
fi

log="$folder/build.log"
if ! ninja -C "$folder" -j "$(nproc)" >"$log" 2>&1; then
    grep -v '^\[' "$log" | head -n 80
    echo "build: $folder failed; all of it is in $log" >&2
    exit 1
fi
echo "build: $folder is up to date"
