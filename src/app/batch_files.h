/* SPDX-License-Identifier: Apache-2.0 */
/* batch_files.h - the files of a batch on a server, one after the other. */
#ifndef TR_APP_BATCH_FILES_H
#define TR_APP_BATCH_FILES_H

#include "app/remote.h"

/* path  what to GET for the bytes; name  a plain file name, safe to create */
typedef tr_code (*tr_batch_file)(void *ctx, const char *path, const char *name, tr_err *err);
TR_MUST_CHECK tr_code tr_batch_files(tr_remote *remote, const char *batch, tr_batch_file each,
                                     void *ctx, tr_err *err);

#endif
