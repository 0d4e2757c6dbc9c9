/* SPDX-License-Identifier: Apache-2.0 */
/* live_rooms.c - see live_rooms.h. */
#include "app/live_rooms.h"

#include "app/server.h"

#include <unistd.h>

struct tr_live_rooms {
    int lock_fd;
    tr_store *store;
    tr_graph *graph;
    tr_compute *compute;
    tr_materialized *materialized;
    tr_segment *segment;
    tr_export *export;
    tr_live_tables *tables;
};

static tr_code open_rooms(tr_live_rooms *r, tr_catalog *catalog, tr_lake *lake, tr_err *err)
{
    TR_TRY(tr_store_open(catalog, lake, &r->store, err));
    TR_TRY(tr_graph_open(catalog, lake, r->store, &r->graph, err));
    TR_TRY(tr_compute_open(&(tr_compute_options){0}, &r->compute, err));
    const tr_materialized_parts nothing_kept = {.catalog = catalog, .store = r->store};
    TR_TRY(tr_materialized_open(&nothing_kept, &r->materialized, err));
    const tr_segment_parts segment = {.catalog = catalog,
                                      .lake = lake,
                                      .store = r->store,
                                      .graph = r->graph,
                                      .compute = r->compute,
                                      .materialized = r->materialized};
    TR_TRY(tr_segment_open(&segment, &r->segment, err));
    const tr_export_parts export = {.catalog = catalog,
                                    .lake = lake,
                                    .store = r->store,
                                    .compute = r->compute,
                                    .materialized = r->materialized,
                                    .segment = r->segment};
    TR_TRY(tr_export_open(&export, &r->export, err));
    const tr_live_cache_parts live = {
        .export = r->export, .compute = r->compute, .scratch_folder = tr_lake_scratch(lake)};
    return tr_live_tables_open(&live, catalog, &r->tables, err);
}

tr_code tr_live_rooms_open(const char *data, tr_catalog *catalog, tr_lake *lake,
                           tr_live_rooms **out, tr_err *err)
{
    tr_live_rooms *r = tr_alloc_zeroed(1, sizeof *r);
    if (r == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a query");
    r->lock_fd = -1;
    tr_catalog_share(catalog);
    tr_code code = tr_data_share(data, &r->lock_fd, err);
    if (code == TR_OK)
        code = open_rooms(r, catalog, lake, err);
    if (code == TR_OK)
        *out = r;
    else
        tr_live_rooms_close(r);
    return code;
}

void tr_live_rooms_close(tr_live_rooms *r)
{
    if (r == NULL)
        return;
    tr_compute_close(r->compute); /* before what its tasks use */
    tr_live_tables_close(r->tables);
    tr_export_close(r->export);
    tr_segment_close(r->segment);
    tr_materialized_close(r->materialized);
    tr_graph_close(r->graph);
    tr_store_close(r->store);
    if (r->lock_fd >= 0)
        (void)close(r->lock_fd);
    tr_free(r);
}

tr_live_tables *tr_live_rooms_tables(const tr_live_rooms *r)
{
    return r->tables;
}
