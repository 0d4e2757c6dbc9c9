# SPDX-License-Identifier: Apache-2.0
"""test_sql_alter.py - ALTER TABLE: identities, which are the schema's descriptors, and keys; SHOW of them."""
import concurrent.futures
import threading

import psycopg
import pytest

import export_world
from export_world import CATALOG, IDENTITY_MAP, PROFILE, REGISTRY
from query_world import Shop, state_of, table

JSON = {"Accept": "application/vnd.adobe.xdm+json"}


@pytest.fixture
def made(db):
    """A table of ad hoc columns."""
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT 'a@x.io' AS mail, 7::BIGINT AS id, 1.5::DOUBLE AS total, "
               "{'deep': {'code': 'c1'}} AS obj, ['x'] AS list")
    return name


def shown(db, what, name):
    return [row[1:] for row in db.execute(f"SHOW {what}").fetchall() if row[0] == name]


def descriptors(shop, name):
    """(type, path, namespace, primary) of a table's schema, as the registry tells them."""
    schema = shop.dataset_of(name)["schemaRef"]["id"]
    found = shop.api.call("GET", REGISTRY + "/descriptors", headers=JSON)
    return sorted((d["xdm:sourceProperty"], d["xdm:namespace"], d["xdm:isPrimary"]) for d in
                  found.get("xdm:descriptorIdentity", []) if d["xdm:sourceSchema"] == schema)


# Identities -------------------------------------------------------------------------------------------------------------


def test_identities_are_descriptors_of_the_table_s_schema(shop, db, made):
    assert db.execute(f"ALTER TABLE {made} ADD CONSTRAINT PRIMARY IDENTITY (MAIL) NAMESPACE 'email'").statusmessage == "ALTER TABLE"
    db.execute(f"ALTER TABLE public.{made} ADD IDENTITY (obj.deep.code) NAMESPACE ECID")
    db.execute(f"ALTER TABLE {made} ADD CONSTRAINT IDENTITY id NAMESPACE 'Phone' NOT ENFORCED")
    assert shown(db, "IDENTITIES", made) == [("id", "bigint", "Phone", "false"), ("mail", "text", "Email", "true"),
                                             ("obj.deep.code", "text", "ECID", "false")]
    assert descriptors(shop, made) == [("/id", "Phone", False), ("/mail", "Email", True), ("/obj/deep/code", "ECID", False)]
    columns = [c.name for c in db.execute("SHOW IDENTITIES").description]
    assert columns == ["tableName", "columnName", "datatype", "namespace", "ifPrimary"]
    assert state_of(db, f"ALTER TABLE {made} DROP IDENTITY (mail)") == "42704"
    assert state_of(db, f"ALTER TABLE {made} DROP PRIMARY IDENTITY (id)") == "42704"
    db.execute(f"ALTER TABLE {made} DROP CONSTRAINT PRIMARY IDENTITY (mail)")
    db.execute(f"ALTER TABLE {made} DROP IDENTITY (obj.deep.code)")
    assert descriptors(shop, made) == [("/id", "Phone", False)]
    assert state_of(db, f"ALTER TABLE {made} DROP IDENTITY (mail)") == "42704"
    db.execute(f"DROP TABLE {made}")
    assert shown(db, "IDENTITIES", made) == []
    assert not [d for d in shop.api.call("GET", REGISTRY + "/descriptors", headers=JSON).get("xdm:descriptorIdentity", [])
                if d["xdm:namespace"] == "Phone"]


def test_a_primary_identity_must_be_there_in_what_comes(shop, db, made):
    db.execute(f"ALTER TABLE {made} ADD PRIMARY IDENTITY (mail) NAMESPACE 'Email'")
    db.execute(f"INSERT INTO {made} SELECT 'b@x.io' AS mail, 8 AS id")
    assert state_of(db, f"INSERT INTO {made} SELECT 9 AS id") == "22000"
    assert db.execute(f"SELECT mail, id FROM {made} ORDER BY id").fetchall() == [("a@x.io", 7), ("b@x.io", 8)]


def test_what_cannot_be_an_identity_is_refused(shop, db, made):
    db.execute(f"ALTER TABLE {made} ADD PRIMARY IDENTITY (mail) NAMESPACE 'Email'")
    for sql, state in [
            ("ADD IDENTITY (nobody) NAMESPACE 'Email'", "42703"), ("ADD IDENTITY (obj) NAMESPACE 'Email'", "42703"),
            ("ADD IDENTITY (list) NAMESPACE 'Email'", "42703"), ("ADD IDENTITY (total) NAMESPACE 'Email'", "42804"),
            ("ADD IDENTITY (id) NAMESPACE 'NobodyKnows'", "42704"), ("ADD IDENTITY (id)", "42601"), ("ADD IDENTITY (id) NAMESPACE ''", "42601"),
            ("ADD IDENTITY (mail) NAMESPACE 'Email'", "42710"), ("ADD PRIMARY IDENTITY (id) NAMESPACE 'Phone'", "42P16"),
            ("ADD IDENTITY (id, mail) NAMESPACE 'Email'", "0A000"), ("ADD CONSTRAINT mine PRIMARY KEY (id)", "0A000"),
            ("DROP CONSTRAINT mine", "0A000"), ("ALTER COLUMN id TYPE TEXT", "0A000"), ("RENAME TO other", "0A000"),
            ("DROP COLUMN id", "0A000"), ("ADD", "42601"), ("ADD IDENTITY (id) NAMESPACE 'Phone' x", "42601")]:
        assert state_of(db, f"ALTER TABLE {made} {sql}") == state, sql
    assert descriptors(shop, made) == [("/mail", "Email", True)]
    assert state_of(db, "ALTER TABLE nobody ADD PRIMARY KEY (id)") == "42P01"
    assert db.execute("ALTER TABLE IF EXISTS nobody ADD PRIMARY KEY (id)").statusmessage == "ALTER TABLE"
    assert state_of(db, "ALTER VIEW v RENAME TO w") == "0A000"
    db.execute(f"CREATE VIEW v_{made} AS SELECT id FROM {made}")
    assert state_of(db, f"ALTER TABLE v_{made} ADD PRIMARY KEY (id)") == "42809"
    assert state_of(db, f"EXPLAIN ALTER TABLE {made} ADD PRIMARY KEY (id)") == "0A000"
    db.execute(f"CREATE TEMP TABLE {made} AS SELECT 1 AS id")
    assert state_of(db, f"ALTER TABLE {made} ADD PRIMARY KEY (id)") == "0A000"
    db.execute(f"ALTER TABLE public.{made} ADD PRIMARY KEY (id)")


def test_a_schema_of_two_tables_is_not_changed_by_one(shop, db):
    world, title = shop.world, table()
    schema = shop.api.call("POST", REGISTRY + "/schemas", 201, {
        "title": title, "type": "object", "allOf": [{"$ref": PROFILE}, {"$ref": IDENTITY_MAP}]})["$id"]
    first, second = table(), table()
    for name in (first, second):
        world.new_dataset({"name": name, "schemaRef": {"id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}})
    assert state_of(db, f"ALTER TABLE {first} ADD IDENTITY (_id) NAMESPACE 'Email'") == "55000"
    shop.api.call("DELETE", CATALOG + "/dataSets/" + shop.dataset_of(second)["id"], 200)
    db.execute(f"ALTER TABLE {first} ADD IDENTITY (_id) NAMESPACE 'Email'")
    assert shown(db, "IDENTITIES", first) == [("_id", "text", "Email", "false")]


# Keys -------------------------------------------------------------------------------------------------------------------


def test_keys_are_kept_and_shown(shop, db, made):
    other = table()
    db.execute(f"CREATE TABLE {other} AS SELECT 7::BIGINT AS id, 1::BIGINT AS b, 'x' AS c")
    assert state_of(db, f"ALTER TABLE {other} ADD FOREIGN KEY (b) REFERENCES {made}(id)") == "42830"
    db.execute(f"ALTER TABLE {made} ADD CONSTRAINT PRIMARY KEY (ID) NAMESPACE 'Phone'")
    db.execute(f"ALTER TABLE {other} ADD PRIMARY KEY (id, c) NOT ENFORCED")
    db.execute(f"ALTER TABLE {other} ADD CONSTRAINT FOREIGN KEY (b) REFERENCES {made}(id) Not ENFORCED")
    db.execute(f"ALTER TABLE {other} ADD FOREIGN KEY (id) REFERENCES public.{made} NAMESPACE 'ECID'")
    assert shown(db, "PRIMARY KEYS", made) == [("id", "bigint", "Phone")]
    assert shown(db, "PRIMARY KEYS", other) == [("c", "text", None), ("id", "bigint", None)]
    assert shown(db, "FOREIGN KEYS", other) == [("b", "bigint", made, "id", None), ("id", "bigint", made, "id", "ECID")]
    assert [c.name for c in db.execute("SHOW FOREIGN KEYS").description] == [
        "tableName", "columnName", "datatype", "referencedTableName", "referencedColumnName", "namespace"]
    for sql, state in [(f"{made} ADD PRIMARY KEY (mail)", "42P16"), (f"{other} ADD FOREIGN KEY (b) REFERENCES {made}(id)", "42710"),
                       (f"{other} ADD FOREIGN KEY (c) REFERENCES {made}(id)", "42804"), (f"{other} ADD FOREIGN KEY (c) REFERENCES nobody(id)", "42P01"),
                       (f"{other} ADD FOREIGN KEY (c) REFERENCES {made}(mail)", "42830"), (f"{made} DROP PRIMARY KEY (id)", "2BP01"),
                       (f"{made} DROP PRIMARY KEY (mail)", "42704"), (f"{other} DROP FOREIGN KEY (c)", "42704"),
                       (f"{made} ADD FOREIGN KEY (id) REFERENCES {other}(id)", "42830"), (f"{made} ADD FOREIGN KEY (id)", "42601"),
                       (f"{other} ADD PRIMARY KEY (id, ID)", "42701")]:
        assert state_of(db, f"ALTER TABLE {sql}") == state, sql
    assert "_keys" not in str(shop.api.call("GET", CATALOG + "/dataSets/" + shop.dataset_of(other)["id"]))
    db.execute(f"ALTER TABLE {other} DROP CONSTRAINT FOREIGN KEY (b)")
    db.execute(f"ALTER TABLE {other} DROP PRIMARY KEY (id, c)")
    assert shown(db, "PRIMARY KEYS", other) == [] and len(shown(db, "FOREIGN KEYS", other)) == 1
    db.execute(f"DROP TABLE {made}")
    assert shown(db, "FOREIGN KEYS", other) == []
    db.execute(f"CREATE TABLE {made} AS SELECT 7::BIGINT AS id")
    db.execute(f"ALTER TABLE {made} ADD PRIMARY KEY (id)")
    db.execute(f"ALTER TABLE {other} ADD FOREIGN KEY (id) REFERENCES {made}(id)")    # the dropped one's is in nobody's way
    assert shown(db, "FOREIGN KEYS", other) == [("id", "bigint", made, "id", None)]


def test_over_rest_in_a_block_and_by_who_may(shop, db, made):
    shop.ok(f"ALTER TABLE {made} ADD PRIMARY KEY (id)")
    shop.fails("42P16", f"ALTER TABLE {made} ADD PRIMARY KEY (mail)")
    assert shop.post(f"ALTER TABLE {made} ADD PRIMARY", expected=400)["detail"]
    shop.ok(f"$$ BEGIN ALTER TABLE {made} DROP PRIMARY KEY (id); ALTER TABLE {made} ADD PRIMARY KEY (mail); END $$")
    assert shown(db, "PRIMARY KEYS", made) == [("mail", "text", None)]
    viewer = shop.server.add_client("reader", org=shop.org, role="viewer")
    with shop.connect(viewer) as reading:
        assert state_of(reading, f"ALTER TABLE {made} DROP PRIMARY KEY (mail)") == "42501"
        assert shown(reading, "PRIMARY KEYS", made) == [("mail", "text", None)]
    other = Shop(shop.server)
    with other.connect() as foreign:
        assert state_of(foreign, f"ALTER TABLE {made} DROP PRIMARY KEY (mail)") == "42P01"
        assert shown(foreign, "PRIMARY KEYS", made) == []


# Columns ----------------------------------------------------------------------------------------------------------------


def test_a_column_more_is_null_in_what_was_there(shop, db, made):
    assert db.execute(f"ALTER TABLE {made} ADD COLUMN note text, score DOUBLE PRECISION").statusmessage == "ALTER TABLE"
    db.execute(f"ALTER TABLE {made} ADD n2 INTEGER, ADD COLUMN big bigint, yes boolean, d date, moment timestamp, v varchar(10)")
    empty = db.execute(f"SELECT note, score, n2, big, yes, d, moment, v FROM {made}")
    kinds = [(c.name, c.type_code) for c in empty.description]
    assert empty.fetchall() == [(None,) * 8]
    assert kinds == [("note", 25), ("score", 701), ("n2", 23), ("big", 20), ("yes", 16), ("d", 1082), ("moment", 1184), ("v", 25)]
    assert db.execute(f"SELECT mail, id FROM {made} WHERE note IS NULL").fetchall() == [("a@x.io", 7)]
    assert [r[0] for r in db.execute(f"DESCRIBE {made}").fetchall()][5:] == ["note", "score", "n2", "big", "yes", "d", "moment", "v"]
    db.execute(f"INSERT INTO {made} SELECT 8 AS id, 'new' AS note, 2 AS n2, true AS yes, DATE '2024-02-29' AS d, "
               "TIMESTAMPTZ '2024-02-29 01:02:03Z' AS moment, 2.5::DOUBLE AS score, 5::BIGINT AS big, 'v' AS v")
    both = db.execute(f"SELECT note, score, n2, big, yes, d, moment, v FROM {made} ORDER BY id")
    assert [(c.name, c.type_code) for c in both.description] == kinds
    rows = both.fetchall()
    assert rows[0] == (None,) * 8 and rows[1][:5] == ("new", 2.5, 2, 5, True)
    assert db.execute(f"SELECT count(note), count(*) FROM {made}").fetchone() == (1, 2)
    first = db.execute(f"SELECT min(snapshot_id) FROM (SELECT history_meta('{made}'))").fetchone()[0]
    assert db.execute(f"SELECT id, note FROM {made} SNAPSHOT AS OF {first}").fetchall() == [(7, None)]
    copy = table()
    db.execute(f"CREATE TABLE {copy} AS SELECT id, note FROM {made}")
    assert db.execute(f"SELECT id, note FROM {copy} ORDER BY id").fetchall() == [(7, None), (8, "new")]
    with shop.connect(dbname="prod:all?FLATTEN") as flat:
        assert flat.execute(f"SELECT \"obj.deep.code\", note FROM {made} ORDER BY id").fetchall() == [("c1", None), (None, "new")]
    db.execute(f"CREATE TEMP TABLE {made} AS SELECT 1 AS x")
    assert db.execute(f"SELECT note FROM public.{made} ORDER BY id").fetchall() == [(None,), ("new",)]
    db.execute(f"ALTER TABLE public.{made} ADD PRIMARY KEY (note)")
    assert state_of(db, f"INSERT INTO public.{made} SELECT 9 AS id, 'x' AS n2") == "42804"


def test_of_sessions_that_add_a_column_at_once_one_does(shop, db, made):
    """Also where their names differ by their case, which names of fields have and names of columns do not."""
    with shop.connect() as second:
        def add(session, sql, start):
            start.wait()
            try:
                session.execute(f"ALTER TABLE {made} ADD COLUMN {sql}")
                return None
            except psycopg.Error as failed:
                return failed.sqlstate

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for i in range(12):
                start = threading.Barrier(2)
                ends = [pool.submit(add, session, sql, start) for session, sql in ((db, f"c{i} int"), (second, f"C{i} text"))]
                assert sorted(str(end.result()) for end in ends) == ["42701", "None"]
    columns = [r[0].lower() for r in db.execute(f"DESCRIBE {made}").fetchall()]
    assert len(columns) == len(set(columns)) and "c11" in columns
    db.execute(f"INSERT INTO {made} SELECT 8 AS id")


def test_what_cannot_be_a_column_is_refused(shop, db, made):
    db.execute(f"ALTER TABLE {made} ADD COLUMN note text")
    for sql, state in [("ADD COLUMN Note text", "42701"), ("ADD COLUMN ok text, MAIL text", "42701"), ("ADD COLUMN x", "42704"),
                       ("ADD COLUMN x jsonb", "42704"), ("ADD COLUMN x int[]", "0A000"), ("ADD COLUMN \"a b\" int", "42601"), ("ADD COLUMN _Tributary int", "42601"),
                       ("ADD COLUMN x int, x int", "42701"), ("ADD COLUMN x int NOT NULL", "42601"), ("ADD COLUMN x varchar(", "42601"),
                       ("ADD COLUMN " + ", ".join(f"c{i} int" for i in range(33)), "54011"), ("DROP COLUMN note", "0A000")]:
        assert state_of(db, f"ALTER TABLE {made} {sql}") == state, sql
    assert [r[0] for r in db.execute(f"DESCRIBE {made}").fetchall()][5:] == ["note"]
    db.execute(f"ALTER TABLE {made} ADD COLUMN IF NOT EXISTS note bigint, fresh date")
    assert db.execute(f"SELECT note, fresh FROM {made}").fetchall() == [(None, None)]
    assert "schemaregistry" in shop.fails("42501", "ALTER TABLE crm ADD COLUMN x int")
    none = table()
    db.execute(f"CREATE TABLE {none} AS SELECT 1 AS a WHERE 1 = 0")
    db.execute(f"ALTER TABLE {none} ADD COLUMN b text")
    assert db.execute(f"SELECT b FROM {none}").fetchall() == []
    db.execute(f"ALTER TABLE {made} ADD COLUMN " + ", ".join(f"c{i} int" for i in range(32)))
    assert db.execute(f"SELECT c31 FROM {made}").fetchall() == [(None,)]


# Profile ----------------------------------------------------------------------------------------------------------------


def test_a_table_made_by_sql_feeds_profile_by_its_identity_and_is_merged(shop, db):
    """CREATE TABLE AS with a schema, ALTER TABLE for its primary identity, then the two switches; another such table
    has the same people, and Profile merges them."""
    api, tenant = shop.api, shop.world.tenant
    names = []
    for part in ("loyalty", "support"):
        group = api.call("POST", REGISTRY + "/fieldgroups", 201, {
            "title": table(), "type": "object", "meta:intendedToExtend": [PROFILE],
            "definitions": {"own": {"properties": {tenant: {"type": "object", "properties": {part: {
                "type": "object", "properties": {"mail": {"type": "string"}, "level": {"type": "string"}, "points": {"type": "integer"}}}}}}}},
            "allOf": [{"$ref": "#/definitions/own"}]})
        title, name = table(), table()
        schema = api.call("POST", REGISTRY + "/schemas", 201, {
            "title": title, "type": "object", "allOf": [{"$ref": PROFILE}, {"$ref": group["$id"]}]})["$id"]
        path = f"{REGISTRY}/schemas/" + schema.replace(":", "%3A").replace("/", "%2F")
        tag = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]
        db.execute(f"CREATE TABLE {name} WITH (schema='{title}') AS SELECT struct(struct('old@x.io' AS mail) AS {part}) AS {tenant}")
        api.call("PATCH", path, 400, tag)  # without an identity it is nobody's
        db.execute(f"ALTER TABLE {name} ADD PRIMARY IDENTITY ({tenant}.{part}.mail) NAMESPACE 'Email'")
        api.call("PATCH", path, 200, tag)
        dataset = shop.dataset_of(name)["id"]
        api.call("PATCH", f"{CATALOG}/dataSets/{dataset}", 200, {"tags": {"unifiedProfile": ["enabled:true"]}})
        db.execute(f"INSERT INTO {name} SELECT struct(struct(c.mail AS mail, '{part}-' || c.n AS level, c.n AS points) AS {part}) AS {tenant} "
                   "FROM (VALUES ('ann@x.io', 1), ('bob@x.io', 2)) c(mail, n)")
        assert shown(db, "IDENTITIES", name) == [(f"{tenant}.{part}.mail", "text", "Email", "true")]
        names.append(name)
    rows = db.execute(f"SELECT {tenant}.loyalty.mail AS mail, {tenant}.loyalty.level AS a, {tenant}.support.level AS b FROM profile "
                      f"WHERE {tenant}.loyalty.mail IN ('ann@x.io', 'bob@x.io', 'old@x.io') ORDER BY 1").fetchall()
    assert rows == [("ann@x.io", "loyalty-1", "support-1"), ("bob@x.io", "loyalty-2", "support-2")]
    found = api.call("GET", "/data/core/ups/access/entities?schema.name=_xdm.context.profile&entityId=ann@x.io&entityIdNS=Email")
    entity = list(found.values())[0]["entity"]
    assert entity[tenant]["loyalty"]["points"] == 1 and entity[tenant]["support"]["points"] == 1
    assert [[one["id"] for one in ids] for ids in entity["identityMap"].values()] == [["ann@x.io"]]
    # in a union its primary identity stays what it is
    assert state_of(db, f"ALTER TABLE {names[0]} DROP PRIMARY IDENTITY ({tenant}.loyalty.mail)") == "55000"


# Crashes ----------------------------------------------------------------------------------------------------------------


def test_what_was_altered_is_there_after_a_crash(tmp_path):
    own = export_world.Server(tmp_path).start()
    try:
        shop, name, other = Shop(own), table(), table()
        with shop.connect() as db:
            db.execute(f"CREATE TABLE {name} AS SELECT 'a' AS mail, 7 AS id")
            db.execute(f"CREATE TABLE {other} AS SELECT 7 AS id")
            db.execute(f"ALTER TABLE {name} ADD PRIMARY IDENTITY (mail) NAMESPACE 'Email'")
            db.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
            db.execute(f"ALTER TABLE {other} ADD FOREIGN KEY (id) REFERENCES {name}(id)")
        own.process.kill()
        own.process.wait()
        own.start()
        shop.enter()
        with shop.connect() as db:
            assert shown(db, "IDENTITIES", name) == [("mail", "text", "Email", "true")]
            assert shown(db, "PRIMARY KEYS", name) == [("id", "integer", None)]
            assert shown(db, "FOREIGN KEYS", other) == [("id", "integer", name, "id", None)]
    finally:
        own.stop()


@pytest.mark.parametrize("sql, what, expected", [
    ("ADD PRIMARY IDENTITY (mail) NAMESPACE 'Email'", "IDENTITIES", [("mail", "text", "Email", "true")]),
    ("ADD PRIMARY KEY (id)", "PRIMARY KEYS", [("id", "integer", None)]), ("ADD COLUMN more date", None, "query_altered"),
    ("ADD COLUMN more date", None, "query_columns_added")])
def test_a_change_that_was_broken_off_is_made_once(tmp_path, sql, what, expected):
    own = export_world.Server(tmp_path).start(TR_CRASH_AT="query_altered" if what else expected)
    try:
        shop, name = Shop(own), table()
        db = shop.connect()
        db.execute(f"CREATE TABLE {name} AS SELECT 'a' AS mail, 7 AS id")
        with pytest.raises(psycopg.Error):
            db.execute(f"ALTER TABLE {name} {sql}")
        own.wait_killed()
        own.start()
        shop.enter()
        job, = [q for q in shop.api.call("GET", "/data/foundation/query/queries?limit=9")["queries"] if "ALTER" in q["effectiveSQL"]]
        assert shop.wait(job["id"])["state"] == "SUCCESS"
        with shop.connect() as again:
            if what:
                assert shown(again, what, name) == expected
            else:
                assert again.execute(f"SELECT id, more FROM {name}").fetchall() == [(7, None)]
                again.execute(f"INSERT INTO {name} SELECT 8 AS id, DATE '2024-02-29' AS more")
                assert again.execute(f"SELECT count(more), count(*) FROM {name}").fetchone() == (1, 2)
    finally:
        own.stop()
