# SPDX-License-Identifier: Apache-2.0
"""links.py - the identity graph of 2.2 million rows of two identities, from their run files: Tributary and SQL.

    links.py PEOPLE-FOLDER OUT      the peer: components by DuckDB, written to OUT; prints {"seconds": ...}

Both read the same files and say of every identity which is the smallest of its component; the answers are compared. The
peer keeps no edges, no times and no batches, which Tributary does.
"""
import json
import pathlib
import subprocess
import sys
import time

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Every row as a sorted list of "namespace|id"; a star from its first is as good as all pairs.
EDGES = """
CREATE TEMP TABLE named AS SELECT l[1] AS a, unnest(l[2:]) AS b FROM (
  SELECT list_sort(flatten(list_transform(map_entries(identityMap),
         lambda e: list_transform(e.value, lambda i: e.key || '|' || i.id)))) AS l
  FROM read_parquet({files})) WHERE len(l) > 1;
CREATE TEMP TABLE nodes AS SELECT who, row_number() OVER () AS n FROM (SELECT a AS who FROM named UNION SELECT b FROM named);
CREATE TEMP TABLE edges AS SELECT DISTINCT x.n AS u, y.n AS v FROM named JOIN nodes x ON a = x.who JOIN nodes y ON b = y.who;
INSERT INTO edges SELECT v, u FROM edges;
CREATE TEMP TABLE labels AS SELECT n, n AS label FROM nodes;
"""
# The smallest label around, then that of the label itself: long chains collapse.
SPREAD = """
CREATE OR REPLACE TEMP TABLE spread AS SELECT l.n, least(l.label, min(o.label)) AS label
  FROM labels l JOIN edges e ON e.u = l.n JOIN labels o ON o.n = e.v GROUP BY l.n, l.label;
CREATE OR REPLACE TEMP TABLE jumped AS SELECT s.n, least(s.label, t.label) AS label
  FROM spread s JOIN spread t ON t.n = s.label;
"""
CHANGED = "SELECT count(*) FROM labels l JOIN jumped j USING (n) WHERE l.label != j.label"


def run_files(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("part-*.parquet"))


def peer(folder, out, threads):
    con = duckdb.connect(config={"threads": threads})
    begun = time.monotonic()
    con.execute(EDGES.format(files=run_files(folder)))
    while True:
        con.execute(SPREAD)
        [changed] = con.execute(CHANGED).fetchone()
        con.execute("CREATE OR REPLACE TEMP TABLE labels AS FROM jumped")
        if changed == 0:
            break
    seconds = time.monotonic() - begun
    con.execute("COPY (SELECT who, min(who) OVER (PARTITION BY label) AS least FROM labels JOIN nodes USING (n)) "
                f"TO '{out}' (FORMAT parquet)")
    print(json.dumps({"seconds": seconds}))


def checksum(relation):
    rows, total = duckdb.execute(f"SELECT count(*), sum(hash(who, least)::HUGEINT) FROM {relation}").fetchone()
    return rows, str(total)


def run(args, data, measured):
    """The case, for run.py's table."""
    people = 10000 if args.quick else 1000000
    bench = pathlib.Path(args.bench).parent / "graph_bench"
    subprocess.run(["ninja", "-C", str(bench.parents[1]), "bench/graph_bench"], check=True, stdout=subprocess.DEVNULL)
    folder = data / f"links-{people}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(bench), "generate", str(folder), "--people", str(people)], check=True)
        (folder / "done").touch()
    mine, theirs = data / "links.csv", data / "links.parquet"
    found = {"tributary": measured([str(bench), "run", str(folder)], lambda out: float(out.split()[1]), args.repeat)}
    said = subprocess.run([str(bench), "run", str(folder), "--out", str(mine)], check=True, capture_output=True, text=True)
    found["duckdb labels"] = measured([sys.executable, __file__, str(folder), str(theirs), str(args.threads)],
                                      lambda out: json.loads(out)["seconds"], 1)
    wanted = checksum(f"(SELECT column0 || '|' || column1 AS who, column2 AS least FROM "
                      f"read_csv('{mine}', header = false, all_varchar = true))")
    got = checksum(f"'{theirs}'")
    if got != wanted:
        raise SystemExit(f"links: duckdb has {got}, Tributary {wanted}: results differ")
    print(said.stdout.strip(), flush=True)
    return [{"case": "links", "text": f"{people * 11 // 5:,} rows of two identities into clusters", "rows": wanted[0],
             "input_mb": sum(pathlib.Path(file).stat().st_size for file in run_files(folder)) / 2 ** 20,
             "results": found}]


if __name__ == "__main__":
    peer(sys.argv[1], sys.argv[2], int(sys.argv[3]))
