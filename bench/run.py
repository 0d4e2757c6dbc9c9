# SPDX-License-Identifier: Apache-2.0
"""run.py - Tributary and its peers on the same files in one run; `make bench`.

    run.py [--quick] [--only CASE,...] [--repeat N] [--dir DIR] [--docs FILE]

Kernel cases merge run files without a server (merge_bench); the case "segments" evaluates segments over them and
exports the members of one (segments.py); the case "http" goes the whole way: upload, ingest, export job, download. Every result is compared with the peers' (rows and values, by checksums that
do not depend on order), so that a ratio is between equal results. Polars and Spark
take part in the first case when they are installed. Each program runs in a process of its own;
wall time is the median, CPU time and peak memory are that run's.
"""
import argparse
import datetime
import hashlib
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import links
import lookups
import over_http
import over_sql
import peers
import segments
import sql_load

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ["crm", "loyalty", "mobile", "shop", "web"]      # by dataset id: ties go to the first
THREE = "loyalty.tier,person.name.firstName,personalEmail.address"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small data, one repeat: only to see that all works")
    parser.add_argument("--only", default="full,fields,events,wide,segments,links,http,lookups,sql,load")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dir", default=None, help="where the made data is kept from run to run")
    parser.add_argument("--bench", default=str(ROOT / "build" / "bench" / "merge_bench"))
    parser.add_argument("--results", default=str(ROOT / "bench" / "results"))
    parser.add_argument("--docs", help="the page to write; docs/performance.md when all cases ran in full")
    args = parser.parse_args()
    if args.docs is None and not args.quick and args.only == parser.get_default("only"):
        args.docs = str(ROOT / "docs" / "performance.md")
    return args


def has(module):
    return importlib.util.find_spec(module) is not None


def cases(quick):
    """name: (options of merge_bench, options of its run only)"""
    people, wide, events = (20000, 2000, 25000) if quick else (2000000, 200000, 2500000)
    return {
        "full": (f"{people:,} profiles of 5 datasets, 20 leaves", {"profiles": people}, {}),
        "fields": (f"{people:,} profiles, 3 of 20 leaves", {"profiles": people}, {"fields": THREE}),
        "events": (f"{events:,} events nested into {people // 2:,} profiles, 3 leaves",
                   {"profiles": people // 2, "events": events}, {"fields": THREE}),
        "wide": (f"{wide:,} profiles of 5 datasets, 280 leaves", {"profiles": wide, "copies": 14}, {}),
    }


def flags(options):
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


# Runs a program and says what it used. A process of its own, and a small one: a child's peak memory begins with that
# of its parent.
SPAWN = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
sys.stderr.write(f"\\n{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {status}")
"""


def measured(command, seconds_of, repeat):
    """Median wall seconds; CPU seconds and peak memory of the median run. seconds_of(its output) may tell more:
    {"seconds": ..., ...}"""
    runs = []
    for _ in range(repeat):
        ran = subprocess.run([sys.executable, "-S", "-c", SPAWN, *command], capture_output=True, text=True)
        cpu, peak, status = ran.stderr.rsplit("\n", 1)[-1].split()
        if status != "0":
            raise SystemExit(f"{' '.join(command[:3])} ended with {status}\n{ran.stdout}\n{ran.stderr[-3000:]}")
        said = seconds_of(ran.stdout)
        runs.append({**(said if isinstance(said, dict) else {"seconds": said}), "cpu_s": float(cpu),
                     "peak_mb": int(peak) / 1024})
    runs.sort(key=lambda run: run["seconds"])
    return runs[len(runs) // 2]


def kernel_seconds(out):
    """"open 0.001 s, merge 0.512 s, ..." """
    words = out.split()
    return float(words[1]) + float(words[4])


def checksum(files):
    """Rows, and an order-free sum over whole rows: the same rows, the same sum."""
    listed = sorted(str(file) for file in files)
    schema = pq.read_schema(listed[0])
    parts = []
    for path in sorted(peers.leaf_paths(schema)):
        value = peers.quoted(path)
        if path == "timeSeriesEvents":
            value = f"coalesce({value}, [])"
        parts.append(value)
    if "identityMap" in schema.names and pa.types.is_map(schema.field("identityMap").type):
        parts.append("map_keys(identityMap)")
        parts.append("[[(i.id, i.primary) for i in l] for l in map_values(identityMap)]")
    rows, total = duckdb.execute(f"SELECT count(*), sum(hash({', '.join(parts)})::HUGEINT) "
                                 f"FROM read_parquet({listed})").fetchone()
    return rows, str(total)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def generated(args, data, options):
    """The folder of run files for these options, made when it is not there yet."""
    key = "-".join(f"{name}{value}" for name, value in options.items())
    code = hashlib.sha256((ROOT / "bench" / "bench_world.c").read_bytes()).hexdigest()[:8]
    folder = data / f"{key}-{code}"
    if not (folder / "done").exists():
        subprocess.run([args.bench, "generate", str(fresh(folder)), *flags(options)], check=True,
                       stdout=subprocess.DEVNULL)
        (folder / "done").touch()
    return folder


def size_mb(files):
    return sum(pathlib.Path(file).stat().st_size for file in files) / 1e6


def run_peer(name, case, out, repeat):
    case = {**case, "out": str(fresh(out))}
    found = measured([sys.executable, str(ROOT / "bench" / "peers.py"), name, json.dumps(case)],
                     lambda text: json.loads(text)["seconds"], repeat)
    if "spark" in name:     # its work is done by another process, which these numbers do not see
        del found["cpu_s"], found["peak_mb"]
    files = sorted(out.rglob("*.parquet"))
    return {**found, "mb": size_mb(files)}, checksum(files)


def kernel_case(args, data, name, text, world, run_only):
    folder = generated(args, data, world)
    case = {"files": {d: str(folder / f"{d}.parquet") for d in RECORDS}, "order": RECORDS, "threads": args.threads,
            "fields": run_only["fields"].split(",") if "fields" in run_only else None,
            "events": str(folder / "events.parquet") if "events" in world else None,
            "id": "_tributary.id", "time": "_tributary.updated"}
    out = fresh(data / "out")
    command = [args.bench, "run", str(folder), "--threads", str(args.threads), *flags({**world, **run_only})]
    found = {"tributary": measured(command + ["--out", str(out)], kernel_seconds, args.repeat)}
    files = sorted(out.glob("*.parquet"))
    found["tributary"]["mb"] = size_mb(files)
    found["tributary, one thread"] = measured(
        command + ["--out", str(out), "--threads", "1"], kernel_seconds, args.repeat)
    wanted = checksum(files)
    names = ["duckdb general", "duckdb joins", "duckdb joins, all in crm"]
    if name == "full" and not args.quick:
        names += ["polars"] * has("polars") + ["spark general", "spark joins"] * has("pyspark")
    for peer in names:
        found[peer], got = run_peer(peer, case, data / "out-peer", 1 if peer.startswith(("spark", "polars")) else args.repeat)
        if got != wanted:
            raise SystemExit(f"{name}: {peer} has {got}, Tributary {wanted}: results differ")
    source = size_mb(folder.glob("*.parquet"))
    return {"case": name, "text": text, "rows": wanted[0], "input_mb": source, "results": found}


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_gb": round(pages / 2 ** 30),
            "system": platform.platform(), "duckdb": duckdb.__version__, "load": os.getloadavg()[0]}


def ratio_of(found, peer):
    mine = found["results"]["tributary"]["seconds"]
    return found["results"][peer]["seconds"] / mine if mine else 0


def table(results):
    lines = ["| work | who | seconds | CPU s | peak MB | output MB | times Tributary |",
             "|---|---|--:|--:|--:|--:|--:|"]
    for found in results:
        for who, run in found["results"].items():
            cells = [found["text"] if who == "tributary" else "", who, f"{run['seconds']:.{2 if run['seconds'] >= 0.095 else 3}f}"]
            cells += [f"{run[key]:.{digits}f}" if key in run else ""
                      for key, digits in (("cpu_s", 1), ("peak_mb", 0), ("mb", 0))]
            ratio = ratio_of(found, who)
            cells.append("" if who.startswith("tributary") else f"{ratio:.{1 if ratio >= 1 else 2}f}x")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_docs(path, report):
    where = report["machine"]
    text = f"""# Performance

`make bench` measures Tributary and its peers on the same files in one run and writes this page. Every result is
compared row by row (checksums) before a ratio is printed. Wall seconds are medians; the numbers move by about a
tenth between runs.

Machine: {where['cpu']}, {where['cores']} cores used, {where['memory_gb']} GB, {where['system']}; DuckDB
{where['duckdb']}; {report['when'][:10]}, revision {report['revision']}, load average {where['load']:.1f} at the start
(near 0: nobody else used the machine). Files are in the page cache for everybody.

{table(report['cases'])}

{segments.goals(report['cases'])}
"tributary" merges run files with two threads; "one thread" is the same work on one. *general* is an aggregate over
the union of all fragments: right for any datasets, with any number of records of a person. *joins* is written by hand
for these five datasets and right only while none has a person twice; *all in crm* besides relies on one dataset that
has everybody. Rows of "over HTTP" are calls on a running server: an export from the request to the published batch,
with `identityMap`, and every file hashed and synced; its peers read the files that were uploaded, and sync nothing.

Who is in which segment (`bench/segments.py`): Tributary merges the columns that the expressions read from the fragments
of five datasets, folds the events' versions, evaluates, and writes the members; "the expressions alone" is the
processor's time of one thread for evaluating columns in memory. DuckDB is given profiles that were merged before, and
events of which it may trust that none is there twice, in files (or tables) of its own making; only "merging first"
starts from the fragments. All write one row a segment and member, and these are compared before a ratio is shown.

The data: `bench/bench_world.h`; the SQL: `bench/peers.py`, `bench/segments.py`.

{lookups.table(report['lookups'])}

One profile by an identity, ids at random, by wrk on the same machine (its own work takes about as much as the server's).
The first round finds nothing decoded. Under `pdg` the two fragments of a person are stored under different identities.
`bench/lookups.py`.

{sql_load.table(report['load'])}

Sessions of SQL ask in a loop; *evenness* is Jain's index of what each got done (1: all the same). A heavy tenant keeps {sql_load.HEAVY_ONES} sessions
busy with a statement that takes both cores. Lookups are {sql_load.CONNECTIONS} connections of wrk, in turns alone and beside statements that only
their limits end ({sql_load.DEADLINE_S} s, {sql_load.MEMORY_MB} MB); the least p99 that holds is twice the one alone. `bench/sql_load.py`.
"""
    pathlib.Path(path).write_text(text)


def revision():
    if shutil.which("git") is None:
        return "unknown"
    found = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def main():
    args = arguments()
    args.repeat = 1 if args.quick else args.repeat
    data = pathlib.Path(args.dir or tempfile.mkdtemp(prefix="tributary-bench-"))
    data.mkdir(parents=True, exist_ok=True)
    build = pathlib.Path(args.bench).parents[1]
    subprocess.run(["ninja", "-C", str(build), "bench/merge_bench", "bench/segment_bench"], check=True,
                   stdout=subprocess.DEVNULL)
    report = {"when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "quick": args.quick,
              "revision": revision(), "machine": machine(), "cases": [], "lookups": [], "load": None}
    chosen = args.only.split(",")
    try:
        for name, (text, world, run_only) in cases(args.quick).items():
            if name in chosen:
                report["cases"].append(kernel_case(args, data, name, text, world, run_only))
                print(table(report["cases"][-1:]), flush=True)
        if "segments" in chosen:
            people = (20000, 100000) if args.quick else (2000000, 10000000)
            source = generated(args, data, {"profiles": people[0], "events": people[1]})
            report["cases"] += segments.run(args, data, source, measured, checksum, people)
            print(table(report["cases"]), flush=True)
        if "links" in chosen:
            report["cases"] += links.run(args, data, measured)
            print(table(report["cases"][-1:]), flush=True)
        if "http" in chosen:
            world = cases(args.quick)["full"][1]
            report["cases"] += over_http.run(args, data, generated(args, data, world), run_peer, checksum)
            print(table(report["cases"]), flush=True)
        if "lookups" in chosen:
            for graph in ("none", "pdg"):
                report["lookups"] += lookups.measure(20000 if args.quick else 2000000, 2 if args.quick else 10, 16, graph)
            print(lookups.table(report["lookups"]), flush=True)
        if "sql" in chosen:
            report["cases"] += over_sql.run(args, data, generated(args, data, cases(args.quick)["full"][1]))
            print(table(report["cases"]), flush=True)
        if "load" in chosen:
            report["load"] = sql_load.measure(20000 if args.quick else 200000, 3 if args.quick else 10, 20 if args.quick else 100)
            print(sql_load.table(report["load"]), flush=True)
    finally:
        if args.dir is None:
            shutil.rmtree(data, ignore_errors=True)
    pathlib.Path(args.results).mkdir(parents=True, exist_ok=True)
    out = pathlib.Path(args.results) / f"{report['when'].replace(':', '')}.json"
    out.write_text(json.dumps(report, indent=1))
    print(segments.goals(report["cases"]))
    if args.docs:
        write_docs(args.docs, report)
    print(out)


if __name__ == "__main__":
    main()
