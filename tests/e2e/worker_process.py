# SPDX-License-Identifier: Apache-2.0
"""worker_process.py - runs tributary-query as the server does (query-worker/README.md), for tests."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKER = pathlib.Path(os.environ.get("TR_BUILD", ROOT / "build")) / "tributary-query"
COMMON = {"bytes_max": 1 << 30, "memory_mb": 512, "threads": 2, "cpu_s": 60}


class Answer:
    def __init__(self, verdict, output, status):
        self.verdict, self.output, self.status = verdict, output, status
        self.code = verdict["code"] if verdict else None
        self.text = verdict.get("text", "") if verdict else ""

    def lines(self):
        """JSON lines as they were written, each parsed."""
        assert self.code == "OK", self.verdict
        return [json.loads(line) for line in self.output.decode().splitlines()]

    def __repr__(self):
        return f"{self.verdict} status {self.status}: {self.output[:200]!r}"


def start(request, folder, input_path=None, env=None):
    """The process, its result going to folder/result and its verdict to folder/verdict."""
    folder = pathlib.Path(folder)
    (folder / "request").write_text(json.dumps({**COMMON, **request}))
    script = 'exec "$0" 0<"$1/request" 1>"$1/result" 3>"$1/verdict" ' + ('4<"$2"' if input_path else "4<&-")
    return subprocess.Popen(["/bin/sh", "-c", script, WORKER, folder, input_path or ""],
                            stderr=subprocess.PIPE, env=env or {})


def finish(process, folder, timeout=60):
    _, stderr = process.communicate(timeout=timeout)
    verdict, result = (pathlib.Path(folder) / "verdict").read_text(), pathlib.Path(folder) / "result"
    return Answer(json.loads(verdict) if verdict else None,
                  result.read_bytes() if result.is_file() else b"", process.returncode)


def run(request, folder, input_path=None, env=None, timeout=60):
    return finish(start(request, folder, input_path, env), folder, timeout)


def convert(folder, path, format="parquet", **more):
    options = more.pop("options", {})
    return run({"do": "convert", "format": format, "options": options, **more}, folder, path)


def select(folder, sql, tables=None, format="json", **more):
    return run({"do": "select", "sql": sql, "tables": tables or {}, "format": format, **more}, folder)
