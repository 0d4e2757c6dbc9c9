# SPDX-License-Identifier: Apache-2.0
"""ingest_peers.py - JSON lines into sorted Parquet: ingest_bench and DuckDB on the same file, in one run.

    ingest_peers.py [--rows 500000] [--copies 1] [--threads 2] [--repeat 3] [--bench build/bench/ingest_bench] [--dir DIR]

DuckDB is told the types, so it need not guess; both sort by the identity (ours by its hash), compress with zstd
and write two runs' worth of the same columns. Afterwards both results are read by DuckDB and summed: same rows,
same values. Wall and CPU time, because a shared machine makes wall time say little.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]

TYPES = {
    "identityMap": "MAP(VARCHAR, STRUCT(id VARCHAR, authenticatedState VARCHAR, \"primary\" BOOLEAN)[])",
    "person": "STRUCT(name STRUCT(firstName VARCHAR, lastName VARCHAR), birthDate DATE, birthYear INTEGER,"
              " gender VARCHAR)",
    "personalEmail": "STRUCT(address VARCHAR)",
    "mobilePhone": "STRUCT(number VARCHAR)",
    "homeAddress": "STRUCT(street1 VARCHAR, city VARCHAR, country VARCHAR, postalCode VARCHAR, latitude DOUBLE,"
                   " longitude DOUBLE)",
    "loyalty": "STRUCT(tier VARCHAR, points INTEGER, joined TIMESTAMP)",
    "consents": "STRUCT(marketing BOOLEAN)",
    "orders": "STRUCT(sku VARCHAR, quantity INTEGER, price DOUBLE)[]"}

PEER = """
import duckdb, sys, time
types = {types!r}
con = duckdb.connect(config={{"threads": {threads}}})
con.execute("SET enable_progress_bar = false")
begin = time.monotonic()
columns = "{{" + ", ".join(f"'{{k}}': '{{v}}'" for k, v in types.items()) + "}}"
con.sql(f'''COPY (SELECT * FROM read_json('{source}', format='newline_delimited', columns={{columns}})
            ORDER BY identityMap['CRMID'][1].id)
            TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)''')
print(f"ingest {{time.monotonic() - begin:.3f}} s")
"""

SUM_OF_WIDE = "SELECT count(*), sum(hash({leaves})::HUGEINT) FROM read_parquet('{{files}}')"

SUM = """SELECT count(*), sum(hash(person.name.firstName, person.name.lastName, person.birthDate, person.birthYear,
    person.gender, personalEmail.address, mobilePhone.number, homeAddress.street1, homeAddress.city,
    homeAddress.country, homeAddress.postalCode, homeAddress.latitude, homeAddress.longitude, loyalty.tier,
    loyalty.points, epoch_us(loyalty.joined), consents.marketing,
    coalesce(list_transform(orders, lambda o: (o.sku, o.quantity, o.price)), []),
    identityMap['CRMID'][1].id, identityMap['ECID'][1].id, identityMap['ECID'][1].authenticatedState
    )::HUGEINT) FROM read_parquet('{files}')"""


def wide(copies):
    """The same members below c00 to cNN."""
    own = {name: kind for name, kind in TYPES.items() if name != "identityMap"}
    members = ", ".join(f"{name} {kind}" for name, kind in own.items())
    leaves = ", ".join(f"c{c:02}.{leaf}" for c in range(copies) for leaf in (
        "person.name.firstName", "person.birthDate", "personalEmail.address", "homeAddress.city", "homeAddress.latitude",
        "loyalty.points", "consents.marketing"))
    types = {"identityMap": TYPES["identityMap"], **{f"c{c:02}": f"STRUCT({members})" for c in range(copies)}}
    return types, SUM_OF_WIDE.format(leaves=leaves)


def measured(command):
    """(wall seconds as the program says, CPU seconds, peak MB)"""
    read_end, write_end = os.pipe()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)])
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        out = pipe.read()
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]}: status {status}\n{out}")
    return float(out.split()[1]), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def best(command, repeat):
    runs = [measured(command) for _ in range(repeat)]
    return tuple(min(run[i] for run in runs) for i in range(3))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500000)
    parser.add_argument("--copies", type=int, default=1, help="how often the 20 leaves stand side by side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bench", default=str(ROOT / "build" / "bench" / "ingest_bench"))
    parser.add_argument("--dir", default=None)
    args = parser.parse_args()
    folder = pathlib.Path(args.dir or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"rows-{args.rows}-{args.copies}.json"
    types, checksum = (TYPES, SUM) if args.copies == 1 else wide(args.copies)
    copies = ["--copies", str(args.copies)]
    if not source.exists():
        subprocess.run([args.bench, "generate", str(source), "--rows", str(args.rows), *copies], check=True)
    ours, theirs = folder / "tributary", folder / "duckdb.parquet"
    shutil.rmtree(ours, ignore_errors=True)
    ours.mkdir()
    own = best([args.bench, "run", str(source), "--threads", str(args.threads), "--out", str(ours),
                *copies], args.repeat)
    peer = best([sys.executable, "-c", PEER.format(types=types, threads=args.threads, source=source, target=theirs)],
                args.repeat)
    import duckdb
    sums = [duckdb.sql(checksum.format(files=files)).fetchall()[0] for files in (ours / "*.parquet", theirs)]
    assert sums[0] == sums[1], f"the results differ: {sums}"
    sizes = [sum(f.stat().st_size for f in ours.iterdir()) / 1e6, theirs.stat().st_size / 1e6]
    for name, run, size in (("tributary", own, sizes[0]), ("duckdb", peer, sizes[1])):
        print(f"{name:10} wall {run[0]:7.3f} s   cpu {run[1]:7.3f} s   peak {run[2]:6.0f} MB   out {size:6.1f} MB")
    print(f"{args.rows:,} rows, {args.threads} threads: {peer[0] / own[0]:.2f}x by wall, {peer[1] / own[1]:.2f}x by CPU")
    if args.dir is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
