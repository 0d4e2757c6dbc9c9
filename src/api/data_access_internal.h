/* SPDX-License-Identifier: Apache-2.0 */
/* data_access_internal.h - what the files of the Data Access API share.
 *
 *     data_access.c   the table of endpoints; lists of entries, files and diagnostics
 *     data_send.c     bytes of a file: ranges, entity tags, HEAD
 *     data_preview.c  the first rows of a dataset
 */
#ifndef TR_API_DATA_ACCESS_INTERNAL_H
#define TR_API_DATA_ACCESS_INTERNAL_H

#include "api/api_internal.h"

#define TR_DATA_BASE "/data/foundation/export"

typedef struct tr_download {
    const char *dataset, *batch, *name; /* in the lake */
    uint64_t bytes;                     /* as the catalog knows; UINT64_MAX: it does not */
    const char *etag;                   /* without quotes; NULL: none */
} tr_download;
/* Answers with the bytes, or with the part of them that the request asks for, straight from the
 * file. Whoever got the answer's head gets all bytes, also when the batch is removed meanwhile. */
TR_MUST_CHECK tr_code tr_data_send(tr_call *call, const tr_download *file, tr_err *err);
/* The same for bytes that are in no file. */
TR_MUST_CHECK tr_code tr_data_send_empty(tr_call *call, const char *name, tr_err *err);

/* GET /datasets/{id}/preview */
TR_MUST_CHECK tr_code tr_data_preview(tr_call *call, tr_err *err);

#endif
