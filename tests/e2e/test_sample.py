# SPDX-License-Identifier: Apache-2.0
"""A file as users upload it (tests/data/crm-profiles.json) goes in unchanged and comes out merged."""
import json

import pytest

import export_world
from export_world import IMPORT, ROOT

FILE = ROOT / "tests" / "data" / "crm-profiles.json"
GROUPS = ["context/profile-person-details", "context/profile-personal-details"]


@pytest.fixture(scope="module")
def records():
    return json.loads(FILE.read_text())


def schema(world, title):
    made = world.api.call("POST", export_world.REGISTRY + "/schemas", 201, {
        "title": title, "type": "object", "meta:immutableTags": ["union"],
        "allOf": [{"$ref": ref} for ref in (export_world.PROFILE, export_world.IDENTITY_MAP,
                                            *("https://ns.adobe.com/xdm/" + group for group in GROUPS))]})
    return made["$id"]


def upload(world, dataset, data, **input_format):
    batch = world.api.call("POST", IMPORT, 201, {
        "datasetId": dataset, "inputFormat": {"format": "json", **input_format}})["id"]
    answer = world.api.request("PUT", f"{IMPORT}/{batch}/datasets/{dataset}/files/crm-profiles.json", data=data,
                               headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code in (200, 201), answer.text
    world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
    return world.wait_batch(batch)


@pytest.fixture(scope="module")
def merged(world, records):
    """The exported rows by LOYALTYID, after the file and a later record of the first person."""
    crm = world.dataset("crm sample", schema(world, "crm sample"))
    shop = world.dataset("shop sample", schema(world, "shop sample"))
    found = upload(world, crm, FILE.read_bytes(), isMultiLineJson=True)
    assert found["recordCount"] == len(records) and found["failedRecordCount"] == 0 and not found["errors"]
    first = {"identityMap": {"LOYALTYID": records[0]["identityMap"]["LOYALTYID"]},
             "personalEmail": {"address": "new@example.com"},
             "homeAddress": {"city": "Gent"}}
    upload(world, shop, json.dumps(first).encode())
    return {export_world.person_of(row): row for row in world.rows(world.export())}


def primary(record):
    return record["identityMap"]["LOYALTYID"][0]["id"]


def plain(value):
    """Without members that are null, dates as text: what JSON would say."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def stored(record):
    """A date is a date: the sample writes some with one digit, as "1979-01-3"."""
    born = "-".join(part.zfill(2) for part in record["person"]["birthDate"].split("-"))
    return {**record, "person": {**record["person"], "birthDate": born}}


def identities(items):
    return {(code, item["id"], bool(item.get("primary"))) for code, list_ in items for item in list_}


def test_every_record_is_a_profile_under_its_primary_identity(merged, records):
    assert set(merged) == {primary(record) for record in records}


def test_what_nobody_contradicts_comes_out_as_it_went_in(merged, records):
    for record in records[1:]:
        row = merged[primary(record)]
        for name in ("person", "homePhone", "personalEmail", "homeAddress"):
            assert plain(row[name]) == stored(record)[name], name


def test_all_identities_are_kept_and_one_is_primary(merged, records):
    for record in records:
        row = merged[primary(record)]
        assert identities(row["identityMap"]) == identities(record["identityMap"].items())


def test_a_newer_fragment_wins_leaf_by_leaf(merged, records):
    row = merged[primary(records[0])]
    assert row["personalEmail"]["address"] == "new@example.com"
    assert plain(row["homeAddress"]) == {**records[0]["homeAddress"], "city": "Gent"}
    assert plain(row["person"]) == stored(records[0])["person"]


