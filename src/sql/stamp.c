/* SPDX-License-Identifier: Apache-2.0 */
/* stamp.c - see stamp.h. */
#include "sql/stamp.h"

#include "base/clock.h"

static tr_code note_created(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    *(int64_t *)ctx = object->created_ms;
    return TR_OK;
}

tr_code tr_stamp_insert(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                        tr_object *object, tr_err *err)
{
    const tr_catalog_filter newest = {.is_descending = true, .limit = 1};
    int64_t before_ms = 0;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_catalog_list(catalog, tenant, kind, &newest, note_created, &before_ms, err);
    object->created_ms = tr_time_now_ms();
    if (object->created_ms <= before_ms)
        object->created_ms = before_ms + 1;
    object->updated_ms = object->created_ms;
    if (code == TR_OK)
        code = tr_catalog_insert(catalog, tenant, kind, object, err);
    return tr_catalog_end(catalog, code, err);
}

static tr_code note_one(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    *(bool *)ctx = true;
    return TR_OK;
}

tr_code tr_stamp_check_room(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                            const char *state, int64_t most, const char *what, tr_err *err)
{
    bool is_full = false;
    const tr_catalog_filter last = {
        .state = state, .is_brief = true, .limit = 1, .offset = most - 1};
    TR_TRY(tr_catalog_list(catalog, tenant, kind, &last, note_one, &is_full, err));
    if (!is_full)
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "a sandbox has at most %lld %s", (long long)most, what);
}
