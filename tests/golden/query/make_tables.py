# SPDX-License-Identifier: Apache-2.0
"""make_tables.py - made the Parquet files beside it (pyarrow), for tests in C that need some."""
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
BOOKKEEPING = [{"k": 1}, {"k": 2}]
pq.write_table(pa.table({"_id": ["a", "b"], "n": [1, None], "_tributary": BOOKKEEPING}), HERE / "ours.parquet")
pq.write_table(pa.table({"_id": ["c", "d"], "extra": ["x", "y,\"z\""], "_tributary": BOOKKEEPING}), HERE / "theirs.parquet")
