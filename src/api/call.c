/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - what a handler reads of its request and answers with; see api_internal.h. */
#include "api/core_internal.h"
#include "base/check.h"

const char *tr_call_param(tr_call *call, uint32_t index)
{
    TR_ASSERT(index < call->param_count);
    const char *text = tr_arena_text(call->request->arena, call->params[index]);
    return text == NULL ? "" : text; /* no memory: an id that nothing has */
}

const char *tr_call_query(tr_call *call, const char *name)
{
    const tr_str value = tr_http_query(call->request, name);
    return value.at == NULL ? NULL : tr_arena_text(call->request->arena, value);
}

const char *tr_call_given(tr_call *call, const char *name)
{
    const char *value = tr_call_query(call, name);
    return value != NULL && strncmp(value, "{{", 2) == 0 ? NULL : value;
}

tr_code tr_call_query_int(tr_call *call, const char *name, int64_t otherwise, int64_t least,
                          int64_t most, int64_t *out, tr_err *err)
{
    int64_t value;
    const tr_str text = tr_http_query(call->request, name);
    if (text.at == NULL) {
        *out = otherwise;
        return TR_OK;
    }
    if (!tr_str_to_i64(text, &value) || value < least || value > most)
        return TR_FAIL(err, TR_INVALID, "%s is \"%.*s\": expected a whole number from %lld to %lld",
                       name, (int)(text.len < 40 ? text.len : 40), (const char *)text.at,
                       (long long)least, (long long)most);
    *out = value;
    return TR_OK;
}

tr_code tr_call_given_int(tr_call *call, const char *name, int64_t otherwise, int64_t least,
                          int64_t most, int64_t *out, tr_err *err)
{
    if (tr_call_given(call, name) == NULL) {
        *out = otherwise;
        return TR_OK;
    }
    return tr_call_query_int(call, name, otherwise, least, most, out, err);
}

tr_str tr_call_media_type(const tr_call *call)
{
    tr_str type = tr_http_header(call->request, "Content-Type");
    const uint8_t *end = type.len == 0 ? NULL : memchr(type.at, ';', type.len);
    if (end != NULL)
        type.len = (size_t)(end - type.at);
    while (type.len > 0 && type.at[type.len - 1] == ' ')
        type.len--;
    return type;
}

/* "application/json", "application/vnd.adobe.xed+json". */
static bool is_json(tr_str type)
{
    return type.len > 4 && (type.at[type.len - 5] == '/' || type.at[type.len - 5] == '+') &&
           tr_str_equal_folded((tr_str){type.at + type.len - 4, 4}, tr_str_of("json"));
}

tr_code tr_call_json(tr_call *call, const json_t **out, tr_err *err)
{
    tr_call_frame *frame = (tr_call_frame *)call;
    if (frame->body != NULL) {
        *out = frame->body;
        return TR_OK;
    }
    if (call->request->body.len == 0)
        return TR_FAIL(err, TR_INVALID, "the request has no body: expected JSON");
    frame->has_no_json_type = !is_json(tr_call_media_type(call));
    if (frame->has_no_json_type)
        return TR_FAIL(err, TR_MEDIA, "A valid content-type must be specified");
    TR_TRY(tr_json_parse(call->request->body, &frame->body, err));
    *out = frame->body;
    return TR_OK;
}

tr_code tr_call_json_untyped(tr_call *call, const json_t **out, tr_err *err)
{
    tr_call_frame *frame = (tr_call_frame *)call;
    if (tr_http_header(call->request, "Content-Type").at != NULL || frame->body != NULL ||
        call->request->body.len == 0)
        return tr_call_json(call, out, err);
    TR_TRY(tr_json_parse(call->request->body, &frame->body, err));
    *out = frame->body;
    return TR_OK;
}

tr_code tr_reply_json(tr_call *call, int status, json_t *body, tr_err *err)
{
    if (body == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer");
    call->response->body.len = 0;
    const tr_code code = tr_json_write(body, &call->response->body, err);
    json_decref(body);
    if (code == TR_OK)
        call->response->status = status;
    return code;
}

tr_code tr_reply_empty(tr_call *call, int status, tr_err *err)
{
    (void)err;
    tr_buf_free(&call->response->body);
    call->response->status = status;
    return TR_OK;
}

tr_code tr_reply_header(tr_call *call, const char *name, const char *value, tr_err *err)
{
    return tr_http_add_header(call->response, call->request->arena, name, tr_str_of(value), err);
}
