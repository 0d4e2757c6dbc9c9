# SPDX-License-Identifier: Apache-2.0
"""test_sql_views.py - CREATE VIEW: queries with a name, by psycopg, psql, SQLAlchemy and REST."""
import os
import random
import shutil
import subprocess
import uuid

import psycopg
import pytest

import export_world
from query_world import QUERY, ROWS, Shop, state_of, table


@pytest.fixture(scope="module")
def shop(server):
    return Shop(server)


@pytest.fixture(scope="module")
def db(shop):
    with shop.connect() as opened:
        yield opened


def name(stem="v"):
    return f"{stem}_{uuid.uuid4().hex[:10]}"


def view(db, sql, stem="v", columns=""):
    made = name(stem)
    assert db.execute(f"CREATE VIEW {made}{columns} AS {sql}").statusmessage == "CREATE VIEW"
    return made


def failure(db, sql):
    with pytest.raises(psycopg.Error) as caught:
        db.execute(sql).fetchall()
    return caught.value.sqlstate, str(caught.value)


def points(shop):
    """Of the three rows of loyalty: 0, 1, 2."""
    return f"SELECT {shop.world.tenant}.p.points AS n, {shop.world.tenant}.p.tier AS tier FROM loyalty"


def test_a_view_is_its_query_by_name(db, shop):
    v = view(db, f"SELECT n * 2 AS twice FROM ({points(shop)}) WHERE n > 0 -- to the end")
    assert sorted(db.execute(f"SELECT twice FROM {v}").fetchall()) == [(2,), (4,)]
    assert db.execute(f"SELECT max(a.twice), count(*) FROM public.{v.upper()} a, crm").fetchone() == (4, 2 * ROWS)
    assert [row[:2] for row in db.execute(f"DESCRIBE {v}").fetchall()] == [("twice", "INTEGER")]
    assert db.execute(f"SELECT count(*) FROM {v} WHERE twice = %s", (2,)).fetchone() == (1,)
    assert db.execute(f"WITH w AS (SELECT * FROM {v}) SELECT count(*) FROM w, (SELECT * FROM {v}) x").fetchone() == (4,)
    assert db.execute(f"SELECT table_exists('{v}'), table_exists('{v}x')").fetchone() == (True, False)
    with db.cursor().copy(f"COPY (SELECT * FROM {v} ORDER BY 1) TO STDOUT") as copied:
        assert list(copied.rows()) == [("2",), ("4",)]
    assert db.execute(f"DROP VIEW {v}").statusmessage == "DROP VIEW"
    assert state_of(db, f"SELECT * FROM {v}") == "42P01"
    assert db.execute(f"DROP VIEW IF EXISTS {v}").statusmessage == "DROP VIEW"
    assert state_of(db, f"DROP VIEW {v}") == "42P01"


def test_its_columns_can_be_named(db):
    v = view(db, "SELECT 1 AS x, 2 AS y", columns='(a, "B c")')
    assert [c.name for c in db.execute(f"SELECT * FROM {v}").description] == ["a", "B c"]
    v = view(db, "SELECT 1 AS x, 2 AS y", columns="(a)")
    assert [c.name for c in db.execute(f"SELECT * FROM {v}").description] == ["a", "y"]
    v = view(db, "SELECT 1 AS x, 2 AS x", columns="(a, b)")
    assert db.execute(f"SELECT b, a FROM {v}").fetchone() == (2, 1)


def test_or_replace_and_if_not_exists(db):
    v = view(db, "SELECT 1 AS a")
    assert state_of(db, f"CREATE VIEW {v} AS SELECT 2 AS a") == "42P07"
    db.execute(f"CREATE VIEW IF NOT EXISTS {v} AS SELECT 3 AS a")
    assert db.execute(f"SELECT a FROM {v}").fetchone() == (1,)
    db.execute(f"CREATE OR REPLACE VIEW {v} AS SELECT 'four' AS a, 5 AS b")
    assert db.execute(f"SELECT * FROM {v}").fetchone() == ("four", 5)
    new = name()
    db.execute(f"CREATE OR REPLACE VIEW {new} AS SELECT 1 AS a")
    assert db.execute(f"SELECT * FROM {new}").fetchone() == (1,)


@pytest.mark.parametrize("sql, state, words", [
    ("CREATE VIEW {v} AS SELECT nothing FROM crm", "42703", "nothing"),
    ("CREATE VIEW {v} AS SELECT * FROM no_such", "42P01", "no_such"),
    ("CREATE VIEW {v} AS SELECT 1 +", "42601", "syntax"),
    ("CREATE VIEW {v} AS SELECT no_such(1)", "42883", "no_such"),
    ("CREATE VIEW {v} AS SELECT * FROM '/etc/passwd'", "42P01", "passwd"),
    ("CREATE VIEW {v} AS SELECT * FROM read_text('/etc/passwd')", "42883", "read_text"),
    ("CREATE VIEW {v} AS SELECT getenv('HOME')", "42883", "getenv"),
    ("CREATE VIEW {v} AS SELECT * FROM {v}", "42P17", "reads itself"),
    ("CREATE OR REPLACE VIEW {v} AS SELECT * FROM {v}", "42P17", "{v}"),
    ("CREATE VIEW {v} AS DROP TABLE crm", "42601", "SELECT"),
    ("CREATE VIEW {v}", "42601", "AS"),
    ("CREATE VIEW {v}(a, b) AS SELECT 1 AS x", "42601", "names 2 columns"),
    ("CREATE VIEW {v}(a, A) AS SELECT 1 AS x, 2 AS y", "42701", "two columns"),
    ("CREATE VIEW {v} AS SELECT 1 AS x, 2 AS X", "42701", "two columns"),
    ("CREATE VIEW {v} AS SELECT $1 AS x", "0A000", "no value"),
    ("CREATE VIEW {v} AS SELECT * FROM pg_catalog.pg_class", "0A000", "catalog"),
    ("CREATE VIEW {v} AS SELECT main.a.x FROM main.crm a", "42P01", "main.crm"),
    ("CREATE VIEW {v} AS SELECT 1; DROP TABLE crm", None, ""),
    ('CREATE VIEW "{v} x" AS SELECT 1 AS a', "42602", "letters"),
    ("CREATE VIEW v_" + "x" * 62 + " AS SELECT 1 AS a", "42602", "at most 63"),
    ("CREATE VIEW `0123456789abcdef01234567` AS SELECT 1 AS a", "42602", "dataset"),
    ("CREATE VIEW other.{v} AS SELECT 1 AS a", "0A000", "this database"),
    ("CREATE VIEW crm AS SELECT 1 AS a", "42P07", "crm"), ("CREATE OR REPLACE VIEW CRM AS SELECT 1 AS a", "42P07", "crm"),
    ("CREATE VIEW profile AS SELECT 1 AS a", "42P07", "profile"), ("CREATE VIEW Batches AS SELECT 1 AS a", "42P07", "batches"),
    ("CREATE VIEW {v} AS SELECT '" + "x" * 32 * 1024 + "' AS a", "54000", "limit is 32768"),
    ("DROP VIEW crm", "42809", "DROP TABLE"), ("DROP VIEW a, b", "42601", "one at a time"),
    ("CREATE TEMP VIEW {v} AS SELECT 1 AS a", "0A000", ""), ("CREATE MATERIALIZED VIEW {v} AS SELECT 1 AS a", "0A000", "CREATE TABLE"),
    ("EXPLAIN DROP VIEW {v}", "0A000", "plan")])
def test_what_is_wrong_with_a_view_is_told_when_it_is_made(db, sql, state, words):
    v = name()
    if state is None:    # two statements
        db.execute(sql.format(v=v).replace("DROP TABLE crm", "SELECT 1"))
        return
    found, text = failure(db, sql.format(v=v))
    assert (found, words.format(v=v) in text) == (state, True), text
    assert state_of(db, f"SELECT * FROM {v}") == "42P01"


def test_a_view_s_name_is_nobody_else_s(db, shop):
    v = view(db, "SELECT 1 AS a")
    assert state_of(db, f"CREATE TABLE {v} AS SELECT 2 AS a") == "42P07"
    assert state_of(db, f"DROP TABLE {v}") == "42809"
    assert state_of(db, f"INSERT INTO {v} SELECT 2 AS a") == "42809"
    dataset = shop.world.dataset(f"{v}!", shop.world.schema(export_world.PROFILE, f"{v}!", {"n": {"type": "integer"}}))
    assert shop.dataset_of(f"{v}_2")["id"] == dataset
    assert db.execute(f"SELECT a FROM {v}").fetchone() == (1,)
    db.execute(f"DROP VIEW {v}")
    db.execute(f"CREATE TABLE {v} AS SELECT 2 AS a")
    assert db.execute(f"SELECT a FROM {v}").fetchone() == (2,)


def test_views_read_views_so_deep_at_most(db):
    below = view(db, "SELECT 1 AS a")
    bottom = below
    for _ in range(15):
        below = view(db, f"SELECT a + 1 AS a FROM {below}")
    assert db.execute(f"SELECT a FROM {below}").fetchone() == (16,)
    assert failure(db, f"CREATE VIEW {name()} AS SELECT a FROM {below}")[0] == "54001"
    state, text = failure(db, f"CREATE OR REPLACE VIEW {bottom} AS SELECT a FROM {below}")
    assert state == "42P17" and bottom in text
    assert db.execute(f"SELECT a FROM {below}").fetchone() == (16,)


def test_views_that_became_too_deep_do_not_take_others_along(shop):
    with Shop(shop.server).connect() as db:
        def chain(length, bottom):
            made = [view(db, bottom)]
            for _ in range(length - 1):
                made.append(view(db, f"SELECT a FROM {made[-1]}"))
            return made
        upper, lower = chain(12, "SELECT 1 AS a"), chain(8, "SELECT 2 AS a")
        db.execute(f"CREATE OR REPLACE VIEW {upper[0]} AS SELECT a FROM {lower[-1]}")
        assert failure(db, f"SELECT * FROM {upper[-1]}")[0] == "54001"
        readable = {row[0] for row in db.execute("SHOW VIEWS").fetchall() if row[4] == "true"}
        assert readable == {*lower, *upper[:8]}
        assert failure(db, f"SELECT * FROM {upper[-1]}")[0] == "54001"
        assert db.execute(f"SELECT a FROM {upper[7]}").fetchone() == (2,)


def test_views_read_each_other_so_often_at_most(db):
    """Each is fine on its own; together the engine would bind the last one thirty to the power of six times."""
    names = [view(db, "SELECT 1 AS a") for _ in range(7)]
    for below, above in reversed(list(zip(names, names[1:]))):
        db.execute(f"CREATE OR REPLACE VIEW {above} AS SELECT x0.a FROM " + ", ".join(f"{below} x{i}" for i in range(30)))
    assert db.execute(f"SELECT count(*) FROM {names[2]}").fetchone() == (1,)    # 1 + 30 + 900
    for above in names[3:]:
        state, text = failure(db, f"SELECT * FROM {above}")
        assert state == "54000" and names[3] in text and "1000 times" in text
    assert failure(db, f"SELECT 1 FROM {names[2]} a, {names[2]} b")[0] == "54000"
    # a text is counted once, also where it is checked several times to find what its names mean
    assert db.execute(f"SELECT a FROM {names[2]} WHERE 'one' = \"one\"").fetchone() == (1,)
    listed = {row[0]: row[4] for row in db.execute("SHOW VIEWS").fetchall()}
    assert [listed[n] for n in names] == ["true"] * 3 + ["false"] * 4
    assert failure(db, f"CREATE VIEW {name()} AS SELECT a FROM {names[3]}")[0] == "54000"


def test_a_circle_by_way_of_a_drop_is_refused_too(db):
    a = view(db, "SELECT 1 AS x")
    b = view(db, f"SELECT x FROM {a}")
    db.execute(f"DROP VIEW {a}")
    assert state_of(db, f"CREATE VIEW {a} AS SELECT x FROM {b}") == "42P17"
    db.execute(f"CREATE VIEW {a} AS SELECT 7 AS x")
    assert db.execute(f"SELECT x FROM {b}").fetchone() == (7,)


def test_a_view_whose_table_is_dropped_names_both_and_comes_back_with_it(db):
    t = table()
    db.execute(f"CREATE TABLE {t} AS SELECT 1 AS a")
    v = view(db, f"SELECT a FROM {t}")
    above = view(db, f"SELECT a FROM {v}")
    assert failure(db, f"DROP TABLE {t} RESTRICT")[0] == "2BP01"
    assert failure(db, f"DROP VIEW {v} RESTRICT")[0] == "2BP01"
    db.execute(f"DROP TABLE {t}")
    for broken in (v, above):
        state, text = failure(db, f"SELECT * FROM {broken}")
        assert state == "42P01" and v in text and t in text
    assert db.execute("SELECT count(*) FROM crm").fetchone() == (ROWS,)
    assert (v, "VIEW") in db.execute("SELECT table_name, table_type FROM information_schema.tables").fetchall()
    assert {row[0]: row[4] for row in db.execute("SHOW VIEWS").fetchall()}[above] == "false"
    db.execute(f"CREATE TABLE {t} AS SELECT 'two' AS a")
    assert db.execute(f"SELECT a FROM {above}").fetchone() == ("two",)
    db.execute(f"DROP VIEW {above} RESTRICT")


def test_names_that_only_look_like_a_view_s_do_not_meet_it(db):
    """A column or WITH of a view's name, also of one that cannot be read."""
    t = table()
    db.execute(f"CREATE TABLE {t} AS SELECT 1 AS a")
    v = view(db, f"SELECT a FROM {t}")
    db.execute(f"DROP TABLE {t}")
    assert db.execute(f"SELECT 1, {v} FROM (SELECT 2 AS {v}) s").fetchone() == (1, 2)
    assert db.execute(f"WITH {v} AS (SELECT 3 AS a) SELECT a FROM {v}").fetchone() == (3,)
    w = view(db, f"SELECT {v} FROM (SELECT 1 AS a, 4 AS {v}) s")
    assert db.execute(f"SELECT * FROM {w}").fetchone() == (4,)


def test_spark_s_words_are_read_in_views(db):
    v = view(db, "SELECT nvl(NULL, 'x') AS a, array(10, 20)[0] AS b, explode(map('k', 1)) FROM range(1) `t` WHERE 'z' == \"z\" MINUS SELECT '', 0, '', 0")
    assert db.execute(f"SELECT * FROM {v}").fetchall() == [("x", 10, "k", 1)]
    v = view(db, "SELECT explode(array(1, 2)) AS c")
    assert sorted(db.execute(f"SELECT c FROM {v}").fetchall()) == [(1,), (2,)]


def test_snapshots_are_of_tables_also_in_a_view(db, shop):
    t = table()
    db.execute(f"CREATE TABLE {t} AS SELECT 1 AS a")
    first = db.execute(f"SELECT max(snapshot_id) FROM (SELECT history_meta('{t}'))").fetchone()[0]
    db.execute(f"INSERT INTO {t} SELECT 2 AS a")
    v = view(db, f"SELECT a FROM {t} SNAPSHOT SINCE {first}")
    assert db.execute(f"SELECT a FROM {v}").fetchall() == [(2,)]
    for sql in (f"SELECT * FROM {v} SNAPSHOT SINCE {first}", f"SELECT history_meta('{v}')"):
        state, text = failure(db, sql)
        assert state == "0A000" and f'"{v}" is a view' in text
        assert f'"{v}" is a view' in shop.fails("0A000", sql)
    db.execute(f"DROP TABLE {t}")
    db.execute(f"CREATE TABLE {t} AS SELECT 3 AS a")
    state, text = failure(db, f"SELECT * FROM {v}")
    assert state == "22023" and v in text and f"no snapshot {first}" in text
    assert v in [row[0] for row in db.execute("SHOW VIEWS").fetchall()]


def test_views_of_live_tables(db, shop):
    tier = f"{shop.world.tenant}.p.tier"
    v = view(db, f"SELECT {tier} AS tier, count(*) AS n FROM profile GROUP BY 1")
    assert sorted(db.execute(f"SELECT * FROM {v}").fetchall()) == [("gold", 2), ("silver", 3)]
    assert sorted(db.execute(f"SELECT v.*, pg_catalog.pg_get_userbyid(10) FROM {v} v").fetchall()) == [
        ("gold", 2, "postgres"), ("silver", 3, "postgres")], "also when a tool asks"
    first = view(db, "FROM profile")
    assert db.execute(f"SELECT count({tier}), count(identityMap) FROM {first}").fetchone() == (5, 5)
    b = view(db, "SELECT status FROM batches")
    assert db.execute(f"SELECT count(*) FROM {b} WHERE status = 'success'").fetchone()[0] >= 2


def test_a_statement_sees_a_view_and_its_tables_of_one_moment(db, shop):
    t = table()
    db.execute(f"CREATE TABLE {t} AS SELECT 1 AS a")
    v = view(db, f"SELECT count(*) AS n FROM {t}")
    for i in range(2, 5):
        db.execute(f"INSERT INTO {t} SELECT {i} AS a")
        assert db.execute(f"SELECT n, (SELECT count(*) FROM {t}) FROM {v}").fetchone() == (i, i)


# What is written from them, REST -----------------------------------------------------------------------------------


def test_views_over_rest(shop):
    v, t = name(), table()
    done = shop.ok(f"CREATE VIEW {v} AS {points(shop)}")
    loyalty = shop.dataset_of("loyalty")["id"]
    assert [r["id"] for r in done["_links"]["referenced_datasets"]] == [loyalty]
    assert (done["rowCount"], done["isCTAS"], done["isInsertInto"]) == (0, False, False)
    done = shop.ok(f"SELECT * FROM {v}")
    assert (done["rowCount"], [r["id"] for r in done["_links"]["referenced_datasets"]]) == (3, [loyalty])
    assert shop.ok(f"CREATE TABLE {t} AS SELECT * FROM {v}")["rowCount"] == 3
    assert shop.ok(f"INSERT INTO {t} SELECT * FROM {v} WHERE n = 1")["rowCount"] == 1
    assert sorted(shop.rows(f"SELECT n FROM {t}")) == [(0,), (1,), (1,), (2,)]
    assert shop.ok(ctasParameters={"datasetName": t + "b", "description": "d"}, sql=f"SELECT * FROM {v}")["rowCount"] == 3
    found = shop.api.call("POST", QUERY + "/accelerated-queries", 200,
                          {"dbName": "prod:all:x", "sql": f"SELECT sum(n) AS n FROM {v}", "name": "a", "description": "b"})
    assert found["results"] == [{"n": 3}]
    assert "syntax" in shop.post(f"CREATE VIEW {v}x AS SELECT FROM WHERE", 400)["detail"]
    assert v in shop.fails("42P07", f"CREATE VIEW {v} AS SELECT 1 AS a")
    shop.ok(f"$$ BEGIN CREATE OR REPLACE VIEW {v} AS SELECT 1 AS a; DROP VIEW {v}; END $$")
    assert v in shop.fails("42P01", f"SELECT * FROM {v}")


def test_a_viewer_uses_views_and_makes_none(shop, server, db):
    v = view(db, "SELECT 1 AS a")
    with shop.connect(server.add_client("viewer", org=shop.org, role="viewer")) as viewer:
        assert viewer.execute(f"SELECT a FROM {v}").fetchone() == (1,)
        for sql in (f"CREATE VIEW {name()} AS SELECT 1 AS a", f"CREATE OR REPLACE VIEW {v} AS SELECT 2 AS a", f"DROP VIEW {v}"):
            assert state_of(viewer, sql) == "42501"


def test_a_view_is_of_its_sandbox_and_goes_with_it(server, shop, db):
    v = view(db, "SELECT 'ours' AS a")
    other = Shop(server)
    with other.connect() as theirs:
        assert state_of(theirs, f"SELECT * FROM {v}") == "42P01"
        assert v not in [row[0] for row in theirs.execute("SHOW VIEWS").fetchall()]
        assert theirs.execute(f"CREATE VIEW {v} AS SELECT 'theirs' AS a").statusmessage == "CREATE VIEW"
        assert theirs.execute(f"SELECT a FROM {v}").fetchone() == ("theirs",)
    assert db.execute(f"SELECT a FROM {v}").fetchone() == ("ours",)


# Flat ---------------------------------------------------------------------------------------------------------------


def test_of_flatten_a_view_is_flat_and_reads_what_it_was_written_for(db, shop):
    tenant = shop.world.tenant
    v = view(db, f"SELECT {tenant}.p AS p, {tenant}.p.points + 1 AS more FROM loyalty")
    above = view(db, f"SELECT p.points AS n, {{'a': {{'b': more}}}} AS s FROM {v} ORDER BY n")
    with shop.connect(dbname="prod:all?FLATTEN") as flat:
        assert sorted(flat.execute(f'SELECT "p.points", more FROM {v}').fetchall()) == [(0, 1), (1, 2), (2, 3)]
        assert [c.name for c in flat.execute(f"SELECT * FROM {above}").description] == ["n", "s.a.b"]
        assert flat.execute(f'SELECT sum(n), sum("s.a.b"), (SELECT sum("{tenant}.p.points") FROM loyalty) FROM {above}'
                            ).fetchone() == (3, 6, 3)
        assert state_of(flat, f"CREATE VIEW {name()} AS SELECT 1 AS a") == "0A000"
        assert (v, "more") in flat.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
    assert sorted(db.execute(f"SELECT p.points, more FROM {v}").fetchall()) == [(0, 1), (1, 2), (2, 3)]


def test_a_temporary_table_is_no_part_of_a_view(shop):
    with shop.connect() as db:
        t, u, gone = table(), table(), table()
        db.execute(f"CREATE TABLE {t} AS SELECT 'stays' AS a")
        v = view(db, f"SELECT a FROM {t}")
        above = view(db, f"SELECT a FROM {v}")
        over_gone = view(db, f"SELECT a FROM {t}, (SELECT 1 AS b) s")
        db.execute(f"CREATE TEMP TABLE {t} AS SELECT 'ours' AS a, 1 AS b")
        assert db.execute(f"SELECT (SELECT a FROM {t}), (SELECT a FROM public.{t}), a FROM {above}").fetchone() == (
            "ours", "stays", "stays")
        assert db.execute(f"SELECT pg_catalog.pg_get_userbyid(1), x.a, y.a FROM {above} x, {t} y").fetchone()[1:] == ("stays", "ours")
        assert (above, "a") in db.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
        assert not [row for row in db.execute("SELECT relname FROM pg_class").fetchall() if "@" in row[0]]
        state, text = failure(db, f"CREATE VIEW {name()} AS SELECT a FROM {t}")
        assert state == "0A000" and f"public.{t}" in text
        public = view(db, f"SELECT a FROM public.{t}")
        assert db.execute(f"SELECT a FROM {public}").fetchone() == ("stays",)
        db.execute(f"CREATE TABLE {u} AS SELECT x.a, y.b FROM {above} x, {t} y")
        assert db.execute(f"SELECT * FROM {u}").fetchone() == ("stays", 1)
        db.execute(f"CREATE TEMP TABLE {v} AS SELECT 'a temporary one' AS a")
        assert db.execute(f"SELECT x.a, y.a, z.a FROM {v} x, public.{v} y, {above} z").fetchone() == (
            "a temporary one", "stays", "stays")
        db.execute(f"DROP TABLE public.{t}")
        for broken in (f"SELECT x.a FROM {over_gone} x, {t}", f"SELECT * FROM {above} z, {t}"):
            state, text = failure(db, broken)
            assert state == "42P01" and t in text and "view" in text
        db.execute(f"CREATE TEMP TABLE {gone} AS SELECT 1 AS a")
        assert failure(db, f"CREATE VIEW {name()} AS SELECT 1 AS a FROM public.{gone}")[0] == "42P01"
    with shop.connect(dbname="prod:all?FLATTEN") as flat:
        flat.execute(f"CREATE TEMP TABLE {t} AS SELECT 2 AS n")
        w = name()
        with shop.connect() as plain:
            plain.execute(f"CREATE VIEW {w} AS SELECT {{'x': 5}} AS s")
        assert flat.execute(f'SELECT "s.x", n FROM {w}, {t}').fetchone() == (5, 2)


# Tools --------------------------------------------------------------------------------------------------------------


def psql(shop, *words):
    environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(shop.how["port"]), "PGUSER": shop.how["user"],
                   "PGPASSWORD": shop.how["password"], "PGDATABASE": "prod:all"}
    done = subprocess.run(["psql", "-X", "-A", "-t", *words], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == "" or "WARNING" in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_shows_views(db, shop):
    v = view(db, f"SELECT n AS a, 'x' AS b FROM ({points(shop)})")
    assert f"public|{v}|view|postgres" in psql(shop, "-c", r"\d").splitlines()
    assert "public|crm|table|postgres" in psql(shop, "-c", r"\d").splitlines()
    assert f"public|{v}|view|postgres" in psql(shop, "-c", r"\dv").splitlines()
    assert "crm" not in psql(shop, "-c", r"\dv") and v not in psql(shop, "-c", r"\dt")
    assert psql(shop, "-c", rf"\d {v}").splitlines() == ["a|integer|||", "b|text|||"]
    assert "FROM loyalty)" in psql(shop, "-P", "tuples_only=off", "-c", rf"\d+ {v}")
    assert f"{v}|" in psql(shop, "-c", "SHOW VIEWS")


def test_catalog_tables_tell_of_views(db):
    v = view(db, "SELECT 1 AS a")
    assert db.execute("SELECT definition, viewowner FROM pg_views WHERE viewname = %s", (v,)).fetchone() == ("SELECT 1 AS a", "postgres")
    assert db.execute("SELECT view_definition FROM information_schema.views WHERE table_name = %s", (v,)).fetchone() == ("SELECT 1 AS a",)
    assert db.execute(f"SELECT relkind, pg_get_viewdef(oid) FROM pg_class WHERE oid = '{v}'::regclass").fetchone() == ("v", "SELECT 1 AS a")
    assert db.execute("SELECT count(*) FROM pg_tables WHERE tablename = %s", (v,)).fetchone() == (0,)
    row = {row[0]: row for row in db.execute("SHOW VIEWS").fetchall()}[v]
    assert row == (v, "", "", "SELECT 1 AS a", "true")
    assert v not in [row[0] for row in db.execute("SHOW TABLES").fetchall()]


def test_sqlalchemy_s_inspector_knows_views(db, shop):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    v = view(db, "SELECT 1 AS a, 'x' AS b")
    url = sqlalchemy.URL.create("postgresql+psycopg", shop.how["user"], shop.how["password"], "127.0.0.1",
                                shop.how["port"], "prod:all")
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert v in inspector.get_view_names() and v not in inspector.get_table_names()
    assert inspector.get_view_definition(v) == "SELECT 1 AS a, 'x' AS b"
    assert [column["name"] for column in inspector.get_columns(v)] == ["a", "b"]
    with engine.connect() as connection:
        reflected = sqlalchemy.Table(v, sqlalchemy.MetaData(), autoload_with=connection)
        assert connection.execute(sqlalchemy.select(reflected)).fetchall() == [(1, "x")]
    engine.dispose()


# At random: a query through views is the query with their texts in it ------------------------------------------------


SEED = int(os.environ.get("TR_SEED", "0") or "0") or random.randrange(2**31)


def test_a_query_through_views_is_the_query_with_their_texts_in_it(db, shop):
    chance = random.Random(SEED)
    tables = []
    for i in range(3):
        tables.append(table())
        rows = ", ".join(f"({chance.randrange(6)}, {chance.choice(['NULL', chr(39) + 'a' + chr(39), chr(39) + 'b' + chr(39)])})"
                         for _ in range(12))
        db.execute(f"CREATE TABLE {tables[-1]} AS SELECT * FROM (VALUES {rows}) t(n, s)")
    texts = {}    # name: its text with nothing but tables in it

    def source(by_name):
        """What stands in FROM, and the same without views."""
        if texts and chance.random() < 0.7:
            v = chance.choice(list(texts))
            return (v if by_name else f"({texts[v]})"), v
        t = chance.choice(tables)
        return t, t

    def query():
        """One query in two forms: through views, and with their texts in place."""
        picks = []
        for _ in range(chance.randrange(1, 3)):
            v = chance.choice(list(texts)) if texts and chance.random() < 0.7 else None
            t = chance.choice(tables)
            picks.append((v or t, f"({texts[v]})" if v else t))
        where = chance.choice(["", " WHERE x.n > 1", " WHERE x.s IS NOT NULL", " WHERE x.n IN (SELECT n FROM {s})"])
        shape = chance.choice(["SELECT x.n, x.s FROM {x} x", "SELECT x.n + 1 AS n, x.s FROM {x} x",
                               "SELECT x.n, count(*)::VARCHAR AS s FROM {x} x{w} GROUP BY x.n",
                               "WITH c AS (SELECT * FROM {x}) SELECT x.n, upper(x.s) AS s FROM c x",
                               "SELECT DISTINCT x.n, x.s FROM {x} x",
                               "SELECT x.n, y.s FROM {x} x JOIN {y} y USING (n)"])
        sql = shape if "{w}" in shape else shape + "{w}"
        return [sql.format(x=picks[0][side], y=picks[-1][side], w=where.format(s=picks[-1][side])) for side in (0, 1)]
    for round_number in range(40):
        through, inlined = query()
        expected = sorted(map(repr, db.execute(inlined).fetchall()))
        assert sorted(map(repr, db.execute(through).fetchall())) == expected, (SEED, through, inlined)
        if len(inlined) < 3000 and round_number % 2 == 0:
            v = view(db, through)
            texts[v] = inlined
            assert sorted(map(repr, db.execute(f"SELECT * FROM {v}").fetchall())) == expected, (SEED, through)
            if len(texts) > 6:
                del texts[chance.choice(list(texts))]


# A server of their own ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("views")).start()
    yield started
    started.stop()


def command(shop, *words):
    """tributary query on the data folder, beside its server or without it."""
    done = subprocess.run([export_world.BINARY, "query", "--data", str(shop.server.folder / "data"), "--org", shop.org, *words],
                          capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else "failed: " + done.stderr


def test_a_restart_keeps_views_and_the_command_line_reads_them(own, tmp_path):
    shop = Shop(own)
    with shop.connect() as db:
        v = view(db, points(shop))
        live = view(db, f"SELECT count(*) AS people, sum((SELECT max(n) FROM {v})) AS most FROM profile")
        broken = view(db, f"SELECT 1 AS a FROM {v}")
        db.execute(f"CREATE OR REPLACE VIEW {broken} AS SELECT explode(map('k', n)) FROM {v} WHERE tier == \"silver\"")
        assert len(db.execute(f"SELECT * FROM {v}").fetchall()) == 3
    assert command(shop, "--csv", f"SELECT sum(n) AS n FROM {v}") == "n\n3\n"
    assert v in command(shop)
    own.stop()
    for words in (["--csv", f"SELECT * FROM {live}"], ["--csv", f"SELECT people, most FROM {live} x WHERE people > 1"]):
        assert command(shop, *words) == "people,most\n5,10\n"
    assert command(shop, "--csv", f"SELECT sum(value) AS s FROM {broken}") == "s\n3\n"
    assert command(shop, "--parquet", str(tmp_path / "rows"), f"SELECT n FROM {v} ORDER BY n") == ""
    assert export_world.pathlib.Path(tmp_path / "rows").stat().st_size > 0
    assert "no table" in command(shop, f"SELECT * FROM {v}x, crm")
    own.start()
    shop.enter()
    assert len(shop.rows(f"SELECT * FROM {v}")) == 3
    assert shop.rows(f"SELECT * FROM {live}") == [(5, 10)]


def test_a_reset_or_deleted_sandbox_has_no_views(own):
    shop = Shop(own)
    sandboxes = "/data/foundation/sandbox-management/sandboxes"
    shop.api.call("POST", sandboxes, 202, {"name": "dev", "title": "Dev", "type": "development"})

    def dev():
        return shop.connect(dbname="dev:all")
    for end in (lambda: shop.api.call("PUT", f"{sandboxes}/dev", 202, {"action": "reset"}),
                lambda: (shop.api.call("DELETE", f"{sandboxes}/dev", 202),
                         shop.api.call("POST", sandboxes, 202, {"name": "dev", "title": "Dev", "type": "development"}))):
        with dev() as db:
            db.execute("CREATE VIEW v AS SELECT 1 AS a")
            assert db.execute("SELECT a FROM v").fetchone() == (1,)
        end()
        with dev() as db:
            assert db.execute("SHOW VIEWS").fetchall() == []
            assert state_of(db, "SELECT a FROM v") == "42P01"
            db.execute("CREATE VIEW v AS SELECT 2 AS a")
            db.execute("DROP VIEW v")


def test_a_database_may_be_named_by_a_view(db, shop):
    v = view(db, "SELECT 1 AS a")
    for place in (v, v.upper(), "crm", shop.dataset_of("crm")["id"]):
        with shop.connect(dbname=f"prod:{place}") as named:
            assert named.execute(f"SELECT current_database(), a, (SELECT count(*) FROM crm) FROM {v}").fetchone() == (place, 1, ROWS)
    assert shop.ok(f"SELECT * FROM {v}", dbName=f"prod:{v}")["rowCount"] == 1
