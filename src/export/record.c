/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - finished parts into the catalog, several by one transaction.
 *
 *     worker    part on the disk --note--> noted --+
 *     worker    part on the disk --note--> noted --+--> ONE transaction: export_part, ...
 *                                                  |
 *                               RECORD_US after the last one, or at RECORD_BYTES
 *
 * A transaction waits for the disk, and a small part takes less time than that. What a crash finds
 * noted and not recorded is made again, as if it had not been finished.
 */
#include "export/export_internal.h"

enum { RECORD_US = 100 * 1000, RECORD_BYTES = 16 * 1024 * 1024 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to note a part");
}

tr_code tr_export_notes_open(tr_export_run *run, tr_err *err)
{
    tr_export_notes *notes = &run->notes;
    (void)pthread_mutex_init(&notes->lock, NULL);
    notes->is_open = true;
    notes->since_us = tr_time_monotonic_us();
    notes->parts = tr_alloc_zeroed(run->part_count, sizeof *notes->parts);
    return notes->parts == NULL ? no_memory(err) : TR_OK;
}

void tr_export_notes_close(tr_export_run *run)
{
    if (!run->notes.is_open)
        return;
    (void)pthread_mutex_destroy(&run->notes.lock);
    tr_free(run->notes.parts);
    run->notes = (tr_export_notes){0};
}

static tr_code put_part(const tr_export_run *run, uint32_t index, tr_err *err)
{
    const tr_export_active *active = run->active;
    const tr_export_part *part = &run->parts[index];
    tr_catalog *catalog = active->export->parts.catalog;
    tr_object object = {0}, old = {0};
    (void)snprintf(object.id, sizeof object.id, "%s:%u", active->id, index);
    (void)snprintf(object.parent, sizeof object.parent, "%s", active->id);
    object.doc = json_pack("{s:s, s:I, s:I, s:s, s:O}", "name", part->name, "rows",
                           (json_int_t)part->profiles, "bytes", (json_int_t)part->written.bytes,
                           "xxh128", part->written.xxh128, "namespaces", part->namespaces);
    if (object.doc == NULL ||
        (run->evaluation != NULL && index < run->partitions &&
         json_object_set_new(object.doc, "members", tr_evaluated_to_json(&run->members[index])) !=
             0)) {
        json_decref(object.doc);
        return no_memory(err);
    }
    tr_code code = tr_catalog_get(catalog, &active->tenant, "export_part", object.id, &old, NULL);
    tr_object_clear(&old);
    if (code == TR_NOT_FOUND)
        code = tr_catalog_insert(catalog, &active->tenant, "export_part", &object, err);
    else if (code == TR_OK)
        code = tr_catalog_put(catalog, &active->tenant, "export_part", &object, 0, err);
    json_decref(object.doc);
    return code;
}

static tr_code put_parts(const tr_export_run *run, const uint32_t *parts, uint32_t count,
                         tr_err *err)
{
    tr_catalog *catalog = run->active->export->parts.catalog;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < count && code == TR_OK; i++)
        code = put_part(run, parts[i], err);
    TR_TRY(tr_catalog_end(catalog, code, err));
    for (uint32_t i = 0; i < count; i++)
        tr_crash_point("export_part_recorded");
    return TR_OK;
}

/* The noted parts, which are nobody else's from now on; in *out, the caller's to free. The lock is
 * held. */
static tr_code take_notes(tr_export_run *run, uint32_t **out, uint32_t *count, tr_err *err)
{
    tr_export_notes *notes = &run->notes;
    uint32_t *parts = tr_alloc_array(notes->count, sizeof *parts);
    if (parts == NULL)
        return no_memory(err);
    memcpy(parts, notes->parts, notes->count * sizeof *parts);
    *out = parts;
    *count = notes->count;
    notes->count = 0;
    notes->bytes = 0;
    notes->since_us = tr_time_monotonic_us();
    return TR_OK;
}

/* index  a finished part to be noted first; UINT32_MAX: none, and all are recorded now */
static tr_code note(tr_export_run *run, uint32_t index, tr_err *err)
{
    tr_export_notes *notes = &run->notes;
    uint32_t *parts = NULL, count = 0;
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&notes->lock);
    if (index != UINT32_MAX) {
        notes->parts[notes->count++] = index;
        notes->bytes += run->parts[index].written.bytes;
    }
    const bool is_due = index == UINT32_MAX || notes->bytes >= RECORD_BYTES ||
                        tr_time_monotonic_us() - notes->since_us >= RECORD_US;
    if (is_due && notes->count > 0)
        code = take_notes(run, &parts, &count, err);
    (void)pthread_mutex_unlock(&notes->lock);
    if (code == TR_OK && count > 0)
        code = put_parts(run, parts, count, err);
    tr_free(parts);
    return code;
}

tr_code tr_export_note_part(tr_export_run *run, uint32_t index, tr_err *err)
{
    return note(run, index, err);
}

tr_code tr_export_record_parts(tr_export_run *run, tr_err *err)
{
    return note(run, UINT32_MAX, err);
}
