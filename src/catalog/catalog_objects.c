/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_objects.c - objects by (tenant, kind, id), lists, sequences; see catalog.h. */
#include "base/clock.h"
#include "base/limits.h"
#include "catalog/catalog_internal.h"

#include <stdio.h>

#define OBJECT_COLUMNS                                                                          \
    "x.id, x.parent, x.state, x.created_ms, x.updated_ms, x.revision, x.doc, x.hash"
enum { OBJECT_COLUMN_COUNT = 8, STATES_MAX = 16, DIGITS_MAX = 18 };

void tr_object_clear(tr_object *object)
{
    json_decref(object->doc);
    object->doc = NULL;
}

/* A decimal id as a number; -1: it is none, and so stands before all numbers. */
static int64_t number_of(const char *id)
{
    int64_t number = -1;
    const tr_str text = tr_str_of(id);
    if (text.len == 0 || text.len > DIGITS_MAX || id[0] == '-' || (id[0] == '0' && text.len > 1))
        return -1;
    return tr_str_to_i64(text, &number) ? number : -1;
}

static void copy_text(char *out, size_t size, sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);
    (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

static void read_brief(sqlite3_stmt *row, int from, tr_object *out)
{
    copy_text(out->id, sizeof out->id, row, from);
    copy_text(out->parent, sizeof out->parent, row, from + 1);
    copy_text(out->state, sizeof out->state, row, from + 2);
    out->created_ms = sqlite3_column_int64(row, from + 3);
    out->updated_ms = sqlite3_column_int64(row, from + 4);
    out->revision = sqlite3_column_int64(row, from + 5);
    out->doc = NULL;
}

static tr_code read_object(sqlite3_stmt *row, int from, tr_object *out, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_column_json(row, from + 6, from + 7, &doc, err));
    read_brief(row, from, out);
    out->doc = doc;
    return TR_OK;
}

static tr_code no_object(const char *kind, const char *id, tr_err *err)
{
    return TR_FAIL(err, TR_NOT_FOUND, "no %s with id \"%s\"", kind, id);
}

tr_code tr_catalog_get(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const char *id, tr_object *out, tr_err *err)
{
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    tr_code code = tr_statement_get(connection,
                                    "SELECT " OBJECT_COLUMNS " FROM object x"
                                    " WHERE tenant = ? AND kind = ? AND id = ?",
                                    &ask, err);
    if (code == TR_OK) {
        (void)sqlite3_bind_int64(ask, 1, tenant->id);
        tr_bind_text(ask, 2, kind);
        tr_bind_text(ask, 3, id);
        const int result = sqlite3_step(ask);
        code = result == SQLITE_ROW    ? read_object(ask, 0, out, err)
               : result == SQLITE_DONE ? no_object(kind, id, err)
                                       : tr_catalog_failed(result, "read the catalog", err);
        tr_statement_done(connection, ask);
    }
    tr_catalog_reader_done(catalog, connection);
    return code;
}

/* Writing ----------------------------------------------------------------------------------- */

static tr_code write_document(const json_t *doc, tr_buf *out, tr_err *err)
{
    if (doc == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no document to keep in the catalog");
    return tr_json_write(doc, out, err);
}

static void bind_document(sqlite3_stmt *statement, int at, const tr_buf *text)
{
    (void)sqlite3_bind_text64(statement, at, (const char *)text->at, text->len, SQLITE_STATIC,
                              SQLITE_UTF8);
    (void)sqlite3_bind_int64(statement, at + 1, (int64_t)tr_hash64_of(tr_buf_str(text)));
}

static tr_code insert_object(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                             const tr_object *object, const tr_buf *text, tr_err *err)
{
    sqlite3_stmt *insert = NULL;
    tr_catalog_note_write(catalog, kind);
    const int64_t now = tr_time_now_ms();
    const int64_t created = object->created_ms == 0 ? now : object->created_ms;
    TR_TRY(tr_statement_get(catalog->writer,
                            "INSERT INTO object (tenant, kind, id, parent, state, created_ms,"
                            " updated_ms, revision, number, doc, hash)"
                            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
                            &insert, err));
    (void)sqlite3_bind_int64(insert, 1, tenant->id);
    tr_bind_text(insert, 2, kind);
    tr_bind_text(insert, 3, object->id);
    tr_bind_text(insert, 4, object->parent);
    tr_bind_text(insert, 5, object->state);
    (void)sqlite3_bind_int64(insert, 6, created);
    (void)sqlite3_bind_int64(insert, 7, object->updated_ms == 0 ? now : object->updated_ms);
    (void)sqlite3_bind_int64(insert, 8, number_of(object->id));
    bind_document(insert, 9, text);
    const tr_code code = tr_statement_run(catalog->writer, insert, "write the catalog", err);
    if (code == TR_CONFLICT)
        return TR_FAIL(err, code, "%s \"%s\" exists already", kind, object->id);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, code, "the sandbox \"%s\" is gone", tenant->sandbox);
    return code;
}

/* Ends a write of one's own; inside a caller's transaction a miss wrote nothing, and the caller may
 * go on. */
static tr_code end_write(tr_catalog *catalog, tr_code code, tr_err *err)
{
    if ((code == TR_CONFLICT || code == TR_NOT_FOUND) && catalog->depth > 1) {
        const tr_code ended = tr_catalog_commit(catalog, NULL);
        return ended == TR_OK ? code : ended;
    }
    return tr_catalog_end(catalog, code, err);
}

tr_code tr_catalog_insert(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const tr_object *object, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = write_document(object->doc, &text, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = end_write(catalog, insert_object(catalog, tenant, kind, object, &text, err), err);
    tr_buf_free(&text);
    return code;
}

/* Why an update touched nothing. */
static tr_code explain_miss(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                            const char *id, tr_err *err)
{
    tr_object found;
    TR_TRY(tr_catalog_get(catalog, tenant, kind, id, &found, err));
    tr_object_clear(&found);
    return TR_FAIL(err, TR_CONFLICT, "%s \"%s\" was changed meanwhile", kind, id);
}

static tr_code put_object(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const tr_object *object, int64_t if_revision, const tr_buf *text,
                          tr_err *err)
{
    sqlite3_stmt *update = NULL;
    tr_catalog_note_write(catalog, kind);
    TR_TRY(tr_statement_get(catalog->writer,
                            "UPDATE object SET parent = ?, state = ?, updated_ms = ?,"
                            " revision = revision + 1, doc = ?, hash = ?"
                            " WHERE tenant = ? AND kind = ? AND id = ?"
                            " AND (?9 = 0 OR revision = ?9)",
                            &update, err));
    tr_bind_text(update, 1, object->parent);
    tr_bind_text(update, 2, object->state);
    (void)sqlite3_bind_int64(update, 3,
                             object->updated_ms == 0 ? tr_time_now_ms() : object->updated_ms);
    bind_document(update, 4, text);
    (void)sqlite3_bind_int64(update, 6, tenant->id);
    tr_bind_text(update, 7, kind);
    tr_bind_text(update, 8, object->id);
    (void)sqlite3_bind_int64(update, 9, if_revision);
    TR_TRY(tr_statement_run(catalog->writer, update, "write the catalog", err));
    return sqlite3_changes(catalog->writer->db) == 1
               ? TR_OK
               : explain_miss(catalog, tenant, kind, object->id, err);
}

tr_code tr_catalog_put(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const tr_object *object, int64_t if_revision, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = write_document(object->doc, &text, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = end_write(
            catalog, put_object(catalog, tenant, kind, object, if_revision, &text, err), err);
    tr_buf_free(&text);
    return code;
}

static tr_code remove_object(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                             const char *id, tr_err *err)
{
    sqlite3_stmt *remove = NULL;
    tr_catalog_note_write(catalog, kind);
    TR_TRY(tr_statement_get(catalog->writer,
                            "DELETE FROM object WHERE tenant = ? AND kind = ? AND id = ?",
                            &remove, err));
    (void)sqlite3_bind_int64(remove, 1, tenant->id);
    tr_bind_text(remove, 2, kind);
    tr_bind_text(remove, 3, id);
    TR_TRY(tr_statement_run(catalog->writer, remove, "write the catalog", err));
    return sqlite3_changes(catalog->writer->db) == 1 ? TR_OK : no_object(kind, id, err);
}

tr_code tr_catalog_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const char *id, tr_err *err)
{
    TR_TRY(tr_catalog_begin(catalog, err));
    return end_write(catalog, remove_object(catalog, tenant, kind, id, err), err);
}

/* The sequence's next value, `least` at least. */
static tr_code next_number(tr_catalog *catalog, const tr_tenant *tenant, const char *sequence,
                           int64_t least, int64_t *out, tr_err *err)
{
    sqlite3_stmt *next = NULL;
    TR_TRY(tr_statement_get(catalog->writer,
                            "INSERT INTO sequence (tenant, name, value) VALUES (?, ?, ?)"
                            " ON CONFLICT DO UPDATE SET value = max(value + 1, excluded.value)"
                            " RETURNING value",
                            &next, err));
    (void)sqlite3_bind_int64(next, 1, tenant->id);
    tr_bind_text(next, 2, sequence);
    (void)sqlite3_bind_int64(next, 3, least);
    int result = sqlite3_step(next);
    if (result == SQLITE_ROW)
        *out = sqlite3_column_int64(next, 0);
    while (result == SQLITE_ROW)
        result = sqlite3_step(next);
    tr_statement_done(catalog->writer, next);
    return result == SQLITE_DONE ? TR_OK : tr_catalog_failed(result, "write the catalog", err);
}

static tr_code take_next(tr_catalog *catalog, const tr_tenant *tenant, const char *sequence,
                         int64_t least, int64_t *out, tr_err *err)
{
    int64_t number = 0;
    TR_TRY(tr_catalog_begin(catalog, err));
    const tr_code code = next_number(catalog, tenant, sequence, least, &number, err);
    TR_TRY(tr_catalog_end(catalog, code, err));
    *out = number;
    return TR_OK;
}

tr_code tr_catalog_next(tr_catalog *catalog, const tr_tenant *tenant, const char *sequence,
                        int64_t *out, tr_err *err)
{
    return take_next(catalog, tenant, sequence, 1, out, err);
}

tr_code tr_catalog_clock(tr_catalog *catalog, const tr_tenant *tenant, int64_t *us, tr_err *err)
{
    return take_next(catalog, tenant, "clock", tr_time_now_us(), us, err);
}

/* Lists ------------------------------------------------------------------------------------- */

typedef struct states {
    tr_str each[STATES_MAX];
    uint32_t count;
} states;

static tr_code split_states(const char *text, states *out, tr_err *err)
{
    out->count = 0;
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        if (out->count == STATES_MAX)
            return TR_FAIL(err, TR_INVALID, "more than %d states in one filter", STATES_MAX);
        const size_t len = comma == NULL ? strlen(at) : (size_t)(comma - at);
        out->each[out->count++] = (tr_str){(const uint8_t *)at, len};
        at = comma == NULL ? NULL : comma + 1;
    }
    return TR_OK;
}

/* The text has a fixed number of forms, so that statements are found again. */
static void write_list_sql(const tr_catalog_filter *filter, uint32_t state_count, char *out,
                           size_t size)
{
    const char *direction = filter->is_descending ? "DESC" : "ASC";
    char in_states[STATES_MAX * 2 + 24] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < state_count; i++)
        len += (size_t)snprintf(in_states + len, sizeof in_states - len, "%s?",
                                i == 0 ? " AND x.state IN (" : ",");
    if (state_count > 0)
        (void)snprintf(in_states + len, sizeof in_states - len, ")");
    (void)snprintf(out, size,
                   "SELECT " OBJECT_COLUMNS " FROM object x WHERE x.tenant = ? AND x.kind = ?"
                   "%s%s%s%s ORDER BY x.created_ms %s, x.number %s, x.id %s LIMIT ? OFFSET ?",
                   filter->parent == NULL ? "" : " AND x.parent = ?", in_states,
                   filter->after_id == NULL ? "" : " AND (x.created_ms, x.number, x.id)",
                   filter->after_id == NULL   ? ""
                   : filter->is_descending ? " < (?, ?, ?)"
                                              : " > (?, ?, ?)",
                   direction, direction, direction);
}

static void bind_filter(sqlite3_stmt *ask, const tr_catalog_filter *filter, const states *in)
{
    int at = 3;
    if (filter->parent != NULL)
        tr_bind_text(ask, at++, filter->parent);
    for (uint32_t i = 0; i < in->count; i++)
        (void)sqlite3_bind_text(ask, at++, (const char *)in->each[i].at, (int)in->each[i].len,
                                SQLITE_STATIC);
    if (filter->after_id != NULL) {
        (void)sqlite3_bind_int64(ask, at++, filter->after_created_ms);
        (void)sqlite3_bind_int64(ask, at++, number_of(filter->after_id));
        tr_bind_text(ask, at++, filter->after_id);
    }
    (void)sqlite3_bind_int64(ask, at++, filter->limit == 0 ? -1 : filter->limit);
    (void)sqlite3_bind_int64(ask, at, filter->offset);
}

static tr_code each_row(sqlite3_stmt *ask, bool is_brief, tr_catalog_each each, void *ctx,
                        tr_err *err)
{
    tr_code code = TR_OK;
    int result = SQLITE_DONE;
    while (code == TR_OK && (result = sqlite3_step(ask)) == SQLITE_ROW) {
        tr_object object = {0};
        if (is_brief)
            read_brief(ask, 0, &object);
        else
            code = read_object(ask, 0, &object, err);
        if (code == TR_OK)
            code = each(ctx, &object, err);
        tr_object_clear(&object);
    }
    if (code == TR_OK && result != SQLITE_DONE)
        code = tr_catalog_failed(result, "read the catalog", err);
    return code;
}

tr_code tr_catalog_list(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                        const tr_catalog_filter *filter, tr_catalog_each each, void *ctx,
                        tr_err *err)
{
    static const tr_catalog_filter everything;
    char sql[768];
    states in;
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    filter = filter == NULL ? &everything : filter;
    TR_TRY(split_states(filter->state, &in, err));
    write_list_sql(filter, in.count, sql, sizeof sql);
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    tr_code code = tr_statement_get(connection, sql, &ask, err);
    if (code == TR_OK) {
        (void)sqlite3_bind_int64(ask, 1, tenant->id);
        tr_bind_text(ask, 2, kind);
        bind_filter(ask, filter, &in);
        code = each_row(ask, filter->is_brief, each, ctx, err);
        tr_statement_done(connection, ask);
    }
    tr_catalog_reader_done(catalog, connection);
    return code;
}

static tr_code scan_rows(sqlite3_stmt *ask, tr_catalog_each_tenant each, void *ctx, tr_err *err)
{
    tr_code code = TR_OK;
    int result = SQLITE_DONE;
    while (code == TR_OK && (result = sqlite3_step(ask)) == SQLITE_ROW) {
        tr_object object = {0};
        tr_tenant tenant;
        code = read_object(ask, 0, &object, err);
        tr_tenant_read(ask, OBJECT_COLUMN_COUNT, &tenant);
        if (code == TR_OK)
            code = each(ctx, &tenant, &object, err);
        tr_object_clear(&object);
    }
    if (code == TR_OK && result != SQLITE_DONE)
        code = tr_catalog_failed(result, "read the catalog", err);
    return code;
}

tr_code tr_catalog_scan(tr_catalog *catalog, const char *kind, const char *state,
                        tr_catalog_each_tenant each, void *ctx, tr_err *err)
{
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    states in;
    TR_TRY(split_states(state, &in, err));
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    char sql[768], wanted[STATES_MAX * 2 + 24] = "";
    for (size_t i = 0, len = 0; i < in.count; i++)
        len += (size_t)snprintf(wanted + len, sizeof wanted - len, "%s?%s",
                                i == 0 ? " AND x.state IN (" : ",", i + 1 == in.count ? ")" : "");
    (void)snprintf(sql, sizeof sql,
                   "SELECT " OBJECT_COLUMNS ", " TR_TENANT_COLUMNS
                   " FROM object x JOIN sandbox s ON s.id = x.tenant JOIN org o ON o.id = s.org_id"
                   " WHERE x.kind = ?%s ORDER BY x.tenant, x.created_ms, x.number, x.id",
                   wanted);
    tr_code code = tr_statement_get(connection, sql, &ask, err);
    if (code == TR_OK) {
        tr_bind_text(ask, 1, kind);
        for (uint32_t i = 0; i < in.count; i++)
            (void)sqlite3_bind_text(ask, (int)i + 2, (const char *)in.each[i].at,
                                    (int)in.each[i].len, SQLITE_STATIC);
        code = scan_rows(ask, each, ctx, err);
        tr_statement_done(connection, ask);
    }
    tr_catalog_reader_done(catalog, connection);
    return code;
}
