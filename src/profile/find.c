/* SPDX-License-Identifier: Apache-2.0 */
/* find.c - lookups in a view, and their rows as JSON; see profile.h. */
#include "profile/profile_internal.h"
#include "parquet/row_json.h"

const char *tr_profile_view_policy(const tr_profile_view *view)
{
    return tr_json_text(view->policy, "id", "");
}

const tr_shape *tr_profile_view_shape(const tr_profile_view *view)
{
    return &view->shape;
}

tr_code tr_profile_find(const tr_profile_view *view, tr_identity identity, tr_arena *arena,
                        tr_merge_profile *out, tr_err *err)
{
    uint8_t key[16];
    tr_profile_key(view->secret, identity.code, identity.id, key);
    if (view->plan == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
    return tr_merge_profile_get(view->plan, key, arena, out, err);
}

tr_code tr_profile_events(const tr_profile_view *view, tr_identity identity,
                          const tr_merge_page *page, tr_arena *arena, tr_merge_events *out,
                          tr_err *err)
{
    uint8_t key[16];
    tr_profile_key(view->secret, identity.code, identity.id, key);
    if (view->plan == NULL) {
        *out = (tr_merge_events){.count = 0};
        return TR_OK;
    }
    return tr_merge_events_get(view->plan, key, page, arena, out, err);
}

tr_code tr_profile_write(const tr_profile_view *view, const tr_column *columns, uint32_t row,
                         tr_buf *out, tr_err *err)
{
    tr_row_json *printer = NULL;
    TR_TRY(tr_row_json_open(&view->shape, columns, &printer, err));
    const tr_code code = tr_row_json_write(printer, row, out, err);
    tr_row_json_close(printer);
    return code;
}
