# SPDX-License-Identifier: Apache-2.0
"""answers.py - what no answer of the server may say, and a client that checks every answer for it."""
import json
import re
import urllib.parse

from export_world import Api

SECRETS = [
    ("a path of the machine", re.compile(r"(?<![\w.-])/(?:tmp|root|home|usr|var|proc|opt|srv|mnt|etc|dev|run|work)/")),
    ("a source file", re.compile(r"\b\w+\.(?:c|cpp|h|so)\b(?::\d+)?(?![\w/])")),
    ("a memory address", re.compile(r"\b0x[0-9a-fA-F]{6,}\b")),
    ("SQL", re.compile(r"\b(?:SELECT\s|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(?:TABLE|VIEW)|"
                       r"read_(?:parquet|csv|json)\w*\(|FROM\s+\w+\s+WHERE)")),
    ("the name of an engine", re.compile(r"duckdb|sqlite|jansson|simdjson|libmicrohttpd", re.IGNORECASE)),
    ("an engine's own error", re.compile(r"\b(?:Binder|Catalog|Parser|Conversion|IO|INTERNAL|Invalid Input|"
                                         r"Out of Memory|Serialization) Error\b|errno|Errno|LINE \d+:|\bJSON_[A-Z_]+")),
]


def leaks(text, folder=None):
    """What of the inside an answer's text shows; empty when nothing."""
    found = [f"{what}: {match.group(0)!r}" for what, pattern in SECRETS for match in [pattern.search(text)] if match]
    if folder is not None and str(folder) in text:
        found.append("the data folder")
    return found


class CheckedApi(Api):
    """A client of which every JSON answer is searched for leaks. Files are not: they are the client's own data."""

    folder = None

    def request(self, method, path, **how):
        how.setdefault("allow_redirects", False)
        timeout = how.pop("timeout", 60)
        answer = self.session.request(method, self.url + path, timeout=timeout, **how)
        # What the client itself said may be repeated to it.
        sent = [str(value) for value in (how.get("params") or {}).values()] + [urllib.parse.unquote(path)]
        check(answer, self.folder, sent)
        return answer


def check(answer, folder=None, sent=()):
    kind = answer.headers.get("Content-Type", "")
    if "json" in kind or "text" in kind:
        text = answer.text
        for said in sent:
            text = text.replace(json.dumps(said)[1:-1], "") if len(said) > 3 else text
        found = leaks(text, folder)
        assert not found, f"{answer.request.method} {answer.request.url}: {found} in {answer.text[:1000]}"
    if answer.status_code >= 400:
        assert answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        is_head = answer.request.method == "HEAD"
        assert is_head or "json" in kind, f"an error without a JSON body: {answer.status_code} {kind} {answer.text[:300]}"
        if not is_head:
            check_error(answer.status_code, answer.json())
    return answer


def check_error(status, body):
    """An error's body has one of the documented shapes, and says something."""
    assert isinstance(body, dict), body
    if "error_code" in body:            # the gateway's
        assert re.fullmatch(r"\d{6}", body["error_code"]) and body["message"], body
        assert body["error_code"].startswith(str(status)), body
    elif "error" in body:               # OAuth's
        assert isinstance(body["error"], str), body
    else:
        assert body["status"] == status and body["title"], body


def said(answer):
    """The text a person would read: everything in the body."""
    return answer.text.encode().decode("unicode_escape", "replace") if "\\u" in answer.text else answer.text
