/* SPDX-License-Identifier: Apache-2.0 */
/* json_write.c - a tree as pql/json (reference: PQL, section 12). */
#include "pql/pql.h"

static json_t *node_of(const tr_pql_node *node);

static json_t *text_of(tr_str s)
{
    return tr_json_str(s);
}

/* Everything jansson makes is NULL without memory, and NULL makes what holds it fail; "o" takes
 * references. */
static json_t *list_of(tr_pql_node *const *items, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        if (list == NULL || json_array_append_new(list, node_of(items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *literal_of(const tr_pql_literal *literal)
{
    static const char *const types[] = {"Null", "Boolean", "Integer", "Number", "String"};
    json_t *value = NULL;
    switch (literal->kind) {
    case TR_PQL_NULL: value = json_null(); break;
    case TR_PQL_BOOLEAN: value = json_boolean(literal->boolean); break;
    case TR_PQL_INTEGER: value = json_integer(literal->integer); break;
    case TR_PQL_NUMBER: value = json_real(literal->number); break;
    case TR_PQL_STRING: value = text_of(literal->string); break;
    }
    return json_pack("{s:s, s:s, s:o}", "nodeType", "literal", "literalType", types[literal->kind],
                     "value", value);
}

static json_t *plain_value(const tr_pql_literal *literal)
{
    json_t *node = literal_of(literal);
    json_t *value = json_incref(json_object_get(node, "value"));
    json_decref(node);
    return value;
}

/* [1, 2]: a literal when all its items are, and there are some. */
static json_t *list_node(const tr_pql_node *node)
{
    bool is_literal = node->count > 0;
    for (uint32_t i = 0; i < node->count; i++)
        is_literal = is_literal && node->items[i]->kind == TR_PQL_LITERAL;
    if (!is_literal)
        return json_pack("{s:s, s:o}", "nodeType", "listCreate", "items",
                         list_of(node->items, node->count));
    json_t *values = json_array();
    for (uint32_t i = 0; i < node->count && values != NULL; i++)
        if (json_array_append_new(values, plain_value(&node->items[i]->literal)) != 0) {
            json_decref(values);
            values = NULL;
        }
    return json_pack("{s:s, s:s, s:o}", "nodeType", "literal", "literalType", "List", "value",
                     values);
}

static json_t *object_node(const tr_pql_node *node)
{
    json_t *fields = json_array();
    for (uint32_t i = 0; i < node->count && fields != NULL; i++) {
        json_t *field = json_pack("{s:o, s:o}", "fieldName", text_of(node->names[i]), "value",
                                  node_of(node->items[i]));
        if (json_array_append_new(fields, field) != 0) {
            json_decref(fields);
            fields = NULL;
        }
    }
    return json_pack("{s:s, s:o}", "nodeType", "objectCreate", "fields", fields);
}

static json_t *lambda_node(const tr_pql_node *node)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < node->name_count && names != NULL; i++)
        if (json_array_append_new(names, text_of(node->names[i])) != 0) {
            json_decref(names);
            names = NULL;
        }
    return json_pack("{s:s, s:o, s:o}", "nodeType", "lambda", "varNames", names, "body",
                     node_of(node->items[0]));
}

static json_t *declaration_node(const tr_pql_node *node)
{
    json_t *decl = json_pack("{s:s, s:o, s:o}", "nodeType", "varDecl", "varName",
                             text_of(node->name), "from", node_of(node->items[0]));
    if (decl != NULL && node->items[1] != NULL &&
        json_object_set_new(decl, "where", node_of(node->items[1])) != 0) {
        json_decref(decl);
        return NULL;
    }
    return decl;
}

static json_t *select_node(const tr_pql_node *node)
{
    static const char *const quantifiers[] = {"some", "all", "none", "one"};
    json_t *select = json_pack("{s:s, s:o}", "nodeType",
                               node->kind == TR_PQL_SELECT ? "select" : "quantification",
                               "variables", list_of(node->items, node->count));
    if (select != NULL && node->kind == TR_PQL_QUANTIFY &&
        json_object_set_new(select, "quantifier", json_string(quantifiers[node->quantifier])) !=
            0) {
        json_decref(select);
        return NULL;
    }
    return select;
}

static bool add_part(json_t *element, const char *key, const tr_pql_node *part)
{
    return part == NULL || json_object_set_new(element, key, node_of(part)) == 0;
}

static json_t *element_node(const tr_pql_node *node)
{
    json_t *element = json_pack("{s:o}", "what", node_of(node->items[TR_PQL_WHAT]));
    const bool counts = node->count_comparison != TR_PQL_GE || node->count_amount != 1;
    bool is_good = element != NULL && add_part(element, "where", node->items[TR_PQL_WHERE]) &&
                   add_part(element, "when", node->items[TR_PQL_WHEN]);
    if (is_good && node->name.len > 0)
        is_good = json_object_set_new(element, "label", text_of(node->name)) == 0;
    if (is_good && counts)
        is_good = json_object_set_new(element, "count",
                                      json_pack("{s:s, s:I}", "comparison",
                                                tr_pql_functions[node->count_comparison].name,
                                                "value", (json_int_t)node->count_amount)) == 0;
    if (is_good)
        return element;
    json_decref(element);
    return NULL;
}

static json_t *time_node(const tr_pql_node *node)
{
    static const char *const kinds[] = {"on", "direction", "relative", "between"};
    static const char *const directions[] = {"before", "after", "from"};
    const tr_pql_time *time = &node->time;
    const bool is_relative = time->kind == TR_PQL_TIME_RELATIVE;
    json_t *out = json_pack("{s:s, s:s, s:o}", "nodeType", "timeConstraint", "kind",
                            kinds[time->kind], "time", node_of(node->items[0]));
    bool is_good = out != NULL;
    if (is_good && node->count > 1)
        is_good = json_object_set_new(out, "time2", node_of(node->items[1])) == 0;
    if (is_good && (is_relative || time->kind == TR_PQL_TIME_DIRECTION))
        is_good =
            json_object_set_new(out, "direction", json_string(directions[time->direction])) == 0;
    if (is_good && is_relative)
        is_good =
            json_object_set_new(out, "comparison",
                                json_string(tr_pql_functions[time->comparison].name)) == 0 &&
            json_object_set_new(out, "amount", json_integer(time->amount)) == 0 &&
            json_object_set_new(out, "unit", json_string(tr_pql_unit_names[time->unit][0])) == 0;
    if (is_good)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *relative_node(const tr_pql_time *time)
{
    static const char *const which[] = {"this", "last", "next"};
    return json_pack("{s:s, s:s, s:s}", "nodeType", "relativeTime", "which", which[time->which],
                     "unit", tr_pql_unit_names[time->unit][0]);
}

static json_t *node_of(const tr_pql_node *node)
{
    switch (node->kind) {
    case TR_PQL_LITERAL: return literal_of(&node->literal);
    case TR_PQL_LIST: return list_node(node);
    case TR_PQL_OBJECT: return object_node(node);
    case TR_PQL_PARAMETER:
        return json_pack("{s:s, s:I}", "nodeType", "parameterReference", "position",
                         (json_int_t)node->position);
    case TR_PQL_VARIABLE:
        return json_pack("{s:s, s:o}", "nodeType", "varRef", "varName", text_of(node->name));
    case TR_PQL_FIELD:
        return json_pack("{s:s, s:o, s:o}", "nodeType", "fieldLookup", "fieldName",
                         text_of(node->name), "object", node_of(node->items[0]));
    case TR_PQL_APPLY:
        return json_pack("{s:s, s:s, s:o}", "nodeType", "fnApply", "fnName",
                         tr_pql_functions[node->fn].name, "params",
                         list_of(node->items, node->count));
    case TR_PQL_LAMBDA: return lambda_node(node);
    case TR_PQL_SELECT:
    case TR_PQL_QUANTIFY: return select_node(node);
    case TR_PQL_DECL: return declaration_node(node);
    case TR_PQL_LET:
        return json_pack("{s:s, s:o, s:o, s:o}", "nodeType", "let", "varName", text_of(node->name),
                         "value", node_of(node->items[0]), "body", node_of(node->items[1]));
    case TR_PQL_CHAIN:
        return json_pack("{s:s, s:o, s:o, s:o}", "nodeType", "chain", "array",
                         node_of(node->items[0]), "timestampField", node_of(node->items[1]),
                         "elements", list_of(node->items + 2, node->count - 2));
    case TR_PQL_ELEMENT: return element_node(node);
    case TR_PQL_RELATIVE: return relative_node(&node->time);
    case TR_PQL_TIME: return time_node(node);
    }
    return NULL;
}

tr_code tr_pql_write_json(const tr_pql_node *root, json_t **out, tr_err *err)
{
    json_t *json = node_of(root);
    if (json == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to write an expression as JSON");
    *out = json;
    return TR_OK;
}
