# SPDX-License-Identifier: Apache-2.0
"""The scanner of answers sees what must not be shown, and lets ordinary answers pass."""
import pytest

import answers

@pytest.mark.parametrize("text", [
    "cannot open /tmp/x/data/lake", "store.c:120: no", "at 0x7fff12ab34", "near SELECT * FROM objects", "Binder Error: x",
    "SQLite says no", "read_parquet('x')", "INSERT INTO objects"])
def test_the_scanner_sees_the_inside(text):
    assert answers.leaks(text)


@pytest.mark.parametrize("text", [
    "/data/foundation/export/batches/1/files", "fields: no path person.shoeSize in the union",
    "https://ns.adobe.com/xdm/context/profile", "select a dataset", "part-00000.parquet", "rows.json, row 8: not JSON"])
def test_the_scanner_lets_ordinary_answers_pass(text):
    assert not answers.leaks(text)
