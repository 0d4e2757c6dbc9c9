/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - stub */
#include "worker.h"
tr_code tr_select(const tr_request *request, tr_engine *engine, tr_verdict *verdict, tr_err *err)
{
    (void)request; (void)engine; (void)verdict;
    return TR_FAIL(err, TR_SEMANTIC, "not yet");
}
