/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.c - connections, transactions and the tables themselves; see catalog.h. */
#include "catalog/catalog_internal.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

enum {
    FORMAT_VERSION = 1,
    APPLICATION_ID = 0x54524942, /* "TRIB" */
    BUSY_TIMEOUT_MS = 20000,     /* another process writes: seconds at most */
    WAL_TRIES = 200
};

/* Objects refer to their sandbox, so whatever is removed with it is removed whole. `hash` covers the
 * document: SQLite itself would hand out a damaged page. `number` orders decimal ids as numbers. */
static const char TABLES[] =
    "CREATE TABLE org ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " tenant_name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL);"
    "CREATE TABLE sandbox ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, org_id INTEGER NOT NULL REFERENCES org(id),"
    " name TEXT NOT NULL, sandbox_id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL UNIQUE,"
    " type TEXT NOT NULL, is_default INTEGER NOT NULL, secret BLOB NOT NULL,"
    " created_ms INTEGER NOT NULL, doc TEXT NOT NULL, hash INTEGER NOT NULL,"
    " UNIQUE (org_id, name));"
    "CREATE TABLE object ("
    " row INTEGER PRIMARY KEY,"
    " tenant INTEGER NOT NULL REFERENCES sandbox(id) ON DELETE CASCADE,"
    " kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, state TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " number INTEGER NOT NULL, doc TEXT NOT NULL, hash INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX object_id ON object (tenant, kind, id);"
    "CREATE INDEX object_order ON object (tenant, kind, created_ms, number, id);"
    "CREATE INDEX object_parent ON object (tenant, kind, parent, created_ms, number, id);"
    "CREATE INDEX object_state ON object (kind, state);"
    "CREATE TABLE sequence ("
    " tenant INTEGER NOT NULL REFERENCES sandbox(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (tenant, name)) WITHOUT ROWID;"
    "CREATE TABLE client (id TEXT PRIMARY KEY, doc TEXT NOT NULL, hash INTEGER NOT NULL);"
    "CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

tr_code tr_catalog_failed(int result, const char *what, tr_err *err)
{
    const int kind = result & 0xff;
    const tr_code code = result == SQLITE_CONSTRAINT_FOREIGNKEY     ? TR_NOT_FOUND
                         : kind == SQLITE_CONSTRAINT                ? TR_CONFLICT
                         : kind == SQLITE_BUSY || kind == SQLITE_LOCKED ? TR_BUSY
                         : kind == SQLITE_FULL                      ? TR_NO_SPACE
                         : kind == SQLITE_NOMEM || result == SQLITE_IOERR_NOMEM ? TR_NO_MEMORY
                         : kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB ? TR_CORRUPT
                                                                    : TR_IO;
    if (code == TR_CORRUPT)
        return TR_FAIL(err, code, "cannot %s: the catalog's file is damaged (%s)", what,
                       sqlite3_errstr(result));
    return TR_FAIL(err, code, "cannot %s: %s", what, sqlite3_errstr(result));
}

static tr_code run_sql(tr_connection *connection, const char *sql, const char *what, tr_err *err)
{
    const int result = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK
               ? TR_OK
               : tr_catalog_failed(sqlite3_extended_errcode(connection->db), what, err);
}

tr_code tr_statement_get(tr_connection *connection, const char *sql, sqlite3_stmt **out,
                         tr_err *err)
{
    sqlite3_stmt *made = NULL;
    for (uint32_t i = 0; i < connection->statement_count; i++) {
        sqlite3_stmt *known = connection->statements[i];
        if (!sqlite3_stmt_busy(known) && strcmp(sqlite3_sql(known), sql) == 0) {
            *out = known;
            return TR_OK;
        }
    }
    const int result =
        sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL);
    if (result != SQLITE_OK)
        return tr_catalog_failed(result, "ask the catalog", err);
    if (connection->statement_count < TR_CATALOG_STATEMENTS_MAX)
        connection->statements[connection->statement_count++] = made;
    *out = made;
    return TR_OK;
}

void tr_statement_done(tr_connection *connection, sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement); /* tells again what the step told */
    (void)sqlite3_clear_bindings(statement);
    for (uint32_t i = 0; i < connection->statement_count; i++)
        if (connection->statements[i] == statement)
            return;
    (void)sqlite3_finalize(statement);
}

tr_code tr_statement_run(tr_connection *connection, sqlite3_stmt *statement, const char *what,
                         tr_err *err)
{
    const int result = sqlite3_step(statement);
    const int detail = sqlite3_extended_errcode(connection->db);
    tr_statement_done(connection, statement);
    return result == SQLITE_DONE || result == SQLITE_ROW ? TR_OK
                                                         : tr_catalog_failed(detail, what, err);
}

void tr_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

tr_code tr_column_json(sqlite3_stmt *row, int at, int hash_at, json_t **out, tr_err *err)
{
    const tr_str text = {sqlite3_column_text(row, at), (size_t)sqlite3_column_bytes(row, at)};
    if (text.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a document of the catalog");
    if ((int64_t)tr_hash64_of(text) != sqlite3_column_int64(row, hash_at) ||
        tr_json_parse(text, out, NULL) != TR_OK)
        return TR_FAIL(err, TR_CORRUPT, "a document in the catalog fails its checksum");
    return TR_OK;
}

/* Opening ----------------------------------------------------------------------------------- */

static void close_connection(tr_connection *connection)
{
    if (connection == NULL)
        return;
    for (uint32_t i = 0; i < connection->statement_count; i++)
        (void)sqlite3_finalize(connection->statements[i]);
    (void)sqlite3_close(connection->db);
    tr_free(connection);
}

/* WAL is a property of the file. Two processes that make the file at once must both get there. */
static tr_code switch_to_wal(tr_connection *connection, tr_err *err)
{
    for (int i = 0;; i++) {
        sqlite3_stmt *ask = NULL;
        int result = sqlite3_prepare_v2(connection->db, "PRAGMA journal_mode=WAL", -1, &ask, NULL);
        if (result == SQLITE_OK)
            result = sqlite3_step(ask);
        const bool is_wal = result == SQLITE_ROW &&
                            strcmp((const char *)sqlite3_column_text(ask, 0), "wal") == 0;
        (void)sqlite3_finalize(ask);
        if (is_wal)
            return TR_OK;
        if (result == SQLITE_ROW)
            return TR_FAIL(err, TR_IO, "the catalog's file system has no shared memory for WAL");
        if ((result & 0xff) != SQLITE_BUSY || i == WAL_TRIES)
            return tr_catalog_failed(result, "open the catalog", err);
        (void)usleep(20 * 1000);
    }
}

static tr_code open_connection(const char *path, bool is_first, tr_connection **out, tr_err *err)
{
    tr_connection *connection = tr_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open the catalog");
    const int result = sqlite3_open_v2(
        path, &connection->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (is_first ? SQLITE_OPEN_CREATE : 0),
        tr_catalog_vfs());
    tr_code code = result == SQLITE_OK ? TR_OK : tr_catalog_failed(result, "open the catalog", err);
    if (code == TR_OK) {
        (void)sqlite3_extended_result_codes(connection->db, 1);
        (void)sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS);
        if (is_first)
            code = switch_to_wal(connection, err);
    }
    if (code == TR_OK)
        code = run_sql(connection, "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                   "PRAGMA temp_store=MEMORY;",
                       "open the catalog", err);
    if (code != TR_OK) {
        close_connection(connection);
        return code;
    }
    *out = connection;
    return TR_OK;
}

static tr_code read_pragma(tr_connection *connection, const char *sql, int64_t *out, tr_err *err)
{
    sqlite3_stmt *ask = NULL;
    TR_TRY(tr_statement_get(connection, sql, &ask, err));
    const int result = sqlite3_step(ask);
    if (result == SQLITE_ROW)
        *out = sqlite3_column_int64(ask, 0);
    tr_statement_done(connection, ask);
    return result == SQLITE_ROW ? TR_OK : tr_catalog_failed(result, "open the catalog", err);
}

tr_code tr_catalog_make_tables(tr_connection *connection, tr_err *err)
{
    int64_t version = 0, application = 0, tables = 0;
    char sql[96];
    TR_TRY(read_pragma(connection, "PRAGMA user_version", &version, err));
    TR_TRY(read_pragma(connection, "PRAGMA application_id", &application, err));
    TR_TRY(read_pragma(connection, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0))
        return TR_FAIL(err, TR_CORRUPT, "the catalog's file is another program's database");
    if (version > FORMAT_VERSION)
        return TR_FAIL(err, TR_INVALID,
                       "the catalog has format %lld; this program reads formats up to %d",
                       (long long)version, FORMAT_VERSION);
    if (version == FORMAT_VERSION)
        return TR_OK;
    TR_TRY(run_sql(connection, TABLES, "make the catalog", err));
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   APPLICATION_ID, FORMAT_VERSION);
    return run_sql(connection, sql, "make the catalog", err);
}

static tr_code prepare(tr_connection *connection, tr_err *err)
{
    TR_TRY(tr_catalog_rewrite_log(connection->db, err));
    return tr_catalog_make_tables(connection, err);
}

tr_code tr_catalog_open(const char *path, tr_catalog **out, tr_err *err)
{
    tr_catalog *catalog = tr_alloc_zeroed(1, sizeof *catalog);
    if (catalog == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open the catalog");
    (void)pthread_mutex_init(&catalog->write_lock, NULL);
    (void)pthread_mutex_init(&catalog->idle_lock, NULL);
    catalog->path = tr_copy_text(tr_str_of(path));
    tr_code code = catalog->path == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the catalog")
                                         : open_connection(path, true, &catalog->writer, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(catalog, prepare(catalog->writer, err), err);
    if (code != TR_OK) {
        tr_catalog_close(catalog);
        return code;
    }
    *out = catalog;
    return TR_OK;
}

void tr_catalog_close(tr_catalog *catalog)
{
    if (catalog == NULL)
        return;
    while (catalog->idle != NULL) {
        tr_connection *next = catalog->idle->next;
        close_connection(catalog->idle);
        catalog->idle = next;
    }
    close_connection(catalog->writer);
    (void)pthread_mutex_destroy(&catalog->write_lock);
    (void)pthread_mutex_destroy(&catalog->idle_lock);
    tr_free(catalog->path);
    tr_free(catalog);
}

/* Transactions ------------------------------------------------------------------------------ */

static const void *this_thread(void)
{
    static _Thread_local char self;
    return &self;
}

static bool is_mine(tr_catalog *catalog)
{
    return atomic_load(&catalog->owner) == this_thread();
}

tr_code tr_catalog_begin(tr_catalog *catalog, tr_err *err)
{
    if (is_mine(catalog)) {
        if (catalog->is_given_up) /* SQLite has no transaction now: it would be written at once */
            return TR_FAIL(err, TR_CANCELLED, "the transaction was given up by one of its parts");
        catalog->depth++;
        return TR_OK;
    }
    if (tr_os_has_lost_sync())
        return TR_FAIL(err, TR_IO, "the disk failed: nothing is written until a restart");
    (void)pthread_mutex_lock(&catalog->write_lock);
    const tr_code code =
        run_sql(catalog->writer, "BEGIN IMMEDIATE", "begin a transaction of the catalog", err);
    if (code != TR_OK) {
        (void)pthread_mutex_unlock(&catalog->write_lock);
        return code;
    }
    catalog->depth = 1;
    catalog->is_given_up = catalog->is_profile_change = false;
    atomic_store(&catalog->owner, this_thread());
    return TR_OK;
}

uint64_t tr_catalog_profile_version(tr_catalog *catalog)
{
    return atomic_load(&catalog->profile_version);
}

void tr_catalog_note_write(tr_catalog *catalog, const char *kind)
{
    static const char *const kinds[] = {"file",       "run",      "policy",    "schema",
                                        "class",      "datatype", "fieldgroup", "descriptor",
                                        "membership", "namespace"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            catalog->is_profile_change = true;
}

static void release(tr_catalog *catalog)
{
    catalog->depth = 0;
    atomic_store(&catalog->owner, NULL);
    (void)pthread_mutex_unlock(&catalog->write_lock);
}

/* SQLite ends a transaction by itself when the disk is full or fails. */
static void undo(tr_catalog *catalog)
{
    if (!sqlite3_get_autocommit(catalog->writer->db))
        (void)sqlite3_exec(catalog->writer->db, "ROLLBACK", NULL, NULL, NULL);
    catalog->is_given_up = true;
}

tr_code tr_catalog_commit(tr_catalog *catalog, tr_err *err)
{
    if (!is_mine(catalog))
        return TR_FAIL(err, TR_CANCELLED, "no transaction of the catalog is open");
    if (catalog->is_given_up || sqlite3_get_autocommit(catalog->writer->db)) {
        tr_catalog_rollback(catalog);
        return TR_FAIL(err, TR_CANCELLED, "the transaction was given up by one of its parts");
    }
    if (catalog->depth > 1) {
        catalog->depth--;
        return TR_OK;
    }
    tr_crash_point("catalog_committing");
    const bool is_counted = catalog->is_profile_change;
    if (is_counted)
        atomic_fetch_add(&catalog->profile_version, 1);
    const tr_code code = run_sql(catalog->writer, "COMMIT", "write the catalog", err);
    if (code != TR_OK)
        undo(catalog);
    if (is_counted)
        atomic_fetch_add(&catalog->profile_version, 1);
    if (code == TR_OK)
        tr_crash_point("catalog_committed");
    release(catalog);
    return code;
}

void tr_catalog_rollback(tr_catalog *catalog)
{
    if (!is_mine(catalog))
        return;
    undo(catalog);
    if (catalog->depth > 1)
        catalog->depth--;
    else
        release(catalog);
}

tr_code tr_catalog_end(tr_catalog *catalog, tr_code code, tr_err *err)
{
    if (code == TR_OK)
        return tr_catalog_commit(catalog, err);
    tr_catalog_rollback(catalog);
    return code;
}

void tr_catalog_share(tr_catalog *catalog)
{
    atomic_store(&catalog->is_shared, true);
}

tr_code tr_catalog_read_at_once(tr_catalog *catalog, tr_code (*read)(void *ctx, tr_err *err),
                                void *ctx, tr_err *err)
{
    enum { TRIES = 8 };
    for (int i = 0; i < TRIES && !atomic_load(&catalog->is_shared); i++) {
        const uint64_t version = tr_catalog_profile_version(catalog);
        const tr_code code = read(ctx, err);
        if (version % 2 == 0 && tr_catalog_profile_version(catalog) == version)
            return code;
    }
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, read(ctx, err), err);
}

tr_code tr_catalog_reader(tr_catalog *catalog, tr_connection **out, tr_err *err)
{
    if (is_mine(catalog)) {
        *out = catalog->writer;
        return TR_OK;
    }
    (void)pthread_mutex_lock(&catalog->idle_lock);
    tr_connection *found = catalog->idle;
    if (found != NULL) {
        catalog->idle = found->next;
        catalog->idle_count--;
    }
    (void)pthread_mutex_unlock(&catalog->idle_lock);
    if (found == NULL)
        TR_TRY(open_connection(catalog->path, false, &found, err));
    *out = found;
    return TR_OK;
}

void tr_catalog_reader_done(tr_catalog *catalog, tr_connection *connection)
{
    if (connection == catalog->writer)
        return;
    (void)pthread_mutex_lock(&catalog->idle_lock);
    const bool is_kept = catalog->idle_count < TR_CATALOG_IDLE_MAX;
    if (is_kept) {
        connection->next = catalog->idle;
        catalog->idle = connection;
        catalog->idle_count++;
    }
    (void)pthread_mutex_unlock(&catalog->idle_lock);
    if (!is_kept)
        close_connection(connection);
}
