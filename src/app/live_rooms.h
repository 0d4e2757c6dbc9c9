/* SPDX-License-Identifier: Apache-2.0 */
/* live_rooms.h - the rooms that merge profiles, opened on a data folder by a command, with the
 * folder's server up or down.
 *
 * Nothing is resumed or swept. What this process may write, stitched runs, is what the server
 * would make as well: each is published in one transaction that looks whether all that was read is
 * there still. Shared by its lock, the folder is not swept meanwhile by a server that starts.
 *
 * Threads: one.
 */
#ifndef TR_APP_LIVE_ROOMS_H
#define TR_APP_LIVE_ROOMS_H

#include "sql/live_tables.h"

typedef struct tr_live_rooms tr_live_rooms;

/* catalog, lake: borrowed until tr_live_rooms_close; the catalog is told that it is shared. */
TR_MUST_CHECK tr_code tr_live_rooms_open(const char *data, tr_catalog *catalog, tr_lake *lake,
                                         tr_live_rooms **out, tr_err *err);
void tr_live_rooms_close(tr_live_rooms *rooms); /* accepts NULL */
tr_live_tables *tr_live_rooms_tables(const tr_live_rooms *rooms);

#endif
