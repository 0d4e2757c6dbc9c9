#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lookups.py - lookups of single profiles over HTTP, by wrk: how many a second, and how long they take.

    bench/lookups.py [PROFILES] [SECONDS] [CONNECTIONS] [none|pdg]

A server of its own, two record datasets of PROFILES people each (the second knows two of three), random ids. With pdg the
second knows them by another identity, which the identity graph links with the first one's: a lookup merges rows of two keys.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import export_world   # noqa: E402

ROWS_AT_ONCE = 200_000
FIRST = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jan"]
SCRIPT = """
math.randomseed(os.time())
wrk.headers = {%s}
local path = "/data/core/ups/access/entities?schema.name=_xdm.context.profile&mergePolicyId=%s&entityIdNS=CRMID&entityId="
request = function() return wrk.format("GET", path .. string.format("c%%09d", math.random(0, %d))) end
"""


def crm_row(tenant, number, rng):
    name = rng.choice(FIRST)
    return {"identityMap": {"CRMID": [{"id": f"c{number:09}", "primary": True}]}, tenant: {"p": {
        "firstName": name, "lastName": f"L{rng.randrange(50_000)}", "email": f"{name}.{number}@example.org",
        "city": f"City {rng.randrange(3000)}", "street": f"Street {rng.randrange(200_000)}", "zip": rng.randrange(99_999),
        "age": rng.randrange(18, 99), "active": rng.random() < 0.8, "since": "2021-03-04", "score": rng.random(),
        "tags": [f"t{rng.randrange(40)}" for _ in range(rng.randrange(3))]}}}


def loyalty_row(tenant, number, rng, graph):
    own = {"CRMID": [{"id": f"c{number:09}", "primary": graph == "none"}]}
    if graph == "pdg":
        own["Email"] = [{"id": f"p{number}@example.org", "primary": True}]
    return {"identityMap": own, tenant: {"l": {
        "tier": rng.choice(["gold", "silver", "bronze"]), "points": rng.randrange(10_000),
        "store": f"S{rng.randrange(500)}", "last": "2024-02-03T04:05:06Z"}}}


def properties():
    text, whole = {"type": "string"}, {"type": "integer"}
    return ({"firstName": text, "lastName": text, "email": text, "city": text, "street": text, "zip": whole,
             "age": whole, "active": {"type": "boolean"}, "since": {"type": "string", "format": "date"},
             "score": {"type": "number"}, "tags": {"type": "array", "items": text}},
            {"tier": text, "points": whole, "store": text, "last": {"type": "string", "format": "date-time"}})


def make_schema(world, name, member, fields):
    group = world.api.call("POST", export_world.REGISTRY + "/fieldgroups", 201, {
        "title": f"{name} group", "type": "object", "meta:intendedToExtend": [export_world.PROFILE],
        "definitions": {"own": {"properties": {world.tenant: {"type": "object", "properties": {
            member: {"type": "object", "properties": fields}}}}}}, "allOf": [{"$ref": "#/definitions/own"}]})
    return world.api.call("POST", export_world.REGISTRY + "/schemas", 201, {
        "title": f"{name} schema", "type": "object", "meta:immutableTags": ["union"],
        "allOf": [{"$ref": ref} for ref in (export_world.PROFILE, export_world.IDENTITY_MAP, group["$id"])]})["$id"]


def fill(world, profiles, graph="none"):
    rng = random.Random(1)
    crm_fields, loyalty_fields = properties()
    crm = world.dataset("people", make_schema(world, "people", "p", crm_fields))
    loyalty = world.dataset("points", make_schema(world, "points", "l", loyalty_fields))
    for first in range(0, profiles, ROWS_AT_ONCE):
        numbers = range(first, min(first + ROWS_AT_ONCE, profiles))
        world.ingest(crm, [crm_row(world.tenant, number, rng) for number in numbers])
        world.ingest(loyalty, [loyalty_row(world.tenant, number, rng, graph) for number in numbers if number % 3])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def policy(api, graph):
    api.namespace("CRMID")
    return api.policy(graph, graph)["id"]


def milliseconds(text, percent):
    number, unit = re.search(percent + r"%\s+([0-9.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def one_round(server, script, seconds, connections):
    before = cpu_seconds(server.process.pid)
    done = subprocess.run(["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", str(script),
                           server.url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server.process.pid) - before
    assert "Non-2xx" not in done, done
    requests = int(re.search(r"(\d+) requests in", done)[1])
    return {"per_s": float(re.search(r"Requests/sec:\s+([0-9.]+)", done)[1]), "p50_ms": milliseconds(done, "50"),
            "p99_ms": milliseconds(done, "99"), "cpu_us": 1e6 * spent / requests}


def make_script(folder, api, policy_id, profiles):
    """What wrk asks, at random: the path of its script."""
    headers = ", ".join(f'["{name}"]={json.dumps(value)}' for name, value in api.session.headers.items()
                        if name.lower() not in ("connection", "accept-encoding", "accept", "user-agent"))
    script = pathlib.Path(folder) / "lookups.lua"
    script.write_text(SCRIPT % (headers, policy_id, profiles - 1))
    return script


def measure(profiles, seconds, connections, graph):
    """Rounds as dictionaries: the first one finds nothing decoded."""
    folder = tempfile.TemporaryDirectory(prefix="lookups-")
    server = export_world.Server(folder.name).start()
    try:
        world = export_world.World(server.api)
        own = policy(server.api, graph)
        fill(world, profiles, graph)
        script = make_script(folder.name, server.api, own, profiles)
        rounds = []
        for state in ("cold", "warm", "warm"):
            rounds.append({"profiles": profiles, "connections": connections, "graph": graph, "state": state,
                           **one_round(server, script, seconds, connections)})
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        rounds[-1]["peak_mb"] = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        return rounds
    finally:
        server.stop()
        folder.cleanup()


def table(rounds):
    lines = ["| lookups over HTTP | graph | a second | p50 ms | p99 ms | server CPU us a lookup |", "|---|---|--:|--:|--:|--:|"]
    for found in rounds:
        lines.append(f"| {found['profiles']:,} profiles, {found['connections']} connections, {found['state']} | {found['graph']} | "
                     f"{found['per_s']:,.0f} | {found['p50_ms']:.2f} | {found['p99_ms']:.2f} | {found['cpu_us']:.0f} |")
    return "\n".join(lines)


def main():
    words = sys.argv[1:] + ["200000", "10", "16", "none"][len(sys.argv) - 1:]
    print(table(measure(int(words[0]), int(words[1]), int(words[2]), words[3])))


if __name__ == "__main__":
    main()
