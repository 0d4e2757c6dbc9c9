/* SPDX-License-Identifier: Apache-2.0 */
/* batch_document.c - a batch's document: states, versions, what the wire shows. */
#include "ingest/ingest_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a batch's document");
}

tr_code tr_batch_show(const json_t *doc, json_t **out, tr_err *err)
{
    json_t *shown = json_copy((json_t *)(uintptr_t)doc); /* shallow: members are shared */
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe (shown, next, name, value)
        if (name[0] == '_')
            (void)json_object_del(shown, name);
    if (shown == NULL)
        return no_memory(err);
    *out = json_deep_copy(shown);
    json_decref(shown);
    return *out != NULL ? TR_OK : no_memory(err);
}

tr_code tr_batch_get(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, tr_object *out,
                     tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(ingest->parts.catalog, tenant, "batch", batch, &object, err));
    *out = object;
    return TR_OK;
}

tr_code tr_batch_set(json_t *doc, const char *member, json_t *value, tr_err *err)
{
    return json_object_set_new(doc, member, value) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_batch_move(tr_object *batch, const char *status, tr_err *err)
{
    const char *version = tr_json_text(batch->doc, "version", "1.0.0");
    const char *dot = strrchr(version, '.');
    int64_t patch = 0;
    char text[32];
    if (dot == NULL || !tr_str_to_i64(tr_str_of(dot + 1), &patch))
        patch = 0;
    (void)snprintf(text, sizeof text, "1.0.%lld", (long long)patch + 1);
    (void)snprintf(batch->state, sizeof batch->state, "%s", status);
    batch->updated_ms = tr_time_now_ms();
    TR_TRY(tr_batch_set(batch->doc, "status", json_string(status), err));
    TR_TRY(tr_batch_set(batch->doc, "version", json_string(text), err));
    return tr_batch_set(batch->doc, "updated", json_integer((json_int_t)batch->updated_ms), err);
}

tr_code tr_batch_edit(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                      tr_batch_edit_fn edit, void *ctx, tr_err *err)
{
    tr_catalog *catalog = ingest->parts.catalog;
    tr_object object = {0};
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_batch_get(ingest, tenant, batch, &object, err);
    const int64_t revision = object.revision;
    if (code == TR_OK)
        code = edit(ctx, &object, err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, tenant, "batch", &object, revision, err);
    tr_object_clear(&object);
    return tr_catalog_end(catalog, code, err);
}

tr_code tr_batch_add_error(json_t *errors, const char *code, const char *description, int64_t count,
                           tr_err *err)
{
    const tr_str text = tr_str_of(description);
    size_t bad_at = text.len;
    const bool is_whole = tr_str_is_utf8(text, &bad_at); /* it may quote a cut text */
    json_t *error = json_pack("{s:s, s:o}", "code", code, "description",
                              tr_json_str((tr_str){text.at, is_whole ? text.len : bad_at}));
    if (error != NULL && count >= 0 &&
        json_object_set_new(error, "recordCount", json_integer((json_int_t)count)) != 0) {
        json_decref(error);
        error = NULL;
    }
    return json_array_append_new(errors, error) == 0 ? TR_OK : no_memory(err);
}

bool tr_batch_is_one_of(const char *state, const char *comma_separated)
{
    const size_t len = strlen(state);
    for (const char *at = comma_separated; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, state, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}
