/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle.c - the states of definitions and audiences, and who depends on whom (reference:
 * segmentation API, 8.4).
 *
 *     draft --> published <--> inactive, archived    never back to draft; deleted by DELETE alone
 *
 * What is published names only what is published; what others name stays published.
 */
#include "segment/segment_internal.h"

static const char *const states[] = {"draft", "published", "inactive", "archived"};

tr_code tr_lifecycle_read(json_t *doc, tr_err *err)
{
    const json_t *value = NULL;
    TR_TRY(tr_want_member(doc, "", "lifecycleState", TR_WANT_STRING, &value, err));
    if (value == NULL)
        return TR_OK;
    const char *state = json_string_value(value);
    if (strcmp(state, "active") == 0) /* its old name */
        return json_object_set_new(doc, "lifecycleState", json_string("published")) == 0
                   ? TR_OK
                   : TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment definition");
    if (strcmp(state, "deleted") == 0)
        return TR_FAIL(err, TR_INVALID,
                       "lifecycleState is \"deleted\": an audience is deleted with DELETE");
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            return TR_OK;
    return TR_FAIL(err, TR_INVALID,
                   "lifecycleState is \"%.40s\": expected draft, published, inactive or archived",
                   state);
}

json_t *tr_lifecycle_of(const json_t *body)
{
    static const char *const names[] = {"lifecycleState", "lifecycle", "lifecycleStatus"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = json_object_get(body, names[i]);
        if (value != NULL && !json_is_null(value))
            return value;
    }
    return NULL;
}

typedef struct using
{
    const char *id;
    bool is_active; /* only those that are not inactive or archived */
    char by[256];   /* who uses it; "" so far */
}
using;

static bool is_idle(const char *state)
{
    return strcmp(state, "inactive") == 0 || strcmp(state, "archived") == 0;
}

static tr_code find_user(void *ctx, const tr_object *object, tr_err *err)
{
    using *u = ctx;
    const json_t *uses = json_object_get(json_object_get(object->doc, "_"), "uses");
    (void)err;
    if (u->is_active && is_idle(tr_json_text(object->doc, "lifecycleState", "")))
        return TR_OK;
    for (size_t i = 0; i < json_array_size(uses); i++)
        if (strcmp(json_string_value(json_array_get(uses, i)), u->id) == 0)
            (void)snprintf(u->by, sizeof u->by, "%s", object->id);
    return TR_OK;
}

tr_code tr_segment_find_user(tr_segment *segment, const tr_tenant *tenant, const char *id,
                             bool is_active, char by[256], tr_err *err)
{
    const tr_catalog_filter all = {0};
    using u = {.id = id, .is_active = is_active};
    TR_TRY(tr_catalog_list(segment->parts.catalog, tenant, "segment", &all, find_user, &u, err));
    (void)snprintf(by, 256, "%s", u.by);
    return TR_OK;
}

/* All that a published definition names is published. */
static tr_code check_named(tr_segment *segment, const tr_tenant *tenant, const json_t *doc,
                           tr_err *err)
{
    const json_t *uses = json_object_get(json_object_get(doc, "_"), "uses");
    for (size_t i = 0; i < json_array_size(uses); i++) {
        tr_object object = {0};
        const char *id = json_string_value(json_array_get(uses, i));
        TR_TRY(tr_catalog_get(segment->parts.catalog, tenant, "segment", id, &object, err));
        char state[32];
        (void)snprintf(state, sizeof state, "%s",
                       tr_json_text(object.doc, "lifecycleState", "published"));
        tr_object_clear(&object);
        if (strcmp(state, "published") != 0)
            return TR_FAIL(
                err, TR_INVALID,
                "lifecycleState: it cannot be published while segment \"%.60s\", which it "
                "names in inSegment, is %s",
                id, state);
    }
    return TR_OK;
}

tr_code tr_lifecycle_step(const char *from, const char *to, tr_err *err)
{
    if (strcmp(from, to) == 0)
        return TR_OK;
    if (strcmp(to, "draft") == 0)
        return TR_FAIL(err, TR_INVALID, "lifecycleState: what was %s is never a draft again", from);
    if (strcmp(from, "draft") == 0 && strcmp(to, "published") != 0)
        return TR_FAIL(err, TR_INVALID, "lifecycleState: a draft is published or deleted, not %s",
                       to);
    return TR_OK;
}

tr_code tr_lifecycle_check(tr_segment *segment, const tr_tenant *tenant, const json_t *old,
                           const json_t *doc, tr_err *err)
{
    const char *to = tr_json_text(doc, "lifecycleState", "published");
    const char *from = old == NULL ? to : tr_json_text(old, "lifecycleState", "published");
    const char *id = tr_json_text(old, "id", "");
    char by[256] = "";
    TR_TRY(tr_lifecycle_step(from, to, err));
    if (strcmp(to, "published") == 0)
        return check_named(segment, tenant, doc, err);
    if (strcmp(from, "published") == 0)
        TR_TRY(tr_segment_find_user(segment, tenant, id, true, by, err));
    if (by[0] != '\0')
        return TR_FAIL(err, TR_INVALID,
                       "lifecycleState: segment \"%.60s\" stays published: segment \"%.60s\" names "
                       "it in inSegment",
                       id, by);
    return TR_OK;
}
