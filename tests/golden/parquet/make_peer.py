#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_peer.py - made peer.parquet, once, with pyarrow 26.0.1: somebody else's file in the form that
Tributary writes. Kept for its bytes: the reader's hostile tests flip every one of them."""
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 24
table = pa.table({
    "key": pa.array([bytes([0] * 15 + [i]) for i in range(ROWS)], pa.binary(16)),
    "name": pa.array([None if i % 7 == 3 else ("Ann", "Bob", "Zo\u00eb")[i % 3] for i in range(ROWS)]),
    "person": pa.array([None if i % 5 == 0 else {"age": i, "vip": i % 2 == 0} for i in range(ROWS)],
                       pa.struct([("age", pa.int32()), ("vip", pa.bool_())])),
    "at": pa.array([i * 1_000_003 for i in range(ROWS)], pa.timestamp("us", "UTC")),
    "tags": pa.array([None if i % 6 == 1 else ["t%d" % (j % 2) for j in range(i % 4)] for i in range(ROWS)],
                     pa.list_(pa.string())),
    "ids": pa.array([[("email", [{"id": "a%d" % i}]), ("crm", None)] if i % 3 else None for i in range(ROWS)],
                    pa.map_(pa.string(), pa.list_(pa.struct([("id", pa.string())])))),
})
pq.write_table(table, "peer.parquet", data_page_version="2.0", compression="zstd", write_page_checksum=True,
               write_page_index=True, row_group_size=16, max_rows_per_page=8, store_schema=False,
               use_dictionary=["name", "tags.list.element", "ids.key_value.key"],
               column_encoding={"key": "PLAIN", "person.age": "PLAIN", "person.vip": "PLAIN", "at": "PLAIN",
                                "ids.key_value.value.list.element.id": "PLAIN"})
