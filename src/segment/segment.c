/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c - the door: definitions created, looked up, changed, removed; see segment.h. */
#include "segment/job_internal.h"

#include "codec/hash.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment definition");
}

const tr_segment_parts *tr_segment_parts_of(const tr_segment *segment)
{
    return &segment->parts;
}

tr_code tr_segment_open(const tr_segment_parts *parts, tr_segment **out, tr_err *err)
{
    tr_segment *segment = tr_alloc_zeroed(1, sizeof *segment);
    if (segment == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for segments");
    segment->parts = *parts;
    pthread_mutex_init(&segment->lock, NULL);
    *out = segment;
    return TR_OK;
}

void tr_segment_close(tr_segment *segment)
{
    if (segment == NULL)
        return;
    while (segment->active != NULL) { /* those that waited for another: after the next start */
        tr_segment_active *next = segment->active->next;
        tr_free(segment->active);
        segment->active = next;
    }
    pthread_mutex_destroy(&segment->lock);
    tr_free(segment);
}

json_t *tr_segment_sandbox(const tr_tenant *tenant)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "sandboxId", tenant->sandbox_id, "sandboxName",
                     tenant->sandbox, "type", tenant->sandbox_type, "default", tenant->is_default);
}

/* ---- names, each of one definition */

static void name_id(const json_t *doc, char out[256])
{
    char text[33];
    tr_hash128_text(tr_hash128_of(tr_str_of(tr_json_text(doc, "name", ""))), text);
    (void)snprintf(out, 256, "%s", text);
}

static tr_code take_name(tr_segment *segment, const tr_tenant *tenant, const json_t *doc,
                         tr_err *err)
{
    tr_object object = {.doc = json_pack("{s:s}", "segment", tr_json_text(doc, "id", ""))};
    if (object.doc == NULL)
        return no_memory(err);
    name_id(doc, object.id);
    const tr_code code =
        tr_catalog_insert(segment->parts.catalog, tenant, "segment_name", &object, err);
    json_decref(object.doc);
    if (code == TR_CONFLICT)
        return TR_FAIL(err, TR_SEMANTIC,
                       "name: a segment with the name \"%.120s\" exists already: change it with "
                       "PATCH",
                       tr_json_text(doc, "name", ""));
    return code;
}

static tr_code leave_name(tr_segment *segment, const tr_tenant *tenant, const json_t *doc,
                          tr_err *err)
{
    char id[256];
    name_id(doc, id);
    return tr_catalog_remove(segment->parts.catalog, tenant, "segment_name", id, err);
}

/* ---- storing */

/* Adds what the server decides. */
static tr_code finish(json_t *doc, const char *id, int64_t created_ms, int64_t version, tr_err *err)
{
    const int64_t now = tr_time_now_ms();
    const int64_t created = created_ms == 0 ? now : created_ms;
    json_t *papers =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "id", id, "version", (json_int_t)version,
                  "creationTime", (json_int_t)created, "createEpoch", (json_int_t)(created / 1000),
                  "updateEpoch", (json_int_t)(now / 1000), "updateTime", (json_int_t)now);
    const int bad = papers == NULL ? 1 : json_object_update(doc, papers);
    json_decref(papers);
    return bad == 0 ? TR_OK : no_memory(err);
}

/* Within a transaction. */
static tr_code store(tr_segment *segment, const tr_tenant *tenant, json_t *doc, bool is_new,
                     tr_err *err)
{
    tr_catalog *catalog = segment->parts.catalog;
    tr_object object = {.doc = doc, .created_ms = tr_json_int(doc, "creationTime", 0)};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(doc, "id", ""));
    (void)snprintf(object.parent, sizeof object.parent, "%s",
                   tr_json_text(doc, "mergePolicyId", ""));
    (void)snprintf(object.state, sizeof object.state, "%s",
                   tr_json_text(doc, "lifecycleState", ""));
    if (is_new)
        TR_TRY(tr_catalog_insert(catalog, tenant, "segment", &object, err));
    else
        TR_TRY(tr_catalog_put(catalog, tenant, "segment", &object, 0, err));
    tr_object past = {.doc = doc};
    (void)snprintf(past.id, sizeof past.id, "%.200s:%lld", object.id,
                   (long long)tr_json_int(doc, "version", 1));
    (void)snprintf(past.parent, sizeof past.parent, "%s", object.id);
    return tr_catalog_insert(catalog, tenant, "segment_version", &past, err);
}

static tr_code count_one(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    ++*(uint32_t *)ctx;
    return TR_OK;
}

static tr_code check_room(tr_segment *segment, const tr_tenant *tenant, tr_err *err)
{
    uint32_t count = 0;
    const tr_catalog_filter last = {.limit = 1, .offset = TR_SEGMENTS_MAX - 1};
    TR_TRY(
        tr_catalog_list(segment->parts.catalog, tenant, "segment", &last, count_one, &count, err));
    return count == 0 ? TR_OK
                      : TR_FAIL(err, TR_INVALID, "a sandbox has at most %d segment definitions",
                                TR_SEGMENTS_MAX);
}

/* Within a transaction: so that what a definition refers to is still there. */
static tr_code create(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                      json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    const tr_id id = tr_id_uuid();
    TR_TRY(tr_definition_make(segment, tenant, body, NULL, true, &doc, err));
    tr_code code = check_room(segment, tenant, err);
    if (code == TR_OK)
        code = finish(doc, id.text, 0, 1, err);
    if (code == TR_OK)
        code = take_name(segment, tenant, doc, err);
    if (code == TR_OK)
        code = store(segment, tenant, doc, true, err);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

/* Takes doc. */
static tr_code show(json_t *doc, json_t **out, tr_err *err)
{
    json_t *shown = tr_list_show_doc(doc);
    json_decref(doc);
    if (shown == NULL)
        return no_memory(err);
    *out = shown;
    return TR_OK;
}

/* An expression that will not do is found without holding the catalog. */
static tr_code check_first(const json_t *body, tr_err *err)
{
    const json_t *expression = json_object_get(body, "expression");
    tr_expression read = {0};
    tr_arena arena = {0};
    if (!json_is_object(expression) || json_object_get(body, "schema") == NULL)
        return TR_OK; /* told by the checks in their order */
    const tr_code code = tr_expression_read(expression, &arena, &read, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code make_default_policy(tr_segment *segment, const tr_tenant *tenant, tr_err *err)
{
    json_t *policy = NULL;
    TR_TRY(tr_policy_default(segment->parts.catalog, tenant, &policy, err));
    json_decref(policy);
    return TR_OK;
}

tr_code tr_segment_create(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                          json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(check_first(body, err));
    TR_TRY(make_default_policy(segment, tenant, err));
    TR_TRY(tr_catalog_begin(segment->parts.catalog, err));
    const tr_code code = create(segment, tenant, body, &doc, err);
    const tr_code ended = tr_catalog_end(segment->parts.catalog, code, err);
    if (ended != TR_OK) {
        json_decref(doc);
        return ended;
    }
    return show(doc, out, err);
}

static tr_code get(tr_segment *segment, const tr_tenant *tenant, const char *id, tr_object *out,
                   tr_err *err)
{
    const tr_code code = tr_catalog_get(segment->parts.catalog, tenant, "segment", id, out, err);
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_NOT_FOUND, "no segment definition with id \"%.60s\"", id)
               : code;
}

tr_code tr_segment_get(tr_segment *segment, const tr_tenant *tenant, const char *id, json_t **out,
                       tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get(segment, tenant, id, &object, err));
    return show(object.doc, out, err);
}

/* Within a transaction. */
static tr_code change(tr_segment *segment, const tr_tenant *tenant, const char *id,
                      const json_t *body, bool is_whole, json_t **out, tr_err *err)
{
    tr_object old = {0};
    json_t *doc = NULL;
    TR_TRY(get(segment, tenant, id, &old, err));
    tr_code code = tr_definition_make(segment, tenant, body, old.doc, is_whole, &doc, err);
    if (code == TR_OK)
        code = finish(doc, id, tr_json_int(old.doc, "creationTime", 0),
                      tr_json_int(old.doc, "version", 1) + 1, err);
    if (code == TR_OK &&
        !json_equal(json_object_get(doc, "name"), json_object_get(old.doc, "name"))) {
        code = leave_name(segment, tenant, old.doc, err);
        if (code == TR_OK)
            code = take_name(segment, tenant, doc, err);
    }
    if (code == TR_OK)
        code = store(segment, tenant, doc, false, err);
    tr_object_clear(&old);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

static tr_code change_now(tr_segment *segment, const tr_tenant *tenant, const char *id,
                          const json_t *body, bool is_whole, json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_catalog_begin(segment->parts.catalog, err));
    const tr_code code = change(segment, tenant, id, body, is_whole, &doc, err);
    const tr_code ended = tr_catalog_end(segment->parts.catalog, code, err);
    if (ended != TR_OK) {
        json_decref(doc);
        return ended;
    }
    return show(doc, out, err);
}

tr_code tr_segment_change(tr_segment *segment, const tr_tenant *tenant, const char *id,
                          const json_t *body, json_t **out, tr_err *err)
{
    return change_now(segment, tenant, id, body, false, out, err);
}

tr_code tr_segment_replace(tr_segment *segment, const tr_tenant *tenant, const char *id,
                           const json_t *body, json_t **out, tr_err *err)
{
    return change_now(segment, tenant, id, body, true, out, err);
}

/* ---- removing */

/* Within a transaction. */
static tr_code remove_it(tr_segment *segment, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_catalog *catalog = segment->parts.catalog;
    char by[256];
    tr_object object = {0};
    TR_TRY(get(segment, tenant, id, &object, err));
    tr_code code = tr_segment_find_user(segment, tenant, id, false, by, err);
    if (code == TR_OK && by[0] != '\0')
        code = TR_FAIL(err, TR_INVALID,
                       "segment \"%.60s\" is not deleted: segment \"%.60s\" names it in inSegment",
                       id, by);
    if (code == TR_OK)
        code = leave_name(segment, tenant, object.doc, err);
    if (code == TR_OK)
        code = tr_catalog_remove(catalog, tenant, "segment", id, err);
    if (code == TR_OK)
        code = tr_catalog_remove_of(catalog, tenant, "segment_version", id, err);
    if (code == TR_OK)
        code = tr_membership_hide(catalog, tenant, id, err);
    tr_object_clear(&object);
    return code;
}

tr_code tr_segment_remove(tr_segment *segment, const tr_tenant *tenant, const char *id, tr_err *err)
{
    TR_TRY(tr_catalog_begin(segment->parts.catalog, err));
    return tr_catalog_end(segment->parts.catalog, remove_it(segment, tenant, id, err), err);
}

tr_code tr_segment_find(tr_segment *segment, const tr_tenant *tenant,
                        const tr_list_request *request, json_t **items, uint64_t *total,
                        tr_err *err)
{
    return tr_list_find(segment->parts.catalog, tenant, "segment", request, tr_list_show_doc, items,
                        total, err);
}
