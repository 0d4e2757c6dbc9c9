/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_tenants.c - orgs, their sandboxes, API clients and server-wide values; see catalog.h. */
#include "base/clock.h"
#include "catalog/catalog_internal.h"

#include <stdio.h>

enum { SECRET_BYTES = 192, NAME_TRIES = 100 };

#define FROM_SANDBOX " FROM sandbox s JOIN org o ON o.id = s.org_id "

static void copy_column(char *out, size_t size, sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);
    (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

void tr_tenant_read(sqlite3_stmt *row, int from, tr_tenant *out)
{
    memset(out, 0, sizeof *out);
    out->id = sqlite3_column_int64(row, from);
    copy_column(out->org, sizeof out->org, row, from + 1);
    copy_column(out->sandbox, sizeof out->sandbox, row, from + 2);
    copy_column(out->sandbox_id, sizeof out->sandbox_id, row, from + 3);
    copy_column(out->sandbox_type, sizeof out->sandbox_type, row, from + 4);
    copy_column(out->folder, sizeof out->folder, row, from + 5);
    copy_column(out->tenant_name, sizeof out->tenant_name, row, from + 6);
    out->is_default = sqlite3_column_int(row, from + 7) != 0;
}

/* Steps a query that finds one row or none; *is_found tells. The row stays readable until
 * tr_statement_done. */
static tr_code step_one(sqlite3_stmt *ask, bool *is_found, tr_err *err)
{
    const int result = sqlite3_step(ask);
    *is_found = result == SQLITE_ROW;
    return result == SQLITE_ROW || result == SQLITE_DONE
               ? TR_OK
               : tr_catalog_failed(result, "read the catalog", err);
}

static tr_code find_tenant(tr_catalog *catalog, sqlite3_stmt *ask, bool *is_found, tr_tenant *out,
                           tr_err *err)
{
    (void)catalog;
    TR_TRY(step_one(ask, is_found, err));
    if (*is_found)
        tr_tenant_read(ask, 0, out);
    return TR_OK;
}

/* *id is 0 when there is no such org. */
static tr_code find_org(tr_connection *connection, const char *org, int64_t *id, tr_err *err)
{
    sqlite3_stmt *ask = NULL;
    bool is_found = false;
    TR_TRY(tr_statement_get(connection, "SELECT id FROM org WHERE name = ?", &ask, err));
    tr_bind_text(ask, 1, org);
    const tr_code code = step_one(ask, &is_found, err);
    *id = is_found ? sqlite3_column_int64(ask, 0) : 0;
    tr_statement_done(connection, ask);
    return code;
}

tr_code tr_catalog_tenant(tr_catalog *catalog, const char *org, const char *sandbox,
                          tr_tenant *out, tr_err *err)
{
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    bool is_found = false;
    int64_t org_id = 0;
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    tr_code code = tr_statement_get(connection,
                                    "SELECT " TR_TENANT_COLUMNS FROM_SANDBOX
                                    "WHERE o.name = ? AND s.name = ?",
                                    &ask, err);
    if (code == TR_OK) {
        tr_bind_text(ask, 1, org);
        tr_bind_text(ask, 2, sandbox);
        code = find_tenant(catalog, ask, &is_found, out, err);
        tr_statement_done(connection, ask);
    }
    if (code == TR_OK && !is_found)
        code = find_org(connection, org, &org_id, err);
    tr_catalog_reader_done(catalog, connection);
    if (code == TR_OK && !is_found && org_id == 0)
        return TR_FAIL(err, TR_DENIED, "no org \"%s\"", org);
    if (code == TR_OK && !is_found)
        return TR_FAIL(err, TR_NOT_FOUND, "no sandbox with name \"%s\"", sandbox);
    return code;
}

tr_code tr_catalog_tenant_by_id(tr_catalog *catalog, int64_t id, tr_tenant *out, tr_err *err)
{
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    bool is_found = false;
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    tr_code code = tr_statement_get(
        connection, "SELECT " TR_TENANT_COLUMNS FROM_SANDBOX "WHERE s.id = ?", &ask, err);
    if (code == TR_OK) {
        (void)sqlite3_bind_int64(ask, 1, id);
        code = find_tenant(catalog, ask, &is_found, out, err);
        tr_statement_done(connection, ask);
    }
    tr_catalog_reader_done(catalog, connection);
    if (code == TR_OK && !is_found)
        return TR_FAIL(err, TR_NOT_FOUND, "the sandbox is gone");
    return code;
}

/* Sandboxes --------------------------------------------------------------------------------- */

/* One row of a sandbox about to be written. */
typedef struct sandbox_row {
    int64_t org_id;
    const char *name;
    const char *type;
    bool is_default;
    tr_buf text;
} sandbox_row;

static tr_code update_sandbox(tr_connection *writer, const sandbox_row *row, bool *is_there,
                              tr_err *err)
{
    sqlite3_stmt *update = NULL;
    TR_TRY(tr_statement_get(writer,
                            "UPDATE sandbox SET type = ?, is_default = ?, doc = ?, hash = ?"
                            " WHERE org_id = ? AND name = ?",
                            &update, err));
    tr_bind_text(update, 1, row->type);
    (void)sqlite3_bind_int(update, 2, row->is_default);
    (void)sqlite3_bind_text64(update, 3, (const char *)row->text.at, row->text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
    (void)sqlite3_bind_int64(update, 4, (int64_t)tr_hash64_of(tr_buf_str(&row->text)));
    (void)sqlite3_bind_int64(update, 5, row->org_id);
    tr_bind_text(update, 6, row->name);
    TR_TRY(tr_statement_run(writer, update, "write the catalog", err));
    *is_there = sqlite3_changes(writer->db) == 1;
    return TR_OK;
}

static tr_code insert_sandbox(tr_connection *writer, const sandbox_row *row, tr_err *err)
{
    sqlite3_stmt *insert = NULL;
    uint8_t secret[SECRET_BYTES];
    const tr_id folder = tr_id_hex(32), id = tr_id_uuid();
    tr_random_bytes(secret, sizeof secret);
    TR_TRY(tr_statement_get(writer,
                            "INSERT INTO sandbox (org_id, name, sandbox_id, folder, type,"
                            " is_default, secret, created_ms, doc, hash)"
                            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            &insert, err));
    (void)sqlite3_bind_int64(insert, 1, row->org_id);
    tr_bind_text(insert, 2, row->name);
    tr_bind_text(insert, 3, id.text);
    tr_bind_text(insert, 4, folder.text);
    tr_bind_text(insert, 5, row->type);
    (void)sqlite3_bind_int(insert, 6, row->is_default);
    (void)sqlite3_bind_blob(insert, 7, secret, SECRET_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_int64(insert, 8, tr_time_now_ms());
    (void)sqlite3_bind_text64(insert, 9, (const char *)row->text.at, row->text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
    (void)sqlite3_bind_int64(insert, 10, (int64_t)tr_hash64_of(tr_buf_str(&row->text)));
    return tr_statement_run(writer, insert, "write the catalog", err);
}

static tr_code put_sandbox(tr_catalog *catalog, const char *org, sandbox_row *row, tr_err *err)
{
    bool is_there = false;
    TR_TRY(find_org(catalog->writer, org, &row->org_id, err));
    if (row->org_id == 0)
        return TR_FAIL(err, TR_DENIED, "no org \"%s\"", org);
    TR_TRY(update_sandbox(catalog->writer, row, &is_there, err));
    return is_there ? TR_OK : insert_sandbox(catalog->writer, row, err);
}

tr_code tr_catalog_sandbox_put(tr_catalog *catalog, const char *org, const char *name,
                               const json_t *doc, tr_err *err)
{
    const bool is_prod = strcmp(name, "prod") == 0;
    sandbox_row row = {.name = name,
                       .type = tr_json_text(doc, "type", is_prod ? "production" : "development"),
                       .is_default = tr_json_bool(doc, "isDefault", is_prod)};
    const tr_tenant *sizes = NULL;
    if (strlen(name) >= sizeof sizes->sandbox || name[0] == '\0')
        return TR_FAIL(err, TR_INVALID, "a sandbox name has 1 to %zu characters",
                       sizeof sizes->sandbox - 1);
    if (strlen(row.type) >= sizeof sizes->sandbox_type)
        return TR_FAIL(err, TR_INVALID, "no sandbox type \"%s\"", row.type);
    tr_code code = tr_json_write(doc, &row.text, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(catalog, put_sandbox(catalog, org, &row, err), err);
    tr_buf_free(&row.text);
    return code;
}

static tr_code remove_sandbox(tr_catalog *catalog, const char *org, const char *name, tr_err *err)
{
    sqlite3_stmt *remove = NULL;
    TR_TRY(tr_statement_get(catalog->writer,
                            "DELETE FROM sandbox WHERE name = ? AND"
                            " org_id = (SELECT id FROM org WHERE name = ?)",
                            &remove, err));
    tr_bind_text(remove, 1, name);
    tr_bind_text(remove, 2, org);
    tr_catalog_note_write(catalog, "run"); /* its runs, and all else that profiles are made of */
    TR_TRY(tr_statement_run(catalog->writer, remove, "write the catalog", err));
    return sqlite3_changes(catalog->writer->db) == 1
               ? TR_OK
               : TR_FAIL(err, TR_NOT_FOUND, "no sandbox with name \"%s\"", name);
}

tr_code tr_catalog_sandbox_remove(tr_catalog *catalog, const char *org, const char *name,
                                  tr_err *err)
{
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, remove_sandbox(catalog, org, name, err), err);
}

static tr_code add_sandbox(sqlite3_stmt *row, bool has_org, json_t *list, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_column_json(row, 0, 1, &doc, err));
    bool is_good =
        json_object_set_new(doc, "id", json_string((const char *)sqlite3_column_text(row, 2))) ==
            0 &&
        json_object_set_new(doc, "name",
                            json_string((const char *)sqlite3_column_text(row, 3))) == 0;
    if (has_org)
        is_good = json_object_set_new(
                      doc, "org", json_string((const char *)sqlite3_column_text(row, 4))) == 0 &&
                  is_good;
    if (json_object_get(doc, "state") == NULL)
        is_good = json_object_set_new(doc, "state", json_string("active")) == 0 && is_good;
    if (is_good && json_array_append(list, doc) == 0) {
        json_decref(doc);
        return TR_OK;
    }
    json_decref(doc);
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of sandboxes");
}

static tr_code list_sandboxes(tr_connection *connection, const char *org, json_t *list,
                              tr_err *err)
{
#define COLUMNS "SELECT s.doc, s.hash, s.sandbox_id, s.name, o.name" FROM_SANDBOX
    sqlite3_stmt *ask = NULL;
    int result;
    TR_TRY(tr_statement_get(connection,
                            org == NULL ? COLUMNS "ORDER BY s.id"
                                        : COLUMNS "WHERE o.name = ? ORDER BY s.id",
                            &ask, err));
    if (org != NULL)
        tr_bind_text(ask, 1, org);
    tr_code code = TR_OK;
    while (code == TR_OK && (result = sqlite3_step(ask)) == SQLITE_ROW)
        code = add_sandbox(ask, org == NULL, list, err);
    if (code == TR_OK && result != SQLITE_DONE)
        code = tr_catalog_failed(result, "read the catalog", err);
    tr_statement_done(connection, ask);
    return code;
}

tr_code tr_catalog_sandbox_list(tr_catalog *catalog, const char *org, json_t **out, tr_err *err)
{
    tr_connection *connection;
    json_t *list = json_array();
    if (list == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of sandboxes");
    tr_code code = tr_catalog_reader(catalog, &connection, err);
    if (code == TR_OK) {
        code = list_sandboxes(connection, org, list, err);
        tr_catalog_reader_done(catalog, connection);
    }
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

/* Orgs -------------------------------------------------------------------------------------- */

/* The namespace of the org's own fields: the same for the same org everywhere, so that schemas can
 * be carried from one server to another. */
static tr_code insert_org(tr_connection *writer, const char *org, tr_err *err)
{
    tr_code code = TR_CONFLICT;
    for (int i = 0; i < NAME_TRIES && code == TR_CONFLICT; i++) {
        sqlite3_stmt *insert = NULL;
        char name[40];
        const uint64_t hash = tr_hash64_of(tr_str_of(org)) + (uint64_t)i;
        (void)snprintf(name, sizeof name, "t%08llx", (unsigned long long)(hash & 0xffffffffU));
        TR_TRY(tr_statement_get(writer,
                                "INSERT INTO org (name, tenant_name, created_ms) VALUES (?, ?, ?)",
                                &insert, err));
        tr_bind_text(insert, 1, org);
        tr_bind_text(insert, 2, name);
        (void)sqlite3_bind_int64(insert, 3, tr_time_now_ms());
        code = tr_statement_run(writer, insert, "write the catalog", err);
    }
    return code;
}

static tr_code ensure_org(tr_catalog *catalog, const char *org, tr_err *err)
{
    int64_t id = 0;
    TR_TRY(find_org(catalog->writer, org, &id, err));
    if (id != 0)
        return TR_OK;
    TR_TRY(insert_org(catalog->writer, org, err));
    json_t *prod = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i}", "title", "Prod", "state", "active",
                             "type", "production", "region", "VA7", "isDefault", 1, "eTag", 1);
    const tr_code code =
        prod == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for an org")
                     : tr_catalog_sandbox_put(catalog, org, "prod", prod, err);
    json_decref(prod);
    return code;
}

tr_code tr_catalog_org_ensure(tr_catalog *catalog, const char *org, tr_err *err)
{
    const tr_tenant *sizes = NULL;
    if (org[0] == '\0' || strlen(org) >= sizeof sizes->org)
        return TR_FAIL(err, TR_INVALID, "an org id has 1 to %zu characters", sizeof sizes->org - 1);
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, ensure_org(catalog, org, err), err);
}

/* Secrets, values, clients ------------------------------------------------------------------ */

/* A lookup of one blob or document by a key. */
typedef struct lookup {
    const char *sql;
    const char *key;   /* NULL: number */
    int64_t number;
    const char *missing;
} lookup;

/* Runs `take` on the row found. */
static tr_code look_up(tr_catalog *catalog, const lookup *what,
                       tr_code (*take)(void *ctx, sqlite3_stmt *row, tr_err *err), void *ctx,
                       tr_err *err)
{
    tr_connection *connection;
    sqlite3_stmt *ask = NULL;
    bool is_found = false;
    TR_TRY(tr_catalog_reader(catalog, &connection, err));
    tr_code code = tr_statement_get(connection, what->sql, &ask, err);
    if (code == TR_OK) {
        if (what->key == NULL)
            (void)sqlite3_bind_int64(ask, 1, what->number);
        else
            tr_bind_text(ask, 1, what->key);
        code = step_one(ask, &is_found, err);
        if (code == TR_OK)
            code = is_found ? take(ctx, ask, err) : TR_FAIL(err, TR_NOT_FOUND, "%s", what->missing);
        tr_statement_done(connection, ask);
    }
    tr_catalog_reader_done(catalog, connection);
    return code;
}

static tr_code take_secret(void *ctx, sqlite3_stmt *row, tr_err *err)
{
    if (sqlite3_column_bytes(row, 0) != SECRET_BYTES)
        return TR_FAIL(err, TR_CORRUPT, "a sandbox's secret in the catalog is damaged");
    memcpy(ctx, sqlite3_column_blob(row, 0), SECRET_BYTES);
    return TR_OK;
}

tr_code tr_catalog_secret(tr_catalog *catalog, const tr_tenant *tenant, uint8_t out[192],
                          tr_err *err)
{
    const lookup what = {.sql = "SELECT secret FROM sandbox WHERE id = ?",
                         .number = tenant->id,
                         .missing = "the sandbox is gone"};
    return look_up(catalog, &what, take_secret, out, err);
}

static tr_code take_bytes(void *ctx, sqlite3_stmt *row, tr_err *err)
{
    const tr_str bytes = {sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0)};
    return tr_buf_append(ctx, bytes, err);
}

tr_code tr_catalog_value_get(tr_catalog *catalog, const char *name, tr_buf *out, tr_err *err)
{
    const lookup what = {.sql = "SELECT value FROM value WHERE name = ?",
                         .key = name,
                         .missing = "the server has no such value"};
    return look_up(catalog, &what, take_bytes, out, err);
}

static tr_code put_value(tr_catalog *catalog, const char *name, tr_str value, tr_err *err)
{
    sqlite3_stmt *put = NULL;
    TR_TRY(tr_statement_get(catalog->writer,
                            "INSERT INTO value (name, value) VALUES (?, ?)"
                            " ON CONFLICT DO UPDATE SET value = excluded.value",
                            &put, err));
    tr_bind_text(put, 1, name);
    (void)sqlite3_bind_blob64(put, 2, value.len == 0 ? (const void *)"" : value.at, value.len,
                              SQLITE_STATIC);
    return tr_statement_run(catalog->writer, put, "write the catalog", err);
}

tr_code tr_catalog_value_put(tr_catalog *catalog, const char *name, tr_str value, tr_err *err)
{
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, put_value(catalog, name, value, err), err);
}

static tr_code take_client(void *ctx, sqlite3_stmt *row, tr_err *err)
{
    return tr_column_json(row, 0, 1, ctx, err);
}

tr_code tr_catalog_client_get(tr_catalog *catalog, const char *client_id, json_t **out,
                              tr_err *err)
{
    const lookup what = {.sql = "SELECT doc, hash FROM client WHERE id = ?",
                         .key = client_id,
                         .missing = "no such client"};
    return look_up(catalog, &what, take_client, out, err);
}

static tr_code put_client(tr_catalog *catalog, const char *client_id, const tr_buf *text,
                          tr_err *err)
{
    sqlite3_stmt *put = NULL;
    TR_TRY(tr_statement_get(catalog->writer,
                            "INSERT INTO client (id, doc, hash) VALUES (?, ?, ?) ON CONFLICT"
                            " DO UPDATE SET doc = excluded.doc, hash = excluded.hash",
                            &put, err));
    tr_bind_text(put, 1, client_id);
    (void)sqlite3_bind_text64(put, 2, (const char *)text->at, text->len, SQLITE_STATIC,
                              SQLITE_UTF8);
    (void)sqlite3_bind_int64(put, 3, (int64_t)tr_hash64_of(tr_buf_str(text)));
    return tr_statement_run(catalog->writer, put, "write the catalog", err);
}

tr_code tr_catalog_client_put(tr_catalog *catalog, const char *client_id, const json_t *doc,
                              tr_err *err)
{
    tr_buf text = {0};
    tr_code code = tr_json_write(doc, &text, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(catalog, put_client(catalog, client_id, &text, err), err);
    tr_buf_free(&text);
    return code;
}
