# SPDX-License-Identifier: Apache-2.0
"""segments.py - who is in which segment: Tributary over fragments, DuckDB over Parquet that was merged before.

    segments.py '<case as JSON>'     one DuckDB query, in a process of its own; prints {"seconds": ..., "query_cpu_s": ...}

As a module: the bench's cases "segments" (run.py). Tributary's part is segment_bench: it merges the columns that the
expressions read from the fragments of five datasets, evaluates them, and writes membership runs. DuckDB is given
more than that: files of merged profiles and of events that it wrote itself, in its own layout, and the knowledge that
no event is there twice. It writes the same members: a row a segment and profile. Both sides' members are compared,
segment by segment, before a time is shown.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import duckdb

NOW = "TIMESTAMPTZ '2024-03-15 12:00:00+00'"     # of segment_bench.c
A, B = "eventType = 'type-3'", "eventType = 'type-1'"
KINDS = 6
MERGED = "tributary, merged before"  # by a server that keeps merged runs
ALONE = "tributary, the expressions alone"


class Segment:
    """An expression, and what DuckDB is asked instead: a condition on a profile's columns and on `aggregates` of its
    events."""

    def __init__(self, pql, condition, aggregates=None):
        self.pql, self.condition, self.aggregates = pql, condition, aggregates or {}


def simple():
    return [Segment('homeAddress.country = "Country 7"', "homeAddress.country = 'Country 7'")]


def tenth():
    return [Segment("person.birthYear < 1940", "person.birthYear < 1940")]


def sequence():
    return [Segment('chain(xEvent, timestamp, [A: WHAT(eventType = "type-3"), B: WHAT(eventType = "type-1")])',
                    "a < b", {"a": f"min(timestamp) FILTER ({A})", "b": f"max(timestamp) FILTER ({B})"})]


def one_of_hundred(number):
    """Attributes, events and sequences as a marketer would have them, in other numbers each time."""
    kind, n, days = number % KINDS, number // KINDS % 8, 10 + number // 2
    if kind == 0:
        return Segment(f'homeAddress.country = "Country {number}"', f"homeAddress.country = 'Country {number}'")
    if kind == 1:
        return Segment(f'loyalty.points > {n}000 and loyalty.tier in ["tier-1", "tier-2"]',
                       f"loyalty.points > {n}000 AND loyalty.tier IN ('tier-1', 'tier-2')")
    if kind == 2:
        return Segment(f'person.birthYear < {1935 + n} or personalEmail.address.endsWith("{number}@mail.example.com")',
                       f"person.birthYear < {1935 + n} OR ends_with(personalEmail.address, '{number}@mail.example.com')")
    if kind == 3:
        return Segment(f'xEvent[eventType = "type-{n}" and value > {number}000].count() > 1', f"c{number} > 1",
                       {f"c{number}": f"count(*) FILTER (eventType = 'type-{n}' AND value > {number}000)"})
    if kind == 4:
        return Segment(f'(select X from xEvent where X.eventType = "type-{n}" and X.timestamp occurs <= {days} days '
                       f'before now).sum(value) > 900000', f"s{number} > 900000",
                       {f"s{number}": f"sum(value) FILTER (eventType = 'type-{n}' AND timestamp <= {NOW} AND "
                                      f"timestamp >= {NOW} - INTERVAL {days} DAY)"})
    other = (n + 1 + number // 48) % 8
    return Segment(f'chain(xEvent, timestamp, [A: WHAT(eventType = "type-{n}"), B: WHAT(eventType = "type-{other}")])',
                   f"a{number} < b{number}",
                   {f"a{number}": f"min(timestamp) FILTER (eventType = 'type-{n}')",
                    f"b{number}": f"max(timestamp) FILTER (eventType = 'type-{other}')"})


def hundred():
    return [one_of_hundred(number) for number in range(100)]


def members_sql(segments, files):
    """(segment, key) of all members in one query; events are looked at once."""
    aggregates = {name: sql for segment in segments for name, sql in segment.aggregates.items()}
    listed = ", ".join(f"CASE WHEN {segment.condition} THEN 's{number}' END" for number, segment in enumerate(segments))
    source = f"'{files['merged']}'"
    if aggregates:
        made = ", ".join(f"{sql} AS {name}" for name, sql in aggregates.items())
        source += (f" LEFT JOIN (SELECT _tributary.key AS owner, {made} FROM '{files['events']}' GROUP BY 1) "
                   f"ON owner = _tributary.key")
    if len(segments) > 1:
        return (f"SELECT unnest(list_filter([{listed}], lambda x: x IS NOT NULL)) AS segment, _tributary.key AS key "
                f"FROM {source}")
    return f"SELECT 's0' AS segment, _tributary.key AS key FROM {source} WHERE {segments[0].condition}"


def sequence_by_aggregates(files):
    """What an expert makes of a sequence of two without conditions between them."""
    segment = sequence()[0]
    made = ", ".join(f"{sql} AS {name}" for name, sql in segment.aggregates.items())
    return (f"SELECT 's0' AS segment, key FROM (SELECT _tributary.key AS key, {made} FROM '{files['events']}' "
            f"WHERE {A} OR {B} GROUP BY 1) WHERE {segment.condition}")


def sequence_by_window(files, source=None):
    return (f"SELECT DISTINCT 's0' AS segment, key FROM (SELECT _tributary.key AS key, timestamp, eventType, "
            f"min(CASE WHEN {A} THEN timestamp END) OVER (PARTITION BY _tributary.key ORDER BY timestamp, _id "
            f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS first FROM {source or repr(files['events'])} "
            f"WHERE {A} OR {B}) WHERE {B} AND first < timestamp")


def sequence_in_general(files):
    """Right for any events: of several versions of one the newest counts, as for Tributary."""
    folded = (f"(FROM '{files['events']}' QUALIFY row_number() OVER (PARTITION BY _tributary.key, _id "
              f"ORDER BY _tributary.ingested DESC) = 1)")
    return sequence_by_window(files, folded)


def simple_by_merging(files):
    """Nobody merged before: the newest country of each profile, then the condition."""
    order = ["crm", "loyalty", "mobile", "shop", "web"]
    having = ["crm", "mobile", "web"]
    parts = " UNION ALL ".join(
        f"SELECT _tributary.key AS key, homeAddress.country AS country, epoch_us(_tributary.updated) * 8 + "
        f"{7 - order.index(name)} AS moment FROM '{files['fragments']}/{name}.parquet'" for name in having)
    return (f"SELECT 's0' AS segment, key FROM ({parts}) WHERE country IS NOT NULL GROUP BY key "
            f"HAVING arg_max(country, moment) = 'Country 7'")


def export_sql(files):
    return f"SELECT * EXCLUDE (_tributary) FROM '{files['merged']}' WHERE {tenth()[0].condition}"


QUERIES = {
    "simple": lambda files: members_sql(simple(), files),
    "simple, merging": simple_by_merging,
    "hundred": lambda files: members_sql(hundred(), files),
    "sequence, general": sequence_in_general,
    "sequence, window": sequence_by_window,
    "sequence, aggregates": sequence_by_aggregates,
    "export": export_sql,
}


def query(case):
    """One query into a Parquet file: seconds, and the processor's."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = {case['threads']}")
    sql = QUERIES[case["query"]](case["files"])
    if case["is_in_memory"]:
        for name in ("merged", "events"):
            if case["files"][name] in sql:
                connection.execute(f"CREATE TABLE {name} AS FROM '{case['files'][name]}'")
                sql = sql.replace(f"'{case['files'][name]}'", name)
    start, start_cpu = time.monotonic(), time.process_time()
    connection.execute(f"COPY ({sql}) TO '{case['out']}' (FORMAT parquet, COMPRESSION zstd)")
    return {"seconds": time.monotonic() - start, "query_cpu_s": time.process_time() - start_cpu}


# ---- the cases

def told(word):
    """Reads the seconds after a word of segment_bench's line."""
    return lambda text: float(text.split(word, 1)[1].split()[0])


def seconds_of(text):
    return told("open")(text) + told("work")(text)


class Bench:
    def __init__(self, args, data, source, measured):
        self.args, self.data, self.source, self.measured = args, data, source, measured
        self.program = str(pathlib.Path(args.bench).with_name("segment_bench"))
        self.files = {"merged": str(data / "merged.parquet"), "events": str(data / "events.parquet"),
                      "fragments": str(source)}

    def fresh(self, name):
        folder = self.data / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def prepare(self):
        """Merged profiles and events as DuckDB writes them; and the merged run that a server keeps."""
        subprocess.run([self.program, "merge", str(self.source), "--out", str(self.fresh("merged-run"))], check=True,
                       stdout=subprocess.DEVNULL)
        done = self.data / "merged.done"
        if done.exists() and done.read_text() == str(self.source):
            return
        parts = self.fresh("merged-parts")
        subprocess.run([self.program, "export", str(self.source), "--out", str(parts), "--keys", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        duckdb.execute(f"COPY (FROM '{parts}/*.parquet') TO '{self.files['merged']}' (FORMAT parquet, COMPRESSION zstd)")
        duckdb.execute(f"COPY (FROM '{self.source}/events.parquet') TO '{self.files['events']}' "
                       f"(FORMAT parquet, COMPRESSION zstd)")
        shutil.rmtree(parts)
        done.write_text(str(self.source))

    def tributary(self, mode, out, options, threads):
        command = [self.program, mode, str(self.source), "--out", str(out), "--threads", str(threads), *options]
        found = self.measured(command, lambda text: {"seconds": seconds_of(text), "alone": told("alone")(text)},
                              self.args.repeat)
        return found

    def evaluate(self, name, segments, with_merged=False):
        """Members as Tributary tells them: results, and (segment, count, checksum). with_merged: also out of the merged
        run, which has to give the same."""
        expressions = self.data / f"{name}.pql"
        expressions.write_text("\n".join(segment.pql for segment in segments) + "\n")
        out = self.fresh(f"members-{name}")
        options = ["--segments", str(expressions)]
        found = {"tributary": self.tributary("evaluate", out, options, self.args.threads),
                 "tributary, one thread": self.tributary("evaluate", out, options, 1)}
        alone = found["tributary, one thread"].pop("alone")
        found["tributary"].pop("alone")
        found[ALONE] = {"seconds": alone}
        members = (f"SELECT unnest(map_keys(segmentMembership['ups'])) AS segment, _tributary.key AS key "
                   f"FROM '{out}/*.parquet'")
        expected = checksums(members)
        if with_merged:
            out = self.fresh(f"members-{name}")
            found[MERGED] = self.tributary("evaluate", out, [*options, *self.merged_run()], self.args.threads)
            found[MERGED].pop("alone")
            if checksums(members) != expected:
                raise SystemExit(f"segments {name}: the merged run gives other members")
        return found, expected

    def merged_run(self):
        return ["--merged", str(self.data / "merged-run")]

    def peer(self, query, is_in_memory=False):
        out = self.fresh("peer") / "out.parquet"
        case = {"query": query, "files": self.files, "threads": self.args.threads, "out": str(out),
                "is_in_memory": is_in_memory}
        return self.measured([sys.executable, os.path.abspath(__file__), json.dumps(case)],
                             lambda text: json.loads(text), self.args.repeat), out

    def compare(self, found, expected, who, query, is_in_memory=False):
        found[who], out = self.peer(query, is_in_memory)
        got = checksums(f"FROM '{out}'")
        if got != expected:
            wrong = [one for one in expected + got if one not in expected or one not in got]
            raise SystemExit(f"{query}: {who} differs: {wrong[:4]}")


def checksums(sql):
    return duckdb.execute(f"SELECT segment, count(*), sum(hash(key)::HUGEINT)::VARCHAR FROM ({sql}) GROUP BY 1 "
                          f"ORDER BY 1").fetchall()


def rows_of(expected):
    return sum(count for _, count, _ in expected)


def run(args, data, source, measured, checksum, people):
    """Cases for the report."""
    bench = Bench(args, data, source, measured)
    bench.prepare()
    profiles, events = people
    cases = []

    def case(name, text, rows, results):
        cases.append({"case": f"segments {name}", "text": text, "rows": rows, "results": results})

    found, expected = bench.evaluate("simple", simple(), with_merged=True)
    for who, query, is_in_memory in (("duckdb, merged Parquet", "simple", False), ("duckdb, merged table in memory", "simple", True),
                                     ("duckdb, merging first", "simple, merging", False)):
        bench.compare(found, expected, who, query, is_in_memory)
    case("simple", f"who of {profiles:,} profiles is in one simple segment", rows_of(expected), found)

    found, expected = bench.evaluate("sequence", sequence(), with_merged=True)
    for who, query, is_in_memory in (("duckdb window, events folded first", "sequence, general", False),
                                     ("duckdb window, events in Parquet", "sequence, window", False),
                                     ("duckdb window, events in memory", "sequence, window", True),
                                     ("duckdb min and max, events in Parquet", "sequence, aggregates", False)):
        bench.compare(found, expected, who, query, is_in_memory)
    one_sequence = found["tributary"]
    case("sequence", f"... has a sequence of two among {events:,} events", rows_of(expected), found)

    found, expected = bench.evaluate("hundred", hundred(), with_merged=True)
    bench.compare(found, expected, "duckdb, merged Parquet", "hundred")
    found["tributary, one sequence"] = dict(one_sequence)
    case("hundred", f"... is in which of 100 segments (attributes, events, sequences), in one pass", rows_of(expected), found)

    cases.append(tenth_exported(bench, checksum, profiles))
    return cases


def tenth_exported(bench, checksum, profiles):
    """An export of the members of a tenth, beside an export of all."""
    _, expected = bench.evaluate("tenth", tenth())
    full, some = bench.fresh("export-all"), bench.fresh("export-some")
    threads = bench.args.threads
    everything = bench.tributary("export", full, [], threads)
    found = {"tributary": bench.tributary("export", some, ["--members", str(bench.data / "members-tenth")], threads)}
    found["tributary, all profiles"] = everything
    kept = bench.fresh("export-merged")
    found[MERGED] = bench.tributary("export", kept, ["--members", str(bench.data / "members-tenth"),
                                                     *bench.merged_run()], threads)
    for run_of in found.values():
        run_of.pop("alone")
    found["duckdb, merged Parquet"], out = bench.peer("export")
    got, peers = checksum(sorted(some.glob("*.parquet"))), checksum([out])
    if got != peers or got[0] != rows_of(expected):
        raise SystemExit(f"export of a segment: Tributary has {got}, DuckDB {peers}")
    if checksum(sorted(kept.glob("*.parquet"))) != got:
        raise SystemExit("export of a segment: the merged run gives other profiles")
    shutil.rmtree(full)
    return {"case": "segments export", "text": f"an export of the {got[0]:,} of {profiles:,} profiles in a segment",
            "rows": got[0], "results": found}


# What segmentation is held to: (what, case, numerator, denominator, goal, whether more is better). Seconds; of
# expressions alone the processor's, on both sides.
GOALS = [
    ("one simple segment: DuckDB over merged Parquet / the whole job, merging included", "simple",
     "duckdb, merged Parquet", "tributary", 3, True),
    ("... DuckDB over merged Parquet / the whole job, merged before", "simple", "duckdb, merged Parquet", MERGED, 3, True),
    ("... DuckDB that has to merge first / the whole job", "simple", "duckdb, merging first", "tributary", 3, True),
    ("... DuckDB over a table in memory / the expression alone over columns in memory (CPU)", "simple",
     "duckdb, merged table in memory", ALONE, 3, True),
    ("100 segments in one pass / one sequence", "hundred", "tributary", "tributary, one sequence", 3, False),
    ("a sequence: DuckDB's window over events in Parquet, versions folded by _id / the whole job", "sequence",
     "duckdb window, events folded first", "tributary", 5, True),
    ("... DuckDB's window over events that it trusts to be folded / the whole job", "sequence",
     "duckdb window, events in Parquet", "tributary", 5, True),
    ("... DuckDB's window over events in memory / the expression alone over columns in memory (CPU)", "sequence",
     "duckdb window, events in memory", ALONE, 5, True),
    ("an export of the tenth that is in a segment / a full one", "export", "tributary", "tributary, all profiles",
     0.25, False),
    ("... merged before / a full one", "export", MERGED, "tributary, all profiles", 0.25, False),
]


def goals(cases):
    """The table of goals, from the cases of one run; "" without them."""
    found = {case["case"]: case["results"] for case in cases if case["case"].startswith("segments ")}
    lines = ["| segments | measured | goal | |", "|---|--:|--:|---|"]
    for text, case, over, under, goal, is_more in GOALS:
        results = found.get(f"segments {case}")
        if results is None:
            return ""
        seconds = "query_cpu_s" if under == ALONE else "seconds"
        ratio = results[over][seconds] / max(results[under]["seconds"], 1e-9)
        sign = ">=" if is_more else "<="
        verdict = "holds" if (ratio >= goal) == is_more else "does not hold"
        lines.append(f"| {text} | {ratio:.2f}x | {sign} {goal}x | {verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(query(json.loads(sys.argv[1]))))
