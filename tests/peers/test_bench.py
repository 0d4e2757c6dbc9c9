# SPDX-License-Identifier: Apache-2.0
"""The bench runs, on small data, and its peers have the same rows as Tributary: it compares them itself."""
import json
import subprocess
import sys

import export_world


def quick(folder, cases):
    ran = subprocess.run(
        [sys.executable, str(export_world.ROOT / "bench" / "run.py"), "--quick", "--only", cases,
         "--dir", str(folder / "data"), "--results", str(folder), "--docs", str(folder / "performance.md")],
        capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(next(folder.glob("*.json")).read_text())
    assert "duckdb general" in (folder / "performance.md").read_text()
    return {case["case"]: case for case in found["cases"]}


def test_the_kernel_cases_run_and_all_results_are_equal(tmp_path):
    found = quick(tmp_path, "full,fields,events,wide")
    assert set(found) == {"full", "fields", "events", "wide"}
    assert found["full"]["rows"] == 20000 and found["events"]["rows"] == 10000
    for case in found.values():
        assert {"tributary", "duckdb general", "duckdb joins"} <= set(case["results"])


def test_the_whole_way_over_http_runs_and_all_results_are_equal(tmp_path):
    found = quick(tmp_path, "http")
    assert {"http", "http ingest", "http changed", "http json"} <= set(found)
    assert found["http"]["rows"] == 20000
