/* SPDX-License-Identifier: Apache-2.0 */
/* run_open.c - a run from a file's bytes. What the footer says is checked against the file before
 * anybody relies on it: a wrong partition number would lose rows silently.
 */
#include "store/run.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

static tr_code read_partitions(const json_t *footer, tr_run *run, tr_err *err)
{
    const json_t *list = json_object_get(footer, "partitions");
    const uint32_t groups = tr_parquet_group_count(run->file);
    if (!json_is_array(list) || json_array_size(list) != groups)
        return TR_FAIL(err, TR_CORRUPT, "run: %zu partitions are listed for %u row groups",
                       json_array_size(list), groups);
    uint32_t *partition = tr_alloc_array(groups, sizeof *partition);
    if (partition == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a run of %u row groups", groups);
    run->group_partition = partition; /* freed with the run */
    for (uint32_t g = 0; g < groups; g++) {
        const json_t *item = json_array_get(list, g);
        const json_int_t number = json_is_integer(item) ? json_integer_value(item) : -1;
        if (number < 0 || number >= (json_int_t)1 << run->partition_bits ||
            (g > 0 && (uint32_t)number < partition[g - 1]))
            return TR_FAIL(err, TR_CORRUPT, "run: the partition of row group %u is out of order", g);
        partition[g] = (uint32_t)number;
    }
    return TR_OK;
}

/* Without a list nothing is known: an older run, or none of events. */
static tr_code read_settled(const json_t *footer, tr_run *run, tr_err *err)
{
    const json_t *list = json_object_get(footer, "unsettled");
    const uint32_t groups = tr_parquet_group_count(run->file);
    if (list == NULL || !run->is_event)
        return TR_OK;
    bool *settled = tr_alloc_array((size_t)groups + 1, sizeof *settled);
    if (settled == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a run of %u row groups", groups);
    memset(settled, true, groups);
    run->group_settled = settled; /* freed with the run */
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t number = json_is_integer(item) ? json_integer_value(item) : -1;
        if (number < 0 || number >= groups)
            return TR_FAIL(err, TR_CORRUPT, "run: a row group that is not settled is none of %u", groups);
        settled[number] = false;
    }
    return json_is_array(list) ? TR_OK
                               : TR_FAIL(err, TR_CORRUPT, "run: the row groups that are not settled are no list");
}

static tr_code read_footer(tr_run *run, tr_err *err)
{
    json_t *footer = NULL;
    const tr_str text = tr_parquet_metadata(run->file, TR_RUN_FOOTER);
    if (text.at == NULL)
        return TR_FAIL(err, TR_INVALID, "not a run: the footer has no \"%s\"", TR_RUN_FOOTER);
    TR_TRY(tr_json_parse(text, &footer, err));
    tr_code code = TR_OK;
    const int64_t bits = tr_json_int(footer, "bits", -1);
    const char *behavior = tr_json_text(footer, "behavior", "");
    const json_t *ingested = json_object_get(footer, "ingested");
    if (bits < 0 || bits > TR_RUN_PARTITION_BITS_MAX)
        code = TR_FAIL(err, TR_CORRUPT, "run: the footer's number of partitions is not one we write");
    else if (strcmp(behavior, "event") != 0 && strcmp(behavior, "record") != 0 &&
             strcmp(behavior, "members") != 0)
        code = TR_FAIL(err, TR_CORRUPT, "run: behavior is none of \"record\", \"event\" and \"members\"");
    else if (!json_is_integer(json_array_get(ingested, 0)) || !json_is_integer(json_array_get(ingested, 1)))
        code = TR_FAIL(err, TR_CORRUPT, "run: the footer has no ingestion times");
    if (code == TR_OK) {
        run->partition_bits = (uint8_t)bits;
        run->is_event = behavior[0] == 'e';
        run->is_members = behavior[0] == 'm';
        run->ingested_min_us = json_integer_value(json_array_get(ingested, 0));
        run->ingested_us = json_integer_value(json_array_get(ingested, 1));
        run->written_us = run->ingested_us;
        code = read_partitions(footer, run, err);
    }
    if (code == TR_OK)
        code = read_settled(footer, run, err);
    json_decref(footer);
    return code;
}

tr_code tr_run_open(tr_str bytes, const char *id, const char *dataset, tr_run **out, tr_err *err)
{
    uint32_t leaves[TR_RUN_MEMBER_COUNT];
    tr_run *run = tr_alloc_zeroed(1, sizeof *run);
    if (run == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open a run");
    tr_code code = tr_parquet_open(bytes, &run->file, err);
    if (code == TR_OK)
        code = tr_run_find_bookkeeping(tr_parquet_shape(run->file), leaves, err);
    if (code == TR_OK)
        code = read_footer(run, err);
    if (code != TR_OK) {
        tr_run_close(run);
        return code;
    }
    (void)snprintf(run->id, sizeof run->id, "%s", id);
    (void)snprintf(run->dataset, sizeof run->dataset, "%s", dataset);
    run->rows = tr_parquet_rows(run->file);
    run->bytes = bytes.len;
    run->key_leaf = leaves[TR_RUN_KEY];
    run->namespace_leaf = leaves[TR_RUN_NAMESPACE];
    run->id_leaf = leaves[TR_RUN_ID];
    run->updated_leaf = leaves[TR_RUN_UPDATED];
    run->ingested_leaf = leaves[TR_RUN_INGESTED];
    run->batch_leaf = leaves[TR_RUN_BATCH];
    run->identity_key_leaf = tr_run_find_identity_key(tr_parquet_shape(run->file));
    *out = run;
    return TR_OK;
}

tr_code tr_run_read(const tr_run *run, uint32_t group, uint32_t leaf, uint32_t from, uint32_t rows,
                    tr_arena *arena, tr_column *out, tr_err *err)
{
    if (run->file != NULL)
        return tr_parquet_read(run->file, group, leaf, from, rows, arena, out, err);
    *out = run->held[leaf];
    return TR_OK;
}

tr_code tr_run_read_levels(const tr_run *run, uint32_t group, uint32_t leaf, uint32_t from,
                           uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err)
{
    if (run->file != NULL)
        return tr_parquet_read_levels(run->file, group, leaf, from, rows, arena, out, err);
    *out = run->held[leaf];
    return TR_OK;
}

void tr_run_close(tr_run *run)
{
    if (run == NULL)
        return;
    tr_parquet_close(run->file);
    union { /* ours since read_footer: const only for readers */
        const uint32_t *partition;
        const bool *settled;
        void *owned;
    } own = {.partition = run->group_partition};
    tr_free(own.owned);
    own.settled = run->group_settled;
    tr_free(own.owned);
    tr_free(run);
}
