/* SPDX-License-Identifier: Apache-2.0 */
/* run_ids.c - a snapshot as a plan names it. */
#include "store/store.h"

json_t *tr_store_run_ids(const tr_snapshot *snapshot)
{
    json_t *ids = json_array();
    for (uint32_t i = 0; ids != NULL && i < snapshot->run_count; i++)
        if (json_array_append_new(ids, json_string(snapshot->runs[i]->id)) != 0) {
            json_decref(ids);
            return NULL;
        }
    return ids;
}
