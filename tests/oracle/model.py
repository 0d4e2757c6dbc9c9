# SPDX-License-Identifier: Apache-2.0
"""model.py - selection and merging, row by row, in the words of docs/semantics.md.

A Row is one ingested record or event. `seq` numbers batches in the order of their ingestion and stands for the
ingestion time; `number` is the row's place in its batch.
"""
import dataclasses
import datetime

import graph


@dataclasses.dataclass(frozen=True)
class Row:
    dataset: str
    seq: int
    number: int
    identity: tuple          # (namespace, id) of the primary identity
    identities: tuple        # every (namespace, id, authenticatedState or None) of the row, in its order
    value: dict              # the row without identityMap
    last_updated: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    id: str
    is_event: bool = False
    is_upsert: bool = False


@dataclasses.dataclass
class Request:
    graph: str = "none"
    policy: str = "timestampOrdered"
    order: tuple = ()                 # dataset ids, with dataSetPrecedence
    fields: tuple = ()                # dotted paths; () is all
    after_seq: int | None = None      # fromIngestTimestamp lies just behind this batch
    empty_profiles: bool = False
    events: bool = False
    event_fields: tuple = ()          # as fields, within an event
    event_after_seq: int | None = None    # both bounds exclusive
    event_before_seq: int | None = None


def arrival(row):
    """What is later stands higher; of one batch the greater identity, then the later row."""
    return (row.seq, graph.order_of(row.identity), row.number)


def newest_first(rows):
    return sorted(rows, key=arrival, reverse=True)


def latest_first(events):
    """Of one ingestion the latest event first."""
    return sorted(events, key=lambda e: (e.seq, e.value["timestamp"], e.value["_id"]), reverse=True)


def fragments_of(rows, datasets):
    """The fragments of a profile's rows, one an identity and dataset; a fragment is a list of rows, best first."""
    fragments = {}
    for row in rows:
        fragments.setdefault((row.identity, row.dataset), []).append(row)
    return [newest_first(own) if datasets[name].is_upsert else newest_first(own)[:1]
            for (_, name), own in fragments.items()]


def effective_time(fragment):
    """Comparable across fragments: a record's own time, or the time its batch was ingested.

    Batches are ingested "now"; worlds choose own times far in the past or far in the future, so that the two
    kinds never interleave by accident."""
    row = fragment[0]
    if row.last_updated is None:
        return (1, row.seq)
    return (2 if row.last_updated.year > 2080 else 0, row.last_updated.timestamp())


def ranked(fragments, request):
    def key(fragment):
        kind, moment = effective_time(fragment)
        place = request.order.index(fragment[0].dataset) if request.policy == "dataSetPrecedence" else 0
        return (place, -kind, -moment, fragment[0].dataset, graph.order_of(fragment[0].identity))
    return sorted(fragments, key=key)


def fill(out, value, is_map):
    """Adds to `out` what it does not have yet. `is_map(path)` tells maps from objects."""
    def walk(target, source, path):
        for name, item in source.items():
            here = f"{path}.{name}" if path else name
            if item is None or item == {}:
                continue
            if isinstance(item, dict) and is_map(here):
                entries = target.setdefault(name, {})
                for key, entry in item.items():
                    entries.setdefault(key, entry)
            elif isinstance(item, dict):
                walk(target.setdefault(name, {}), item, here)
            elif name not in target:
                target[name] = item
    walk(out, value, "")


def merged_identity_map(rows, anchor, members=()):
    """As AEP writes it; the members of a cluster are listed, whether a fragment names them or not."""
    out = {}
    named = [item for row in rows for item in row.identities]
    for namespace, identity, state in named + [(*member, None) for member in members]:
        items = out.setdefault(namespace, {})
        items.setdefault(identity, {"id": identity, "authenticatedState": state,
                                    "primary": (namespace, identity) == anchor})
    return {namespace: list(items.values()) for namespace, items in out.items()}


def participates(dataset, request):
    return request.policy != "dataSetPrecedence" or dataset in request.order


def deduplicated(events):
    newest = {}
    for event in sorted(events, key=arrival):
        newest[event.value["_id"]] = event
    return list(newest.values())


def within(event, request):
    return ((request.event_after_seq is None or event.seq > request.event_after_seq) and
            (request.event_before_seq is None or event.seq <= request.event_before_seq))


def chosen(value, fields):
    """The parts of a row that `fields` names; a path reaches into the items of arrays and maps."""
    def keep(item, path):
        if not fields or any(path == f or path.startswith(f + ".") for f in fields):
            return item
        if isinstance(item, dict) and any(f.startswith(path + ".") for f in fields):
            kept = {k: keep(v, f"{path}.{k}") for k, v in item.items()}
            return {k: v for k, v in kept.items() if v is not None}
        if isinstance(item, list) and any(f.startswith(path + ".") for f in fields):
            return [keep(element, path) for element in item]
        return None
    kept = {k: keep(v, k) for k, v in value.items()}
    return {k: v for k, v in kept.items() if v is not None}


def nested(event, request):
    """An event as an item of timeSeriesEvents: its row with all its identities, and whose it was."""
    value = dict(event.value, identityMap=merged_identity_map([event], event.identity))
    return chosen(value, request.event_fields)


def export(rows, datasets, request, is_map):
    """What the export must hold: {identity that the profile stands for: merged row}."""
    clusters = graph.Clusters(rows if request.graph == "pdg" else [], datasets)
    people = {}
    for row in rows:
        if participates(row.dataset, request):
            people.setdefault(clusters.anchor(row.identity), []).append(row)
    out = {}
    for anchor, taking_part in people.items():
        own = ranked(fragments_of([r for r in taking_part if not datasets[r.dataset].is_event], datasets), request)
        own_events = deduplicated([r for r in taking_part if datasets[r.dataset].is_event])
        if not own and not request.empty_profiles:
            continue
        seqs = [fragment[0].seq for fragment in own]
        if request.empty_profiles:
            seqs += [event.seq for event in own_events]
        if request.after_seq is not None and not any(seq > request.after_seq for seq in seqs):
            continue
        profile = {}
        for fragment in own:
            for row in fragment:
                fill(profile, row.value, is_map)
        profile = chosen(profile, request.fields)
        if not request.fields or "identityMap" in request.fields:
            of_records = [row for fragment in own for row in fragment]
            profile["identityMap"] = merged_identity_map(of_records or latest_first(own_events), anchor,
                                                         clusters.members(anchor))
        if request.events:
            kept = sorted((e for e in own_events if within(e, request)),
                          key=lambda e: (e.value["timestamp"], e.value["_id"]))
            profile["timeSeriesEvents"] = [nested(e, request) for e in kept]
        out[anchor] = profile
    return out
