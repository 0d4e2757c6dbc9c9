# SPDX-License-Identifier: Apache-2.0
"""README.md's shell blocks, run as a reader would: one after the other, in one shell, on a fresh server."""
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
    port = export_world.free_port()
    script = "set -eu -o pipefail\n"
    for number, block in enumerate(blocks()):
        script += f"printf '\\n--- {number}\\n'\n{block}"
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
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


def test_every_block_runs(ran):
    assert len(ran[1]) == len(blocks()) == 10


def test_the_tutorial_ends_with_merged_rows(ran):
    table = ran[1][-3]
    ann = next(line for line in table.splitlines() if "Ann" in line)
    assert re.search(r"Ann\W+Rossi\W+ann\.new@example\.com\W+gold\W+420", ann)
    ben = next(line for line in table.splitlines() if "Ben" in line)
    assert re.search(r"Ben\W+Sato\W+ben@example\.com", ben) and "gold" not in ben


def test_the_job_and_its_file_are_shown(ran):
    assert '"SUCCEEDED"' in ran[1][-5] and '"totalExportedProfileCounter": 2' in ran[1][-5]
    assert re.search(r"profiles\.parquet  ok  rows=2 ", ran[1][-4])


def test_the_server_was_ended(ran):
    assert "ev=server_stopped" in (ran[0] / "server.log").read_text()


def test_files_that_the_readme_points_to_are_there():
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).exists(), name


def test_sql_writes_and_the_command_line_reads_it(ran):
    folder, texts = ran
    assert '{"state":"SUCCESS","rowCount":2,"errors":[]}' in texts[-2]
    assert "tier,people\ngold,1\n" in texts[-2]
    assert pyarrow.parquet.read_table(folder / "gold.parquet").to_pylist() == [{"tier": "gold"}]
    assert "tiers" in texts[-2].split("gold,1")[1]
