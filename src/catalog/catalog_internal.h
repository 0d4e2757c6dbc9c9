/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_internal.h - connections and statements: what the catalog's own files share.
 *
 *     writer   one connection; belongs to the thread that holds the lock, for a whole transaction
 *     idle     connections for reading; a reader takes one (or opens one more) and gives it back
 *
 * Readers never wait for the writer: WAL gives each statement the last committed state. A thread
 * that is inside its own transaction reads through the writer, and so sees what it wrote.
 */
#ifndef TR_CATALOG_CATALOG_INTERNAL_H
#define TR_CATALOG_CATALOG_INTERNAL_H

#include "catalog/catalog.h"
#include "codec/hash.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum { TR_CATALOG_STATEMENTS_MAX = 48, TR_CATALOG_IDLE_MAX = 16 };

typedef struct tr_connection {
    struct tr_connection *next;
    sqlite3 *db;
    sqlite3_stmt *statements[TR_CATALOG_STATEMENTS_MAX]; /* prepared once, found by their text */
    uint32_t statement_count;
} tr_connection;

struct tr_catalog {
    char *path;
    pthread_mutex_t write_lock;  /* held from the outermost begin to its end */
    _Atomic(const void *) owner; /* names the thread that holds write_lock; NULL: nobody */
    uint32_t depth;              /* of nested begins; guarded by write_lock */
    bool is_given_up;            /* an inner part failed: the outermost end cannot commit */
    bool is_profile_change;      /* this transaction changes what profiles are made of */
    _Atomic uint64_t profile_version;
    _Atomic bool is_shared;      /* with other processes that write */
    tr_connection *writer;
    pthread_mutex_t idle_lock;
    tr_connection *idle; /* guarded by idle_lock */
    uint32_t idle_count;
};

/* What a result of SQLite means; `what` completes "cannot ...". Never tells SQL or paths. */
tr_code tr_catalog_failed(int result, const char *what, tr_err *err);

/* The name of the layer that every connection is opened with; see catalog_vfs.c. */
const char *tr_catalog_vfs(void);
/* Writes and syncs again what the log of `db` holds; inside a write transaction of it. */
TR_MUST_CHECK tr_code tr_catalog_rewrite_log(sqlite3 *db, tr_err *err);

/* A connection for reading: the caller's own transaction, or one from the pool. */
TR_MUST_CHECK tr_code tr_catalog_reader(tr_catalog *catalog, tr_connection **out, tr_err *err);
void tr_catalog_reader_done(tr_catalog *catalog, tr_connection *connection);

/* Notes a change of an object of this kind; inside a transaction. */
void tr_catalog_note_write(tr_catalog *catalog, const char *kind);

/* A statement with its parameters unset; give it back with tr_statement_done. */
TR_MUST_CHECK tr_code tr_statement_get(tr_connection *connection, const char *sql,
                                       sqlite3_stmt **out, tr_err *err);
void tr_statement_done(tr_connection *connection, sqlite3_stmt *statement);
/* Runs a statement that returns no row, and gives it back. */
TR_MUST_CHECK tr_code tr_statement_run(tr_connection *connection, sqlite3_stmt *statement,
                                       const char *what, tr_err *err);
void tr_bind_text(sqlite3_stmt *statement, int at, const char *text); /* borrowed until done */

/* Creates or upgrades the tables; inside a transaction of `connection`. */
TR_MUST_CHECK tr_code tr_catalog_make_tables(tr_connection *connection, tr_err *err);

/* The columns of a sandbox (see SANDBOX_COLUMNS in catalog_tenants.c), from column `from` on. */
void tr_tenant_read(sqlite3_stmt *row, int from, tr_tenant *out);
#define TR_TENANT_COLUMNS                                                                 \
    "s.id, o.name, s.name, s.sandbox_id, s.type, s.folder, o.tenant_name, s.is_default"
enum { TR_TENANT_COLUMN_COUNT = 8 };

/* JSON text of a column into a tree; the hash was stored with it. */
TR_MUST_CHECK tr_code tr_column_json(sqlite3_stmt *row, int at, int hash_at, json_t **out,
                                     tr_err *err);

#endif
