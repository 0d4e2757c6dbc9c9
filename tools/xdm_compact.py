#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""xdm_compact.py - turns a facts file of standard XDM into the compact form of src/xdm/global.

    tools/xdm_compact.py FACTS.json > src/xdm/global/standard.jsonl

FACTS.json is one object, {"$id": component}; a component has kind, title, type, meta:*, definitions and
allOf, as in the public XDM repository, without its prose. The compact form is one document a line, sorted
by id, so that a diff shows which standard component changed:

    {"kind":"datatype","id":"~xdm/context/identityitem","title":"Identity item","parts":["#identityitem"],...}

    ~          stands for https://ns.adobe.com/ at the start of an id or reference
    parts      allOf as a list of references; "#x" is "#/definitions/x"
    defs       definitions
    p i v      properties, items, additionalProperties (the values of a map)
    r          $ref
    t          type, of anything but the default: object where there are properties, else string
    known      knownValues that are only suggestions; the registry shows them as meta:enum

src/xdm/global.c turns it back into registry documents when the server starts.
"""
import json
import sys

PREFIX = "https://ns.adobe.com/"
SHORT = {"properties": "p", "items": "i", "additionalProperties": "v", "$ref": "r", "type": "t",
         "knownValues": "known"}
NOTHING = PREFIX + "xdm/common/extensible#/definitions/@context"
DROPPED = ("source",)


def short_id(uri):
    uri = uri.replace("%23", "#")
    if uri.startswith("#/definitions/"):
        return "#" + uri[len("#/definitions/"):]
    return "~" + uri[len(PREFIX):] if uri.startswith(PREFIX) else uri


def compact_node(node):
    out = {}
    for key, value in node.items():
        if key == "$ref":
            value = short_id(value)
        elif key == "properties":
            value = {name: compact_node(field) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            value = compact_node(value)
        elif key == "knownValues" and "enum" in node:
            continue  # the closed list says it already
        elif key == "type" and value == ("object" if "properties" in node else "string"):
            continue
        out[SHORT.get(key, key)] = value
    return out


def compact(uri, component):
    out = {"kind": component["kind"], "id": short_id(uri)}
    for key, value in component.items():
        if key in ("kind", *DROPPED) or (key == "type" and value == "object"):
            continue
        if key == "definitions":
            out["defs"] = {name: compact_node(node) for name, node in value.items()}
        elif key == "allOf":
            out["parts"] = [short_id(part["$ref"]) for part in value if part["$ref"] != NOTHING]
        elif key in ("meta:intendedToExtend", "meta:extends"):
            out[key] = [short_id(item) for item in value]
        else:
            out[SHORT.get(key, key)] = value
    return out


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        facts = json.load(file)
    for uri in sorted(facts):
        if uri + "#/definitions/@context" == NOTHING:
            continue  # the JSON-LD context: no field comes from it
        print(json.dumps(compact(uri, facts[uri]), ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
