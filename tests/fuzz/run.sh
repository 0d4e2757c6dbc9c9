#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh - builds a fuzzer with clang's libFuzzer and lets it search.
#
#     tests/fuzz/run.sh parquet|row [SECONDS [FOLDER]]
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
flags="-g -O1 -D_GNU_SOURCE -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Isrc"
sources=$(ls src/base/*.c src/os/*.c src/codec/hash.c src/parquet/*.c 2>/dev/null | grep -v test)
more=
link=clang-14
if [ "$name" = row ]; then
    # shellcheck disable=SC2086
    clang++-14 $flags -std=gnu++20 -c src/codec/json_walk.cpp -o "$folder/json_walk.o"
    python3 src/xdm/embed.py "$folder/xdm_global.c" tr_xdm_global_data src/xdm/global/*.jsonl
    sources="$sources $(ls src/xdm/*.c src/ingest/row_*.c | grep -v test) src/codec/json.c src/store/sort.c
        src/store/run_write.c src/store/run_open.c $folder/xdm_global.c $folder/json_walk.o"
    more="-ljansson -lsimdjson"
    link=clang++-14
fi
mkdir -p "$folder/objects"
for source in "tests/fuzz/${name}_fuzz.c" $sources; do
    case $source in
        *.c) object=$folder/objects/$name-$(echo "$source" | tr / _).o
             # shellcheck disable=SC2086
             clang-14 $flags -std=gnu17 '-DTR_VERSION="0"' -c "$source" -o "$object" ;;
        *)   object=$source ;;
    esac
    objects="${objects:-} $object"
done
# shellcheck disable=SC2086
$link -fsanitize=fuzzer,address,undefined $objects -o "$folder/${name}_fuzz" -lzstd -ldeflate -lxxhash -lcrypto -lz -lpthread $more
cd "$folder"
exec "./${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 "$folder/$name" \
    "$root/tests/fuzz/corpus/$name" $(ls -d "$root/tests/golden/$name" 2>/dev/null)
