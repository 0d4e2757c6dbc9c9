/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - merging said slowly, on JSON trees, one profile at a time: docs/semantics.md word by word. Nothing
 * here shares code with the kernel.
 */
#include "merge/model_internal.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(const tr_type *type, char out[64])
{
    (void)snprintf(out, 64, "%.*s", TR_STR_ARG(type->name));
    return out;
}

static bool goes_together(const tr_type *out, const tr_type *in)
{
    if (out->kind == TR_KIND_ARRAY || out->kind == TR_KIND_MAP)
        return in->kind == out->kind && goes_together(out->children[0], in->children[0]);
    if (in->kind == TR_KIND_INT32 && (out->kind == TR_KIND_INT64 || out->kind == TR_KIND_DOUBLE))
        return true;
    return in->kind == out->kind;
}

/* A row's value as the output's type sees it; NULL: no value. is_inside: in an array or map, where an object
 * without contents is one all the same. */
static json_t *seen_as(const tr_type *out, const tr_type *in, json_t *value, bool is_inside)
{
    char name[64];
    if (value == NULL || json_is_null(value) || !goes_together(out, in))
        return NULL;
    if (tr_kind_is_scalar(out->kind))
        return out->kind == TR_KIND_DOUBLE ? json_real(json_number_value(value)) : json_incref(value);
    json_t *seen = out->kind == TR_KIND_ARRAY ? json_array() : json_object();
    if (out->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < out->child_count; i++) {
            const tr_type *own = tr_type_member(in, out->children[i]->name);
            (void)name_of(out->children[i], name);
            json_t *member = own == NULL ? NULL
                                         : seen_as(out->children[i], own, json_object_get(value, name), is_inside);
            if (member != NULL)
                (void)json_object_set_new(seen, name, member);
        }
        if (!is_inside && json_object_size(seen) == 0) {
            json_decref(seen);
            return NULL;
        }
        return seen;
    }
    const char *key;
    json_t *item;
    size_t i;
    if (out->kind == TR_KIND_ARRAY) {
        json_array_foreach(value, i, item) {
            json_t *element = seen_as(out->children[0], in->children[0], item, true);
            (void)json_array_append_new(seen, element == NULL ? json_null() : element);
        }
        return seen;
    }
    json_object_foreach(value, key, item) {
        json_t *entry = seen_as(out->children[0], in->children[0], item, true);
        (void)json_object_set_new(seen, key, entry == NULL ? json_null() : entry);
    }
    return seen;
}

static void fill_segments(json_t *into, json_t *from)
{
    const char *code, *id;
    json_t *inner, *item, *inner_map = from;
    json_object_foreach(inner_map, code, inner)
        json_object_foreach(inner, id, item) {
            json_t *own = json_object_get(into, code);
            if (own == NULL) {
                own = json_object();
                (void)json_object_set_new(into, code, own);
            }
            const json_t *before = json_object_get(own, id);
            const json_t *time = json_object_get(item, "lastQualificationTime");
            const json_t *time_before = json_object_get(before, "lastQualificationTime");
            const bool is_newer = time != NULL && (time_before == NULL ||
                                                   json_integer_value(time) > json_integer_value(time_before));
            if (before == NULL || is_newer)
                (void)json_object_set(own, id, item);
        }
}

static void fill_identities(json_t *into, json_t *from)
{
    const char *code;
    json_t *list, *item, *known;
    size_t i, k;
    json_object_foreach(from, code, list)
        json_array_foreach(list, i, item) {
            json_t *own = json_object_get(into, code);
            bool is_known = false;
            if (own == NULL) {
                own = json_array();
                (void)json_object_set_new(into, code, own);
            }
            json_array_foreach(own, k, known)
                is_known = is_known || json_equal(json_object_get(known, "id"), json_object_get(item, "id"));
            if (!is_known)
                (void)json_array_append(own, item);
        }
}

static void fill_map(json_t *into, json_t *from)
{
    const char *key;
    json_t *item;
    json_object_foreach(from, key, item)
        if (!json_is_null(item) && json_object_get(into, key) == NULL)
            (void)json_object_set(into, key, item);
}

/* Segments are compared by their time even when the output does not show it: hence `raw`. */
static void fill(json_t *into, const tr_type *out, const tr_type *in, json_t *row)
{
    char name[64];
    for (uint32_t i = 0; i < out->child_count; i++) {
        const tr_type *child = out->children[i], *own = tr_type_member(in, child->name);
        json_t *value = json_object_get(row, name_of(child, name));
        if (own == NULL || value == NULL || json_is_null(value) || !goes_together(child, own) ||
            strcmp(name, "timeSeriesEvents") == 0)
            continue;
        json_t *seen = child->kind == TR_KIND_OBJECT ? NULL : seen_as(child, own, value, false);
        const bool nests = child->kind == TR_KIND_OBJECT || child->kind == TR_KIND_MAP;
        json_t *target = json_object_get(into, name);
        if (nests && target == NULL) {
            target = json_object();
            (void)json_object_set_new(into, name, target);
        }
        if (child->kind == TR_KIND_OBJECT)
            fill(target, child, own, value);
        else if (strcmp(name, "identityMap") == 0)
            (void)0; /* united separately */
        else if (strcmp(name, "segmentMembership") == 0)
            fill_segments(target, seen);
        else if (child->kind == TR_KIND_MAP)
            fill_map(target, seen);
        else if (target == NULL && seen != NULL)
            (void)json_object_set(into, name, seen);
        if (nests && json_object_size(target) == 0)
            (void)json_object_del(into, name);
        json_decref(seen);
    }
}

typedef struct fragment {
    const model_row *rows[64]; /* best first */
    uint32_t row_count;
    uint32_t place; /* in the policy's order */
    uint32_t dataset;
    uint32_t member; /* place of its identity by namespace and id */
} fragment;

enum { FRAGMENTS_MAX = MODEL_DATASETS_MAX * MODEL_MEMBERS_MAX, EVENTS_MAX = 4096 };

static uint32_t place_of(const model_request *request, const model_dataset *dataset)
{
    if (!request->is_precedence)
        return 0;
    for (uint32_t i = 0; i < request->order_count; i++)
        if (strcmp(request->order[i], dataset->id) == 0)
            return i;
    return UINT32_MAX;
}

/* What a dataset knows of a person: its newest row, and in an upsert dataset the older ones behind it. */
static fragment fragment_of(const model_world *world, uint32_t d, uint32_t person)
{
    fragment out = {.dataset = d};
    const model_dataset *dataset = &world->datasets[d];
    for (uint32_t i = dataset->row_count; i-- > 0;)
        if (dataset->rows[i].person == person && (out.row_count == 0 || dataset->is_upsert)) {
            TR_ASSERT(out.row_count < 64);
            out.rows[out.row_count++] = &dataset->rows[i];
        }
    return out;
}

static bool is_better(const fragment *a, const fragment *b)
{
    if (a->place != b->place)
        return a->place < b->place;
    if (a->rows[0]->updated_us != b->rows[0]->updated_us)
        return a->rows[0]->updated_us > b->rows[0]->updated_us;
    return a->dataset != b->dataset ? a->dataset < b->dataset : a->member < b->member;
}

typedef struct person_data {
    uint32_t members[MODEL_MEMBERS_MAX]; /* people, by namespace and id */
    uint32_t member_count;
    fragment fragments[FRAGMENTS_MAX];
    uint32_t fragment_count;
    const model_row *events[EVENTS_MAX]; /* deduplicated, in order of arrival */
    uint32_t event_count;
    const model_row *sorted[EVENTS_MAX];
    const model_row *rows[EVENTS_MAX + FRAGMENTS_MAX * 64]; /* that list identities, best first */
} person_data;

/* The people that a profile is made of. */
static void find_members(const model_world *world, const model_request *request, uint32_t person, person_data *data)
{
    for (uint32_t i = 0; i < world->people; i++) {
        const uint32_t p = world->by_identity[i];
        if (request->is_stitched ? world->anchor[p] == person : p == person)
            data->members[data->member_count++] = p;
    }
}

static void add_event(person_data *data, const model_row *row)
{
    uint32_t kept = 0;
    for (uint32_t e = 0; e < data->event_count; e++)
        if (!json_equal(json_object_get(data->events[e]->value, "_id"), json_object_get(row->value, "_id")))
            data->events[kept++] = data->events[e];
    data->event_count = kept;
    TR_ASSERT(data->event_count < EVENTS_MAX);
    data->events[data->event_count++] = row;
}

static void collect_events(const model_world *world, const model_request *request, person_data *data)
{
    for (int64_t batch = 1; batch <= world->batches; batch++)
        for (uint32_t d = 0; d < world->dataset_count; d++) {
            const model_dataset *dataset = &world->datasets[d];
            if (!dataset->is_event || place_of(request, dataset) == UINT32_MAX)
                continue;
            for (uint32_t m = 0; m < data->member_count; m++)
                for (uint32_t i = 0; i < dataset->row_count; i++)
                    if (dataset->rows[i].person == data->members[m] && dataset->rows[i].ingested_us == batch * 1000)
                        add_event(data, &dataset->rows[i]);
        }
}

static void collect(const model_world *world, const model_request *request, uint32_t person, person_data *data)
{
    memset(data, 0, sizeof *data);
    find_members(world, request, person, data);
    for (uint32_t n = 0; n < world->dataset_count * data->member_count; n++) {
        const uint32_t d = n / data->member_count, m = n % data->member_count;
        const uint32_t place = place_of(request, &world->datasets[d]);
        if (world->datasets[d].is_event || place == UINT32_MAX)
            continue;
        fragment own = fragment_of(world, d, data->members[m]);
        own.place = place;
        own.member = m;
        if (own.row_count == 0)
            continue;
        uint32_t at = data->fragment_count++;
        for (; at > 0 && is_better(&own, &data->fragments[at - 1]); at--)
            data->fragments[at] = data->fragments[at - 1];
        data->fragments[at] = own;
    }
    collect_events(world, request, data);
}

static bool is_kept(const model_request *request, const person_data *data)
{
    bool is_after = request->updated_after_us == TR_TIME_NONE;
    if (data->fragment_count == 0 && (!request->with_event_only || data->event_count == 0))
        return false;
    for (uint32_t f = 0; f < data->fragment_count; f++)
        is_after = is_after || data->fragments[f].rows[0]->ingested_us > request->updated_after_us;
    for (uint32_t e = 0; e < data->event_count && request->with_event_only; e++)
        is_after = is_after || data->events[e]->ingested_us > request->updated_after_us;
    return is_after;
}

static bool comes_before(const model_row *a, const model_row *b)
{
    const json_int_t time_a = json_integer_value(json_object_get(a->value, "timestamp"));
    const json_int_t time_b = json_integer_value(json_object_get(b->value, "timestamp"));
    if (time_a != time_b)
        return time_a < time_b;
    return strcmp(json_string_value(json_object_get(a->value, "_id")),
                  json_string_value(json_object_get(b->value, "_id"))) < 0;
}

static json_t *nested_events(const model_request *request, const tr_type *element, person_data *data)
{
    const model_row **sorted = data->sorted;
    uint32_t count = 0;
    for (uint32_t e = 0; e < data->event_count; e++) {
        const int64_t us = data->events[e]->ingested_us;
        if ((request->event_after_us != TR_TIME_NONE && us <= request->event_after_us) ||
            (request->event_before_us != TR_TIME_NONE && us >= request->event_before_us))
            continue;
        uint32_t at = count++;
        for (; at > 0 && comes_before(data->events[e], sorted[at - 1]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = data->events[e];
    }
    if (count == 0)
        return NULL;
    json_t *out = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *event = seen_as(element, sorted[i]->shape->root, sorted[i]->value, false);
        (void)json_array_append_new(out, event == NULL ? json_object() : event);
    }
    return out;
}

/* A cluster lists all of its members, and says itself who is primary. */
static void add_members(const model_world *world, const tr_type *map, uint32_t anchor, const person_data *data,
                        json_t *out)
{
    const tr_type *item = map->children[0]->children[0];
    const char *code;
    json_t *list, *known;
    size_t i;
    for (uint32_t m = 0; m < data->member_count; m++) {
        const uint32_t p = data->members[m];
        json_t *one = json_pack("{s:[{s:s}]}", world->code[p], "id", world->id[p]);
        fill_identities(out, one);
        json_decref(one);
    }
    json_object_foreach(out, code, list)
        json_array_foreach(list, i, known) {
            const bool is_anchor = strcmp(code, world->code[anchor]) == 0 &&
                                   strcmp(json_string_value(json_object_get(known, "id")), world->id[anchor]) == 0;
            json_t *copy = json_copy(known);
            if (tr_type_member(item, tr_str_of("primary")) != NULL)
                (void)json_object_set_new(copy, "primary", json_boolean(is_anchor));
            (void)json_array_set_new(list, i, copy);
        }
}

static json_t *united_identities(const model_world *world, const tr_type *map, uint32_t person,
                                 person_data *data)
{
    json_t *out = json_object();
    const model_row **rows = data->rows;
    uint32_t count = 0;
    for (uint32_t f = 0; f < data->fragment_count; f++)
        for (uint32_t r = 0; r < data->fragments[f].row_count; r++)
            rows[count++] = data->fragments[f].rows[r];
    for (uint32_t e = data->event_count; data->fragment_count == 0 && e-- > 0;) {
        uint32_t at = count++;
        for (; at > 0 && data->events[e]->ingested_us == rows[at - 1]->ingested_us &&
               comes_before(rows[at - 1], data->events[e]);
             at--)
            rows[at] = rows[at - 1];
        rows[at] = data->events[e];
    }
    for (uint32_t r = 0; r < count; r++) {
        const tr_type *own = tr_type_member(rows[r]->shape->root, map->name);
        json_t *seen = own == NULL ? NULL
                                   : seen_as(map, own, json_object_get(rows[r]->value, "identityMap"), false);
        if (seen != NULL)
            fill_identities(out, seen);
        json_decref(seen);
    }
    if (data->member_count > 1)
        add_members(world, map, person, data, out);
    return out;
}

json_t *model_export(const model_world *world, const model_request *request, json_t *namespace_counts)
{
    json_t *out = json_array();
    const tr_type *root = request->output.root;
    const tr_type *shown = tr_type_member(root, tr_str_of("identityMap"));
    const tr_type *map = shown != NULL ? shown : tr_type_member(world->record, tr_str_of("identityMap"));
    const tr_type *events = tr_type_member(root, tr_str_of("timeSeriesEvents"));
    person_data *data = tr_alloc(sizeof *data);
    TR_ASSERT(data != NULL);
    for (uint32_t i = 0; i < world->people; i++) {
        if (request->is_stitched && world->anchor[world->by_key[i]] != world->by_key[i])
            continue;
        collect(world, request, world->by_key[i], data);
        if (!is_kept(request, data))
            continue;
        json_t *profile = json_object(), *identities = united_identities(world, map, world->by_key[i], data);
        for (uint32_t f = 0; f < data->fragment_count; f++)
            for (uint32_t r = 0; r < data->fragments[f].row_count; r++) {
                const model_row *row = data->fragments[f].rows[r];
                fill(profile, root, row->shape->root, row->value);
            }
        const char *code;
        json_t *list;
        json_object_foreach(identities, code, list)
            (void)json_object_set_new(namespace_counts, code,
                                      json_integer(json_integer_value(json_object_get(namespace_counts, code)) + 1));
        if (shown != NULL && json_object_size(identities) > 0)
            (void)json_object_set(profile, "identityMap", identities);
        json_decref(identities);
        json_t *nested = events == NULL || !request->with_events
                             ? NULL : nested_events(request, events->children[0], data);
        if (nested != NULL)
            (void)json_object_set_new(profile, "timeSeriesEvents", nested);
        (void)json_array_append_new(out, profile);
    }
    tr_free(data);
    return out;
}
