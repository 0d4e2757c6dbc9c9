#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT.c SYMBOL FILE... - makes a C array of the bytes of some files, one behind the other."""
import pathlib
import sys


def main():
    out, symbol, *names = sys.argv[1:]
    data = b"".join(pathlib.Path(name).read_bytes() for name in names)
    rows = (",".join(str(byte) for byte in data[at:at + 24]) for at in range(0, len(data), 24))
    pathlib.Path(out).write_text(
        f"#include <stddef.h>\nextern const unsigned char {symbol}[];\nextern const size_t {symbol}_bytes;\n"
        f"const unsigned char {symbol}[] = {{\n" + ",\n".join(rows) + "};\n"
        f"const size_t {symbol}_bytes = sizeof {symbol};\n")


if __name__ == "__main__":
    main()
