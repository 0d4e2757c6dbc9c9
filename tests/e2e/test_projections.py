# SPDX-License-Identifier: Apache-2.0
"""Edge destinations and projections: /data/core/ups/config/destinations, /projections, and the projected profile."""
import pytest
from aepp import customerprofile

import aepp_world
import export_world

UPS = "/data/core/ups"
DESTINATIONS, PROJECTIONS = UPS + "/config/destinations", UPS + "/config/projections"
PROFILE = "_xdm.context.profile"
DESTINATION_TYPE = "application/vnd.adobe.platform.projectionDestination+json; version=1"


@pytest.fixture(scope="module")
def filled(world):
    world.ingest(world.crm, [world.row(1, firstName="Ada", tier="gold", visits=[{"url": "/a", "at": "x"}]),
                             world.row(2, firstName="Bob", tier="silver")])
    return world


@pytest.fixture
def destination(api):
    made = api.call("POST", DESTINATIONS, body={"type": "EDGE", "dataCenters": ["VA5", "NLD1"], "ttl": 900})
    yield made
    api.request("DELETE", f"{DESTINATIONS}/{made['id']}")


@pytest.fixture
def projection(api, filled, destination):
    made = api.call("POST", PROJECTIONS, params={"schemaName": PROFILE}, body={
        "selector": f"{filled.tenant}(p(firstName,visits.url))", "destinationId": destination["id"], "name": "names"})
    yield made
    api.request("DELETE", f"{PROJECTIONS}/{made['id']}")


def served(api, projection, number):
    return api.request("GET", f"{UPS}/projections/{projection['id']}/entities",
                       params={"entityId": f"c{number:06}", "entityIdNS": "CRMID"})


def test_a_destination_is_written_read_and_removed(api):
    made = api.call("POST", DESTINATIONS, headers={"Content-Type": DESTINATION_TYPE},
                    body={"type": "EDGE", "dataCenters": ["OR1"]})
    assert (made["version"], made["ttl"], made["dataCenters"]) == (1, 3600, ["OR1"])
    path = f"{DESTINATIONS}/{made['id']}"
    assert made["self"] == {"href": path, "templated": False}
    assert api.call("GET", path) == made
    put = api.call("PUT", path, body={"type": "EDGE", "dataCenters": ["NLD1"], "ttl": 700, "currentVersion": 1})
    assert (put["id"], put["version"], put["ttl"]) == (made["id"], 2, 700)
    assert api.refusal("PUT", path, 409, body={"type": "EDGE", "dataCenters": ["NLD1"], "currentVersion": 1})
    listed = api.call("GET", DESTINATIONS)["_embedded"]["projectionDestinations"]
    mine = [one for one in listed if one["id"] == made["id"]]
    assert mine and mine[0]["_links"]["self"]["href"] == path and "self" not in mine[0]
    assert api.request("DELETE", path).status_code == 204
    api.refusal("GET", path, 404)


@pytest.mark.parametrize("body, named", [
    ({"dataCenters": ["OR1"]}, "type"), ({"type": "PIPELINE", "dataCenters": ["OR1"]}, "type"),
    ({"type": "EDGE"}, "dataCenters"), ({"type": "EDGE", "dataCenters": []}, "dataCenters"),
    ({"type": "EDGE", "dataCenters": ["OR1", "MARS"]}, "dataCenters[1]"),
    ({"type": "EDGE", "dataCenters": ["OR1"], "ttl": 599}, "ttl"),
    ({"type": "EDGE", "dataCenters": ["OR1"], "ttl": "long"}, "ttl"),
    ({"type": "EDGE", "dataCenters": ["OR1"], "replicationPolicy": "NEVER"}, "replicationPolicy"),
    ({"type": "EDGE", "dataCenters": ["OR1"], "currentVersion": "one"}, "currentVersion")])
def test_a_wrong_destination_is_refused_by_its_member(api, body, named):
    assert named in api.refusal("POST", DESTINATIONS, 400, body=body)


def test_another_type_of_body_is_415(api):
    refused = api.request("POST", DESTINATIONS, headers={"Content-Type": "text/plain"}, data="{}")
    assert refused.status_code == 415 and refused.json()["title"] == "HTTP 415 Unsupported Media Type"


def test_a_projection_shows_its_fields_of_a_profile(api, filled, projection):
    answer = served(api, projection, 1)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "private, max-age=900"
    (found,) = answer.json().values()
    assert found["entity"] == {filled.tenant: {"p": {"firstName": "Ada", "visits": [{"url": "/a"}]}}}
    missing = served(api, projection, 99)
    assert missing.status_code == 404 and missing.json()["statusCode"] == "404"


def test_a_projection_shows_what_was_ingested_a_moment_ago(api, filled, projection):
    for number in range(5):
        filled.ingest(filled.crm, [filled.row(2, firstName=f"Bob {number}")])
        (found,) = served(api, projection, 2).json().values()
        assert found["entity"][filled.tenant]["p"]["firstName"] == f"Bob {number}"


def test_a_projection_is_written_read_and_listed(api, filled, destination, projection):
    path = f"{PROJECTIONS}/{projection['id']}"
    assert projection["schemaName"] == PROFILE and projection["version"] == 1
    assert projection["_embedded"]["destination"]["id"] == destination["id"]
    assert projection["_links"]["destination"]["href"].endswith(destination["id"])
    assert api.call("GET", path) == projection
    named = api.call("GET", PROJECTIONS, params={"schemaName": PROFILE, "name": "names"})
    assert [one["id"] for one in named["_embedded"]["projectionConfigs"]] == [projection["id"]]
    put = api.call("PUT", path, body={"selector": "identityMap", "destinationId": destination["id"],
                                      "currentVersion": 1})
    assert put["version"] == 2 and put["schemaName"] == PROFILE
    (found,) = served(api, projection, 1).json().values()
    assert set(found["entity"]) == {"identityMap"}
    assert "schemaName" in api.refusal("GET", PROJECTIONS, 400, params={"name": "names"})


def test_a_wrong_projection_is_refused_by_its_member(api, filled, destination, projection):
    good = {"selector": "identityMap", "destinationId": destination["id"]}
    for change, status, named in [
            ({"selector": None}, 400, "selector"), ({"selector": "person(name"}, 400, "never closed"),
            ({"selector": "nothing.here"}, 400, "nothing.here"), ({"destinationId": "x"}, 400, "destinationId"),
            ({"mergePolicyId": "x"}, 400, "mergePolicyId"), ({"name": "names"}, 409, "names"),
            ({"name": 1}, 400, "name")]:
        refused = api.refusal("POST", PROJECTIONS, status, body={**good, **change}, params={"schemaName": PROFILE})
        assert named in refused, change
    assert "schemaName" in api.refusal("POST", PROJECTIONS, 400, body=good)
    api.refusal("POST", PROJECTIONS, 400, body=good, params={"schemaName": "_xdm.context.page"})
    assert api.refusal("DELETE", f"{DESTINATIONS}/{destination['id']}", 409)
    api.refusal("GET", f"{UPS}/projections/none/entities", 404, params={"entityId": "a", "entityIdNS": "CRMID"})


def test_aepp_manages_destinations_and_projections(server, api, filled):
    client = server.add_client("aepp", org=api.session.headers["x-gw-ims-org-id"])
    with aepp_world.configured(server, client):
        profile = customerprofile.Profile()
        made = profile.createDestination({"type": "EDGE", "dataCenters": ["OR1"], "ttl": 3600})
        assert made["id"] in [one["id"] for one in profile.getDestinations()]
        changed = profile.updateDestination(made["id"], {"type": "EDGE", "dataCenters": ["VA5"], "currentVersion": 1})
        assert changed["version"] == 2 and profile.getDestination(made["id"])["dataCenters"] == ["VA5"]
        listed = profile.getProjections(schemaName=PROFILE)
        assert listed == []
        projection = profile.createProjection(PROFILE, {"selector": "identityMap", "destinationId": made["id"]})
        assert [one["id"] for one in profile.getProjections(schemaName=PROFILE)] == [projection["id"]]
        renamed = profile.updateProjection(projection["id"], {"selector": "identityMap", "name": "ids",
                                                              "destinationId": made["id"]})
        assert renamed["version"] == 2 and profile.getProjection(projection["id"])["name"] == "ids"
        assert profile.deleteProjection(projection["id"]) == 204
        assert profile.deleteDestination(made["id"]) == 204
