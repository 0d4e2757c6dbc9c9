#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sql_load.py - many sessions of SQL at once, and statements that would never end beside lookups.

    bench/sql_load.py [PROFILES] [SECONDS] [SESSIONS]

(a) Shares: SESSIONS sessions of one sandbox ask the same in a loop; then a few light sessions of one org beside many of
    another, whose statements take both cores. What counts is how even the shares are, and how long the light ones wait.
(b) Runaways: wrk looks profiles up on 16 connections, first alone, then beside statements that end at a limit: of time,
    of memory, of the time that a result without end may take, four of them at once. What counts is the lookups' p99
    against what it was, in the round before and after, and by what each statement ended.
"""
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

import psycopg

import lookups

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import export_world   # noqa: E402

DEADLINE_S, MEMORY_MB, CONNECTIONS = 12, 512, 16
LIGHT_ONES, HEAVY_ONES = 5, 24
LIGHT = "SELECT {t}.p.city, count(*) FROM people WHERE {t}.p.age = 40 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3"
ASKED = "SELECT {t}.p.city, count(*), max({t}.p.age) FROM people GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"
HEAVY = "SELECT count(*) FROM range(40000000) t(i) WHERE hash(i) % 7 = 3"
RUNAWAYS = {
    "time": ["SELECT count(*) FROM range(1000000000000) t(i) WHERE hash(i) % 7 = 3"],
    "memory": ["SELECT len(list(repeat('x', 1000) || i)) FROM range(1000000000) t(i)"],
    "a result without end": ["SELECT i, hash(i)::VARCHAR AS h FROM range(1000000000000) t(i) LIMIT 0"],
    "time, four at once": ["SELECT count(*) FROM range(1000000000000) t(i) WHERE hash(i) % 7 = 3"] * 4,
}


def part(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


class Session(threading.Thread):
    """Asks one thing, again and again, until it is told to stop."""

    def __init__(self, how, sql, ready, stop):
        super().__init__()
        self.how, self.sql, self.ready, self.stop = how, sql, ready, stop
        self.times, self.failure = [], None

    def run(self):
        try:
            with psycopg.connect(**self.how, autocommit=True) as db:
                self.ready.wait()
                while not self.stop.is_set():
                    begin = time.perf_counter()
                    db.execute(self.sql, prepare=False).fetchall()
                    if not self.stop.is_set():
                        self.times.append(time.perf_counter() - begin)
        except Exception as failure:   # noqa: BLE001 - told by whoever waits for it
            self.failure = failure
            self.ready.abort()


def together(asked, seconds):
    """asked: [(how to connect, SQL, how many)]; the sessions of each, when the time is over."""
    stop = threading.Event()
    ready = threading.Barrier(1 + sum(count for _, _, count in asked))
    groups = [[Session(how, sql, ready, stop) for _ in range(count)] for how, sql, count in asked]
    everybody = [one for group in groups for one in group]
    for one in everybody:
        one.start()
    try:
        ready.wait(120)
        time.sleep(seconds)
    finally:
        stop.set()
        for one in everybody:
            one.join()
    failures = [one.failure for one in everybody if one.failure is not None]
    assert not failures, failures[0]
    return groups


def shares(text, group, seconds):
    counts = sorted(len(one.times) for one in group)
    times = sorted(took for one in group for took in one.times)
    total = sum(counts)
    return {"text": text, "sessions": len(group), "per_s": total / seconds, "least": counts[0],
            "median": statistics.median(counts), "most": counts[-1],
            "jain": total ** 2 / (len(counts) * sum(n * n for n in counts)) if total else 0,
            "p50_ms": 1e3 * part(times, .5) if times else None, "p99_ms": 1e3 * part(times, .99) if times else None}


class Runaway(threading.Thread):
    """A statement without end; begun again, when it was ended, as long as the round lasts."""

    def __init__(self, how, sql, seconds):
        super().__init__()
        self.how, self.sql, self.states, self.times = how, sql, set(), []
        self.until = time.perf_counter() + seconds

    def run(self):
        with psycopg.connect(**self.how, autocommit=True) as db:
            while not self.times or time.perf_counter() < self.until:
                begin = time.perf_counter()
                try:
                    for _ in db.cursor().stream(self.sql):
                        pass
                    self.states.add("it came to its end")
                except psycopg.Error as refusal:
                    self.states.add(refusal.sqlstate or str(refusal)[:60])
                self.times.append(time.perf_counter() - begin)


def beside(server, script, how, name, statements, seconds):
    """A round of lookups alone, one while the statements run."""
    alone = lookups.one_round(server, script, seconds, CONNECTIONS)
    runaways = [Runaway(how, sql, seconds) for sql in statements]
    for one in runaways:
        one.start()
    time.sleep(1)
    busy = lookups.one_round(server, script, seconds, CONNECTIONS)
    for one in runaways:
        one.join()
    return {"text": name, "alone": alone, "busy": busy, "ended": sorted(set().union(*(one.states for one in runaways))),
            "seconds": max(took for one in runaways for took in one.times)}


def fill(server, client, profiles):
    """An org's own people, and a policy to look them up by."""
    world = export_world.World(export_world.Api(server.url, client))
    policy = lookups.policy(world.api, "none")
    lookups.fill(world, profiles)
    return world, policy


def measure_shares(server, world, other, others, seconds, sessions):
    ask, light = ASKED.format(t=world.tenant), LIGHT.format(t=other.tenant)
    how, their = ({**server.sql(client), "connect_timeout": 60} for client in (server.client, others))
    one, = together([(how, ask, 1)], seconds)
    many, = together([(how, ask, sessions)], seconds)
    alone, = together([(their, light, LIGHT_ONES)], seconds)
    few, heavy = together([(their, light, LIGHT_ONES), (how, HEAVY, HEAVY_ONES)], seconds)
    return [shares(text, group, seconds) for text, group in (
        ("one", one), ("many at once", many), ("light ones alone", alone), ("light ones beside a heavy tenant", few),
        ("... the heavy tenant", heavy))]


def measure_beside(server, script, seconds):
    server.stop()
    server.options += ("--query-deadline-s", str(DEADLINE_S), "--query-memory-mb", str(MEMORY_MB))
    server.start()
    lookups.one_round(server, script(server.api), seconds, CONNECTIONS)   # what is asked often is decoded then
    return [beside(server, script(server.api), server.sql(), name, statements, min(seconds, DEADLINE_S - 3))
            for name, statements in RUNAWAYS.items()]


def measure(profiles, seconds, sessions):
    folder = tempfile.TemporaryDirectory(prefix="sql-load-")
    server = export_world.Server(folder.name, "--pg-connections-max", str(sessions + 20)).start()
    try:
        world, policy = fill(server, server.client, profiles)
        others = server.add_client("light", org=export_world.new_org())
        other, _ = fill(server, others, profiles // 4)
        return {"profiles": profiles,
                "shares": measure_shares(server, world, other, others, seconds, sessions),
                "beside": measure_beside(
                    server, lambda api: lookups.make_script(folder.name, api, policy, profiles), seconds)}
    finally:
        server.stop()
        folder.cleanup()


def table(found):
    if found is None:
        return ""
    lines = [f"| sessions of SQL, a table of {found['profiles']:,} rows | sessions | statements a second | each: least, median, most | "
             "evenness | p50 ms | p99 ms |", "|---|--:|--:|--:|--:|--:|--:|"]
    for row in found["shares"]:
        p50, p99 = (f"{row[key]:,.0f}" if row[key] is not None else "-" for key in ("p50_ms", "p99_ms"))
        lines.append(f"| {row['text']} | {row['sessions']} | {row['per_s']:,.1f} | {row['least']}, {row['median']:g}, {row['most']} | "
                     f"{row['jain']:.2f} | {p50} | {p99} |")
    lines += ["", "| lookups beside a statement that ends at its limit of | lookups a second | p50 ms | p99 ms | p99, alone = 1 | "
              "ended by | after s |", "|---|--:|--:|--:|--:|---|--:|"]
    for row in found["beside"]:
        alone, busy = row["alone"], row["busy"]
        lines.append(f"| {row['text']} | {alone['per_s']:,.0f} -> {busy['per_s']:,.0f} | {alone['p50_ms']:.2f} -> {busy['p50_ms']:.2f} | "
                     f"{alone['p99_ms']:.2f} -> {busy['p99_ms']:.2f} | {busy['p99_ms'] / alone['p99_ms']:.2f} | "
                     f"{', '.join(row['ended'])} | {row['seconds']:.1f} |")
    return "\n".join(lines)


def main():
    words = sys.argv[1:] + ["200000", "10", "100"][len(sys.argv) - 1:]
    print(f"load average {os.getloadavg()[0]:.1f} at the start")
    print(table(measure(int(words[0]), int(words[1]), int(words[2]))))


if __name__ == "__main__":
    main()
