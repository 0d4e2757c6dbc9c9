/* SPDX-License-Identifier: Apache-2.0 */
/* server_internal.h - the steps of starting a server that have files of their own. */
#ifndef TR_APP_SERVER_INTERNAL_H
#define TR_APP_SERVER_INTERNAL_H

#include "lake/lake.h"

/* Takes the data folder for this process until *fd is closed.
 * TR_CONFLICT  another process has it: the text names it */
TR_MUST_CHECK tr_code tr_data_lock(const char *data, int *fd, tr_err *err);
/* Keeps commands that read the folder out until *fd is closed. TR_BUSY: one is reading */
TR_MUST_CHECK tr_code tr_data_keep_readers_out(const char *data, int *fd, tr_err *err);

/* TR_INVALID: no address and port, in numbers. */
TR_MUST_CHECK tr_code tr_listen_check(const char *listen, tr_err *err);
/* "127.0.0.1:0" becomes an address with a port that is free now; others stay. */
TR_MUST_CHECK tr_code tr_listen_address(const char *listen, char out[128], tr_err *err);
/* True when only this machine can connect to it. */
bool tr_is_loopback(const char *listen);

/* Removes from the lake what the catalog does not know: remains of a crash. */
TR_MUST_CHECK tr_code tr_sweep(tr_catalog *catalog, tr_lake *lake, tr_err *err);

#endif
