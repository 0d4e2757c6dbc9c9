# SPDX-License-Identifier: Apache-2.0
"""A disk that does not keep what it was given: whoever waits for it gets a 5xx, the server ends, and the next one has
everything that was acknowledged. A real server; the C library's fsync and fdatasync fail once, by a preloaded library."""
import errno
import json

import pytest

import export_world
import preloaded


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preloaded.build(tmp_path_factory.mktemp("fail_sync"), "fail_sync")


class Disk:
    """A server, and its disk that can fail."""

    def __init__(self, folder, library):
        self.order = folder / "order"
        self.seen = folder / "order.seen"
        self.server = export_world.Server(folder)
        self.server.start(LD_PRELOAD=str(library), FAIL_SYNC=str(self.order))
        self.world = export_world.World(self.server.api)

    def fail(self, cause, part):
        preloaded.order(self.order, f"{cause} {part}")

    def check_ended(self, name):
        """It has ended by itself, told why, and synced nothing after the failure."""
        assert self.server.process.wait(15) == 1
        log = (self.server.folder / "log").read_text()
        told = [line for line in log.splitlines() if "ev=disk_failed" in line]
        assert len(told) == 1 and f'file="{name}' in told[0] and "lvl=error" in told[0], told
        assert "ev=server_stopped" in log
        seen = self.seen.read_text().splitlines()
        assert len(seen) == 1 and name in seen[0], seen


@pytest.fixture
def disk(tmp_path, library):
    made = Disk(tmp_path, library)
    yield made
    made.server.stop()


def names(api):
    listed = api.call("GET", export_world.CATALOG + "/dataSets?limit=100")
    return {dataset["name"] for dataset in listed.values()}


@pytest.mark.parametrize("cause", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_catalog_that_is_not_synced_ends_the_server(disk, cause):
    api = disk.server.api
    for number in range(5):
        disk.world.union_dataset(f"kept {number}")
    disk.fail(cause, "catalog.db-wal")
    body = {"name": "lost", "schemaRef": {"id": export_world.UNION,
                                          "contentType": "application/vnd.adobe.xed+json;version=1"}}
    answer = api.request("POST", export_world.CATALOG + "/dataSets", json=body)
    assert answer.status_code >= 500, answer.text
    disk.check_ended("catalog.db-wal")
    disk.world.api = disk.server.start().api
    assert {f"kept {number}" for number in range(5)} | {"crm", "loyalty", "clicks", "target"} <= names(disk.world.api)
    disk.world.union_dataset("kept 5")  # it writes again
    assert "kept 5" in names(disk.world.api)


def begin_batch(world):
    return world.api.call("POST", export_world.IMPORT, 201, {"datasetId": world.crm, "inputFormat": {"format": "json"}})["id"]


def upload(world, batch):
    return world.api.request(
        "PUT", f"{export_world.IMPORT}/{batch}/datasets/{world.crm}/files/rows.json",
        data=json.dumps(world.row(2, firstName="Two")).encode(), headers={"Content-Type": "application/octet-stream"})


def is_found(api, number):
    return api.request("GET", "/data/core/ups/access/entities", params={
        "schema.name": "_xdm.context.profile", "entityId": f"c{number:06}", "entityIdNS": "CRMID"}).status_code == 200


@pytest.mark.parametrize("part", ["/uploads/", "/data/lake"])
def test_an_upload_that_is_not_synced_ends_the_server(disk, part):
    disk.world.ingest(disk.world.crm, [disk.world.row(1, firstName="One")])
    batch = begin_batch(disk.world)
    disk.fail(errno.EIO, part)
    answer = upload(disk.world, batch)
    assert answer.status_code >= 500, answer.text
    disk.check_ended("")
    disk.world.api = disk.server.start().api
    assert disk.world.batch(batch)["status"] == "loading"
    assert is_found(disk.world.api, 1)


def test_a_batch_that_is_not_synced_is_ingested_by_the_next_server(disk):
    batch = begin_batch(disk.world)
    assert upload(disk.world, batch).status_code in (200, 201)
    disk.fail(errno.EIO, "/staging/")
    disk.world.api.call("POST", f"{export_world.IMPORT}/{batch}?action=COMPLETE", 200)
    disk.check_ended("")
    disk.world.api = disk.server.start().api
    disk.world.wait_batch(batch)
    assert is_found(disk.world.api, 2)
