# SPDX-License-Identifier: Apache-2.0
"""test_query_rows.py - how many rows a client gets whose query does not say so, and how it is told of the rest."""
import random

import pytest

import export_world
from query_world import QUERY

MOST = 3000     # more than one vector of the engine, 2,048


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    own = export_world.Server(tmp_path_factory.mktemp("rows"), "--query-rows-max", str(MOST)).start()
    yield own
    own.stop()


@pytest.fixture
def db(shop):
    with shop.connect() as opened:
        opened.told = []
        opened.add_notice_handler(lambda notice: opened.told.append((notice.severity, notice.sqlstate,
                                                                     notice.message_primary)))
        yield opened


def rows_of(db, sql, **more):
    """How many there are, and whether the client was told that there are more."""
    db.told.clear()
    cursor = db.execute(sql, **more)
    count = len(cursor.fetchall())
    assert cursor.statusmessage == f"SELECT {count}"
    assert db.told == [] or db.told == [("WARNING", "01000", f"the result is cut at {MOST} rows: LIMIT 0 at the end of "
                                                             "the query gives all")]
    return count, bool(db.told)


def test_a_result_is_cut_at_the_cap_and_a_warning_says_so(db):
    chance = random.Random(6)
    counts = [0, 1, 2048, MOST - 1, MOST, MOST + 1, 4096, 50_001] + [chance.randrange(2 * MOST) for _ in range(12)]
    for count in counts:
        for sql in ("SELECT i FROM range({}) t(i)", "SELECT i FROM range({}) t(i) ORDER BY i DESC",
                    "WITH x AS (SELECT i FROM range({}) t(i) LIMIT 9999999) SELECT * FROM x"):
            for prepare in (False, True):
                assert rows_of(db, sql.format(count), prepare=prepare) == (min(count, MOST), count > MOST), (sql, count)


@pytest.mark.parametrize("end", ["LIMIT 0", "LIMIT 5000", "LIMIT ALL", "LIMIT 9000 OFFSET 4000"])
def test_a_query_that_says_how_many_gets_them(db, end):
    count = {"LIMIT 0": 9000, "LIMIT ALL": 9000}.get(end, 5000)
    assert rows_of(db, f"SELECT i FROM range(9000) t(i) {end}") == (count, False)
    assert rows_of(db, f"(SELECT i FROM range(9000) t(i) {end if end != 'LIMIT 0' else 'LIMIT 9000'})") == (MOST, True)


def test_the_first_rows_of_an_order_are_those_that_come(db):
    found = db.execute("SELECT i FROM range(20000) t(i) ORDER BY i DESC").fetchall()
    assert [row[0] for row in found] == list(range(19999, 19999 - MOST, -1))


def test_a_cursor_and_a_portal_give_no_more_either(db):
    with db.transaction():
        db.execute("DECLARE c CURSOR FOR SELECT i FROM range(9000) t(i)")
        got = []
        while part := db.execute("FETCH 999 FROM c").fetchall():
            got += part
        assert len(got) == MOST and [told[0] for told in db.told] == ["WARNING"]
        db.execute("CLOSE c")
    with db.transaction(), db.cursor(name="own") as cursor:
        cursor.itersize = 100
        assert len(list(cursor.execute("SELECT i FROM range(9000) t(i) LIMIT 0"))) == 9000
    assert db.execute("SELECT 1").fetchone() == (1,), "the session goes on"


def test_copy_lists_of_the_catalog_and_jobs_are_not_cut(shop, db):
    with db.cursor().copy("COPY (SELECT i FROM range(9000) t(i)) TO STDOUT") as copy:
        assert sum(1 for _ in copy.rows()) == 9000
    assert db.execute("SELECT count(*) FROM (SELECT i FROM range(9000) t(i))").fetchone() == (9000,)
    assert db.told == []
    assert shop.ok("SELECT * FROM range(9000)")["rowCount"] == 9000
    assert shop.ok("CREATE TABLE many AS SELECT range AS n FROM range(9000)")["rowCount"] == 9000


def test_an_accelerated_query_says_that_it_has_too_many(shop):
    def ask(sql):
        return shop.api.request("POST", QUERY + "/accelerated-queries", json={"dbName": "prod:db:s", "sql": sql})

    assert len(ask(f"SELECT range AS n FROM range({MOST})").json()["results"]) == MOST
    refused = ask(f"SELECT range AS n FROM range({MOST + 1})")
    assert refused.status_code == 413 and f"{MOST} rows" in refused.text and "LIMIT 0" in refused.text
    for end, count in (("LIMIT 0", 9000), ("LIMIT 4000", 4000)):
        assert len(ask(f"SELECT range AS n FROM range(9000) {end}").json()["results"]) == count
