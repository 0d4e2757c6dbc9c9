# SPDX-License-Identifier: Apache-2.0
"""rows.py - Parquet files and expected rows in one plain form, so that == means equal.

In that form absent members and empty objects do not exist, maps are dicts, instants are RFC 3339 texts.
"""
import datetime

import pyarrow as pa
import pyarrow.parquet as pq


def instant_text(moment):
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{moment.microsecond // 1000:03}Z" if moment.microsecond else "Z")


def plain_from_arrow(value, kind):
    if value is None:
        return None
    if pa.types.is_struct(kind):
        members = {f.name: plain_from_arrow(value[f.name], f.type) for f in kind}
        return {k: v for k, v in members.items() if v is not None and v != {}}
    if pa.types.is_map(kind):
        entries = {k: plain_from_arrow(v, kind.item_type) for k, v in value}
        assert len(entries) == len(value), f"a map has a key twice: {value}"
        return {k: v for k, v in entries.items() if v is not None}
    if pa.types.is_list(kind):
        return [plain_from_arrow(item, kind.value_type) for item in value]
    if isinstance(value, datetime.datetime):
        assert value.tzinfo is not None
        return instant_text(value.astimezone(datetime.timezone.utc))
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def read_rows(paths):
    """Every row of the files, in plain form."""
    for path in paths:
        table = pq.read_table(path)
        for row in table.to_pylist():
            members = {f.name: plain_from_arrow(row[f.name], f.type) for f in table.schema}
            yield {k: v for k, v in members.items() if v is not None and v != {}}


def plain(value):
    """An expected value, as model.export has it, in the same form."""
    if isinstance(value, dict):
        members = {k: plain(v) for k, v in value.items()}
        return {k: v for k, v in members.items() if v is not None and v != {}}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def primary_of(row):
    found = [(namespace, item["id"]) for namespace, items in row["identityMap"].items()
             for item in items if item.get("primary")]
    assert len(found) == 1, f"a profile stands for one identity: {row['identityMap']}"
    return found[0]


def canonical(row):
    """Order inside a namespace is by rank; between equal ranks the model does not promise any. No state is
    the state "ambiguous"; no events are an empty list of them."""
    out = dict(row)
    if "identityMap" in out:
        out["identityMap"] = {
            ns: sorted((dict(i, authenticatedState=i.get("authenticatedState") or "ambiguous") for i in items),
                       key=lambda i: i["id"])
            for ns, items in out["identityMap"].items()}
    if "timeSeriesEvents" in out:
        events = [canonical(event) for event in out.pop("timeSeriesEvents")]
        if events:
            out["timeSeriesEvents"] = events
    return out
