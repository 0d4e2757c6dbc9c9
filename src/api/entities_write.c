/* SPDX-License-Identifier: Apache-2.0 */
/* entities_write.c - profiles and pages of events as JSON, written straight into the answer. */
#include "api/entities_internal.h"
#include "base/clock.h"

static tr_code put(tr_buf *out, const char *text, tr_err *err)
{
    return tr_buf_append(out, tr_str_of(text), err);
}

tr_code tr_entity_put_text(tr_str text, tr_buf *out, tr_err *err)
{
    json_t *value = text.at == NULL ? json_string("") : tr_json_str(text);
    if (value == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer");
    const tr_code code = tr_json_write(value, out, err);
    json_decref(value);
    return code;
}

static tr_code put_xid(tr_identity identity, tr_buf *out, tr_err *err)
{
    TR_TRY(put(out, "\"", err));
    TR_TRY(tr_xid_write(identity, out, err));
    return put(out, "\"", err);
}

/* Appends each value once; profiles have few fragments. */
static tr_code put_sources(const tr_merge_profile *found, bool is_batch, tr_buf *out, tr_err *err)
{
    bool is_first = true;
    TR_TRY(put(out, "[", err));
    for (uint32_t i = 0; i < found->fragment_count; i++) {
        const tr_merge_fragment *at = &found->fragments[i];
        const tr_str own = is_batch ? at->batch : tr_str_of(at->run->dataset);
        bool is_new = own.len > 0;
        for (uint32_t j = 0; j < i && is_new; j++)
            is_new = is_batch ? !tr_str_equal(found->fragments[j].batch, own)
                              : strcmp(found->fragments[j].run->dataset, at->run->dataset) != 0;
        if (!is_new)
            continue;
        TR_TRY(tr_buf_format(out, err, "%s\"%.*s\"", is_first ? "" : ",", TR_STR_ARG(own)));
        is_first = false;
    }
    return put(out, "]", err);
}

static tr_code put_requested(const tr_entity_name *name, tr_buf *out, tr_err *err)
{
    TR_TRY(put(out, ",\"requestedIdentity\":{\"entityId\":", err));
    TR_TRY(tr_entity_put_text(name->identity.id, out, err));
    TR_TRY(put(out, ",\"entityIdNS\":{\"code\":", err));
    TR_TRY(tr_entity_put_text(name->identity.code, out, err));
    return put(out, "}}", err);
}

/* All of the profile's, the one it stands for first. */
static tr_code put_graph(const tr_profile_found *found, tr_buf *out, tr_err *err)
{
    for (uint32_t i = 0; i < found->identity_count; i++) {
        const tr_merge_identity *own = &found->identities[i];
        TR_TRY(put(out, i == 0 ? "[" : ",", err));
        TR_TRY(put_xid((tr_identity){own->code, own->id}, out, err));
    }
    return put(out, "]", err);
}

static int64_t newest_of(const tr_merge_profile *found)
{
    int64_t newest = 0;
    for (uint32_t i = 0; i < found->fragment_count; i++)
        if (found->fragments[i].ingested_us > newest)
            newest = found->fragments[i].ingested_us;
    return newest;
}

static tr_code put_explained(const tr_profile_view *view, const tr_profile_found *found,
                             tr_arena *arena, tr_buf *out, tr_err *err)
{
    TR_TRY(put(out, ",\"explain\":", err));
    TR_TRY(tr_profile_explain(view, found, arena, out, err));
    if (!tr_profile_view_is_stitched(view))
        return TR_OK;
    TR_TRY(put(out, ",\"explainGraph\":", err));
    return tr_profile_explain_graph(view, found, out, err);
}

static tr_code put_found(const tr_entity_ask *ask, const tr_profile_view *view,
                         const tr_entity_name *name, const tr_profile_found *found, tr_arena *arena,
                         tr_buf *out, tr_err *err)
{
    char when[TR_TIME_TEXT_BYTES];
    const tr_merge_profile *merged = &found->merged;
    TR_TRY(put_xid(name->identity, out, err));
    TR_TRY(put(out, ":{\"entityId\":", err));
    TR_TRY(put_xid(name->identity, out, err));
    if (ask->is_post && name->is_by_namespace)
        TR_TRY(put_requested(name, out, err));
    TR_TRY(tr_buf_format(
        out, err, ",\"mergePolicy\":{\"id\":\"%s\"},\"sources\":", tr_profile_view_policy(view)));
    TR_TRY(put_sources(merged, false, out, err));
    TR_TRY(put(out, ",\"tags\":", err));
    TR_TRY(put_sources(merged, true, out, err));
    TR_TRY(put(out, ",\"identityGraph\":", err));
    TR_TRY(put_graph(found, out, err));
    TR_TRY(put(out, ",\"entity\":", err));
    TR_TRY(tr_profile_write(view, merged->columns, 0, out, err));
    if (ask->is_explained)
        TR_TRY(put_explained(view, found, arena, out, err));
    return tr_buf_format(out, err, ",\"lastModifiedAt\":\"%s\"}",
                         tr_time_format(newest_of(merged), when));
}

tr_code tr_entity_put_profile(const tr_entity_ask *ask, const tr_profile_view *view,
                              const tr_entity_name *name, tr_arena *arena, tr_buf *out, tr_err *err)
{
    tr_profile_found found;
    const tr_profile_who who = {name->identity, ask->may_wait};
    TR_TRY(tr_profile_find(view, &who, arena, &found, err));
    return put_found(ask, view, name, &found, arena, out, err);
}

tr_code tr_entity_put_missing(const tr_entity_name *name, tr_buf *out, tr_err *err)
{
    TR_TRY(put_xid(name->identity, out, err));
    TR_TRY(put(out, ":{\"entityId\":", err));
    TR_TRY(put_xid(name->identity, out, err));
    return put(
        out, ",\"sources\":[\"\"],\"entity\":{},\"lastModifiedAt\":\"1970-01-01T00:00:00Z\"}", err);
}

/* Events ------------------------------------------------------------------------------------- */

static tr_code put_child(const tr_profile_view *view, const tr_entity_name *name,
                         const tr_merge_events *found, uint32_t row, tr_buf *out, tr_err *err)
{
    char when[TR_TIME_TEXT_BYTES];
    TR_TRY(put(out, row == 0 ? "{\"relatedEntityId\":" : ",{\"relatedEntityId\":", err));
    TR_TRY(put_xid(name->identity, out, err));
    TR_TRY(put(out, ",\"entityId\":", err));
    TR_TRY(tr_entity_put_text(found->ids[row], out, err));
    const int64_t us = found->times[row];
    TR_TRY(tr_buf_format(
        out, err, ",\"timestamp\":%lld,\"entity\":", (long long)(us / 1000 - (us % 1000 < 0))));
    TR_TRY(tr_profile_write(view, found->columns, row, out, err));
    return tr_buf_format(out, err, ",\"lastModifiedAt\":\"%s\"}",
                         tr_time_format(found->ingested[row], when));
}

tr_code tr_entity_put_events(const tr_entity_ask *ask, const tr_profile_view *view,
                             const tr_entity_name *name, tr_arena *arena, tr_buf *out,
                             tr_merge_events *found, tr_err *err)
{
    tr_merge_page page = ask->page;
    if (name->start.len > 0)
        page.start = name->start;
    const tr_profile_who who = {name->identity, ask->may_wait};
    TR_TRY(tr_profile_events(view, &who, &page, &ask->properties, arena, found, err));
    TR_TRY(tr_buf_format(out, err, "{\"_page\":{\"orderby\":\"%stimestamp\",\"start\":",
                         page.is_descending ? "-" : ""));
    TR_TRY(tr_entity_put_text(found->count == 0 ? (tr_str){0} : found->ids[0], out, err));
    TR_TRY(tr_buf_format(out, err, ",\"count\":%u,\"next\":", found->count));
    TR_TRY(tr_entity_put_text(found->next, out, err));
    TR_TRY(put(out, "},\"children\":[", err));
    for (uint32_t row = 0; row < found->count; row++)
        TR_TRY(put_child(view, name, found, row, out, err));
    return put(out, "]", err);
}
