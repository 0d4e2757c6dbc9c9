# SPDX-License-Identifier: Apache-2.0
"""conftest.py - for all tests: a failure shows the end of the log of the servers that are up, and of the last one
started; no server outlives the run. TRIBUTARY_SHARE=1/2: every second test, from the first, for a run beside another
that takes the rest."""
import os
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS / "oracle")]

import export_world  # noqa: E402

LOG_LINES = 40


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    share, of = map(int, os.environ.get("TRIBUTARY_SHARE", "1/1").split("/"))
    items[:] = items[share - 1::of]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    known = export_world.Server.known
    for server in known:
        log = server.folder / "log"
        is_up = server.process is not None and server.process.poll() is None
        if log.exists() and (is_up or server is known[-1]):
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            report.sections.append((f"log of the server in {server.folder}", "\n".join(lines)))


@pytest.fixture(scope="session", autouse=True)
def no_server_outlives_the_run_or_found_a_bug_in_itself():
    yield
    for server in export_world.Server.known:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    for server in export_world.Server.known:
        log = server.folder / "log"
        text = log.read_text(errors="replace") if log.exists() else ""
        for sign in ("ev=assert_failed", "WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "runtime error:"):
            assert sign not in text, text[text.index(sign):][:4000]
