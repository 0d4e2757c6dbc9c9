# SPDX-License-Identifier: Apache-2.0
"""A chain of incremental exports, each from the creationTime of the one before, misses nobody, whatever is ingested
while they are made."""
import datetime
import threading

import export_world

BATCHES = 40


def test_a_chain_of_incremental_exports_misses_nobody(world, server, api):
    own = export_world.Api(server.url, server.add_client("loader", org=api.session.headers["x-gw-ims-org-id"]))
    is_done = threading.Event()

    def load():
        loader = export_world.World.__new__(export_world.World)
        loader.__dict__.update(world.__dict__, api=own)
        for n in range(BATCHES):
            loader.ingest(loader.crm, [loader.row(n, firstName=f"A{n}")])
        is_done.set()

    thread = threading.Thread(target=load)
    thread.start()
    seen, since = set(), None
    while True:
        was_done = is_done.is_set()
        more = {} if since is None else {"filter": {"fromIngestTimestamp": since}}
        job = world.export(**more)
        seen |= {export_world.person_of(row) for row in world.rows(job)}
        since = datetime.datetime.fromtimestamp(job["creationTime"] / 1000, datetime.timezone.utc).isoformat()
        if was_done:
            break
    thread.join()
    assert seen == {f"c{n:06}" for n in range(BATCHES)}
