/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - names, paths, and what binds variables; see check.h. */
#include "pql/check_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

tr_code tr_pql_error(const tr_pql_checker *c, const tr_pql_node *at, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (at->line == 0)
        return TR_FAIL(c->err, TR_INVALID, "%s", text);
    return TR_FAIL(c->err, TR_INVALID, "line %u, column %u: %s", at->line, at->column, text);
}

tr_code tr_pql_no_memory(const tr_pql_checker *c)
{
    return TR_FAIL(c->err, TR_NO_MEMORY, "no memory for an expression");
}

tr_code tr_pql_mismatch(const tr_pql_checker *c, const tr_pql_node *function,
                        const tr_pql_node *operand, const char *expected)
{
    char type[120];
    const char *name = function->kind == TR_PQL_APPLY      ? tr_pql_functions[function->fn].name
                       : function->kind == TR_PQL_CHAIN    ? "chain"
                       : function->kind == TR_PQL_SELECT   ? "select"
                       : function->kind == TR_PQL_QUANTIFY ? "a quantifier"
                       : function->kind == TR_PQL_LIST     ? "a list"
                                                           : "this";
    return tr_pql_error(c, operand->line == 0 ? function : operand,
                        "%s has an operand of type %s, expected %s", name,
                        tr_pql_type_text(operand->type, type, sizeof type), expected);
}

/* ---- bindings */

static tr_code bind(tr_pql_checker *c, tr_pql_binding binding)
{
    if (c->binding_count == sizeof c->bindings / sizeof c->bindings[0])
        return TR_FAIL(c->err, TR_LIMIT, "the expression has too many variables in one place");
    c->bindings[c->binding_count++] = binding;
    return TR_OK;
}

static const tr_pql_binding *find_binding(const tr_pql_checker *c, const tr_pql_node *variable)
{
    for (uint32_t i = c->binding_count; i-- > 0;)
        if ((c->is_in_when || !c->bindings[i].is_label) &&
            tr_str_equal(c->bindings[i].name, variable->name))
            return &c->bindings[i];
    return NULL;
}

tr_code tr_pql_check_lambda(tr_pql_checker *c, tr_pql_node *lambda, const tr_pql_type *const *types,
                            uint32_t count, bool falls_to_profile)
{
    const uint32_t outside = c->binding_count;
    if (lambda->kind != TR_PQL_LAMBDA || lambda->name_count != count)
        return tr_pql_error(c, lambda, "expected a lambda with %u variable%s", count,
                            count == 1 ? "" : "s");
    for (uint32_t i = 0; i < count; i++)
        TR_TRY(bind(c, (tr_pql_binding){.name = lambda->names[i],
                                        .type = types[i],
                                        .is_implicit = lambda->is_implicit,
                                        .falls_to_profile = falls_to_profile}));
    TR_TRY(tr_pql_check_node(c, lambda->items[0]));
    c->binding_count = outside;
    lambda->type = lambda->items[0]->type;
    return TR_OK;
}

/* ---- fields */

/* How many letters must be changed, added or dropped; more than two do not count. */
static unsigned distance(tr_str a, tr_str b)
{
    enum { LETTERS_MAX = 48 };
    uint8_t row[LETTERS_MAX + 1];
    if (a.len > LETTERS_MAX || b.len > LETTERS_MAX)
        return 3;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t before = row[0];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            const uint8_t change =
                (uint8_t)(before + (tolower(a.at[i - 1]) != tolower(b.at[j - 1])));
            const uint8_t more = (uint8_t)((row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1);
            before = row[j];
            row[j] = change < more ? change : more;
        }
    }
    return row[b.len];
}

static const tr_type *nearest_member(const tr_type *object, tr_str name)
{
    const tr_type *nearest = NULL;
    unsigned least = 3;
    for (uint32_t i = 0; i < object->child_count; i++) {
        const unsigned far = distance(object->children[i]->name, name);
        if (far < least && far < name.len) {
            least = far;
            nearest = object->children[i];
        }
    }
    return nearest;
}

/* "homeAddress.city" of a chain of fields. */
static size_t path_text(const tr_pql_node *field, char *out, size_t size)
{
    size_t at = 0;
    if (field->items[0]->kind == TR_PQL_FIELD) {
        at = path_text(field->items[0], out, size);
        at += (size_t)snprintf(out + at, size - at, ".");
    }
    if (at < size)
        at += (size_t)snprintf(out + at, size - at, "%.*s", TR_STR_ARG(field->name));
    return at < size ? at : size - 1;
}

static const tr_pql_node *first_step(const tr_pql_node *field)
{
    while (field->items[0]->kind == TR_PQL_FIELD)
        field = field->items[0];
    return field;
}

static tr_code unknown_field(const tr_pql_checker *c, const tr_pql_node *field,
                             const tr_pql_type *of)
{
    char path[160], kind[80];
    const tr_pql_node *at = first_step(field);
    (void)path_text(c->outer, path, sizeof path);
    of = tr_pql_scalar_of(of);
    if (of->kind != TR_PQL_IS_OBJECT)
        return tr_pql_error(c, field,
                            "unknown field \"%s\": it would be a field of a value of type %s", path,
                            tr_pql_type_text(of, kind, sizeof kind));
    const tr_type *nearest = nearest_member(of->xdm, field->name);
    if (nearest == NULL)
        return tr_pql_error(c, at, "unknown field \"%s\", expected a field of the schema", path);
    return tr_pql_error(
        c, at, "unknown field \"%s\", expected a field of the schema: did you mean \"%.*s\"?", path,
        TR_STR_ARG(nearest->name));
}

static const tr_type *member_of(const tr_pql_type *object, tr_str name)
{
    if (object->is_profile && tr_str_is(name, TR_BOOKKEEPING))
        return NULL;
    const tr_type *member = tr_type_member(object->xdm, name);
    return member == NULL || member->kind == TR_KIND_KEY ? NULL : member;
}

static bool is_events_name(const tr_pql_checker *c, const tr_pql_type *object, tr_str name)
{
    return object->is_profile && c->events != NULL &&
           (tr_str_is(name, "xEvent") || tr_str_is(name, "timeSeriesEvents"));
}

/* The type of one value's field; *out is NULL when there is no such field. */
static tr_code field_of(const tr_pql_checker *c, const tr_pql_type *of, tr_str name,
                        const tr_pql_type **out)
{
    const tr_pql_type *inner;
    const tr_type *member;
    *out = NULL;
    switch (of->kind) {
    case TR_PQL_IS_ANY:
    case TR_PQL_IS_NULL_TYPE: *out = of; return TR_OK;
    case TR_PQL_IS_MAP: *out = of->item; return TR_OK;
    case TR_PQL_IS_GROUPS: *out = of->key->kind == TR_PQL_IS_STRING ? of->item : NULL; return TR_OK;
    case TR_PQL_IS_OBJECT:
        if (is_events_name(c, of, name)) {
            *out = c->events;
            return TR_OK;
        }
        member = member_of(of, name);
        if (member != NULL && (*out = tr_pql_type_of_xdm(member, c->arena)) == NULL)
            return tr_pql_no_memory(c);
        return TR_OK;
    case TR_PQL_IS_STRUCT:
        for (uint32_t i = 0; i < of->node->count; i++)
            if (tr_str_equal(of->node->names[i], name))
                *out = of->node->items[i]->type;
        return TR_OK;
    case TR_PQL_IS_ARRAY:
        TR_TRY(field_of(c, of->item, name, &inner));
        if (inner != NULL && inner->kind != TR_PQL_IS_ARRAY &&
            (inner = tr_pql_array_of(inner, c->arena)) == NULL)
            return tr_pql_no_memory(c);
        *out = inner;
        return TR_OK;
    case TR_PQL_IS_BOOLEAN:
    case TR_PQL_IS_INTEGER:
    case TR_PQL_IS_NUMBER:
    case TR_PQL_IS_STRING:
    case TR_PQL_IS_TIMESTAMP:
    case TR_PQL_IS_DATE:
    case TR_PQL_IS_INTERVAL:
    case TR_PQL_IS_TUPLE:
    case TR_PQL_IS_ENTRY: break;
    }
    return TR_OK;
}

/* Checks what the field is of; c->outer stays the outermost field of the path. */
static tr_code check_owner(tr_pql_checker *c, tr_pql_node *of)
{
    const tr_pql_node *outer = c->outer;
    if (of->kind != TR_PQL_FIELD)
        c->outer = NULL;
    TR_TRY(tr_pql_check_node(c, of));
    c->outer = outer;
    return TR_OK;
}

static tr_code check_step(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_node *of = node->items[0];
    const tr_pql_type *type;
    TR_TRY(check_owner(c, of));
    const tr_pql_binding *binding = of->kind == TR_PQL_VARIABLE ? find_binding(c, of) : NULL;
    if (binding != NULL && binding->is_implicit && tr_pql_is_scalar(of->type) &&
        !tr_pql_is_open(of->type)) {
        node->is_item = true;
        node->type = of->type;
        return TR_OK;
    }
    TR_TRY(field_of(c, of->type, node->name, &type));
    if (type == NULL && binding != NULL && binding->falls_to_profile && binding->is_implicit) {
        TR_TRY(field_of(c, c->profile, node->name, &type));
        node->is_of_profile = type != NULL;
    }
    if (type == NULL)
        return unknown_field(c, node, of->type);
    node->type = type;
    return TR_OK;
}

static tr_code check_field(tr_pql_checker *c, tr_pql_node *node)
{
    const bool is_outer = c->outer == NULL;
    if (is_outer)
        c->outer = node;
    TR_TRY(check_step(c, node));
    if (is_outer)
        c->outer = NULL;
    return TR_OK;
}

/* ---- what binds variables */

/* What a declaration runs over: an array's items; anything else but a map counts as one item. */
static tr_code check_source(tr_pql_checker *c, const tr_pql_node *owner, tr_pql_node *from,
                            const tr_pql_type **item)
{
    TR_TRY(tr_pql_check_node(c, from));
    const tr_pql_type *type = from->type;
    if (type->kind == TR_PQL_IS_MAP || type->kind == TR_PQL_IS_GROUPS)
        return tr_pql_mismatch(c, owner, from, "an array: use keys() or values()");
    if (type->kind == TR_PQL_IS_ARRAY && type->item->kind == TR_PQL_IS_TUPLE)
        return tr_pql_mismatch(c, owner, from, "an array of values");
    *item = type->kind == TR_PQL_IS_ARRAY ? type->item : type;
    return TR_OK;
}

static tr_code check_select(tr_pql_checker *c, tr_pql_node *node)
{
    static const tr_pql_type tuple = {.kind = TR_PQL_IS_TUPLE};
    const uint32_t outside = c->binding_count;
    const tr_pql_type *item = &tuple;
    for (uint32_t i = 0; i < node->count; i++) {
        tr_pql_node *decl = node->items[i];
        TR_TRY(check_source(c, node, decl->items[0], &item));
        decl->type = item;
        TR_TRY(bind(c, (tr_pql_binding){.name = decl->name, .type = item}));
        if (decl->items[1] != NULL)
            TR_TRY(tr_pql_check_node(c, decl->items[1]));
    }
    c->binding_count = outside;
    if (node->kind == TR_PQL_QUANTIFY)
        node->type = TR_PQL_PLAIN(BOOLEAN);
    else
        node->type = tr_pql_array_of(node->count == 1 ? item : &tuple, c->arena);
    return node->type == NULL ? tr_pql_no_memory(c) : TR_OK;
}

static tr_code check_let(tr_pql_checker *c, tr_pql_node *node)
{
    const uint32_t outside = c->binding_count;
    TR_TRY(tr_pql_check_node(c, node->items[0]));
    TR_TRY(bind(c, (tr_pql_binding){.name = node->name, .type = node->items[0]->type}));
    TR_TRY(tr_pql_check_node(c, node->items[1]));
    c->binding_count = outside;
    node->type = node->items[1]->type;
    return TR_OK;
}

static tr_code check_element(tr_pql_checker *c, tr_pql_node *element, const tr_pql_type *item)
{
    const uint32_t labels = c->binding_count;
    const bool was_in_when = c->is_in_when;
    if (element->count_amount < 0 || element->count_amount > UINT32_MAX)
        return tr_pql_error(c, element, "COUNT is too large");
    c->is_in_when = false;
    TR_TRY(tr_pql_check_lambda(c, element->items[TR_PQL_WHAT], &item, 1, false));
    if (element->items[TR_PQL_WHERE] != NULL)
        TR_TRY(tr_pql_check_lambda(c, element->items[TR_PQL_WHERE], &item, 1, true));
    c->is_in_when = true;
    c->binding_count = labels;
    if (element->items[TR_PQL_WHEN] != NULL)
        TR_TRY(tr_pql_check_time(c, element->items[TR_PQL_WHEN]));
    c->is_in_when = was_in_when;
    element->type = TR_PQL_PLAIN(BOOLEAN);
    if (element->name.len == 0)
        return TR_OK;
    return bind(c, (tr_pql_binding){
                       .name = element->name, .type = TR_PQL_PLAIN(TIMESTAMP), .is_label = true});
}

static tr_code check_chain(tr_pql_checker *c, tr_pql_node *node)
{
    const uint32_t outside = c->binding_count;
    TR_TRY(tr_pql_check_node(c, node->items[0]));
    const tr_pql_type *array = node->items[0]->type;
    if (!tr_pql_is_open(array) &&
        (array->kind != TR_PQL_IS_ARRAY ||
         (!tr_pql_is_open(array->item) && array->item->kind != TR_PQL_IS_OBJECT &&
          array->item->kind != TR_PQL_IS_STRUCT)))
        return tr_pql_mismatch(c, node, node->items[0], "an array of objects such as xEvent");
    const tr_pql_type *item = array->kind == TR_PQL_IS_ARRAY ? array->item : array;
    TR_TRY(tr_pql_check_lambda(c, node->items[1], &item, 1, false));
    const tr_pql_type *time = node->items[1]->type;
    if (!tr_pql_is_instant(time) && !tr_pql_is_open(time))
        return tr_pql_mismatch(c, node, node->items[1]->items[0], "a timestamp");
    for (uint32_t i = 2; i < node->count; i++)
        TR_TRY(check_element(c, node->items[i], item));
    c->binding_count = outside;
    node->type = TR_PQL_PLAIN(BOOLEAN);
    return TR_OK;
}

static bool is_label(const tr_pql_checker *c, const tr_pql_node *node)
{
    const tr_pql_binding *binding = node->kind == TR_PQL_VARIABLE ? find_binding(c, node) : NULL;
    return binding != NULL && binding->is_label;
}

/* A label stands alone as a time: nothing is computed from it. */
static bool has_label(const tr_pql_checker *c, const tr_pql_node *node)
{
    if (node == NULL)
        return false;
    if (is_label(c, node))
        return true;
    for (uint32_t i = 0; i < node->count; i++)
        if (has_label(c, node->items[i]))
            return true;
    return false;
}

tr_code tr_pql_check_time(tr_pql_checker *c, tr_pql_node *node)
{
    if (node->time.kind == TR_PQL_TIME_RELATIVE && node->time.amount < 0)
        return tr_pql_error(c, node, "expected a number of units that is not negative");
    for (uint32_t i = 0; i < node->count; i++) {
        tr_pql_node *anchor = node->items[i];
        TR_TRY(tr_pql_check_node(c, anchor));
        if (!is_label(c, anchor) && has_label(c, anchor))
            return tr_pql_error(c, anchor, "a label stands alone as a time");
        TR_TRY(tr_pql_fit(c, anchor, TR_PQL_PLAIN(TIMESTAMP)));
        if (!tr_pql_is_time(anchor->type) && !tr_pql_is_open(anchor->type))
            return tr_pql_mismatch(c, node, anchor,
                                   "a time: now, today, last month, date(...), a timestamp");
    }
    node->type = TR_PQL_PLAIN(INTERVAL);
    return TR_OK;
}

/* ---- the rest */

static tr_code check_list(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *item = TR_PQL_PLAIN(NULL_TYPE);
    for (uint32_t i = 0; i < node->count; i++) {
        TR_TRY(tr_pql_check_node(c, node->items[i]));
        if (node->items[i]->type->kind == TR_PQL_IS_TUPLE)
            return tr_pql_mismatch(c, node, node->items[i], "values");
        const tr_pql_type *both = tr_pql_unite_types(item, node->items[i]->type, c->arena);
        /* Literals of several types may still be made to fit: tr_pql_check ends with a look. */
        item = both == NULL ? TR_PQL_PLAIN(ANY) : both;
    }
    node->type = tr_pql_array_of(item, c->arena);
    return node->type == NULL ? tr_pql_no_memory(c) : TR_OK;
}

static tr_code check_object(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
    if (type == NULL)
        return tr_pql_no_memory(c);
    for (uint32_t i = 0; i < node->count; i++) {
        TR_TRY(tr_pql_check_node(c, node->items[i]));
        for (uint32_t before = 0; before < i; before++)
            if (tr_str_equal(node->names[before], node->names[i]))
                return tr_pql_error(c, node->items[i], "the field \"%.*s\" is there twice",
                                    TR_STR_ARG(node->names[i]));
    }
    *type = (tr_pql_type){.kind = TR_PQL_IS_STRUCT, .node = node};
    node->type = type;
    return TR_OK;
}

static void check_literal(tr_pql_node *node)
{
    static const tr_pql_type_kind kinds[] = {[TR_PQL_NULL] = TR_PQL_IS_NULL_TYPE,
                                             [TR_PQL_BOOLEAN] = TR_PQL_IS_BOOLEAN,
                                             [TR_PQL_INTEGER] = TR_PQL_IS_INTEGER,
                                             [TR_PQL_NUMBER] = TR_PQL_IS_NUMBER,
                                             [TR_PQL_STRING] = TR_PQL_IS_STRING};
    node->value = node->literal;
    node->type = &tr_pql_plain_types[kinds[node->literal.kind]];
}

static tr_code check_variable(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_binding *binding = find_binding(c, node);
    if (binding == NULL)
        return tr_pql_error(c, node, "unknown variable \"%.*s\"", TR_STR_ARG(node->name));
    node->type = binding->type;
    return TR_OK;
}

tr_code tr_pql_check_node(tr_pql_checker *c, tr_pql_node *node)
{
    switch (node->kind) {
    case TR_PQL_LITERAL: check_literal(node); return TR_OK;
    case TR_PQL_LIST: return check_list(c, node);
    case TR_PQL_OBJECT: return check_object(c, node);
    case TR_PQL_PARAMETER: node->type = c->profile; return TR_OK;
    case TR_PQL_VARIABLE: return check_variable(c, node);
    case TR_PQL_FIELD: return check_field(c, node);
    case TR_PQL_APPLY: return tr_pql_check_apply(c, node);
    case TR_PQL_SELECT:
    case TR_PQL_QUANTIFY: return check_select(c, node);
    case TR_PQL_LET: return check_let(c, node);
    case TR_PQL_CHAIN: return check_chain(c, node);
    case TR_PQL_RELATIVE: node->type = TR_PQL_PLAIN(INTERVAL); return TR_OK;
    case TR_PQL_LAMBDA: return tr_pql_error(c, node, "a lambda cannot stand here");
    case TR_PQL_DECL:
    case TR_PQL_ELEMENT:
    case TR_PQL_TIME: break; /* checked by their owners */
    }
    return tr_pql_error(c, node, "expected a value");
}

/* Lists whose literals were of several types, and nothing said which is meant. */
static tr_code find_mixed_list(const tr_pql_checker *c, const tr_pql_node *node)
{
    if (node->kind == TR_PQL_LIST && node->count > 0 && node->type->item->kind == TR_PQL_IS_ANY)
        for (uint32_t i = 1; i < node->count; i++)
            if (node->items[i]->type->kind != TR_PQL_IS_ANY)
                return tr_pql_mismatch(c, node, node->items[i], "items of one type");
    for (uint32_t i = 0; i < node->count; i++)
        if (node->items[i] != NULL)
            TR_TRY(find_mixed_list(c, node->items[i]));
    return TR_OK;
}

static tr_code find_types(tr_pql_checker *c)
{
    const tr_pql_schema *schema = c->schema;
    const tr_pql_type *event = TR_PQL_PLAIN(ANY);
    const tr_type *xdm = schema->event, *nested = NULL;
    c->profile = TR_PQL_PLAIN(ANY);
    if (schema->profile != NULL) {
        tr_pql_type *profile = tr_arena_array(c->arena, 1, sizeof *profile);
        if (profile == NULL)
            return tr_pql_no_memory(c);
        *profile =
            (tr_pql_type){.kind = TR_PQL_IS_OBJECT, .xdm = schema->profile, .is_profile = true};
        c->profile = profile;
        nested = tr_type_member(schema->profile, tr_str_of("timeSeriesEvents"));
    }
    if (xdm == NULL && nested != NULL && nested->kind == TR_KIND_ARRAY)
        xdm = nested->children[0];
    if (xdm != NULL && (event = tr_pql_type_of_xdm(xdm, c->arena)) == NULL)
        return tr_pql_no_memory(c);
    c->events = tr_pql_array_of(event, c->arena);
    return c->events == NULL ? tr_pql_no_memory(c) : TR_OK;
}

tr_code tr_pql_check(tr_pql_node *root, const tr_pql_schema *schema, tr_arena *arena, tr_err *err)
{
    tr_pql_checker *c = tr_arena_array(arena, 1, sizeof *c);
    if (c == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an expression");
    c->schema = schema;
    c->arena = arena;
    c->err = err;
    TR_TRY(find_types(c));
    if (root->kind == TR_PQL_LAMBDA)
        TR_TRY(tr_pql_check_lambda(c, root, &c->profile, 1, false));
    else
        TR_TRY(tr_pql_check_node(c, root));
    return find_mixed_list(c, root);
}
