# SPDX-License-Identifier: Apache-2.0
"""test_sql_tables.py - what Query Service's statements read: they keep it while it goes, and live tables."""
import socket

import psycopg
import pytest

import export_world
from test_psql import message, receive, sign_in  # noqa: F401 - raw messages


def connect(world, **more):
    return psycopg.connect(**{**world.how, **more}, autocommit=True)


@pytest.fixture
def own(server):
    """A sandbox of its own org, empty but for its schemas and datasets."""
    client = server.add_client("tables", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, client))
    world.client = client
    world.how = server.sql(client)
    return world


# Holding --------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_removed_meanwhile_stays_for_the_statement_that_reads_it(own):
    batches = [own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(k * 50, k * 50 + 50)]) for k in range(2)]
    sql = f"SELECT {own.tenant}.p.firstName FROM crm, range(4000) LIMIT 0".encode()
    with socket.create_connection(("127.0.0.1", own.how["port"]), timeout=60) as s:
        assert sign_in(s, own.how) is None
        s.sendall(message(b"Q", b"BEGIN\0") + message(b"P", b"\0" + sql + b"\0\0\0") + message(b"B", b"p\0\0\0\0\0\0\0\0") +
                  message(b"E", b"p\0\0\0\0\1") + message(b"H"))
        while receive(s)[0] != b"s":
            pass
        own.api.call("POST", f"{export_world.IMPORT}/{batches[0]}?action=REVERT")
        export_world.until("deleted", lambda: own.batch(batches[0])["status"] == "deleted")
        s.sendall(message(b"E", b"p\0\0\0\0\0") + message(b"S"))
        kinds = b""
        while kinds[-1:] != b"Z":
            kinds += receive(s)[0]
        assert kinds.count(b"D") == 100 * 4000 - 1 and b"E" not in kinds
    with connect(own) as db:
        assert db.execute("SELECT count(*) FROM crm").fetchone() == (50,)


def test_statements_go_on_while_batches_come_and_go(own):
    """Every statement sees a number of whole batches, whatever is removed or folded into other runs meanwhile."""
    own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(10)])
    with connect(own) as db:
        for k in range(12):
            batch = own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(10)])
            assert db.execute("SELECT count(*) FROM crm").fetchone()[0] % 10 == 0
            if k % 3 == 0:
                own.api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT")
            for _ in range(5):
                count = db.execute("SELECT count(*) FROM crm").fetchone()[0]
                assert count % 10 == 0 and count > 0


# Live tables ----------------------------------------------------------------------------------------------------


def fill(world):
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}", tier="gold") for n in range(60)])
    world.ingest(world.loyalty, [world.row(n, tier="silver", points=n) for n in range(40, 80)])
    world.ingest(world.crm, [world.row(n, firstName=f"b{n}") for n in range(10)])


def exported(world, **more):
    """The same profiles by an export: {person: fields}."""
    rows = world.rows(world.export(additionalFields={"eventList": {"fields": "_id"}}, emptyProfiles=True, **more))
    return {export_world.person_of(row): (row[world.tenant] or {}).get("p") for row in rows}


def live(db, world, table="profile"):
    sql = f"SELECT identityMap['CRMID'][0].id, {world.tenant}.p.firstName, {world.tenant}.p.tier, {world.tenant}.p.points"
    return {row[0]: row[1:] for row in db.execute(f"{sql} FROM {table}").fetchall()}


def as_rows(profiles):
    return {who: tuple((p or {}).get(name) for name in ("firstName", "tier", "points")) for who, p in profiles.items()}


def test_profile_is_what_an_export_holds_at_every_moment(own):
    with connect(own) as db:
        assert db.execute("SELECT count(*) FROM profile").fetchone() == (0,)
        fill(own)
        assert live(db, own) == as_rows(exported(own)) and len(live(db, own)) == 80
        for n in range(3):
            own.ingest(own.crm, [own.row(70 + n, firstName=f"new{n}")])
            assert live(db, own)[f"c{70 + n:06}"] == (f"new{n}", "silver", 70 + n)
        batch = own.ingest(own.crm, [own.row(500, firstName="brief")])
        assert live(db, own)["c000500"] == ("brief", None, None)
        own.api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT")
        export_world.until("deleted", lambda: own.batch(batch)["status"] == "deleted")
        assert live(db, own) == as_rows(exported(own)) and "c000500" not in live(db, own)


def test_a_profile_that_is_only_events_is_one(own):
    own.ingest(own.clicks, [own.event(1, "e1", "x"), own.event(2, "e2", "y")])
    own.ingest(own.crm, [own.row(1, firstName="a")])
    with connect(own) as db:
        assert live(db, own) == {"c000001": ("a", None, None), "c000002": (None, None, None)}
        assert "timeSeriesEvents" not in [row[0] for row in db.execute("DESCRIBE profile").fetchall()]


def test_a_namespace_that_comes_and_a_link_that_goes_change_profile(own):
    """The default policy asks the identity graph, which changes without any run of the store."""
    def count():
        return db.execute("SELECT count(*) FROM profile").fetchone()[0]

    def linked(n, item):
        row = own.row(n, firstName="a")
        row["identityMap"]["Shop"] = [{"id": item}]
        return row
    own.api.namespace("CRMID")
    own.ingest(own.crm, [linked(1, "s1"), linked(2, "s1"), linked(3, "s3")])
    with connect(own) as db:
        assert count() == 3
        own.api.namespace("Shop")
        assert count() == 2
        batch = own.ingest(own.crm, [linked(2, "s3")])
        assert count() == 1
        own.api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT")
        assert count() == 2


def test_profile_of_another_policy_is_another_table(own):
    fill(own)
    made = own.api.policy("CRM first!", "none", "dataSetPrecedence", order=[own.crm, own.loyalty])
    with connect(own) as db:
        first = live(db, own, "profile_crm_first_")
        assert first == as_rows(exported(own, mergePolicy={"id": made["id"]}))
        assert first["c000050"][1] == "gold" and live(db, own)["c000050"][1] == "silver"
        assert live(db, own, "profile_" + made["id"].replace("-", "_")) == first
        names = [row[0] for row in db.execute("SHOW TABLES").fetchall()]
        assert {"profile", "profile_crm_first_", "segment_membership", "batches", "export_jobs"} <= set(names)
        with pytest.raises(psycopg.errors.UndefinedTable):
            db.execute("SELECT * FROM profile_nobody")
    listed = {row[0] for row in connect(own).execute(
        "SELECT relname FROM pg_catalog.pg_class WHERE relkind = 'v' OR relkind = 'r'").fetchall()}
    assert {"profile", "profile_crm_first_", "batches"} <= listed


@pytest.mark.parametrize("sql, expected", [
    ("SELECT count(*) FROM profile", [(80,)]),
    ("SELECT count(*) * 2 FROM profile p", [(160,)]),
    ("SELECT sum(T.p.points * 2) FROM profile", [(2 * sum(range(40, 80)),)]),
    ("SELECT count(p) FROM profile p WHERE p.T.p.firstName IS NOT NULL", [(60,)]),
    ("SELECT count(*) FROM (FROM profile) x WHERE x.T.p.tier = 'gold'", [(30,)]),
    ("WITH x AS (SELECT * FROM profile) SELECT count(x.T.p.points) FROM x", [(40,)]),
    ("SELECT count(q.T.p.points) FROM (SELECT p AS q FROM profile p)", [(40,)]),
    ("SELECT DISTINCT ON (T.p.tier) * EXCLUDE (identityMap, T) FROM profile WHERE T.p.tier = 'gold' AND _id IS NOT NULL", []),
    ("SELECT to_json(profile) ->> '$.T.p.firstName' FROM profile WHERE T.p.points = 41", [("a41",)]),
    ("SELECT count(x) FROM profile AS p(x)", [(0,)]),
    ("SELECT count(a.T.p.firstName), count(b.T.p.points) FROM profile a JOIN profile b USING (identityMap)", [(60, 40)]),
    ('SELECT count("t"."p"."points") FROM (SELECT T AS t FROM "profile")', [(40,)])])
def test_columns_that_are_left_out_are_never_missed(shop_of_profiles, sql, expected):
    db, world = shop_of_profiles
    assert db.execute(sql.replace("T.p", f"{world.tenant}.p").replace(", T)", f", {world.tenant})").replace(
        "SELECT T ", f"SELECT {world.tenant} ").replace("$.T", f"$.{world.tenant}")).fetchall() == expected


@pytest.fixture(scope="module")
def shop_of_profiles(server):
    client = server.add_client("columns", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, client))
    fill(world)
    world.how = server.sql(client)
    with connect(world) as db:
        yield db, world


def test_a_column_that_is_not_there_is_said_to_be_so(shop_of_profiles):
    with pytest.raises(psycopg.errors.UndefinedColumn):
        shop_of_profiles[0].execute("SELECT nothing FROM profile")


def test_many_at_once_wait_for_one_merge(own):
    fill(own)
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def count(_):
            with connect(own) as db:
                return db.execute(f"SELECT count({own.tenant}.p.points) FROM profile").fetchone()[0]
        assert list(pool.map(count, range(16))) == [40] * 16


def test_batches_and_export_jobs_are_tables(own):
    batch = own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(7)])
    job = own.export()
    with connect(own) as db:
        assert db.execute('SELECT status, "recordCount", "dataSetId" FROM batches WHERE id = %s', [batch]).fetchone() == (
            "success", 7, own.crm)
        found = db.execute('SELECT id, status, "batchId", profiles, created FROM export_jobs').fetchall()
        assert [row[:4] for row in found] == [(str(job["id"]), "SUCCEEDED", job["destination"]["batchId"], 7)]
        assert found[0][4].timestamp() * 1000 == job["creationTime"]
        assert db.execute("SELECT json_extract_string(document, '$.inputFormat.format') FROM batches WHERE id = %s",
                          [batch]).fetchone() == ("json",)


def test_segment_membership_has_a_row_for_each_profile_and_segment(own):
    fill(own)
    made = own.api.call("POST", "/data/core/ups/segment/definitions", 200, {
        "name": "golden", "schema": {"name": "_xdm.context.profile"}, "ttlInDays": 30,
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{own.tenant}.p.tier = "gold"'}})
    job = own.api.call("POST", "/data/core/ups/segment/jobs", 200, [{"segmentId": made["id"]}])
    export_world.until("evaluated", lambda: own.api.call(
        "GET", f"/data/core/ups/segment/jobs/{job['id']}")["status"] == "SUCCEEDED")
    with connect(own) as db:
        found = db.execute('SELECT "identityNamespace", "identityId", namespace, "segmentId", status '
                           "FROM segment_membership ORDER BY 2").fetchall()
        gold = sorted(who for who, (_, tier, _) in live(db, own).items() if tier == "gold")
        assert found == [("CRMID", who, "ups", made["id"], "realized") for who in gold] and len(gold) == 30
        own.api.call("DELETE", f"/data/core/ups/segment/definitions/{made['id']}", 200)
        assert db.execute("SELECT count(*) FROM segment_membership").fetchone() == (0,)
