# SPDX-License-Identifier: Apache-2.0
"""test_query_flatten.py - "prod:all?FLATTEN": members of objects as columns of their own, over the wire and REST."""
import json
import random
import uuid

import psycopg
import pytest

from query_world import QUERY

ROW_COUNT = 40


@pytest.fixture(scope="module")
def nested(shop):
    """A table of objects in objects, lists and maps, with nulls at every level; all leaves are somewhere."""
    chance = random.Random(17)

    def maybe(text, i):
        return text if i == 0 or chance.random() < 0.7 else "NULL"

    def row(i):
        order = maybe(f"{{'total': {i}.5, 'id': {maybe(repr(f'o{i}'), i)}}}", i)
        items = maybe(f"[{{'sku': 's{i}', 'n': {i}}}]", i)
        return (f"SELECT {i} AS n, {{'order': {order}, 'Items': {items}, 'paid': {maybe('true', i)}}} AS commerce, "
                f"{maybe(chr(39) + f'x{i}' + chr(39), i)} AS plain, MAP {{'k': {i}}} AS tags")

    name = "nested_" + uuid.uuid4().hex[:8]
    shop.ok(f"CREATE TABLE {name} AS " + " UNION ALL ".join(row(i) for i in range(ROW_COUNT)))
    return name


@pytest.fixture(scope="module")
def flat(shop):
    with shop.connect(dbname="prod:all?FLATTEN") as opened:
        yield opened


def value(text):
    return json.loads(text) if isinstance(text, str) and text[:1] in "{[" else text


def leaves(node, path=()):
    """{"a.b.c": value} of one nested row: the model."""
    if not isinstance(node, dict) or path == ("tags",):
        return {".".join(path): node}
    found = {}
    for key, member in node.items():
        found.update(leaves(member, path + (key,)))
    return found


def test_every_leaf_is_a_column_and_every_value_is_where_it_was(shop, flat, nested):
    with shop.connect() as db:
        cursor = db.execute(f"SELECT * FROM {nested} ORDER BY n")
        names = [column.name for column in cursor.description]
        model = [leaves(dict(zip(names, map(value, row)))) for row in cursor.fetchall()]
    cursor = flat.execute(f"SELECT * FROM {nested} ORDER BY n")
    columns = [column.name for column in cursor.description]
    assert set(columns) == {"n", "commerce.order.total", "commerce.order.id", "commerce.Items", "commerce.paid", "plain",
                            "tags"}
    assert set(columns) == set(model[0]), "the first row has all leaves"
    rows = [dict(zip(columns, map(value, row))) for row in cursor.fetchall()]
    assert len(rows) == ROW_COUNT
    for row, expected in zip(rows, model):
        assert row == {name: expected.get(name) for name in columns}
    assert any(row["commerce.order.total"] is None for row in rows)


def test_its_columns_are_used_by_their_names_in_quotes(flat, nested):
    assert flat.execute(f'SELECT sum("commerce.order.total"), count("commerce.paid") FROM {nested} '
                        f'WHERE "commerce.order.total" > 3 AND n < 1000').fetchone()[0] > 0
    assert flat.execute(f"SELECT t.\"commerce.items\"[0].sku FROM {nested} t WHERE n = 0").fetchone() == ("s0",)
    with pytest.raises((psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable)):
        flat.execute(f"SELECT commerce.order.total FROM {nested}")
    found = flat.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [nested])
    assert ("commerce.order.total", "double precision") in found.fetchall()
    assert "commerce.paid" in [row[0] for row in flat.execute(f"DESCRIBE {nested}").fetchall()]


def test_live_tables_are_flat_too(shop, flat):
    own = shop.world.tenant
    with shop.connect() as db:
        expected = db.execute(f"SELECT {own}.p.tier FROM profile WHERE {own}.p.firstName = 'n3'").fetchall()
    assert flat.execute(f'SELECT "{own}.p.tier" FROM profile WHERE "{own}.p.firstName" = \'n3\'').fetchall() == expected
    assert f"{own}.p.tier" in [column.name for column in flat.execute("SELECT * FROM profile LIMIT 1").description]
    assert flat.execute("SELECT count(*) FROM batches").fetchone()[0] > 0


def test_sessions_side_by_side_are_each_as_they_asked(shop, flat, nested):
    """They share the workers of the sandbox."""
    with shop.connect() as db:
        for _ in range(4):
            assert len(db.execute(f"SELECT * FROM {nested} LIMIT 1").description) == 4
            assert len(flat.execute(f"SELECT * FROM {nested} LIMIT 1").description) == 7


def test_what_a_flat_session_writes_is_read_flat(shop, flat, nested):
    name = "made_" + uuid.uuid4().hex[:8]
    flat.execute(f'CREATE TABLE {name} AS SELECT n, "commerce.order.total" AS total FROM {nested}')
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(ROW_COUNT,)]
    with pytest.raises(psycopg.Error) as caught:
        flat.execute(f"CREATE TABLE {name}_2 AS SELECT * FROM {nested}")
    assert "commerce" in str(caught.value), "a dot is in no field's name"


@pytest.mark.parametrize("database", ["prod:all?FLATTEN", "prod:all?flatten", "all?FLATTEN", "?FLATTEN"])
def test_the_option_is_read_in_any_case_and_behind_any_name_of_the_sandbox(shop, nested, database):
    with shop.connect(dbname=database) as db:
        assert db.execute(f'SELECT "commerce.order.total" FROM {nested} WHERE n = 0').fetchone() == (0.5,)
        assert db.execute("SELECT current_database()").fetchone() == ("all",)


@pytest.mark.parametrize("database", ["prod:all?FLAT", "prod:all?", "prod:all?FLATTEN&x=1", "prod:all??FLATTEN"])
def test_any_other_option_is_refused(shop, database):
    with pytest.raises(psycopg.OperationalError, match="FLATTEN"):
        shop.connect(dbname=database)
    answer = shop.api.request("POST", QUERY + "/queries", json={"dbName": database, "sql": "SELECT 1"})
    assert answer.status_code == 400 and "FLATTEN" in answer.text


def test_queries_over_rest_take_it_too(shop, nested):
    sql = f'SELECT "commerce.order.total" AS total FROM {nested} WHERE n = 0'
    assert shop.ok(sql, dbName="prod:all?FLATTEN")["rowCount"] == 1
    assert "commerce.order.total" in shop.fails("42703", sql)
    answer = shop.api.call("POST", QUERY + "/accelerated-queries", 200, {"dbName": "prod:all?FLATTEN", "sql": sql})
    assert answer["results"] == [{"total": 0.5}]
    made = "made_" + uuid.uuid4().hex[:8]
    shop.ok(sql, dbName="prod:all?FLATTEN", ctasParameters={"datasetName": made, "description": "d"})
    assert shop.rows(f"SELECT total FROM {made}") == [(0.5,)]
