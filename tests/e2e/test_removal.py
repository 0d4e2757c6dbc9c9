# SPDX-License-Identifier: Apache-2.0
"""Removed data is off the disk: no file of it is kept alive by a server that read it for an export."""
import pathlib
import uuid

import pytest

import export_world


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("removal")).start()
    yield started
    started.stop()


def nameless(server):
    """Files of the lake that the server maps or has open and that have no name any more."""
    process = pathlib.Path(f"/proc/{server.process.pid}")
    lines = (process / "maps").read_text().splitlines()
    for link in (process / "fd").iterdir():
        try:
            lines.append(str(link.readlink()))
        except OSError:
            pass
    return [line for line in lines if "/lake/" in line and "(deleted)" in line]


def gone(server):
    return export_world.until("nothing is kept", lambda: not nameless(server))


def new_api(server):
    return export_world.Api(server.url, server.add_client("own", org=uuid.uuid4().hex[:24].upper() + "@AdobeOrg"))


def exported(api):
    """A world whose files the server has read."""
    world = export_world.World(api)
    batches = [world.ingest(world.crm, [world.row(n, firstName=f"A{n}") for n in range(20)]) for _ in range(3)]
    world.ingest(world.loyalty, [world.row(1, points=1)])
    world.export()
    api.call("GET", "/data/core/ups/access/entities", params={
        "schema.name": "_xdm.context.profile", "entityId": "c000001", "entityIdNS": "CRMID"})
    return world, batches


def test_a_reverted_batch(server):
    world, batches = exported(new_api(server))
    world.api.call("POST", f"{export_world.IMPORT}/{batches[0]}?action=REVERT")
    export_world.until("deleted", lambda: world.batch(batches[0])["status"] == "deleted")
    gone(server)


def test_a_removed_dataset(server):
    world, _ = exported(new_api(server))
    world.api.call("DELETE", f"{export_world.CATALOG}/dataSets/{world.crm}")
    gone(server)


def test_a_reverted_batch_is_in_no_compacted_run(server):
    """Its rows were folded into a run with others; the run goes with them, also when no batch follows."""
    world = export_world.World(new_api(server))
    folded = lambda: list((server.folder / "data" / "lake").glob(f"*/data/{world.crm}/*/run.parquet"))
    batches = [world.ingest(world.crm, [world.row(n, firstName=f"A{n}")]) for n in range(9)]
    before = export_world.until("a compaction", folded)
    world.api.call("POST", f"{export_world.IMPORT}/{batches[3]}?action=REVERT")
    export_world.until("the run is gone", lambda: not [run for run in before if run.exists()], 10)
    gone(server)
    assert sorted(export_world.person_of(row) for row in world.rows(world.export())) == \
        [f"c{n:06}" for n in range(9) if n != 3]


def test_a_deleted_and_a_reset_sandbox(server):
    sandboxes = "/data/foundation/sandbox-management/sandboxes"
    for name, end in (("passing", lambda path: server.api.call("DELETE", path, 202)),
                      ("renewed", lambda path: server.api.call("PUT", path, 202, {"action": "reset"}))):
        server.api.call("POST", sandboxes, 202, {"name": name, "title": name, "type": "development"})
        exported(export_world.Api(server.url, server.client, sandbox=name))
        end(f"{sandboxes}/{name}")
        gone(server)
