# SPDX-License-Identifier: Apache-2.0
"""over_sql.py - scans through the SQL worker against DuckDB alone, on the very files that the worker reads: the same
library, without the worker (duckdb_alone.c), and the newest one that Python has.

Aggregates over a whole table: what comes back is a row or a few, so what is timed is the scan, and all that a session
adds to it: the protocol, the list of files from the catalog, the links, the views, a process that is confined.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import time

import duckdb
import psycopg
import pyarrow.parquet as pq

import over_http
import peers

WORKER_NICE = 10   # of query-worker/main.c


def queries(tenant, source):
    """Over the leaves that this data has: few columns, a group, all columns."""
    paths = sorted(path for path in peers.leaf_paths(pq.read_schema(source / "crm.parquet"))
                   if not path.startswith("_tributary"))
    leaves = [peers.quoted(f"{tenant}.{path}") for path in paths]
    every = ", ".join(f"max({leaf})" for leaf in leaves)
    return {"two columns": f"SELECT count({leaves[0]}), count(DISTINCT {leaves[1]}) FROM crm",
            "a group": f"SELECT {leaves[0]} AS c, count(*), max({leaves[-1]}) FROM crm GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
            "all columns": f"SELECT {every}, count(*) FROM crm"}


class Alone:
    """The worker's own DuckDB in a process without walls, at the worker's priority."""

    def __init__(self, build, threads, view):
        subprocess.run(["ninja", "-C", str(build), "bench/duckdb_alone"], check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([str(build / "bench" / "duckdb_alone"), str(threads)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.seconds(view)

    def seconds(self, sql):
        print(sql, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline().split()[0])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def timed(run):
    begin = time.perf_counter()
    rows = run()
    return time.perf_counter() - begin, rows


def files_of(site):
    """The files of crm's batches, where they lie; runs folded of them are beside them."""
    batches = site.api.call("GET", f"/data/foundation/catalog/batches?dataSet={site.ids['crm']}&status=success")
    lake = site.server.folder / "data" / "lake"
    files = sorted(str(path) for batch in batches for path in lake.glob(f"*/data/{site.ids['crm']}/{batch}/*.parquet"))
    assert files, batches
    return files


def run(args, data, source):
    shutil.rmtree(data / "sql-site", ignore_errors=True)
    site = over_http.Site(data / "sql-site", source)
    try:
        over_http.upload_files(source, data / "upload", site.tenant)
        site.ingest(site.ids["crm"], data / "upload" / "crm.parquet", "parquet")
        over_http.Watch(site.server.process.pid).settle()
        files = files_of(site)
        os.setpriority(os.PRIO_PROCESS, 0, WORKER_NICE)   # a busy machine favours neither
        alone = duckdb.connect()
        alone.execute(f"SET threads={args.threads}")
        view = f"CREATE VIEW crm AS SELECT * EXCLUDE (_tributary) FROM read_parquet({files}, union_by_name=true)"
        alone.execute(view)
        same = Alone(pathlib.Path(args.bench).parents[1], args.threads, view)
        rows = alone.execute("SELECT count(*) FROM crm").fetchone()[0]
        found = []
        with psycopg.connect(**site.server.sql(), autocommit=True) as db:
            for name, sql in queries(site.tenant, source).items():
                times = {"tributary": [], "the same duckdb alone": [], f"duckdb {duckdb.__version__} alone": []}
                for _ in range(1 + 3 * args.repeat):     # in turn, so that both see the same machine
                    took, mine = timed(lambda sql=sql: db.execute(sql, prepare=False).fetchall())
                    times["tributary"].append(took)
                    took, other = timed(lambda sql=sql: alone.execute(sql).fetchall())
                    times[f"duckdb {duckdb.__version__} alone"].append(took)
                    times["the same duckdb alone"].append(same.seconds(sql))
                    assert [tuple(row) for row in mine] == [tuple(row) for row in other], (name, mine, other)
                found.append({"case": "sql", "text": f"SQL over {rows:,} rows: {name}", "rows": rows,
                              "results": {who: {"seconds": statistics.median(list(all_of)[1:])}
                                                         for who, all_of in times.items()}})
        same.end()
        return found
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        site.server.stop()
        shutil.rmtree(data / "sql-site", ignore_errors=True)
