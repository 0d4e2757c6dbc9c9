#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""layers.py - the architecture as a test: a room may include only rooms named on its own line.

ROOMS is the whole dependency order of Tributary, lowest first. A room that is not listed, an include
of a room that is not on the line, or a line that names a room that is not below it fails the build.
"""
import pathlib
import re
import sys

ROOMS = {
    "base":    "",
    "os":      "base",
    "codec":   "base",
    "parquet": "base codec",
    "http":    "base os",
    "identity": "base codec",
    "xdm":     "base codec parquet",
    "catalog": "base os codec parquet xdm",
    "lake":    "base os codec catalog",
    "compute": "base",
    "query":   "base os codec",
    "store":   "base os codec parquet catalog lake",
    "graph":   "base os codec parquet identity catalog lake store",
    "merge":   "base codec parquet store",
    "pql":     "base codec parquet",
    "policy":  "base codec xdm catalog merge",
    "materialized": "base os codec parquet catalog lake store merge",
    "segment": "base os codec parquet xdm catalog lake compute store graph merge pql policy materialized",
    "ingest":  "base os codec parquet identity xdm catalog lake compute query store graph",
    "removal": "base os codec parquet identity xdm catalog lake compute query store graph segment ingest",
    "export":  "base os codec parquet xdm catalog lake compute store merge policy materialized segment",
    "profile": "base codec parquet identity xdm catalog lake store graph merge policy segment",
    "sql":     "base os codec parquet xdm catalog lake compute query ingest policy export",
    "api":     "base os codec parquet http identity xdm catalog lake compute query store graph merge policy segment ingest removal export profile sql",
    "app":     "base os codec parquet http identity xdm catalog lake compute query store graph merge policy materialized segment ingest removal export profile sql api",
}


def main():
    problems = []
    order = list(ROOMS)
    for room, uses in ROOMS.items():
        problems += [f"{room} names {use}, which is not below it" for use in uses.split()
                     if use not in order or order.index(use) >= order.index(room)]
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    for path in sorted(p for p in root.glob("*/*") if p.suffix in (".c", ".h", ".cpp")):
        room = path.parent.name
        allowed = {room, *ROOMS.get(room, "").split()}
        if path.stem.endswith("_test"):  # a test may stand on any floor below: it needs files, clocks, worlds
            allowed.update(order[:order.index(room)] if room in order else [])
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#include "(\w+)/', line)
            if room not in ROOMS or (found and found[1] not in allowed):
                problems.append(f"{path}:{number}: {room} may not include {found[1] if found else '?'}")
            internal = re.match(r'\s*#include "(\w+)/\w+_internal\.h"', line)
            if internal and internal[1] != room:
                problems.append(f"{path}:{number}: a private header of {internal[1]}")
    print("\n".join(problems) or f"layers: {len(order)} rooms in order")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
