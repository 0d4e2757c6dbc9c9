# SPDX-License-Identifier: Apache-2.0
"""test_jdbc.py - the PostgreSQL JDBC driver, its metadata calls above all: what DBeaver, Tableau and their like go by.

Needs Java, Debian's libpostgresql-jdbc-java and py4j, which comes with Spark: `make check` installs them.
"""
import pathlib
import shutil

import pytest

import export_world

JAR = pathlib.Path("/usr/share/java/postgresql.jar")
py4j_protocol = pytest.importorskip("py4j.protocol")
pytestmark = [pytest.mark.long, pytest.mark.skipif(not JAR.exists() or shutil.which("java") is None,
                                                   reason="no Java, or no JDBC driver: make check installs them")]


@pytest.fixture(scope="module")
def gateway():
    from py4j.java_gateway import JavaGateway
    gateway = JavaGateway.launch_gateway(classpath=str(JAR), die_on_exit=True)
    yield gateway
    gateway.shutdown()


@pytest.fixture(scope="module")
def connect(server, gateway):
    client = server.add_client("jdbc", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, client))
    world.ingest(world.crm, [world.row(n, firstName=f"n{n}") for n in range(300)])

    def connect(options=""):
        properties = gateway.jvm.java.util.Properties()
        properties.setProperty("user", client["org_id"])
        properties.setProperty("password", f"{client['client_id']}:{client['client_secret']}")
        url = f"jdbc:postgresql://127.0.0.1:{server.pg_port}/prod:all{options}"
        return gateway.jvm.org.postgresql.Driver().connect(url, properties)
    connect.world = world
    return connect


@pytest.fixture
def connection(connect):
    connection = connect()
    yield connection
    connection.close()


def rows(results, *columns):
    found = []
    while results.next():
        found.append(tuple(results.getString(column) for column in columns))
    results.close()
    return found


def test_tables_and_their_columns(connection, connect):
    about = connection.getMetaData()
    assert about.getDatabaseProductName() == "PostgreSQL"
    assert len(rows(about.getCatalogs(), "TABLE_CAT")) == 1
    assert ("public",) in rows(about.getSchemas(), "TABLE_SCHEM")
    names = [row[0] for row in rows(about.getTables(None, "public", "%", None), "TABLE_NAME")]
    assert {"crm", "loyalty", "clicks", "profile", "batches"} <= set(names)
    columns = rows(about.getColumns(None, "public", "crm", "%"), "COLUMN_NAME", "TYPE_NAME", "IS_NULLABLE")
    assert {"identityMap", connect.world.tenant} <= {row[0] for row in columns}
    assert {row[1] for row in columns if row[0] == "identityMap"} == {"text"}
    columns = rows(about.getColumns(None, None, "batches", "%"), "COLUMN_NAME", "TYPE_NAME")
    assert ("created", "timestamptz") in columns and ("recordCount", "int8") in columns


def test_views_are_told_from_tables(connection, gateway):
    connection.createStatement().execute("CREATE OR REPLACE VIEW seen AS SELECT 1 AS a, 'x' AS b")
    about = connection.getMetaData()

    def names(kind):
        kinds = gateway.new_array(gateway.jvm.java.lang.String, 1)
        kinds[0] = kind
        return {row[0] for row in rows(about.getTables(None, "public", "%", kinds), "TABLE_NAME")}
    assert names("VIEW") == {"seen"} and "crm" in names("TABLE") and "seen" not in names("TABLE")
    columns = rows(about.getColumns(None, "public", "seen", "%"), "COLUMN_NAME", "TYPE_NAME")
    assert columns == [("a", "int4"), ("b", "text")]
    assert rows(connection.createStatement().executeQuery("SELECT a, b FROM seen"), "a", "b") == [("1", "x")]


def test_the_other_calls_have_answers(connection):
    about = connection.getMetaData()
    assert rows(about.getPrimaryKeys(None, "public", "crm"), "COLUMN_NAME") == []
    assert rows(about.getImportedKeys(None, "public", "crm"), "FKCOLUMN_NAME") == []
    assert rows(about.getExportedKeys(None, "public", "crm"), "FKCOLUMN_NAME") == []
    assert rows(about.getIndexInfo(None, "public", "crm", False, False), "INDEX_NAME") == []
    assert len(rows(about.getTableTypes(), "TABLE_TYPE")) > 0
    assert {"int4", "text", "timestamptz"} <= {row[0] for row in rows(about.getTypeInfo(), "TYPE_NAME")}
    rows(about.getProcedures(None, None, "%"), "PROCEDURE_NAME")
    rows(about.getFunctions(None, None, "%"), "FUNCTION_NAME")
    rows(about.getTablePrivileges(None, "public", "crm"), "PRIVILEGE")
    assert about.getMaxConnections() >= 0 and about.getUserName() != ""


@pytest.mark.parametrize("options", ["", "?preferQueryMode=simple", "?prepareThreshold=1"])
def test_prepared_statements_with_every_protocol(connect, options):
    connection = connect(options)
    statement = connection.prepareStatement("SELECT ? + 1 AS n, ? AS t, CAST(? AS DOUBLE) AS d")
    for n in range(7):   # in binary, and by name, after the fifth
        statement.setInt(1, n)
        statement.setString(2, "it's")
        statement.setDouble(3, 0.5)
        results = statement.executeQuery()
        assert results.next()
        assert (results.getInt("n"), results.getString("t"), results.getDouble("d")) == (n + 1, "it's", 0.5)
        results.close()
    connection.close()


def test_rows_in_portions(connection):
    connection.setAutoCommit(False)
    statement = connection.createStatement()
    statement.setFetchSize(50)
    results = statement.executeQuery("SELECT i FROM range(1234) t(i)")
    total = 0
    while results.next():
        total += results.getLong(1)
    assert total == sum(range(1234))
    connection.commit()


def test_an_error_has_its_state_and_the_session_goes_on(connection, gateway):
    statement = connection.createStatement()
    with pytest.raises(py4j_protocol.Py4JJavaError) as caught:
        statement.executeQuery("SELECT nothing FROM crm")
    assert caught.value.java_exception.getSQLState() == "42703"
    results = statement.executeQuery("SELECT count(*) FROM crm")
    assert results.next() and results.getLong(1) == 300
