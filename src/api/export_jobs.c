/* SPDX-License-Identifier: Apache-2.0 */
/* export_jobs.c - /data/core/ups/export/jobs (reference: profile API, section 2). */
#include "api/api_internal.h"

#include <stdio.h>

static tr_str query(tr_call *call, const char *name)
{
    return tr_str_of(tr_call_given(call, name));
}

/* What the job would hold: 200 with the expectation, and nothing is made. */
static tr_code tell_expected(tr_call *call, const json_t *body, tr_err *err)
{
    json_t *expected = NULL;
    TR_TRY(tr_export_dry_run(call->parts->export, &call->tenant, body, &expected, err));
    return tr_reply_json(call, 200, expected, err);
}

static tr_code read_dry_run(tr_call *call, bool *out, tr_err *err)
{
    const tr_str text = query(call, "dryRun");
    *out = tr_str_equal_folded(text, tr_str_of("true"));
    if (text.at == NULL || *out || tr_str_equal_folded(text, tr_str_of("false")))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "dryRun is \"%.*s\": expected true or false",
                   text.len > 40 ? 40 : (int)text.len, (const char *)text.at);
}

static tr_code post_job(tr_call *call, tr_err *err)
{
    bool is_dry = false;
    const json_t *body = NULL;
    json_t *job = NULL;
    char href[300];
    TR_TRY(read_dry_run(call, &is_dry, err));
    TR_TRY(tr_call_json(call, &body, err));
    if (is_dry)
        return tell_expected(call, body, err);
    TR_TRY(tr_export_create(call->parts->export, &call->tenant, body, call->request_id,
                            call->client_id, &job, err));
    (void)snprintf(href, sizeof href, "%.200s/data/core/ups/export/jobs/%lld",
                   call->parts->public_url == NULL ? "" : call->parts->public_url,
                   (long long)tr_json_int(job, "id", 0));
    const tr_code code = tr_reply_header(call, "X-Location", href, err);
    if (code != TR_OK) {
        json_decref(job);
        return code;
    }
    return tr_reply_json(call, 200, job, err);
}

static tr_code list_jobs(tr_call *call, tr_err *err)
{
    json_t *page = NULL;
    const tr_export_list list = {.limit = query(call, "limit"),
                                 .offset = query(call, "offset"),
                                 .status = query(call, "status"),
                                 .start = query(call, "start"),
                                 .page = query(call, "page"),
                                 .sort = query(call, "sort")};
    TR_TRY(tr_export_find(call->parts->export, &call->tenant, &list, &page, err));
    return tr_reply_json(call, 200, page, err);
}

static tr_code get_job(tr_call *call, tr_err *err)
{
    json_t *job = NULL;
    TR_TRY(tr_export_get(call->parts->export, &call->tenant, tr_call_param(call, 0), &job, err));
    return tr_reply_json(call, 200, job, err);
}

/* 204; or a body, as newer documents have it, for a client that says that it wants one. */
static tr_code delete_job(tr_call *call, tr_err *err)
{
    const tr_str prefer = tr_http_header(call->request, "Prefer");
    TR_TRY(tr_export_cancel(call->parts->export, &call->tenant, tr_call_param(call, 0), err));
    if (!tr_str_equal_folded(prefer, tr_str_of("return=representation")))
        return tr_reply_empty(call, 204, err);
    return tr_reply_json(call, 200,
                         json_pack("{s:b, s:s}", "status", 1, "message",
                                   "Export job has been marked for cancelling"),
                         err);
}

#define JOBS "/data/core/ups/export/jobs"

const tr_endpoint tr_api_export_jobs[] = {{"POST", JOBS, TR_SCOPE_WRITE, post_job, 0},
                                          {"GET", JOBS, TR_SCOPE_READ, list_jobs, 0},
                                          {"GET", JOBS "/{id}", TR_SCOPE_READ, get_job, 0},
                                          {"DELETE", JOBS "/{id}", TR_SCOPE_WRITE, delete_job, 0},
                                          {0}};
