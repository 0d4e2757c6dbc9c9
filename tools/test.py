#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test.py - runs every test and adds them up; the last line is "N passed, N failed".

    unit   build-asan: every src/*/*_test.c, under AddressSanitizer and UndefinedBehaviorSanitizer
    tidy   layers and style of the sources
    peers  build: pyarrow and DuckDB read what the Parquet room writes
    e2e    build: a real server on loopback, called over HTTP (tests/e2e, tests/oracle, ...)

With --check also the long ones: the tests marked `long`, more random worlds, units under ThreadSanitizer.
A unit test program prints one line a test; a program that dies counts as one failure.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORES = str(os.cpu_count() or 1)
SHARED = ["tests/crash", "tests/oracle"]     # by a process a core: they wait for syncs and starts, or for the model


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def heading(text):
    print(f"\n== {text}", flush=True)


def meson_suite(tally, build, suite):
    """The tests of a meson suite, one line a program; the output of those that failed."""
    log = ROOT / build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    ran = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--suite", suite, "--num-processes", CORES,
                          "--timeout-multiplier", "4", "--quiet"], cwd=ROOT, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not log.exists():
        print(f"FAIL  meson test ran nothing in {build}: " + " ".join(ran.stdout.splitlines()[-3:]))
        tally.add(0, 1)
        return
    for line in log.read_text().splitlines():
        test = json.loads(line)
        output = test.get("stdout", "")
        good = len(re.findall(r"^ok +\w", output, re.M))
        bad = len(re.findall(r"^FAIL +\w", output, re.M))
        name = test["name"].split(" / ")[-1].split(":")[-1].strip()
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            good = max(good, 1)
        elif test["result"] == "SKIP":
            tally.add(0, 0, 1)
            print(f"skip  {name}")
            continue
        else:
            bad = max(bad, 1)
        tally.add(good, bad)
        print(f"{'FAIL' if bad else 'ok  '}  {name}: {good} passed{f', {bad} failed' if bad else ''}"
              f"  ({test['duration']:.1f} s)", flush=True)
        if bad:
            print("\n".join("      " + text for text in (output + test.get("stderr", "")).splitlines()[-60:]))


def pytest_suite(tally, name, folders, options=(), environment=None, shares=1):
    """Runs pytest; in `shares` processes side by side, each with its part of the tests, when there are several."""
    reports = [ROOT / "build" / f"pytest-{name}{n or ''}.xml" for n in range(shares)]
    running = []
    for n, report in enumerate(reports):
        report.unlink(missing_ok=True)
        said = tempfile.TemporaryFile() if n > 0 else None      # the first one is heard at once
        running.append((said, subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-rs", "--tb=short", f"--junitxml={report}", "--durations=5",
             "--durations-min=10", *options, *folders], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env={**os.environ, **(environment or {}), "TRIBUTARY_SHARE": f"{n + 1}/{shares}"})))
    for report, (said, process) in zip(reports, running):
        code = process.wait()
        if said is not None:
            said.seek(0)
            print(said.read().decode(errors="replace"), flush=True)
        add_report(tally, name, report, code)


def add_report(tally, name, report, code):
    if not report.exists():
        print(f"FAIL  {name}: pytest ended with {code} and no report")
        tally.add(0, 1)
        return
    total = failed = skipped = 0
    for suite in xml.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests"))
        failed += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
    if code not in (0, 5) and failed == 0:
        failed = 1
    tally.add(max(0, total - failed - skipped), failed, skipped)


def python_folders():
    """The folders of tests/ that hold pytest files."""
    return sorted({str(path.parent.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")})


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="the long ones too")
    options.add_argument("--only", choices=["unit", "tidy", "e2e"], help="one kind")
    chosen = options.parse_args()
    tally = Tally()
    begin = time.monotonic()
    if chosen.only in (None, "tidy"):
        heading("tidy")
        meson_suite(tally, "build", "tidy")
    if chosen.only in (None, "unit"):
        heading("unit tests, ASan and UBSan")
        meson_suite(tally, "build-asan", "unit")
    if chosen.only in (None, "unit") and chosen.check:
        heading("unit tests, TSan")
        meson_suite(tally, "build-tsan", "unit")
    if chosen.only in (None, "e2e"):
        heading("peers")
        meson_suite(tally, "build", "peers")
        heading("end to end")
        environment = {"ORACLE_PROFILES": "100000", "TRIBUTARY_LONG": "1"} if chosen.check else {}
        marks = [] if chosen.check else ["-m", "not long"]
        folders = python_folders()
        pytest_suite(tally, "e2e", [folder for folder in folders if folder not in SHARED], marks, environment)
        heading("kills, random worlds")
        pytest_suite(tally, "shared", SHARED, marks, environment, shares=min(os.cpu_count() or 1, 4))
    if chosen.only in (None, "e2e") and chosen.check:
        heading("end to end, the server under TSan")
        pytest_suite(tally, "tsan", ["tests/e2e/test_export_jobs.py", "tests/e2e/test_sample.py"],
                     environment={"TRIBUTARY": str(ROOT / "build-tsan" / "tributary")})
    print(f"\n{time.monotonic() - begin:.0f} s" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return bool(tally.failed or not tally.passed)


if __name__ == "__main__":
    sys.exit(main())
