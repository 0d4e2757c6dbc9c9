# SPDX-License-Identifier: Apache-2.0
"""test_query_worker.py - foreign Parquet and CSV files as JSON lines, and SELECT over Parquet tables, by the real
worker process. What is expected of a file is computed from the table that pyarrow wrote, by other code."""
import csv
import datetime
import decimal
import io
import json
import pathlib
import random
import struct
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import worker_process

pytestmark = pytest.mark.skipif(not worker_process.WORKER.exists(),
                                reason=".deps/duckdb is absent: tributary-query was not built")
UTC = datetime.timezone.utc


def json_of(value):
    """What the worker should make of a Python value of pyarrow's."""
    if isinstance(value, datetime.datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        text = value.isoformat(timespec="microseconds" if value.microsecond % 1000 else
                               "milliseconds" if value.microsecond else "seconds")
        return text + "Z"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {k: json_of(v) for k, v in value.items() if v is not None}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {str(k): json_of(v) for k, v in value if v is not None}
    if isinstance(value, list):
        return [json_of(v) for v in value]
    return value


def rows_of(table):
    maps = {f.name for f in table.schema if pa.types.is_map(f.type)}
    rows = []
    for row in table.to_pylist():
        rows.append({k: {} if k in maps and v == [] else json_of(v) for k, v in row.items() if v is not None})
    return rows


def people(n=5000, seed=7):
    r = random.Random(seed)
    def maybe(value):
        return None if r.random() < 0.2 else value
    rows = [{
        "_id": f"id-{i}", "name": maybe(r.choice(["Ann", "Bo\"b", "Zo\u00eb", "\U0001f600", "", "line\nend", "x" * 40])),
        "age": maybe(r.randrange(-100, 100)), "score": maybe(r.random()), "ok": maybe(r.random() < 0.5),
        "born": maybe(datetime.date(1900, 1, 1) + datetime.timedelta(r.randrange(50000))),
        "seen": maybe(datetime.datetime(2020, 1, 1) + datetime.timedelta(microseconds=r.randrange(10**14))),
        "price": maybe(decimal.Decimal(r.randrange(-10**9, 10**9)).scaleb(-2)),
        "tags": maybe([maybe(r.choice("abc")) for _ in range(r.randrange(4))]),
        "person": maybe({"name": maybe({"first": maybe("A"), "last": maybe("B")}), "pets": maybe([{"kind": "cat"}])}),
        "identityMap": maybe([(ns, maybe([{"id": str(i), "primary": maybe(True)}])) for ns in r.sample(["email", "crm", "e\"cid"], r.randrange(3))]),
    } for i in range(n)]
    schema = pa.schema([
        ("_id", pa.string()), ("name", pa.string()), ("age", pa.int32()), ("score", pa.float64()), ("ok", pa.bool_()),
        ("born", pa.date32()), ("seen", pa.timestamp("us")), ("price", pa.decimal128(12, 2)), ("tags", pa.list_(pa.string())),
        ("person", pa.struct([("name", pa.struct([("first", pa.string()), ("last", pa.string())])),
                              ("pets", pa.list_(pa.struct([("kind", pa.string())])))])),
        ("identityMap", pa.map_(pa.string(), pa.list_(pa.struct([("id", pa.string()), ("primary", pa.bool_())]))))])
    return pa.Table.from_pylist(rows, schema=schema)


def check(tmp_path, table, **how):
    path = tmp_path / "in.parquet"
    pq.write_table(table, path, **how)
    answer = worker_process.convert(tmp_path, path)
    got, expected = answer.lines(), rows_of(table)
    assert answer.verdict["rows"] == len(expected) and answer.verdict["bad"] == 0
    for i, (a, b) in enumerate(zip(got, expected)):
        assert a == b, i
    assert len(got) == len(expected)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_every_codec_gives_the_same_rows_in_their_order(tmp_path, codec):
    check(tmp_path, people(), compression=codec, row_group_size=700)


@pytest.mark.parametrize("how", [
    {"use_dictionary": False}, {"version": "1.0"}, {"data_page_version": "2.0"}, {"dictionary_pagesize_limit": 100},
    {"use_dictionary": False, "column_encoding": {"age": "DELTA_BINARY_PACKED", "_id": "DELTA_BYTE_ARRAY", "name": "DELTA_LENGTH_BYTE_ARRAY", "score": "BYTE_STREAM_SPLIT"}},
    {"write_statistics": False, "store_schema": False}, {"use_compliant_nested_type": False}, {"write_page_checksum": True},
    {"data_page_size": 200},
], ids=str)
def test_every_encoding_gives_the_same_rows(tmp_path, how):
    check(tmp_path, people(2000), **how)


def test_old_timestamps_of_spark_and_hive_are_instants(tmp_path):
    table = pa.table({"t": pa.array([datetime.datetime(2024, 2, 29, 23, 59, 59, 123456), None,
                                     datetime.datetime(1969, 12, 31, 23, 59, 59)], pa.timestamp("us"))})
    check(tmp_path, table, use_deprecated_int96_timestamps=True)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_every_unit_and_zone_are_utc(tmp_path, unit, zone):
    at = datetime.datetime(2024, 7, 1, 12, 30, 15, 250000, UTC)
    column = pa.array([int(at.timestamp() * 1000) * {"ms": 1, "us": 1000, "ns": 1000000}[unit], None]).cast(pa.timestamp(unit, zone))
    pq.write_table(pa.table({"t": column}), tmp_path / "in.parquet")
    assert worker_process.convert(tmp_path, tmp_path / "in.parquet").lines() == [{"t": "2024-07-01T12:30:15.250Z"}, {}]


def test_integers_of_every_width_keep_their_ends(tmp_path):
    columns, expected = {}, [{}, {}]
    for bits in (8, 16, 32, 64):
        for name, low, high in ((f"int{bits}", -2**(bits - 1), 2**(bits - 1) - 1), (f"uint{bits}", 0, 2**bits - 1)):
            columns[name] = pa.array([low, high], getattr(pa, name)())
            expected[0][name], expected[1][name] = low, high
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    assert worker_process.convert(tmp_path, tmp_path / "in.parquet").lines() == expected


def test_doubles_and_floats_read_back_as_the_same_numbers(tmp_path):
    r = random.Random(3)
    doubles = [struct.unpack("<d", struct.pack("<Q", r.getrandbits(64)))[0] for _ in range(3000)]
    doubles = [d for d in doubles if d == d and abs(d) != float("inf")] + [0.1, 5e-324, 1.7976931348623157e308, -0.0]
    floats = pa.array(doubles, pa.float64()).cast(pa.float32(), safe=False)
    table = pa.table({"d": doubles, "f": [f if f is not None and abs(f) != float("inf") else 0.0 for f in floats.to_pylist()]},
                     schema=pa.schema([("d", pa.float64()), ("f", pa.float32())]))
    pq.write_table(table, tmp_path / "in.parquet")
    for line, d, f in zip(worker_process.convert(tmp_path, tmp_path / "in.parquet").lines(), doubles, table["f"].to_pylist()):
        assert struct.pack("<d", line["d"]) == struct.pack("<d", d)
        assert struct.pack("<f", line["f"]) == struct.pack("<f", f)


def test_decimals_are_exact(tmp_path):
    values = ["0.05", "-0.05", "-123.45", "99999999999999999999999999999999.999999"]
    pq.write_table(pa.table({"d": pa.array([decimal.Decimal(v) for v in values], pa.decimal128(38, 6))}), tmp_path / "in.parquet")
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet")
    assert [line.split(":")[1].rstrip("}") for line in answer.output.decode().splitlines()] == \
        ["0.050000", "-0.050000", "-123.450000", "99999999999999999999999999999999.999999"]


def test_binary_that_is_text_is_a_string_and_other_binary_is_a_bad_row(tmp_path):
    pq.write_table(pa.table({"b": pa.array([b"caf\xc3\xa9", b"\xff\x00", None], pa.binary())}), tmp_path / "in.parquet")
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet")
    assert answer.lines()[0] == {"b": "caf\u00e9"} and answer.lines()[2] == {}
    bad = answer.lines()[1]
    assert bad["__line"] == 2 and "b: text that is not UTF-8" in bad["__error"] and "\ufffd" in bad["__corrupt"]


def test_what_json_has_no_number_for_is_a_bad_row(tmp_path):
    pq.write_table(pa.table({"p": [{"d": 1.0}, {"d": float("nan")}, {"d": float("-inf")}]}), tmp_path / "in.parquet")
    lines = worker_process.convert(tmp_path, tmp_path / "in.parquet").lines()
    assert lines[0] == {"p": {"d": 1.0}}
    assert "p.d: NaN" in lines[1]["__error"] and "p.d: -Infinity" in lines[2]["__error"]


def test_text_that_is_not_utf8_names_where(tmp_path):
    column = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"], pa.binary()).buffers())
    pq.write_table(pa.table({"s": column}), tmp_path / "in.parquet")
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet")
    assert answer.code == "INVALID" and "after row 0" in answer.text and "UTF" in answer.text.upper()


def test_names_that_differ_by_case_only_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [{"Email": 1, "email": 2}]}), tmp_path / "in.parquet")
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet")
    assert answer.code == "INVALID" and "differ by case only" in answer.text


def test_a_row_longer_than_the_limit_is_a_bad_row(tmp_path):
    pq.write_table(pa.table({"s": ["x" * (17 << 20), "y"]}), tmp_path / "in.parquet")
    lines = worker_process.convert(tmp_path, tmp_path / "in.parquet").lines()
    assert lines[1] == {"s": "y"} and "longer than" in lines[0]["__error"] and len(lines[0]["__corrupt"]) < 1000


def test_a_file_without_rows_or_columns_is_empty(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.int32())}), tmp_path / "in.parquet")
    assert worker_process.convert(tmp_path, tmp_path / "in.parquet").lines() == []


def test_a_damaged_file_is_refused_or_read_but_never_more(tmp_path):
    """Truncated at many places, and with bytes changed: an answer each time, no path in it, and the process never
    dies without one except by a crash of DuckDB's own, which the server turns into an answer."""
    pq.write_table(people(300), tmp_path / "good.parquet", row_group_size=100)
    good = (tmp_path / "good.parquet").read_bytes()
    r = random.Random(11)
    crashes = 0
    for trial in range(40):
        data = bytearray(good)
        if trial % 2:
            data = data[:r.randrange(len(data))]
        else:
            for _ in range(r.choice([1, 3, 20])):
                data[r.randrange(len(data) * 3 // 4 if trial % 4 else len(data))] = r.randrange(256)
        (tmp_path / "bad.parquet").write_bytes(data)
        answer = worker_process.convert(tmp_path, tmp_path / "bad.parquet")
        crashes += answer.status != 0
        if answer.verdict:
            assert answer.code in ("OK", "INVALID", "LIMIT"), answer
            assert str(tmp_path) not in answer.text and "/proc" not in answer.text and "0x" not in answer.text
    assert crashes <= 4


def test_a_forged_count_costs_no_memory(tmp_path):
    """A column chunk that claims 2,000,000,000 values in a few bytes."""
    pq.write_table(pa.table({"a": pa.array([1] * 1000, pa.int64())}), tmp_path / "in.parquet", compression="none")
    data = (tmp_path / "in.parquet").read_bytes()
    forged = data.replace(b"\xd0\x0f", b"\xfe\xff\xff\xff\x0f"[:2])  # zigzag varint of 1000
    (tmp_path / "in.parquet").write_bytes(forged)
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet", memory_mb=256)
    assert answer.code in ("OK", "INVALID", "LIMIT") or answer.status != 0


def test_a_conversion_over_its_output_limit_stops(tmp_path):
    pq.write_table(people(3000), tmp_path / "in.parquet")
    answer = worker_process.convert(tmp_path, tmp_path / "in.parquet", bytes_max=100_000)
    assert answer.code == "LIMIT" and len(answer.output) <= 100_000


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said_to_be_full(tmp_path):
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 1000)
    (tmp_path / "result").symlink_to("/dev/full")
    answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv")
    assert answer.code == "NO_SPACE" and answer.text == "the disk is full"


# CSV. The reference is Python's csv module, where the two agree on what a file means.

@pytest.mark.parametrize("dialect", [
    {}, {"delimiter": ";"}, {"delimiter": "\t"}, {"lineterminator": "\n"}, {"quoting": csv.QUOTE_ALL}, {"quotechar": "'"},
], ids=str)
def test_csv_written_by_others_reads_back(tmp_path, dialect):
    r = random.Random(5)
    alphabet = ["a", "b", ",", ";", "\t", "'", '"', "\n", "\r\n", "\u00e9", " ", "x" * 20]
    names = ["id", "a b", 'q"uote', "n\u00e4me"]
    rows = [[str(i)] + ["".join(r.choice(alphabet) for _ in range(r.randrange(6))) for _ in names[1:]] for i in range(2000)]
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([names] + rows)
    (tmp_path / "in.csv").write_bytes(text.getvalue().encode())
    options = {"delimiter": dialect.get("delimiter", ","), "quote": dialect.get("quotechar", '"'), "escape": ""}
    answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv", options=options)
    quoted_empty = dialect.get("quoting") == csv.QUOTE_ALL
    expected = [{n: v for n, v in zip(names, row) if v != "" or quoted_empty} for row in rows]
    assert answer.lines() == expected


def test_bad_csv_rows_are_told_with_their_lines_and_cost_no_others(tmp_path):
    good = [f"{i},v{i}" for i in range(1000)]
    bad = {10: '10,"open', 20: '"a"b,1', 30: "30", 40: "40,x,y", 50: b"50,\xff\xfe".decode("latin-1")}
    lines = [bad.get(i, line) for i, line in enumerate(good)]
    (tmp_path / "in.csv").write_bytes(("k,v\n" + "\n".join(lines) + "\n").encode("latin-1"))
    answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv")
    got = answer.lines()
    corrupt = {row["__line"]: row["__error"] for row in got if "__error" in row}
    # the quote that opens in row 10 is closed by the one that opens row 20
    assert "text behind its closing quote" in corrupt[12] and set(corrupt) == {12, 32, 42, 52}
    assert sum("k" in row for row in got) == 1000 - 11 - 3


def csv_model(text, delimiter, quote, escape, width):
    """The rules of csv.h, slowly: [cells] with None for empty, or the line number of a row that is bad."""
    at, line, rows = 0, 1, []

    def past_end(i):
        return i + 2 if text[i:i + 2] == "\r\n" else i + 1

    def line_end(i):
        while i < len(text) and text[i] not in "\r\n":
            i += 1
        return i

    while at < len(text):
        if text[at] in "\r\n":
            at, line = past_end(at), line + 1
            continue
        start_line, cells, bad = line, [], False
        while True:
            value, end = "", at
            if quote and text[at:at + 1] == quote:
                opened, end, closed = (at, line), at + 1, False
                while end < len(text):
                    pair = text[end:end + 2]
                    if escape and pair in (escape + quote, escape * 2) and not (pair == escape * 2 and escape == quote) or pair == quote * 2:
                        value, end = value + pair[1], end + 2
                    elif text[end] == quote:
                        closed, end = True, end + 1
                        break
                    elif text[end] in "\r\n":
                        value, end, line = value + text[end:past_end(end)], past_end(end), line + 1
                    else:
                        value, end = value + text[end], end + 1
                if not closed:
                    (end, line), bad = opened, True
                elif end < len(text) and text[end] not in delimiter + "\r\n":
                    bad = True
                if bad:
                    end = line_end(end)
            else:
                while end < len(text) and text[end] not in delimiter + "\r\n":
                    end += 1
                value = text[at:end] or None
            cells.append(value)
            if not bad and text[end:end + 1] == delimiter:
                at = end + 1
                continue
            at, line = past_end(end) if end < len(text) else end, line + 1
            break
        rows.append(start_line + 1 if bad or len(cells) != width else cells)
    return rows


@pytest.mark.parametrize("options", [{}, {"escape": ""}, {"escape": '"'}, {"quote": ""}, {"delimiter": ";", "quote": "'"}], ids=str)
def test_any_text_is_cut_as_the_model_cuts_it(tmp_path, options):
    how = {"delimiter": ",", "quote": '"', "escape": "\\", **options}
    r = random.Random(17)
    for trial in range(25):
        pieces = [how["delimiter"], how["quote"], how["quote"] * 2, how["escape"], how["escape"] + how["quote"], "\n", "\r\n", "\r", "a", "b c", "\u00e9"]
        weights = [6, 4 if trial % 3 else 1, 1, 1, 1, 4, 1, 0.3, 5, 2, 1]
        text = "".join(r.choices(pieces, weights, k=r.choice([3, 30, 300, 3000])))
        (tmp_path / "in.csv").write_bytes(("x" + how["delimiter"] + "y\n" + text).encode())
        answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv", options=options)
        expected = csv_model(text, how["delimiter"], how["quote"], how["escape"], 2)
        got = [row["__line"] if "__line" in row else [row.get("x"), row.get("y")] for row in answer.lines()]
        assert got == expected, text


@pytest.mark.parametrize("line", ['"\\"', '"', '"""', '""""', '"a\\\\"', '"a\\"b', ',"', '"",""x'])
def test_broken_quotes_take_linear_time(tmp_path, line):
    (tmp_path / "in.csv").write_text("a,b\n" + f"{line}\n" * 300_001)
    start = time.monotonic()
    answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv")
    assert answer.code == "OK" and answer.verdict["bad"] > 0
    assert time.monotonic() - start < 5


def test_a_cell_of_a_hundred_megabytes_is_one_bad_row(tmp_path):
    with open(tmp_path / "in.csv", "w") as f:
        f.write("a,b\n1,\"" + "x\n" * (50 << 20) + "\"\n2,y\n")
    answer = worker_process.convert(tmp_path, tmp_path / "in.csv", "csv")
    assert answer.lines()[1] == {"a": "2", "b": "y"}
    assert "longer than" in answer.lines()[0]["__error"] and answer.lines()[0]["__line"] == 2


def test_csv_in_latin1_is_read_when_said_so(tmp_path):
    (tmp_path / "in.csv").write_bytes("n\u00e4me\n\u00e9\n".encode("latin-1"))
    assert worker_process.convert(tmp_path, tmp_path / "in.csv", "csv", options={"charset": "ISO-8859-1"}).lines() == [{"n\u00e4me": "\u00e9"}]
    assert worker_process.convert(tmp_path, tmp_path / "in.csv", "csv", options={"charset": "KOI8-R"}).code == "INVALID"


# SELECT

@pytest.fixture
def tables(tmp_path):
    pq.write_table(pa.table({"_id": ["a", "b"], "n": [1, 2], "_tributary": [{"k": 1}, {"k": 2}]}), tmp_path / "one.parquet")
    pq.write_table(pa.table({"_id": ["c"], "extra": ["x"], "_tributary": [{"k": 3}]}), tmp_path / "two.parquet")
    pq.write_table(people(1000), tmp_path / "people.parquet")
    return {"t": [str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet")], "people": [str(tmp_path / "people.parquet")],
            "Odd \"name\"": [str(tmp_path / "one.parquet")], "nothing": []}


def test_files_of_a_table_are_united_by_name_without_bookkeeping(tmp_path, tables):
    assert worker_process.select(tmp_path, "SELECT * FROM t ORDER BY _id", tables).lines() == [
        {"_id": "a", "n": 1, "extra": None}, {"_id": "b", "n": 2, "extra": None}, {"_id": "c", "n": None, "extra": "x"}]
    assert "_tributary" not in worker_process.select(tmp_path, "SELECT * FROM t", tables).output.decode()
    assert worker_process.select(tmp_path, "SELECT _tributary FROM t", tables).code == "INVALID"
    assert worker_process.select(tmp_path, 'SELECT count(*) AS n FROM "Odd ""name"""', tables).lines() == [{"n": 2}]
    assert worker_process.select(tmp_path, "SELECT count(*) AS n FROM nothing", tables).lines() == [{"n": 0}]


@pytest.mark.parametrize("sql", [
    "WITH x AS (SELECT n FROM t) SELECT sum(n) AS s FROM x", "VALUES (1)", "FROM t SELECT n", "DESCRIBE t", "SUMMARIZE t", "SHOW TABLES",
    "SELECT person.name.first, count(*) FROM people GROUP BY ALL", "SELECT identityMap['email'][1].id FROM people",
    "SELECT unnest(map_entries(identityMap), max_depth := 2) FROM people", "SELECT * FROM t JOIN people USING (_id)",
    "SELECT n, row_number() OVER (ORDER BY n) FROM t QUALIFY 1 = 1", "SELECT list_transform(tags, lambda x: upper(x)) FROM people",
    "SELECT * FROM range(5)", "SELECT date_trunc('month', seen), median(score) FROM people GROUP BY 1", "SELECT * FROM t, unnest([1, 2]) AS u(x)",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 5) SELECT * FROM r", "SELECT columns('.*') FROM t",
    "SELECT * FROM (PIVOT people ON ok IN (true, false) USING count(*) GROUP BY age)", "SELECT 'FROM ''/etc/passwd'''",
    "SELECT * FROM t WHERE _id IN (SELECT _id FROM people) OR EXISTS (SELECT 1 FROM t)", "SELECT CASE WHEN n > 1 THEN 'x' END FROM t;",
    "SELECT extract(year FROM born), seen AT TIME ZONE 'Europe/Paris', age::varchar || '!' FROM people", "SELECT * FROM main.t",
    "SELECT table_name FROM information_schema.tables", "SELECT column_name FROM information_schema.columns WHERE table_name = 't'",
    "SELECT * EXCLUDE (n), n BETWEEN 1 AND 2, n IS NULL, TRY_CAST(_id AS int) FROM t", "SELECT regexp_matches(_id, 'a') FROM t -- the end",
])
def test_what_people_write_runs(tmp_path, tables, sql):
    answer = worker_process.select(tmp_path, sql, tables)
    assert answer.code == "OK", answer


def test_formats_hold_the_same_values(tmp_path, tables):
    sql = "SELECT _id, name, age, tags FROM people ORDER BY _id"
    as_json = worker_process.select(tmp_path, sql, tables).lines()
    as_csv = list(csv.DictReader(io.StringIO(worker_process.select(tmp_path, sql, tables, "csv").output.decode(), newline="")))
    assert len(as_json) == len(as_csv) == 1000
    for a, b in zip(as_json, as_csv):
        assert b["_id"] == a["_id"] and b["age"] == ("" if a["age"] is None else str(a["age"]))
        assert b["name"] == (a["name"] or "") and (json.loads(b["tags"]) if b["tags"] else None) == a["tags"]
    table = worker_process.select(tmp_path, "SELECT * FROM t ORDER BY 1", tables, "table").output.decode()
    assert table == (" _id | n | extra\n-----+---+-------\n a   | 1 | \n b   | 2 | \n c   |   | x\n(3 rows)\n")


def test_a_table_shows_no_escape_sequence_to_the_terminal(tmp_path):
    out = worker_process.select(tmp_path, "SELECT chr(27) || '[2J' || chr(8238) AS x", format="table").output
    assert b"\x1b" not in out and b"\\u001b[2J\\u202e" in out


def test_errors_say_where_and_show_no_path(tmp_path, tables):
    answer = worker_process.select(tmp_path, "SELECT nope FROM t", tables)
    assert answer.code == "INVALID" and "nope" in answer.text and "LINE 1" in answer.text and str(tmp_path) not in answer.text
    answer = worker_process.select(tmp_path, "SELEC 1", tables)
    assert answer.code == "INVALID" and "SELEC" in answer.text
    (tmp_path / "two.parquet").write_bytes(b"PAR1 not really PAR1")
    answer = worker_process.select(tmp_path, "SELECT * FROM t", tables)
    assert answer.code == "INVALID" and answer.text.startswith("table t") and str(tmp_path) not in answer.text
