/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - all rooms of the house in one process, opened in order and closed in reverse.
 *
 *     lock catalog lake sweep store | compute query ingest export | api resume sql http
 *
 * The lock keeps a data folder to one server. The sweep removes what a crash left in the lake, and
 * runs before anything may write. http comes last: who can connect finds everything there.
 *
 * Threads: open and close from one; the rest from any.
 */
#ifndef TR_APP_SERVER_H
#define TR_APP_SERVER_H

#include "app/settings.h"

typedef struct tr_server tr_server;

/* settings  checked; borrowed until close. A port of 0 means any.
 * TR_CONFLICT  another server uses the data folder: the text names its process */
TR_MUST_CHECK tr_code tr_server_open(const tr_settings *settings, tr_server **out, tr_err *err);
const char *tr_server_url(const tr_server *server); /* "http://127.0.0.1:8080" */
const char *tr_server_sql_address(const tr_server *server); /* "127.0.0.1:5433"; "-": none */
/* Lets requests under way finish; jobs stop at their next partition and go on at the next start. */
void tr_server_close(tr_server *server); /* accepts NULL */

/* Paths inside a data folder. TR_INVALID: too long */
enum { TR_DATA_PATH_BYTES = 1024 };
TR_MUST_CHECK tr_code tr_data_path(const char *data, const char *name, char out[TR_DATA_PATH_BYTES],
                                   tr_err *err);
/* The path from the root: the SQL worker is somewhere else. The folder must be there. */
TR_MUST_CHECK tr_code tr_data_absolute(const char *data, char out[TR_DATA_PATH_BYTES], tr_err *err);
#define TR_DATA_CATALOG "catalog.db"
#define TR_DATA_LOCK "lock"
#define TR_DATA_READERS "readers.lock"
/* Until *fd is closed nothing of the folder is taken for what a crash left. */
TR_MUST_CHECK tr_code tr_data_share(const char *data, int *fd, tr_err *err);

#endif
