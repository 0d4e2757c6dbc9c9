/* SPDX-License-Identifier: Apache-2.0 */
/* model_internal.h - for tests: random worlds, and what an export of one must hold, row by row on JSON. */
#ifndef TR_MERGE_MODEL_INTERNAL_H
#define TR_MERGE_MODEL_INTERNAL_H

#include "merge/merge.h"
#include "merge/model_rows.h"

enum { MODEL_DATASETS_MAX = 6, MODEL_RUNS_MAX = 8, MODEL_PEOPLE_MAX = 120, MODEL_MEMBERS_MAX = 50 };

typedef struct model_row {
    uint32_t person;
    int64_t ingested_us, updated_us;
    const tr_shape *shape; /* of its run */
    json_t *value;
} model_row;

typedef struct model_dataset {
    char id[32];
    bool is_event, is_upsert;
    bool is_lone;       /* never more than one run */
    uint32_t event_ids; /* so many `_id`s a person's events have */
    tr_run *runs[MODEL_RUNS_MAX];
    tr_buf bytes[MODEL_RUNS_MAX];
    uint32_t run_count;
    model_row *rows; /* in order of arrival */
    uint32_t row_count, row_cap;
} model_dataset;

typedef struct model_world {
    uint64_t random;
    uint32_t changes; /* of a hundred scalars, in a run's schema, so many have another kind */
    uint32_t own_share; /* of a hundred runs, so many list their rows' own identity and no other */
    bool is_own, is_spelled; /* the run that is made does, and spells the namespace in another way */
    tr_arena arena;
    uint32_t people;
    uint8_t keys[MODEL_PEOPLE_MAX][16];
    uint32_t by_key[MODEL_PEOPLE_MAX]; /* people in the order of their keys */
    char id[MODEL_PEOPLE_MAX][32];     /* the identity that each of them is, */
    const char *code[MODEL_PEOPLE_MAX];
    uint32_t anchor[MODEL_PEOPLE_MAX]; /* and whom its cluster stands for; itself without links */
    uint32_t by_identity[MODEL_PEOPLE_MAX]; /* people in the order of namespace and id */
    tr_type *record, *event;           /* everything a row may have */
    model_dataset datasets[MODEL_DATASETS_MAX];
    uint32_t dataset_count;
    uint32_t batches; /* ingested at 1000, 2000, ... us */
} model_world;

typedef struct model_request {
    tr_shape output;
    bool is_precedence, with_event_only, with_events;
    bool is_stitched; /* profiles are clusters */
    const char *order[MODEL_DATASETS_MAX];
    uint32_t order_count;
    int64_t updated_after_us, event_after_us, event_before_us;
    uint8_t bits_min;
} model_request;

TR_MUST_CHECK tr_code model_world_open(uint64_t seed, model_world **out, tr_err *err);
void model_world_close(model_world *world);
/* bytes  of one run that replaces all of the dataset; taken */
TR_MUST_CHECK tr_code model_replace_runs(model_dataset *dataset, tr_buf *bytes, tr_err *err);
/* As a snapshot orders them; returns how many. */
uint32_t model_list_runs(const model_world *world, const tr_run **runs);
void model_request_make(model_world *world, model_request *request); /* in the world's arena */
tr_merge_spec model_spec(const model_world *world, const tr_snapshot *snapshot, const model_request *request);

/* A world's runs with the anchors' keys, and its clusters' members: what a stitched plan reads. */
typedef struct model_stitched {
    tr_buf bytes[MODEL_RUNS_MAX * MODEL_DATASETS_MAX + 1];
    tr_run *owned[MODEL_RUNS_MAX * MODEL_DATASETS_MAX + 1]; /* NULL: the run stayed as it was */
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX + 1];
    uint32_t run_count;
} model_stitched;
TR_MUST_CHECK tr_code model_stitch(const model_world *world, model_stitched *out, tr_err *err);
void model_stitched_close(model_stitched *stitched);
/* The members of a person's cluster, the anchor first; returns how many. */
uint32_t model_members(const model_world *world, uint32_t anchor, tr_merge_identity out[MODEL_MEMBERS_MAX]);

/* The rows that the export must have, in order; and profiles per namespace. */
json_t *model_export(const model_world *world, const model_request *request, json_t *namespace_counts);

#endif
