# SPDX-License-Identifier: Apache-2.0
"""README.md's shell blocks, run as a reader would: one after the other, in one shell, on a fresh server."""
import json
import os
import re
import signal
import subprocess

import pyarrow.parquet
import pytest

import export_world
from export_world import BINARY, ROOT


def blocks():
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The texts of all blocks, in order. The binary and the port are those of the test; `make` has been run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "build").symlink_to(export_world.pathlib.Path(BINARY).resolve().parent)
    port, pg_port = export_world.free_port(), export_world.free_port()
    script = "set -eu -o pipefail\n"
    for number, block in enumerate(blocks()):
        script += f"printf '\\n--- {number}\\n'\n{block}"
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    script = script.replace("127.0.0.1:5433", f"127.0.0.1:{pg_port}").replace("port=5433", f"port={pg_port}")
    script = re.sub(r"^make$", ":", script, flags=re.M)
    script = script.replace("kill %1\n", "kill $!\n")  # %1 is for shells with job control
    out = folder / "out"
    with open(out, "w") as sink:  # no pipe: a server that is left would hold it open
        shell = subprocess.Popen(["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=sink,
                                 stderr=sink, start_new_session=True)
        try:
            status = shell.wait(120)
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all of it has ended
    log = folder / "server.log"
    assert status == 0, out.read_text() + (log.read_text()[-3000:] if log.exists() else "")
    return folder, re.split(r"^--- \d+\n", out.read_text(), flags=re.M)[1:]


def output(ran, words):
    """What the one block with these words in it printed."""
    numbers = [number for number, block in enumerate(blocks()) if words in block]
    assert len(numbers) == 1, words
    return ran[1][numbers[0]]


def test_every_block_runs(ran):
    assert len(ran[1]) == len(blocks()) == 15


def test_the_tutorial_ends_with_merged_rows(ran):
    table = output(ran, "FROM profiles ORDER BY 1")
    ann = next(line for line in table.splitlines() if "Ann" in line)
    assert re.search(r"Ann\W+Rossi\W+ann\.new@example\.com\W+gold\W+420", ann)
    ben = next(line for line in table.splitlines() if "Ben" in line)
    assert re.search(r"Ben\W+Sato\W+ben@example\.com", ben) and "gold" not in ben


def test_the_job_and_its_file_are_shown(ran):
    shown = output(ran, "jq '{status, metrics}'")
    assert '"SUCCEEDED"' in shown and '"totalExportedProfileCounter": 2' in shown
    assert re.search(r"profiles\.parquet  ok  rows=2 ", output(ran, "tributary verify"))


def test_a_person_is_found_by_the_identity_of_another_system(ran):
    found, members, explained = output(ran, "tributary explain").split("\n", 2)
    assert json.loads(found) == {"name": "Ann", "tier": "gold", "identities": ["c1", "ann@example.com", "L7"]}
    assert all(code in members for code in ("c1", "L7", "ann@example.com")) and "ben" not in members
    assert re.search(r'loyalty\.tier = "gold"\n +from ', explained)
    assert re.search(r'personalEmail\.address = "ann\.new@example\.com"\n +from .*\n +over ', explained)


def test_a_segment_is_exported(ran):
    assert '{"status":"SUCCEEDED","profiles":1}' in output(ran, "evaluationInfo")


def test_an_identity_is_taken_back(ran):
    rows = output(ran, "/system/jobs").splitlines()
    assert any("Ann" in row for row in rows) and any("Ben" in row for row in rows)
    assert not any("gold" in row for row in rows)


def test_the_server_was_ended(ran):
    assert "ev=server_stopped" in (ran[0] / "server.log").read_text()


def test_files_that_the_readme_points_to_are_there():
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).exists(), name


def test_sql_reads_and_writes(ran):
    text = output(ran, "gold.sql")
    assert re.search(r"Ann +\| +gold", text) and re.search(r"\n Ben +\|", text)
    assert "tier,people\ngold,1\n" in text
    assert pyarrow.parquet.read_table(ran[0] / "gold.parquet").to_pylist() == [{"tier": "gold"}]
    assert '{"state":"SUCCESS","rowCount":1,"errors":[]}' in output(ran, "INSERT INTO tiers")
