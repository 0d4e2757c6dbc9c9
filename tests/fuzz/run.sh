#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh - builds a fuzzer with clang's libFuzzer and lets it search.
#
#     tests/fuzz/run.sh parquet [SECONDS [FOLDER]]
#
# Begins with tests/fuzz/corpus/<name> and the golden files; keeps what it finds in FOLDER (build-fuzz). A crash
# is left there as crash-*: fix it, then keep the file in tests/fuzz/corpus/<name>, where the unit suite replays it.
# Needs clang-14 and libclang-rt-14-dev.
set -eu
name=$1
seconds=${2:-60}
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${3:-$root/build-fuzz}
mkdir -p "$folder/$name"
cd "$root"
sources=$(ls src/base/*.c src/os/*.c src/codec/hash.c src/parquet/*.c 2>/dev/null | grep -v test)
# shellcheck disable=SC2086
clang-14 -g -O1 -std=gnu17 -D_GNU_SOURCE '-DTR_VERSION="0"' -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -Isrc "tests/fuzz/${name}_fuzz.c" $sources -o "$folder/${name}_fuzz" -lzstd -ldeflate -lxxhash -lcrypto -lpthread
cd "$folder"
exec "./${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 "$folder/$name" \
    "$root/tests/fuzz/corpus/$name" "$root/tests/golden/$name"
