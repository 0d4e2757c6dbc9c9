#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stitched.py - a full export of persons (identity graph `pdg`) beside one of identities (`none`), on the same store.

    bench/stitched.py [--profiles 2000000] [--data DIR] [--repeat 3]

The merge bench's data through a real server. Two of the five datasets, web and mobile, know people by a cookie of
theirs and name the CRM identity beside it: half of all rows move when runs are stitched. Prints seconds, CPU seconds and
peak memory of: none; pdg for the first time (the graph is read, runs are stitched); pdg again; pdg after a small batch
that links nobody new, and after one that links a hundredth of the people.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq

from over_http import RECORDS, Site, Watch, median

ROOT = pathlib.Path(__file__).resolve().parents[1]
COOKIES = ("web", "mobile")


def upload(source, to, name, tenant, where="true"):
    """Rows of a dataset as a customer would upload them; cookies have 38 digits, as an ECID must."""
    members = [f'"{c}" := "{c}"' for c in pq.read_schema(source / f"{name}.parquet").names if c != "_tributary"]
    person = 'struct_pack("id" := _tributary.id, "primary" := {})'
    cookie = f"struct_pack(\"id\" := lpad(hash(_tributary.id || '{name}')::VARCHAR, 38, '0'), \"primary\" := true)"
    identities = (f"MAP {{'ECID': [{cookie}], 'CRMID': [{person.format('false')}]}}" if name in COOKIES else
                  f"MAP {{'CRMID': [{person.format('true')}]}}")
    duckdb.execute(f"COPY (SELECT {identities} AS \"identityMap\", "
                   f"struct_pack(\"lastUpdatedDate\" := _tributary.updated) AS \"extSourceSystemAudit\", "
                   f"struct_pack({', '.join(members)}) AS \"{tenant}\" FROM '{source / name}.parquet' WHERE {where}) "
                   f"TO '{to}' (FORMAT parquet, COMPRESSION zstd)")


class Measured:
    def __init__(self, site, repeat):
        self.site, self.repeat = site, repeat
        self.policies = {graph: site.api.policy(graph, graph)["id"] for graph in ("none", "pdg")}

    def export(self, title, graph, times=1):
        runs = []
        for _ in range(times):
            with Watch(self.site.server.process.pid) as watch:
                job = self.site.export_all(mergePolicy={"id": self.policies[graph]})
            runs.append(watch.found)
        found = median(runs)
        print(f"{title:44} {job['metrics']['totalExportedProfileCounter']:>10,} rows {found['seconds']:8.2f} s"
              f" {found['cpu_s']:8.2f} CPU s {found['peak_own_mb']:8.0f} MB", flush=True)
        return job["metrics"]["totalExportedProfileCounter"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=2000000)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/tmp/tributary-bench-stitched"))
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    shutil.rmtree(args.data, ignore_errors=True)
    source = args.data / "runs"
    source.mkdir(parents=True)
    subprocess.run([ROOT / "build" / "bench" / "merge_bench", "generate", source, "--profiles", str(args.profiles)],
                   check=True, stdout=subprocess.DEVNULL)
    site = Site(args.data / "server", source)
    try:
        site.api.namespace("CRMID")
        measured = Measured(site, args.repeat)
        for name in RECORDS:
            upload(source, args.data / f"{name}.parquet", name, site.tenant)
            site.ingest(site.ids[name], args.data / f"{name}.parquet", "parquet")
        Watch(site.server.process.pid).settle()
        identities = measured.export("none", "none", args.repeat)
        persons = measured.export("pdg, for the first time", "pdg")
        assert persons == args.profiles < identities
        measured.export("pdg, again", "pdg", args.repeat)
        measured.export("none, again", "none", args.repeat)
        for title, name in (("pdg, after 1 % of a dataset by CRMID came", "crm"), ("pdg, after 1 % linked anew", "web")):
            where = "hash(_tributary.id) % 100 = 0"
            some = args.data / "some.parquet"
            upload(source, some, name, site.tenant, where)
            if name == "web":   # other cookies of the same people
                duckdb.execute(f"COPY (SELECT MAP {{'ECID': [struct_pack(\"id\" := reverse(identityMap['ECID'][1].id), "
                               f"\"primary\" := true)], 'CRMID': identityMap['CRMID']}} AS \"identityMap\", "
                               f"* EXCLUDE (\"identityMap\") FROM '{some}') TO '{some}2' (FORMAT parquet)")
                some = pathlib.Path(f"{some}2")
            site.ingest(site.ids[name], some, "parquet")
            Watch(site.server.process.pid).settle()
            assert measured.export(title, "pdg") == args.profiles
    finally:
        site.server.stop()
        shutil.rmtree(args.data, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
