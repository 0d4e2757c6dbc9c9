/* SPDX-License-Identifier: Apache-2.0 */
/* expression.c - the expression of a definition: read in either format, converted, looked into. */
#include "segment/segment_internal.h"

/* A limit of the language is the client's mistake like any other. */
static tr_code refuse(tr_code code, tr_err *err)
{
    if (code == TR_OK)
        return TR_OK;
    tr_err_context(err, "expression.value");
    if (code == TR_LIMIT && err != NULL)
        err->code = TR_INVALID;
    return code == TR_LIMIT ? TR_INVALID : code;
}

static tr_code read_json(tr_str text, tr_arena *arena, tr_pql_node **out, tr_err *err)
{
    json_t *json = NULL;
    if (text.len > TR_SEGMENT_JSON_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "it has %zu bytes, at most %d are read", text.len,
                       TR_SEGMENT_JSON_BYTES_MAX);
    TR_TRY(tr_json_parse(text, &json, err));
    const tr_code code = tr_pql_read_json(json, arena, out, err);
    json_decref(json);
    return code;
}

tr_code tr_expression_read(const json_t *expression, tr_arena *arena, tr_expression *out,
                           tr_err *err)
{
    const char *type = NULL, *format = NULL, *value = NULL;
    tr_pql_node *root = NULL;
    TR_TRY(tr_want_text(expression, "expression.", "type", &type, err));
    TR_TRY(tr_want_text(expression, "expression.", "format", &format, err));
    TR_TRY(tr_want_text(expression, "expression.", "value", &value, err));
    if (!tr_str_equal_folded(tr_str_of(type), tr_str_of("PQL")))
        return TR_FAIL(err, TR_INVALID, "expression.type is \"%.40s\": expected PQL", type);
    const bool is_json = tr_str_equal_folded(tr_str_of(format), tr_str_of("pql/json"));
    if (!is_json && !tr_str_equal_folded(tr_str_of(format), tr_str_of("pql/text")))
        return TR_FAIL(err, TR_INVALID,
                       "expression.format is \"%.40s\": expected pql/text or pql/json", format);
    const json_t *text = json_object_get(expression, "value");
    const tr_str bytes = {(const uint8_t *)value, json_string_length(text)};
    TR_TRY(refuse(is_json ? read_json(bytes, arena, &root, err)
                          : tr_pql_parse(bytes, arena, &root, err),
                  err));
    *out = (tr_expression){.root = root, .is_json = is_json};
    return TR_OK;
}

tr_code tr_expression_check(const tr_expression *expression, const tr_xdm_schema *profile,
                            tr_arena *arena, tr_err *err)
{
    const tr_pql_schema schema = {.profile = profile->shape.root};
    return refuse(tr_pql_check(expression->root, &schema, arena, err), err);
}

static tr_code add_use(json_t *ids, const tr_pql_node *node, tr_err *err)
{
    const tr_pql_node *id = node->count > 0 ? node->items[0] : NULL;
    if (id == NULL || id->kind != TR_PQL_LITERAL || id->literal.kind != TR_PQL_STRING)
        return TR_FAIL(err, TR_INVALID,
                       "expression.value: line %u, column %u: inSegment takes the id of a segment "
                       "as a string",
                       node->line, node->column);
    const tr_str text = id->literal.string;
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (tr_str_is(text, json_string_value(json_array_get(ids, i))))
            return TR_OK;
    return json_array_append_new(ids, tr_json_str(text)) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory to read an expression");
}

tr_code tr_expression_uses(const tr_pql_node *root, json_t *ids, tr_err *err)
{
    if (root == NULL)
        return TR_OK;
    if (root->kind == TR_PQL_APPLY && root->fn == TR_PQL_IN_SEGMENT)
        return add_use(ids, root, err);
    for (uint32_t i = 0; i < root->count; i++)
        TR_TRY(tr_expression_uses(root->items[i], ids, err));
    return TR_OK;
}

/* The value in the other format, as a JSON string. */
static tr_code flip(const tr_expression *expression, json_t **out, tr_err *err)
{
    tr_buf text = {0};
    json_t *json = NULL;
    tr_code code;
    if (expression->is_json) {
        code = tr_pql_print(expression->root, &text, err);
    } else {
        code = tr_pql_write_json(expression->root, &json, err);
        if (code == TR_OK)
            code = tr_json_write(json, &text, err);
        json_decref(json);
    }
    if (code == TR_OK) {
        *out = tr_json_str(tr_buf_str(&text));
        if (*out == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to convert an expression");
    }
    tr_buf_free(&text);
    return code;
}

tr_code tr_segment_convert(const tr_tenant *tenant, const json_t *body, json_t **out, tr_err *err)
{
    static const char *const echoed[] = {"name", "description", "schema", "ttlInDays",
                                         "payloadSchema"};
    const json_t *expression = NULL;
    tr_expression read = {0};
    tr_arena arena = {0};
    json_t *value = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_member(body, "", "expression", TR_WANT_OBJECT, &expression, err));
    if (expression == NULL)
        return TR_FAIL(err, TR_INVALID, "expression is required: {type, format, value}");
    tr_code code = tr_expression_read(expression, &arena, &read, err);
    if (code == TR_OK)
        code = flip(&read, &value, err);
    tr_arena_free(&arena);
    TR_TRY(code);
    json_t *shown = json_pack("{s:s, s:o, s:{s:s, s:s, s:o}}", "imsOrgId", tenant->org, "sandbox",
                              tr_segment_sandbox(tenant), "expression", "type", "PQL", "format",
                              read.is_json ? "pql/text" : "pql/json", "value", value);
    bool is_good = shown != NULL;
    for (size_t i = 0; i < sizeof echoed / sizeof echoed[0]; i++) {
        json_t *member = json_object_get(body, echoed[i]);
        if (is_good && member != NULL && !json_is_null(member))
            is_good = json_object_set(shown, echoed[i], member) == 0;
    }
    if (!is_good) {
        json_decref(shown);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to convert an expression");
    }
    *out = shown;
    return TR_OK;
}
