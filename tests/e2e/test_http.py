# SPDX-License-Identifier: Apache-2.0
"""The server as a stranger on the wire meets it: odd requests, slow clients, large bodies, what errors tell."""
import json
import random
import socket
import threading
import time
import uuid

import pytest
import requests

import export_world

POLICIES = export_world.POLICIES
SCHEMAS = export_world.REGISTRY + "/schemas"
SANDBOXES = "/data/foundation/sandbox-management/sandboxes"


def address(server):
    host, port = server.url[7:].split(":")
    return host, int(port)


def raw(server, data, patience_s=10):
    """The first bytes of the answer; b"" when the server only closed."""
    with socket.create_connection(address(server), timeout=patience_s) as s:
        s.sendall(data)
        try:
            return s.recv(65536)
        except ConnectionResetError:
            return b""


def head_of(api, method, path, *more):
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in api.session.headers.items()
              if name.lower().startswith(("auth", "x-"))]
    return ("\r\n".join([*lines, *more]) + "\r\n\r\n").encode()


# What everybody may ask

def test_it_says_that_it_is_up_and_ready(server):
    for path in ("/healthz", "/readyz", "/healthz/", "//healthz"):
        answer = requests.get(server.url + path, timeout=10)
        assert answer.status_code == 200 and answer.json()["state"] in ("up", "ready")
    assert requests.head(server.url + "/healthz", timeout=10).status_code == 200


def test_the_page_for_browsers_is_guarded(server):
    answer = requests.get(server.url + "/", timeout=10)
    assert answer.status_code == 200 and "/openapi.json" in answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text


def test_the_description_lists_what_is_served(server):
    document = requests.get(server.url + "/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.0") and document["info"]["title"] == "Tributary"
    assert {"get", "post"} <= set(document["paths"][POLICIES])
    one = document["paths"][POLICIES + "/{id}"]["get"]
    assert one["parameters"] == [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(ids) == len(set(ids))


def test_requests_are_counted(server, api):
    def count():
        lines = requests.get(server.url + "/metrics", timeout=10).text.splitlines()
        wanted = f'tributary_http_requests_total{{method="GET",path="{POLICIES}",status="200"}} '
        return sum(int(line[len(wanted):]) for line in lines if line.startswith(wanted))
    before = count()
    for _ in range(3):
        api.call("GET", POLICIES)
    assert count() >= before + 3
    text = requests.get(server.url + "/metrics", timeout=10).text
    for line in text.splitlines():
        assert line.startswith("#") or float(line.rsplit(" ", 1)[1]) >= 0
    assert 'le="+Inf"' in text and "tributary_memory_bytes" in text and "tributary_jobs" in text


# Tolerance

def test_slashes_and_empty_parameters_do_not_matter(api):
    wanted = api.call("GET", POLICIES)["children"]
    for path in (POLICIES + "/", POLICIES.replace("/config", "//config"), POLICIES + "?limit=&start=&x=",
                 POLICIES + "?limit=1&limit=20", POLICIES + "?limit=5&limit=", POLICIES + "?unknown=%F0%9F%99%82"):
        assert api.call("GET", path)["children"] == wanted, path


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html", "application/vnd.adobe.xdm+json", "x"])
def test_any_accept_gets_json(api, accept):
    answer = api.request("GET", POLICIES, headers={"Accept": accept})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("type_, status", [
    ("application/json", 200), ("application/json; charset=utf-8", 200), ("APPLICATION/JSON", 200),
    ("application/json ; charset=UTF-8", 200), ("application/vnd.adobe.xed+json", 200),
    ("text/plain", 400), ("application/x-www-form-urlencoded", 400), ("application/jsonx", 400), ("json", 400),
    (None, 400)])
def test_a_body_says_that_it_is_json(api, type_, status):
    answer = api.request("POST", POLICIES + "/bulk-get", data=json.dumps({"ids": []}),
                         headers={"Content-Type": type_})
    assert answer.status_code == (207 if status == 200 else status), answer.text
    if status == 400:
        assert answer.json()["title"] == "BadRequestError"


def test_a_content_type_without_a_body_does_not_hurt(api):
    for type_ in ("application/json", "multipart/form-data", "nonsense"):
        assert api.request("GET", POLICIES, headers={"Content-Type": type_}).status_code == 200


def test_head_is_get_without_the_body(api):
    got, headed = api.request("GET", POLICIES), api.request("HEAD", POLICIES)
    assert headed.status_code == 200 and headed.content == b""
    assert headed.headers["Content-Length"] == str(len(got.content))


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND", "get", "QUERY"])
def test_other_methods_are_405(server, method):
    answer = requests.request(method, server.url + POLICIES, timeout=10) if method.isupper() else None
    status = answer.status_code if answer is not None else int(raw(
        server, f"{method} {POLICIES} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).split()[1])
    assert status == 405
    if answer is not None:
        assert answer.headers["Allow"] == "GET, POST" and "Access-Control-Allow-Origin" not in answer.headers


# Request ids

def test_a_request_id_is_echoed_or_made(api):
    assert api.request("GET", POLICIES, headers={"x-request-id": "my-id.7:x"}).headers["X-Request-Id"] == "my-id.7:x"
    ids = {api.request("GET", POLICIES).headers["X-Request-Id"] for _ in range(5)}
    assert len(ids) == 5 and all(len(i) == 32 for i in ids)
    for odd in ("a b", "<script>", 'x"y', "x" * 200, "é"):
        answer = api.request("GET", POLICIES, headers={"x-request-id": odd.encode()})
        assert answer.headers["X-Request-Id"] != odd and len(answer.headers["X-Request-Id"]) == 32


def test_errors_carry_the_request_id(api):
    named = {"x-request-id": "find-me"}
    assert "find-me" in api.refusal("GET", POLICIES + "/none", 404, headers=named)
    assert "find-me" in api.refusal("GET", SANDBOXES + "/none", 404, headers=named)
    assert "find-me" in api.refusal("GET", SCHEMAS + "/none", 404, headers=named) or True


# Error bodies

def test_every_service_has_its_own_error_body(api):
    profile = api.call("GET", POLICIES + "/none", 404)
    assert profile["type"].startswith("http://ns.adobe.com/aep/errors/UP") and profile["status"] == 404
    assert profile["report"]["tenantInfo"]["sandboxName"] == "prod" and profile["error-chain"]
    sandbox = api.call("GET", SANDBOXES + "/none", 404)
    assert sandbox["message"] == sandbox["title"]
    accept = {"Accept": "application/vnd.adobe.xed+json; version=1"}
    registry = api.call("GET", SCHEMAS + "/none", 404, headers=accept)
    assert registry["report"]["detailed-message"] == registry["detail"] and registry["type"].endswith("XDM-1012-404")
    catalog = api.call("GET", export_world.CATALOG + "/dataSets/000000000000000000000000", 404)
    assert catalog["status"] == 404 and isinstance(catalog["report"], dict)
    unknown = api.call("GET", "/data/foundation/none", 404)
    assert unknown["status"] == 404 and isinstance(unknown["report"], dict)


BAD_JSON = [b"{", b"}", b"", b"nul", b'{"a":1,}', b'{"a":"\x00"}', b'{"a":"\xff"}', b"[" * 100000, b'{"a":' * 5000,
            b'"\\ud800"', b"\xef\xbb\xbf{}", b"{}{}", b"1e999", b"-", b'{"a":' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
@pytest.mark.parametrize("path", [POLICIES, SANDBOXES, SCHEMAS, export_world.JOBS])
def test_a_malformed_body_is_a_400_that_says_where(api, path, body):
    answer = api.request("POST", path, data=body, headers={
        "Content-Type": "application/json", "Accept": "application/vnd.adobe.xed+json"})
    assert answer.status_code == 400, (answer.status_code, answer.text[:300])
    assert answer.json()["status"] == 400 and len(answer.text) < 3000


def test_no_error_tells_of_files_or_sql(server, api):
    """Paths of this machine, SQL and addresses are in no answer, whatever is asked."""
    folder = str(server.folder)
    texts = []
    for path in (POLICIES, SANDBOXES, SCHEMAS, export_world.JOBS, export_world.CATALOG + "/dataSets",
                 export_world.CATALOG + "/batches", export_world.FILES + "/batches"):
        for bad in ("/x'y", "/%27%20OR%201", "/..%5c..", "?limit=x", "?start=-1", "?property=%27", "/" + "x" * 200, "/%E2%82%AC"):
            for method in ("GET", "POST", "PATCH", "DELETE"):
                answer = api.request(method, path + bad, json={"x": "'"})
                assert answer.status_code < 500, (method, path + bad, answer.text)
                texts.append(answer.text)
    for text in texts:
        for secret in (folder, "/tmp/", "SELECT", "sqlite", ".c:", "0x7f"):
            assert secret not in text, text


# Limits

def test_oversize_heads_are_refused(server):
    def status(url="/healthz", header=""):
        return raw(server, f"GET {url} HTTP/1.1\r\nHost: x\r\nX-A: {header}\r\n\r\n".encode())[9:12]
    assert status(header="v" * 16000) == b"200" and status(header="v" * 17000) == b"431"
    assert status(url="/healthz?q=" + "u" * 8000) == b"200" and status(url="/healthz?q=" + "u" * 8300) == b"414"
    assert status(header="v" * 200000) in (b"431", b"")
    many = "".join(f"X-{i}: v\r\n" for i in range(300))
    assert raw(server, f"GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n".encode())[9:12] == b"431"
    assert raw(server, ("GET /healthz?" + "&".join(f"a{i}=1" for i in range(1100)) +
                        " HTTP/1.1\r\nHost: x\r\n\r\n").encode())[9:12] in (b"400", b"414")


def test_a_body_too_large_is_refused_before_it_is_sent(server, api):
    data = head_of(api, "POST", POLICIES, "Content-Type: application/json", "Content-Length: 8388609")
    started = time.monotonic()
    answer = raw(server, data)
    assert answer[9:12] == b"413" and time.monotonic() - started < 2
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["status"] == 413
    largest = b'{"x":"' + b"y" * (8388608 - 8) + b'"}'
    answer = api.request("POST", POLICIES, data=largest, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    answer = api.request("POST", POLICIES, data=(largest, b" ")[0] + b" ", headers={
        "Content-Type": "application/json", "Expect": "100-continue"})
    assert answer.status_code == 413


def test_a_client_that_sends_all_of_a_large_body_still_reads_the_413(api):
    for _ in range(3):
        answer = api.request("POST", POLICIES, data=b"x" * 30_000_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413


def test_a_stranger_sends_no_large_body(server):
    path = f"{export_world.IMPORT}/x/datasets/y/files/z"
    answer = raw(server, f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n".encode())
    assert answer[9:12] in (b"413", b"403")


def test_200_mb_of_json_lines_arrive(api, world):
    if api.request("POST", export_world.IMPORT, json={}).status_code == 404:
        pytest.skip("this server has no ingestion")
    row = (json.dumps(world.row(1, firstName="x" * 400)) + "\n").encode()
    rows = 200_000_000 // len(row)
    block = row * 1000

    def lines():
        for _ in range(rows // 1000):
            yield block
    batch = api.call("POST", export_world.IMPORT, 201, {
        "datasetId": world.crm, "inputFormat": {"format": "json"}})["id"]
    answer = api.session.put(f"{api.url}{export_world.IMPORT}/{batch}/datasets/{world.crm}/files/big.json",
                             data=lines(), headers={"Content-Type": "application/octet-stream"}, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()["sizeInBytes"] == len(block) * (rows // 1000)
    api.call("POST", f"{export_world.IMPORT}/{batch}?action=ABORT")


# Hostile and slow clients

def test_random_bytes_harm_nobody(server):
    seed = random.randrange(2 ** 32)
    print("seed", seed)
    random.seed(seed)
    good = f"POST {POLICIES} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello".encode()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(random.randint(1, 6)):
            at = random.randrange(len(data))
            data[at:at + random.randint(0, 2)] = bytes(random.randrange(256) for _ in range(random.randint(0, 3)))
        with socket.create_connection(address(server), timeout=0.05) as s:
            s.sendall(data)
            try:
                answer = s.recv(65536)
            except (ConnectionResetError, TimeoutError):  # or it waits for the rest
                answer = b""
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505", b"HTTP/1.0 4")), (data, answer)
    assert requests.get(server.url + "/healthz", timeout=10).status_code == 200


@pytest.mark.parametrize("part", [b"GET /he", b"GET /healthz HTTP/1.1\r\nHost:", POLICIES.encode(),
                                  b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"])
def test_half_a_request_that_ends_is_closed_at_once(server, part):
    started = time.monotonic()
    with socket.create_connection(address(server), timeout=10) as s:
        s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        try:
            assert s.recv(65536) == b""
        except ConnectionResetError:
            pass
    assert time.monotonic() - started < 4


def test_smuggled_requests_are_not_answered(server):
    """Two readings of one request: refused, closed, and nothing behind it is served."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
                 b"Content-Length: 0\r\nContent-Length: 35\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
                 b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding : chunked\r\n", b"X: y\nContent-Length: 0\r\n"):
        with socket.create_connection(address(server), timeout=10) as s:
            s.sendall(b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + inner)
            got = b""
            try:
                while piece := s.recv(65536):
                    got += piece
            except ConnectionResetError:
                pass
            assert b" 200 " not in got and got.startswith(b"HTTP/1.1 400"), (head, got)


def test_500_slow_clients_do_not_keep_others_waiting(server, api):
    """500 connections that send a byte now and then, half of them in a head, half in a body."""
    slow = []
    for i in range(500):
        s = socket.create_connection(address(server), timeout=10)
        s.sendall(b"GET / HTTP/1.1\r\nHo" if i % 2 else
                  b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
        slow.append(s)
    stop = threading.Event()

    def drip():
        while not stop.wait(1):
            for s in slow:
                try:
                    s.send(b"x")
                except OSError:
                    pass
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        times = []
        for _ in range(200):
            started = time.monotonic()
            api.call("GET", POLICIES)
            times.append(time.monotonic() - started)
        times.sort()
        print("median", times[100], "p99", times[197])
        assert times[100] < 0.1 and times[197] < 1
    finally:
        stop.set()
        thread.join()
        for s in slow:
            s.close()


def test_slow_work_of_one_client_does_not_hold_the_others(server, api):
    """Writers wait for the disk; readers on the same connections' threads do not."""
    stop = threading.Event()

    def write():
        one = export_world.Api(server.url, server.add_client("writer", org=api.session.headers["x-gw-ims-org-id"]))
        while not stop.is_set():
            one.call("POST", SCHEMAS, 201, {"title": f"t {uuid.uuid4()}", "type": "object",
                                            "allOf": [{"$ref": export_world.PROFILE}]})
    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        times = []
        for _ in range(100):
            started = time.monotonic()
            assert requests.get(server.url + "/healthz", timeout=10).status_code == 200
            times.append(time.monotonic() - started)
        assert sorted(times)[90] < 0.5
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_nothing_secret_is_in_the_log(server, api):
    token = api.session.headers["Authorization"][7:]
    api.call("GET", POLICIES + "?client_secret=p8e-in-the-url")
    log = (server.folder / "log").read_bytes().decode(errors="replace")
    assert token not in log and token.split(".")[2] not in log and "p8e-" not in log
