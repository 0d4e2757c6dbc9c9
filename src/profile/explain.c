/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - where each field of a profile comes from; see profile.h.
 *
 * The fragments of a found profile stand best first, and a unit is taken from the first that has
 * it:
 * so the answer needs only to know who has it. Maps are united key by key, of all that have any.
 */
#include "profile/profile_internal.h"
#include "base/clock.h"

static tr_code put(tr_buf *out, const char *text, tr_err *err)
{
    return tr_buf_append(out, tr_str_of(text), err);
}

/* Ids of datasets and batches are plain letters and digits: nothing to be escaped. */
static tr_code put_fragment(const tr_merge_fragment *fragment, tr_buf *out, tr_err *err)
{
    char updated[TR_TIME_TEXT_BYTES], ingested[TR_TIME_TEXT_BYTES];
    return tr_buf_format(out, err,
                         "{\"dataSetId\":\"%s\",\"batchId\":\"%.*s\",\"updatedAt\":\"%s\","
                         "\"ingestedAt\":\"%s\"}",
                         fragment->run->dataset, TR_STR_ARG(fragment->batch),
                         tr_time_format(fragment->updated_us, updated),
                         tr_time_format(fragment->ingested_us, ingested));
}

static tr_code put_list(const tr_merge_profile *found, const bool *has, uint32_t from, tr_buf *out,
                        tr_err *err)
{
    bool is_first = true;
    TR_TRY(put(out, "[", err));
    for (uint32_t i = from; i < found->fragment_count; i++) {
        if (!has[i])
            continue;
        if (!is_first)
            TR_TRY(put(out, ",", err));
        is_first = false;
        TR_TRY(put_fragment(&found->fragments[i], out, err));
    }
    return put(out, "]", err);
}

static tr_code put_path(tr_str path, tr_buf *out, tr_err *err)
{
    json_t *text = tr_json_str(path);
    if (text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    const tr_code code = tr_json_write(text, out, err);
    json_decref(text);
    return code;
}

static tr_code put_unit(const tr_unit *unit, const tr_merge_profile *found, const bool *has,
                        uint32_t first, tr_buf *out, tr_err *err)
{
    TR_TRY(put_path(unit->path, out, err));
    if (unit->type->kind == TR_KIND_MAP) {
        TR_TRY(put(out, ":{\"from\":", err));
        TR_TRY(put_list(found, has, first, out, err));
        return put(out, "}", err);
    }
    TR_TRY(put(out, ":{\"winner\":", err));
    TR_TRY(put_fragment(&found->fragments[first], out, err));
    TR_TRY(put(out, ",\"losers\":", err));
    TR_TRY(put_list(found, has, first + 1, out, err));
    return put(out, "}", err);
}

tr_code tr_profile_explain(const tr_profile_view *view, const tr_merge_profile *found,
                           tr_arena *arena, tr_buf *out, tr_err *err)
{
    bool is_first = true;
    bool *has = tr_arena_array(arena, (size_t)found->fragment_count + 1, sizeof *has);
    if (has == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    TR_TRY(put(out, "{", err));
    for (uint32_t u = 0; u < view->shape.unit_count; u++) {
        uint32_t first = 0;
        TR_TRY(tr_merge_who_has(view->plan, found, u, arena, has, err));
        while (first < found->fragment_count && !has[first])
            first++;
        if (first == found->fragment_count)
            continue;
        if (!is_first)
            TR_TRY(put(out, ",", err));
        is_first = false;
        TR_TRY(put_unit(&view->shape.units[u], found, has, first, out, err));
    }
    return put(out, "}", err);
}
