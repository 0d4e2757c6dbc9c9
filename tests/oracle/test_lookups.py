# SPDX-License-Identifier: Apache-2.0
"""Every profile of a random world, looked up by its identity, is what the model says an export holds of it."""
import os

import pytest

import export_world
import model
import rows
import wire
import worlds
from test_oracle import compare, org_of, server  # noqa: F401 (a fixture)

ENTITIES = "/data/core/ups/access/entities"
SEED = int(os.environ.get("ORACLE_SEED", "1")) + 500
WORLDS = int(os.environ.get("LOOKUP_WORLDS", "3"))
PEOPLE = int(os.environ.get("LOOKUP_PEOPLE", "150"))
AT_ONCE = 1000


def lookups(api, identities, member, **more):
    """{identity: answer} of all that have one."""
    out = {}
    xids = {}
    for first in range(0, len(identities), AT_ONCE):
        asked = identities[first:first + AT_ONCE]
        found = api.call("POST", ENTITIES, 200, {
            "identities": [{member: item, member + "NS": {"code": namespace}} for namespace, item in asked], **more})
        assert len(found) == len(asked)
        for identity, (xid, entry) in zip(asked, found.items()):  # answers stand in the order of the request
            assert xids.setdefault(xid, identity) == identity
            out[identity] = entry
    return out


def events_of(api, identities, policy):
    found = lookups(api, identities, "relatedEntityId", schema={"name": "_xdm.context.experienceevent"},
                    relatedSchema={"name": "_xdm.context.profile"}, mergePolicyId=policy)
    return {identity: [child["entity"] for child in page["children"]] for identity, page in found.items()}


def check(live, request, policy):
    is_map = worlds.map_paths(live.world, live.tenant).__contains__
    datasets = {live.ids[plan.name]: model.Dataset(live.ids[plan.name], plan.is_event, plan.is_upsert)
                for plan in live.world.datasets}
    expected = {identity: rows.plain(profile)
                for identity, profile in model.export(live.rows, datasets, request, is_map).items()}
    identities = sorted(expected)
    found = lookups(live.api, identities, "entityId", schema={"name": "_xdm.context.profile"}, mergePolicyId=policy)
    events = events_of(live.api, identities, policy)
    actual = {}
    for identity in identities:
        assert found[identity]["sources"] != [""], f"{identity} is not found"
        actual[identity] = rows.plain({**found[identity]["entity"], "timeSeriesEvents": events[identity]})
    assert expected
    compare(live, request, expected, actual)


@pytest.mark.parametrize("seed", range(SEED, SEED + WORLDS))
def test_a_lookup_is_the_row_of_an_export(server, seed):  # noqa: F811
    client = server.add_client(f"lookups {seed}", org=org_of(seed))
    live = wire.LiveWorld(export_world.Api(server.url, client), worlds.random_world(seed, PEOPLE))
    order = sorted(live.ids.values())
    live.world.rng.shuffle(order)
    order = order[:max(1, len(order) - 1)]
    asked = []
    for graph, merging in (("none", "timestampOrdered"), ("none", "dataSetPrecedence"), ("pdg", "dataSetPrecedence")):
        more = {"order": order} if merging == "dataSetPrecedence" else {}
        policy = live.api.policy("random", graph, merging, **more)["id"]
        asked.append((policy, model.Request(graph=graph, policy=merging, order=tuple(more.get("order", ())),
                                            empty_profiles=True, events=True)))
    asked.append((None, model.Request(graph="pdg", empty_profiles=True, events=True)))   # the sandbox's default
    while live.seq < live.world.batches:
        live.ingest_one()
        if live.seq % 4 == 0 or live.seq == live.world.batches:
            for policy, request in asked:
                check(live, request, policy)
