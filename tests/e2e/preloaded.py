# SPDX-License-Identifier: Apache-2.0
"""preloaded.py - a library of this folder, built to be preloaded into a server: it stands for a disk that fails."""
import os
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).parent


def build(folder, name):
    """The built library of name.c."""
    built = folder / f"{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                    "-o", str(built), str(FOLDER / f"{name}.c"), "-ldl"], check=True)
    return built


def order(path, text):
    """What the library is to do, whole at once."""
    ready = path.with_suffix(".new")
    ready.write_text(text)
    ready.rename(path)
