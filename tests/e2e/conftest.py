# SPDX-License-Identifier: Apache-2.0
"""conftest.py - what end-to-end tests ask for by name.

    server   one server for all tests that do nothing to it as a whole, on loopback and a folder of its own
    api      an admin of an org of the module's own on that server: modules do not see each other's objects
    world    schemas, datasets and a dataset to export to, in that org
    shop     the same with rows in it, in an org of its own, for SQL and queries; db is a session of SQL there

A test that kills, restarts or configures its server starts its own with export_world.Server, as a fixture of the
same name in its module.
"""
import pytest

import export_world
import query_world


def pytest_collection_modifyitems(items):
    """Tests of what comes by the clock are the last: by then it has come."""
    items.sort(key=lambda item: item.get_closest_marker("late") is not None)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("server")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def server(shared_server):
    assert shared_server.process.poll() is None, "an earlier test ended the shared server"
    return shared_server


@pytest.fixture(scope="module")
def api(server):
    return export_world.Api(server.url, server.add_client("module", org=export_world.new_org()))


@pytest.fixture(scope="module")
def world(api):
    return export_world.World(api)


@pytest.fixture(scope="module")
def shop(server):
    return query_world.Shop(server)


@pytest.fixture
def db(shop):
    with shop.connect() as opened:
        yield opened
