# SPDX-License-Identifier: Apache-2.0
"""`tributary demo`: walks the tutorial, shows merged rows, leaves nothing behind, fails clearly."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from export_world import BINARY


def demo(tmp_path, *words, **how):
    return subprocess.run([BINARY, "demo", *map(str, words)], capture_output=True, text=True, timeout=180,
                          stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)}, **how)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = demo(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_every_step_is_shown_with_its_calls(played):
    text = played[1].stdout
    titles = re.findall(r"^(\d+)  (\w[^:\n]*)", text, re.M)
    assert [int(number) for number, _ in titles] == list(range(1, 11))
    for call in ["POST /data/foundation/schemaregistry/tenant/schemas", "POST /data/foundation/catalog/dataSets",
                 "POST /data/core/idnamespace/identities", "GET  /data/core/ups/access/entities?",
                 "POST /data/foundation/import/batches", "PUT  /data/foundation/import/batches/",
                 "GET  /data/core/ups/config/mergePolicies", "POST /data/core/ups/config/mergePolicies",
                 "POST /data/core/ups/export/jobs", "GET  /data/core/ups/export/jobs/",
                 "GET  /data/foundation/export/batches/", "GET  /data/foundation/export/files/"]:
        assert re.search(rf"^   {re.escape(call)}\S* +2\d\d$", text, re.M), call
    assert "\033" not in text and "\r" not in text, "no colours and no bars on a pipe"


def test_the_numbers_are_those_of_the_data(played):
    text = played[1].stdout
    assert "4,000 records of the CRM" in text and "3,000 loyalty members" in text
    assert text.count("SUCCEEDED: 5,000 merged profiles") == 2
    assert re.search(r"[A-Z]\w+ [A-Z]\w+, (bronze|silver|gold) member, made of [23] datasets and 3 identities", text)
    people, differ = map(int, re.search(r"people\W+differ[^\d]+(\d+)\D+(\d+)", text).groups())
    assert people == 5000 and 0 < differ < 2000


def test_it_ends_with_merged_rows_as_a_table(played):
    text = played[1].stdout
    rows = re.findall(r"crm-\d{6}.*@example\.com.*", text)
    assert len(rows) == 10
    assert all(re.search(r"bronze|silver|gold", row) for row in rows)
    assert any(".new@example.com" in row for row in rows)
    assert re.search(r"Done in [\d.]+ s\.", text.splitlines()[-1])


def command_lines():
    """Those of all processes; `ps` is not on every machine."""
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield (process / "cmdline").read_bytes()
            except OSError:
                pass  # it has ended


def test_nothing_is_left(played):
    folder, done = played
    assert list(folder.iterdir()) == []
    assert done.stderr == ""
    assert not [words for words in command_lines() if str(folder).encode() in words]


def test_data_is_kept_when_asked(tmp_path):
    kept = tmp_path / "kept"
    done = demo(tmp_path, "--data", kept, "--people", 60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (kept / "catalog.db").exists() and f"tributary serve --data {kept}" in done.stdout
    found = subprocess.run([BINARY, "query", "--data", kept], capture_output=True, text=True)
    assert found.returncode == 0 and "Merged profiles" in found.stdout


def test_an_interrupted_demo_leaves_nothing(tmp_path):
    process = subprocess.Popen([BINARY, "demo", "--people", "200000"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)})
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1 and b"interrupted" in text
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_ends_it_with_1_and_the_reason(tmp_path):
    done = demo(tmp_path, "--worker", "/nowhere/tributary-query", "--people", 60)
    assert done.returncode == 1
    assert "tributary demo: " in done.stderr and len(done.stderr.strip()) > len("tributary demo: ")
    assert list(tmp_path.iterdir()) == []
