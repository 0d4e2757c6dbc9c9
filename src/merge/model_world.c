/* SPDX-License-Identifier: Apache-2.0 */
/* model_world.c - random schemas, datasets, runs and requests; the same seed, the same world. */
#include "merge/model_internal.h"
#include "base/check.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret[192] = {1, 2, 3};

static uint32_t below(model_world *w, uint32_t limit)
{
    return (uint32_t)(tr_test_random(&w->random) >> 33) % limit;
}

static bool chance(model_world *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

static tr_type *make(model_world *w, tr_kind kind, const char *name)
{
    tr_type *type = tr_type_make(&w->arena, kind, tr_str_of(name));
    TR_ASSERT(type != NULL);
    return type;
}

static tr_type *put(model_world *w, tr_type *parent, tr_type *child)
{
    TR_ASSERT(tr_type_add(&w->arena, parent, child));
    return child;
}

static void add_members(model_world *w, tr_type *object, uint32_t count, uint32_t depth);

static tr_type *random_type(model_world *w, const char *name, uint32_t depth)
{
    const uint32_t roll = depth == 0 ? 100 : below(w, 100);
    if (roll >= 55)
        return make(w, (tr_kind)below(w, TR_KIND_KEY), name);
    tr_type *type = make(w, roll < 20 ? TR_KIND_OBJECT : roll < 38 ? TR_KIND_ARRAY : TR_KIND_MAP, name);
    if (type->kind == TR_KIND_OBJECT)
        add_members(w, type, 1 + below(w, 3), depth - 1);
    else
        (void)put(w, type, random_type(w, type->kind == TR_KIND_ARRAY ? "element" : "value", depth - 1));
    return type;
}

static void add_members(model_world *w, tr_type *object, uint32_t count, uint32_t depth)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%u", i);
        (void)put(w, object, random_type(w, name, depth));
    }
}

static void add_identity_map(model_world *w, tr_type *root)
{
    tr_type *map = put(w, root, make(w, TR_KIND_MAP, "identityMap"));
    tr_type *item = put(w, put(w, map, make(w, TR_KIND_ARRAY, "value")), make(w, TR_KIND_OBJECT, "element"));
    (void)put(w, item, make(w, TR_KIND_STRING, "authenticatedState"));
    (void)put(w, item, make(w, TR_KIND_STRING, "id"));
    (void)put(w, item, make(w, TR_KIND_BOOLEAN, "primary"));
}

static void add_segment_membership(model_world *w, tr_type *root)
{
    tr_type *map = put(w, root, make(w, TR_KIND_MAP, "segmentMembership"));
    tr_type *item = put(w, put(w, map, make(w, TR_KIND_MAP, "value")), make(w, TR_KIND_OBJECT, "value"));
    (void)put(w, item, make(w, TR_KIND_TIMESTAMP, "lastQualificationTime"));
    (void)put(w, item, make(w, TR_KIND_STRING, "status"));
}

/* A random part of a type; scalars sometimes of another kind. NULL: nothing left of it. */
static tr_type *part_of(model_world *w, const tr_type *type, uint32_t keep, uint32_t change)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(type->name));
    tr_kind kind = type->kind;
    if (tr_kind_is_scalar(kind) && chance(w, change))
        kind = kind == TR_KIND_INT64 || kind == TR_KIND_DOUBLE ? TR_KIND_INT32 : (tr_kind)below(w, TR_KIND_KEY);
    tr_type *out = make(w, kind, name);
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_type *child = type->children[i];
        const bool is_fixed = type->kind != TR_KIND_OBJECT || tr_str_is(child->name, "id") ||
                              tr_str_is(child->name, "_id") || tr_str_is(child->name, "timestamp") ||
                              (change == 0 && tr_str_is(child->name, "lastQualificationTime"));
        const bool is_known = tr_str_is(child->name, "id") || tr_str_is(child->name, "_id") ||
                              tr_str_is(child->name, "timestamp") || tr_str_is(child->name, "lastQualificationTime");
        if (!is_fixed && !chance(w, keep))
            continue;
        tr_type *own = part_of(w, child, keep, is_known ? 0 : change);
        if (own == NULL && type->kind != TR_KIND_OBJECT)
            return NULL;
        if (own != NULL)
            (void)put(w, out, own);
    }
    return out->child_count == 0 && !tr_kind_is_scalar(kind) ? NULL : out;
}

static json_t *random_scalar(model_world *w, tr_kind kind)
{
    static const char *const texts[] = {"", "a", "b", "a longer text that is no number", "\xc3\x9cn\xc3\xaf"};
    char text[32];
    const int small = (int)below(w, 7) - 3;
    if (kind == TR_KIND_BOOLEAN)
        return json_boolean(chance(w, 50));
    if (kind == TR_KIND_DOUBLE)
        return json_real(chance(w, 50) ? small / 4.0 : (double)below(w, 1u << 30) / 7);
    if (kind == TR_KIND_STRING) {
        (void)snprintf(text, sizeof text, "unique-%u", below(w, 1u << 30));
        return json_string(chance(w, 60) ? texts[below(w, 5)] : text);
    }
    if (kind == TR_KIND_INT32 || kind == TR_KIND_DATE)
        return json_integer(chance(w, 50) ? small : chance(w, 10) ? INT32_MIN : (json_int_t)below(w, 100000));
    return json_integer(chance(w, 50) ? small : chance(w, 10) ? INT64_MAX : (json_int_t)below(w, 1u << 30) * 4711);
}

static json_t *random_value(model_world *w, const tr_type *type, uint32_t fullness)
{
    if (!chance(w, fullness))
        return json_null();
    if (tr_kind_is_scalar(type->kind))
        return random_scalar(w, type->kind);
    json_t *out = type->kind == TR_KIND_ARRAY ? json_array() : json_object();
    const uint32_t count = below(w, 4);
    for (uint32_t i = 0; type->kind == TR_KIND_OBJECT && i < type->child_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(type->children[i]->name));
        json_t *member = random_value(w, type->children[i], fullness);
        if (json_is_null(member))
            json_decref(member);
        else
            (void)json_object_set_new(out, name, member);
    }
    for (uint32_t i = 0; type->kind == TR_KIND_ARRAY && i < count; i++)
        (void)json_array_append_new(out, random_value(w, type->children[0], 85));
    for (uint32_t i = 0; type->kind == TR_KIND_MAP && i < count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", below(w, 6));
        (void)json_object_set_new(out, key, random_value(w, type->children[0], 85));
    }
    return out;
}

static const char *const identity_codes[] = {"ECID", "CRMID", "Email"};

static json_t *random_identities(model_world *w, uint32_t person)
{
    static const char *const states[] = {"ambiguous", "authenticated", "loggedOut"};
    json_t *map = json_object();
    for (uint32_t i = 0, count = below(w, 4); i < count; i++) {
        const char *code = identity_codes[below(w, 3)];
        char id[32];
        (void)snprintf(id, sizeof id, chance(w, 50) ? "own-%u" : "other-%u", chance(w, 50) ? person : below(w, 3));
        json_t *list = json_object_get(map, code);
        if (list == NULL) {
            list = json_array();
            (void)json_object_set_new(map, code, list);
        }
        json_t *item = json_pack("{s:s}", "id", id);
        if (chance(w, 70))
            (void)json_object_set_new(item, "authenticatedState", json_string(states[below(w, 3)]));
        if (chance(w, 70))
            (void)json_object_set_new(item, "primary", json_boolean(chance(w, 30)));
        (void)json_array_append_new(list, item);
    }
    return map;
}

/* The identity that a row is stored under, in a list of its own. */
static json_t *own_identity(model_world *w, uint32_t person)
{
    static const char *const spelled[] = {"ecid", "crmid", "EMAIL"};
    char id[32];
    (void)snprintf(id, sizeof id, "own-%u", person);
    json_t *item = json_pack("{s:s}", "id", id);
    if (chance(w, 50))
        (void)json_object_set_new(item, "authenticatedState", json_string("loggedOut"));
    if (chance(w, 80))
        (void)json_object_set_new(item, "primary", json_boolean(chance(w, 60)));
    return json_pack("{s:[o]}", w->is_spelled ? spelled[person % 3] : identity_codes[person % 3], item);
}

static json_t *random_segments(model_world *w)
{
    static const char *const namespaces[] = {"ups", "AAM"};
    json_t *map = json_object();
    for (uint32_t i = 0, count = below(w, 4); i < count; i++) {
        const char *code = namespaces[below(w, 2)];
        char id[16];
        (void)snprintf(id, sizeof id, "segment-%u", below(w, 4));
        json_t *inner = json_object_get(map, code);
        if (inner == NULL) {
            inner = json_object();
            (void)json_object_set_new(map, code, inner);
        }
        json_t *item = json_object();
        if (chance(w, 80))
            (void)json_object_set_new(item, "lastQualificationTime", json_integer(below(w, 5)));
        if (chance(w, 80))
            (void)json_object_set_new(item, "status", json_string(chance(w, 50) ? "realized" : "exited"));
        (void)json_object_set_new(inner, id, item);
    }
    return map;
}

static json_t *random_row(model_world *w, const model_dataset *dataset, const tr_shape *shape, uint32_t person,
                          uint32_t batch, int64_t updated_us)
{
    static const char *const spellings[3][2] = {{"ECID", "ecid"}, {"CRMID", "CrmId"}, {"Email", "EMAIL"}};
    const char *code = person == UINT32_MAX ? "" : spellings[person % 3][below(w, 2)];
    json_t *row = random_value(w, shape->root, 100);
    const uint32_t fullness = 40 + below(w, 60);
    for (uint32_t i = 0; i < shape->root->child_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(shape->root->children[i]->name));
        (void)json_object_set_new(row, name, random_value(w, shape->root->children[i], fullness));
    }
    (void)json_object_set_new(row, "identityMap", chance(w, 80) ? random_identities(w, person) : json_null());
    if (w->is_own && person != UINT32_MAX)
        (void)json_object_set_new(row, "identityMap", own_identity(w, person));
    (void)json_object_set_new(row, "segmentMembership", chance(w, 60) ? random_segments(w) : json_null());
    if (dataset->is_event) {
        char id[32];
        (void)snprintf(id, sizeof id, "event-%u", below(w, dataset->event_ids));
        (void)json_object_set_new(row, "_id", json_string(id));
        (void)json_object_set_new(row, "timestamp", json_integer(below(w, 3)));
    }
    char key[33] = "00000000000000000000000000000000", batch_id[16];
    for (size_t i = 0; person != UINT32_MAX && i < 16; i++)
        (void)snprintf(key + 2 * i, 3, "%02x", w->keys[person][i]);
    (void)snprintf(batch_id, sizeof batch_id, "batch-%u", batch);
    (void)json_object_set_new(row, TR_BOOKKEEPING,
                              json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "key", key, "namespace", code, "id",
                                        person == UINT32_MAX ? "" : w->id[person], "updated",
                                        (json_int_t)updated_us, "ingested", (json_int_t)batch * 1000, "batch",
                                        batch_id));
    return row;
}

static void remember(model_dataset *dataset, model_row row)
{
    if (dataset->row_count == dataset->row_cap) {
        dataset->row_cap = dataset->row_cap == 0 ? 64 : dataset->row_cap * 2;
        dataset->rows = tr_grow_array(dataset->rows, dataset->row_cap, sizeof *dataset->rows);
        TR_ASSERT(dataset->rows != NULL);
    }
    dataset->rows[dataset->row_count++] = row;
}

static tr_code open_run(model_dataset *dataset, const char *id, tr_err *err)
{
    const uint32_t r = dataset->run_count;
    TR_TRY(tr_run_open(tr_buf_str(&dataset->bytes[r]), id, dataset->id, &dataset->runs[r], err));
    dataset->runs[r]->is_upsert = dataset->is_upsert;
    dataset->run_count++;
    return TR_OK;
}

/* Of events some runs are older than the order that they have today. */
static tr_model_kind kind_of(model_world *w, const model_dataset *dataset)
{
    if (!dataset->is_event)
        return TR_MODEL_RECORDS;
    return chance(w, 30) ? TR_MODEL_ARRIVED : TR_MODEL_EVENTS;
}

/* One batch: a run with its own part of the schema. */
static tr_code add_batch(model_world *w, model_dataset *dataset, tr_err *err)
{
    json_t *rows[MODEL_PEOPLE_MAX * 3];
    uint32_t count = 0;
    const uint32_t batch = ++w->batches, share = 10 + below(w, 80);
    tr_shape *shape = tr_arena_alloc(&w->arena, sizeof *shape);
    tr_type *root = part_of(w, dataset->is_event ? w->event : w->record, 85, w->changes);
    w->is_own = chance(w, w->own_share);
    w->is_spelled = chance(w, 5);
    while (root == NULL) /* nothing was left of it */
        root = part_of(w, dataset->is_event ? w->event : w->record, 85, w->changes);
    TR_ASSERT(shape != NULL);
    TR_ASSERT(tr_run_add_bookkeeping(&w->arena, root) != NULL);
    TR_TRY(tr_shape_make(&w->arena, root, shape, err));
    for (uint32_t person = 0; person < w->people; person++)
        for (uint32_t n = chance(w, share) ? 1 + (below(w, 5) == 0) : 0; n > 0; n--) {
            if (!dataset->is_event && person % 11 == 0)
                continue; /* nothing but events is known of these */
            const int64_t updated_us = chance(w, 50) ? batch * 1000 : (int64_t)below(w, 4) * 1500;
            const uint32_t owner = chance(w, w->is_own ? 0 : 2) ? UINT32_MAX : person; /* some rows have no identity */
            json_t *row = random_row(w, dataset, shape, owner, batch, updated_us);
            rows[count++] = row;
            if (owner != UINT32_MAX)
                remember(dataset, (model_row){.person = person, .ingested_us = batch * 1000,
                                              .updated_us = updated_us, .shape = shape, .value = json_incref(row)});
        }
    /* Rows arrive in any order, but each dataset remembers its own: people are visited once per batch. */
    char id[16];
    (void)snprintf(id, sizeof id, "run-%04u", batch);
    tr_code code = count == 0 ? TR_OK
                              : tr_model_write_run(shape, rows, count, kind_of(w, dataset), (uint8_t)below(w, 4),
                                                   &dataset->bytes[dataset->run_count], err);
    if (code == TR_OK && count > 0)
        code = open_run(dataset, id, err);
    for (uint32_t i = 0; i < count; i++)
        json_decref(rows[i]);
    return code;
}

static int compare_people(const void *a, const void *b, void *keys)
{
    const uint8_t(*key)[16] = keys;
    return memcmp(key[*(const uint32_t *)a], key[*(const uint32_t *)b], 16);
}

static int compare_identities(const void *a, const void *b, void *ctx)
{
    const model_world *w = ctx;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int order = strcasecmp(w->code[x], w->code[y]);
    return order != 0 ? order : strcmp(w->id[x], w->id[y]);
}

/* Links some people with an earlier one, at most so many that a cluster may have. */
static void link_people(model_world *w)
{
    uint32_t members[MODEL_PEOPLE_MAX] = {0};
    const uint32_t share = below(w, 90);
    for (uint32_t p = 0; p < w->people; p++) {
        const uint32_t other = p > 0 && chance(w, share) ? w->anchor[below(w, p)] : p;
        w->anchor[p] = members[other] < MODEL_MEMBERS_MAX ? other : p;
        members[w->anchor[p]]++;
    }
}

static void make_people(model_world *w)
{
    w->people = 40 + below(w, MODEL_PEOPLE_MAX - 40);
    for (uint32_t p = 0; p < w->people; p++) {
        (void)snprintf(w->id[p], sizeof w->id[p], "own-%u", p);
        w->code[p] = identity_codes[p % 3];
        tr_profile_key(secret, tr_str_of(w->code[p]), tr_str_of(w->id[p]), w->keys[p]);
        w->by_key[p] = w->by_identity[p] = p;
    }
    qsort_r(w->by_key, w->people, sizeof *w->by_key, compare_people, w->keys);
    qsort_r(w->by_identity, w->people, sizeof *w->by_identity, compare_identities, w);
    link_people(w);
}

tr_code model_world_open(uint64_t seed, model_world **out, tr_err *err)
{
    model_world *w = tr_alloc_zeroed(1, sizeof *w);
    TR_ASSERT(w != NULL);
    w->random = seed;
    w->changes = chance(w, 40) ? 6 : 0;
    w->own_share = chance(w, 40) ? 80 + below(w, 21) : 0;
    (void)tr_test_failures; /* checks are the test's */
    make_people(w);
    w->record = make(w, TR_KIND_OBJECT, "");
    add_members(w, w->record, 2 + below(w, 6), 3);
    add_identity_map(w, w->record);
    add_segment_membership(w, w->record);
    w->event = make(w, TR_KIND_OBJECT, "");
    (void)put(w, w->event, make(w, TR_KIND_STRING, "_id"));
    (void)put(w, w->event, make(w, TR_KIND_TIMESTAMP, "timestamp"));
    add_members(w, w->event, 1 + below(w, 5), 3);
    add_identity_map(w, w->event);
    w->dataset_count = 2 + below(w, MODEL_DATASETS_MAX - 2);
    for (uint32_t d = 0; d < w->dataset_count; d++) {
        model_dataset *dataset = &w->datasets[d];
        (void)snprintf(dataset->id, sizeof dataset->id, "dataset-%u", d);
        dataset->is_event = d > 0 && chance(w, 35);
        dataset->is_upsert = !dataset->is_event && chance(w, 35);
        dataset->event_ids = chance(w, 50) ? 4 : 200;
        dataset->is_lone = dataset->is_event && chance(w, 40);
    }
    tr_code code = TR_OK;
    /* Sometimes more runs than are walked head by head. */
    for (uint32_t n = w->dataset_count * (1 + below(w, MODEL_RUNS_MAX + 4)); n > 0 && code == TR_OK; n--) {
        model_dataset *dataset = &w->datasets[below(w, w->dataset_count)];
        if (dataset->run_count < (dataset->is_lone ? 1 : MODEL_RUNS_MAX))
            code = add_batch(w, dataset, err);
    }
    if (code == TR_OK)
        *out = w;
    else
        model_world_close(w);
    return code;
}

void model_world_close(model_world *w)
{
    for (uint32_t d = 0; d < w->dataset_count; d++) {
        model_dataset *dataset = &w->datasets[d];
        for (uint32_t r = 0; r < MODEL_RUNS_MAX; r++) {
            tr_run_close(r < dataset->run_count ? dataset->runs[r] : NULL);
            tr_buf_free(&dataset->bytes[r]);
        }
        for (uint32_t i = 0; i < dataset->row_count; i++)
            json_decref(dataset->rows[i].value);
        tr_free(dataset->rows);
    }
    tr_arena_free(&w->arena);
    tr_free(w);
}

tr_code model_replace_runs(model_dataset *dataset, tr_buf *bytes, tr_err *err)
{
    for (uint32_t r = 0; r < dataset->run_count; r++) {
        tr_run_close(dataset->runs[r]);
        tr_buf_free(&dataset->bytes[r]);
    }
    dataset->run_count = 0;
    dataset->bytes[0] = *bytes;
    *bytes = (tr_buf){0};
    return open_run(dataset, "run-9999", err);
}

uint32_t model_list_runs(const model_world *w, const tr_run **runs)
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < w->dataset_count; d++)
        for (uint32_t r = 0; r < w->datasets[d].run_count; r++)
            runs[count++] = w->datasets[d].runs[r];
    return count;
}

static void make_output(model_world *w, model_request *request)
{
    const uint32_t keep = chance(w, 50) ? 100 : 75;
    tr_type *root = part_of(w, w->record, keep, 0), *event = part_of(w, w->event, keep, 0);
    if (root == NULL) {
        root = make(w, TR_KIND_OBJECT, "");
        (void)put(w, root, make(w, TR_KIND_STRING, "nothing"));
    }
    if (chance(w, 80)) {
        tr_type *element = make(w, TR_KIND_OBJECT, "element");
        for (uint32_t i = 0; i < event->child_count; i++)
            (void)put(w, element, event->children[i]);
        (void)put(w, put(w, root, make(w, TR_KIND_ARRAY, "timeSeriesEvents")), element);
    }
    TR_ASSERT(tr_shape_make(&w->arena, root, &request->output, NULL) == TR_OK);
}

static int64_t random_bound(model_world *w)
{
    return chance(w, 60) ? TR_TIME_NONE : (int64_t)below(w, w->batches + 2) * 1000;
}

void model_request_make(model_world *w, model_request *request)
{
    *request = (model_request){.is_precedence = chance(w, 40), .with_event_only = chance(w, 50),
                               .with_events = chance(w, 70), .is_stitched = chance(w, 50),
                               .updated_after_us = random_bound(w),
                               .event_after_us = random_bound(w), .event_before_us = random_bound(w),
                               .bits_min = (uint8_t)below(w, 4)};
    make_output(w, request);
    if (!request->is_precedence)
        return;
    const uint32_t first = below(w, w->dataset_count), step = chance(w, 50) ? 1 : w->dataset_count - 1;
    const uint32_t count = 1 + below(w, w->dataset_count);
    for (uint32_t i = 0; i < count; i++)
        request->order[request->order_count++] = w->datasets[(first + i * step) % w->dataset_count].id;
}

tr_merge_spec model_spec(const model_world *w, const tr_snapshot *snapshot, const model_request *request)
{
    (void)w;
    return (tr_merge_spec){.snapshot = snapshot,
                           .policy = {.is_precedence = request->is_precedence, .order = request->order,
                                      .order_count = request->order_count},
                           .output = &request->output, .with_event_only = request->with_event_only,
                           .with_events = request->with_events, .updated_after_us = request->updated_after_us,
                           .event_after_us = request->event_after_us, .event_before_us = request->event_before_us,
                           .bits_min = request->bits_min, .is_cut_by_keys = request->bits_min % 2 == 1};
}
