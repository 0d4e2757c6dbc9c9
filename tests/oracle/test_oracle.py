# SPDX-License-Identifier: Apache-2.0
"""Random worlds in a real server, exported and compared with the model, row by row and column by column."""
import os

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import export_world
import model
import rows
import wire
import worlds

PROFILES = int(os.environ.get("ORACLE_PROFILES", "4000"))     # in all worlds together
WORLDS = int(os.environ.get("ORACLE_WORLDS", str(max(4, -(-PROFILES // 5000)))))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
PEOPLE = -(-PROFILES // WORLDS)
REQUESTS = int(os.environ.get("ORACLE_REQUESTS", "8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("oracle")).start()
    yield started
    started.stop()


def org_of(seed):
    return f"{seed:024X}@AdobeOrg"


def differences(expected, actual, path=""):
    """Lines that say where two plain values differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            yield from differences(expected.get(name), actual.get(name), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, two) in enumerate(zip(expected, actual)):
            yield from differences(one, two, f"{path}[{index}]")
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"  {path}: expected {expected!r}, exported {actual!r}"


def compare(live, request, expected, actual):
    """Every row and every column; fails with the first differences and all that is needed to replay."""
    wrong = []
    for identity in expected.keys() | actual.keys():
        if identity not in actual:
            wrong.append(f"{identity} is missing")
        elif identity not in expected:
            wrong.append(f"{identity} is there and should not be")
        else:
            found = list(differences(rows.canonical(expected[identity]), rows.canonical(actual[identity])))
            if found:
                wrong.append("\n".join([f"{identity}:"] + found))
    assert not wrong, (f"world {live.world.seed} of {live.world.people} people, {live.seq} batches, {request}: "
                       f"{len(wrong)} of {len(expected)} profiles are wrong\n" + "\n".join(wrong[:5]))


def check_metrics(job, expected, is_complete):
    assert job["metrics"]["totalExportedProfileCounter"] == len(expected)
    counted = {}
    for profile in expected.values():
        for namespace in profile.get("identityMap", {}):
            counted[namespace] = counted.get(namespace, 0) + 1
    if is_complete:
        assert job["metrics"]["exportedProfileByNamespaceCounter"] == counted


def check_order(paths):
    """Namespaces stand in byte order; a map has a key once."""
    for path in paths:
        for entries in pq.read_table(path, columns=["identityMap"]).column("identityMap").to_pylist():
            names = [name.encode() for name, _ in entries or []]
            assert names == sorted(set(names))


def leaves(kind, path=()):
    """Paths of what can be counted in SQL: everything outside of arrays and maps."""
    for field in kind:
        if pa.types.is_struct(field.type):
            yield from leaves(field.type, path + (field.name,))
        else:
            yield path + (field.name,)


def at(value, path):
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def check_counts(paths, expected):
    """DuckDB counts the values of every column; the model knows how many there are."""
    schema = pq.read_schema(paths[0])
    found = list(leaves(schema))
    sql = ", ".join("count(" + ".".join(f'"{name}"' for name in path) + ")" for path in found)
    counted = duckdb.execute(f"SELECT count(*), {sql} FROM read_parquet({[str(p) for p in paths]})").fetchone()
    assert counted[0] == len(expected)
    for path, count in zip(found, counted[1:]):
        if path == ("timeSeriesEvents",):
            continue    # absent or empty: both are no events
        wanted = sum(at(profile, path) is not None for profile in expected.values())
        assert count == wanted, f"{'.'.join(path)}: {wanted} expected, {count} counted by DuckDB"


def run_request(live, request, folder):
    """Exports, compares; the identities in the order of the rows."""
    is_map = worlds.map_paths(live.world, live.tenant).__contains__
    datasets = {live.ids[plan.name]: model.Dataset(live.ids[plan.name], plan.is_event, plan.is_upsert)
                for plan in live.world.datasets}
    expected = {identity: rows.plain(profile)
                for identity, profile in model.export(live.rows, datasets, request, is_map).items()}
    job, files = live.export(request)
    paths = []
    for name, data in sorted(files.items()):
        paths.append(folder / f"{job['id']}-{name}")
        paths[-1].write_bytes(data)
    exported = list(rows.read_rows(paths))
    actual = {rows.primary_of(row): row for row in exported}
    assert len(actual) == len(exported), "a profile is exported twice"
    compare(live, request, expected, actual)
    check_metrics(job, expected, not request.fields)
    check_order(paths)
    check_counts(paths, expected)
    for path in paths:
        path.unlink()
    return [rows.primary_of(row) for row in exported]


def is_subsequence(some, all_of_them):
    place = {identity: number for number, identity in enumerate(all_of_them)}
    places = [place[identity] for identity in some]
    return places == sorted(places)


@pytest.mark.parametrize("seed", range(SEED, SEED + WORLDS))
def test_exports_of_a_random_world_hold_what_the_model_says(server, tmp_path, seed):
    client = server.add_client(f"world {seed}", org=org_of(seed))
    live = wire.LiveWorld(export_world.Api(server.url, client), worlds.random_world(seed, PEOPLE))
    every_profile = model.Request(empty_profiles=True, events=True)
    every_person = model.Request(graph="pdg", empty_profiles=True, events=True)
    asked = 0
    while live.seq < live.world.batches:
        live.ingest_one()
        # Some exports see the world while it is being built, with fewer and less compacted runs.
        if live.seq == 2 and asked == 0:
            asked += 1
            run_request(live, every_profile, tmp_path)
            run_request(live, every_person, tmp_path)
    order = {request.graph: run_request(live, request, tmp_path) for request in (every_profile, every_person)}
    assert set(order["pdg"]) <= set(order["none"]) | {  # fewer, and of anchors without a fragment of their own
        identity[:2] for row in live.rows for identity in row.identities}
    for _ in range(REQUESTS):
        request = worlds.random_request(live.world, sorted(live.ids.values()), live.seq, live.tenant)
        assert is_subsequence(run_request(live, request, tmp_path), order[request.graph]), request


def test_the_same_data_gives_the_same_bytes_in_any_export(server, tmp_path):
    client = server.add_client("bytes", org=org_of(0xB17E5))
    live = wire.LiveWorld(export_world.Api(server.url, client), worlds.random_world(SEED + 1000, PEOPLE))
    while live.seq < live.world.batches:
        live.ingest_one()
    for request in (model.Request(empty_profiles=True, events=True), model.Request(), model.Request(graph="pdg"),
                    model.Request(graph="pdg", empty_profiles=True, events=True)):
        one, two = live.export(request)[1], live.export(request)[1]
        assert one == two


def test_the_comparison_sees_every_kind_of_difference():
    """The oracle's own test: a wrong row never passes."""
    identity = ("CRMID", "x")
    row = {"a": {"b": 1, "c": [1, None]}, "m": {"k": 2}, "identityMap": {"CRMID": [{"id": "x", "primary": True}]}}
    good = rows.plain(row)
    live = type("Live", (), {"world": worlds.random_world(1, 1), "seq": 1})
    compare(live, model.Request(), {identity: good}, {identity: good})
    for change in ({"a": {"b": 2, "c": [1, None]}}, {"a": {"b": 1, "c": [1]}}, {"a": {"b": 1}}, {"m": {"k": "2"}},
                   {"m": {}}, {"m": {"k": True}}, {"more": ""},
                   {"identityMap": {"CRMID": [{"id": "x", "primary": False}]}},
                   {"identityMap": {"CRMID": [{"id": "x", "primary": True, "authenticatedState": "loggedOut"}]}},
                   {"identityMap": {"CRMID": [{"id": "x", "primary": True}, {"id": "y"}]}}):
        bad = rows.plain({**row, **change})
        with pytest.raises(AssertionError):
            compare(live, model.Request(), {identity: good}, {identity: bad})
    for wrong in ({}, {identity: good, ("CRMID", "z"): good}):
        with pytest.raises(AssertionError):
            compare(live, model.Request(), {identity: good}, wrong)
