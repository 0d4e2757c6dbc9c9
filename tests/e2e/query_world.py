# SPDX-License-Identifier: Apache-2.0
"""query_world.py - what tests of Query Service share: a sandbox with rows, and queries as jobs."""
import pathlib
import time
import uuid

import psycopg
import pytest

import export_world
from export_world import until

QUERY = "/data/foundation/query"
ROWS = 5
ENDLESS = "SELECT count(*) AS n FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = 1"


def table():
    """A name that no table has."""
    return "t_" + uuid.uuid4().hex[:10]


def state_of(db, sql, *more, **options):
    """The SQLSTATE with which a statement fails."""
    with pytest.raises(psycopg.Error) as caught:
        db.execute(sql, *more, **options).fetchall()
    return caught.value.sqlstate


class Shop:
    """A sandbox of an org of its own: tables crm (5 rows) and loyalty (3), over REST and the PostgreSQL protocol."""

    def __init__(self, server, role="admin"):
        self.server = server
        self.org = export_world.new_org()
        self.client = server.add_client("sql", org=self.org)
        self.enter()
        self.world = export_world.World(self.api)
        self.world.ingest(self.world.crm,
                          [self.world.row(i, firstName=f"n{i}", tier="gold", points=i) for i in range(ROWS)])
        self.world.ingest(self.world.loyalty, [self.world.row(i, tier="silver", points=i) for i in range(3)])

    def enter(self):
        """Also after a restart of the server: its port is another."""
        self.api = export_world.Api(self.server.url, self.client)
        self.how = self.server.sql(self.client)

    def connect(self, client=None, **more):
        how = self.how if client is None else self.server.sql(client)
        return psycopg.connect(**{**how, "autocommit": True, **more})

    def rows(self, sql):
        with self.connect() as db:
            return db.execute(sql).fetchall()

    def post(self, sql=None, expected=202, **more):
        body = {"name": "a query", "dbName": "prod:all", **more}
        if sql is not None:
            body["sql"] = sql
        return self.api.call("POST", QUERY + "/queries", expected, body)

    def get(self, query):
        return self.api.call("GET", f"{QUERY}/queries/{query}")

    def wait(self, query):
        return until(f"query {query} ends",
                     lambda: (now := self.get(query))["state"] not in ("SUBMITTED", "IN_PROGRESS") and now)

    def run(self, sql=None, **more):
        return self.wait(self.post(sql, **more)["id"])

    def ok(self, sql=None, **more):
        done = self.run(sql, **more)
        assert (done["state"], done["errors"]) == ("SUCCESS", []), done
        return done

    def fails(self, code, sql=None, **more):
        """The text of the one error."""
        done = self.run(sql, **more)
        assert done["state"] == "FAILED", done
        assert [e["code"] for e in done["errors"]] == [code], done["errors"]
        assert done["rowCount"] == 0
        return done["errors"][0]["message"]

    def dataset_of(self, table):
        """Its id and document, by the catalog; None: no such table."""
        found = self.api.call("GET", export_world.CATALOG + "/dataSets?limit=100")
        for key, dataset in found.items():
            if dataset["tags"].get("adobe/pqs/table") == [table]:
                return {"id": key, **dataset}
        return None


def children(parent):
    """Processes that it has started and that are still there."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue    # it has ended
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def processor_ticks(parent):
    """{child: what it has used of the processor}"""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue    # it has ended
        if int(fields[1]) == parent:
            found[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
    return found


def busiest_child(parent, ticks=0):
    """The child process that works at this moment, and has used at least so much; None: there is none."""
    before = processor_ticks(parent)
    time.sleep(0.3)
    used = processor_ticks(parent)
    worked = {child: used[child] - before.get(child, 0) for child in used}
    busiest = max(worked, key=worked.get, default=None)
    return None if busiest is None or worked[busiest] == 0 or used[busiest] < ticks else busiest
