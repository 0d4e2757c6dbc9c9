/* SPDX-License-Identifier: Apache-2.0 */
/* adhoc.c - see adhoc.h. */
#include "sql/adhoc.h"

#include <stdio.h>

enum { PATH_BYTES = 300 };

typedef struct scalar_form {
    const char *is, *type, *xdm, *format;
    const char *fits; /* the kinds of a schema that may hold it: see letter_of */
} scalar_form;

static const scalar_form forms[] = {
    {"boolean", "boolean", "boolean", NULL, "b"},
    {"integer", "integer", "int", NULL, "ilnsdtb"}, /* NULL is one, too: ingest sees the values */
    {"long", "integer", "long", NULL, "iln"},
    {"number", "number", "number", NULL, "n"},
    {"string", "string", "string", NULL, "sdt"},
    {"null", "string", "string", NULL, "bilnsdt"},
    {"date", "string", "date", "date", "ds"},
    {"instant", "string", "date-time", "date-time", "ts"},
};

static const scalar_form *form_of(const char *is)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].is, is) == 0)
            return forms + i;
    return NULL;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a query");
}

/* A new schema -------------------------------------------------------------------------------- */

static json_t *field_of(const json_t *type);

static json_t *properties_of(const json_t *members)
{
    const char *name;
    json_t *type, *properties = json_object();
    json_object_foreach((json_t *)(uintptr_t)members, name,
                        type) if (json_object_set_new(properties, name, field_of(type)) != 0)
    {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

/* NULL: no memory. */
static json_t *field_of(const json_t *type)
{
    const char *is = tr_json_text(type, "is", "");
    if (strcmp(is, "struct") == 0)
        return json_pack("{s:s,s:s,s:o}", "type", "object", "meta:xdmType", "object", "properties",
                         properties_of(json_object_get(type, "members")));
    if (strcmp(is, "list") == 0)
        return json_pack("{s:s,s:s,s:o}", "type", "array", "meta:xdmType", "array", "items",
                         field_of(json_object_get(type, "of")));
    if (strcmp(is, "map") == 0)
        return json_pack("{s:s,s:s,s:o}", "type", "object", "meta:xdmType", "map",
                         "additionalProperties", field_of(json_object_get(type, "of")));
    const scalar_form *form = form_of(is);
    return form == NULL ? NULL
                        : json_pack("{s:s,s:s,s:s*}", "type", form->type, "meta:xdmType", form->xdm,
                                    "format", form->format);
}

static bool is_field_name(const char *name)
{
    if (name[0] == '\0' || strncasecmp(name, "_tributary", 10) == 0)
        return false;
    for (const char *at = name; *at != '\0'; at++) {
        const bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
        const bool is_later = (*at >= '0' && *at <= '9') || *at == '-' || *at == '$';
        if (!is_letter && *at != '_' && (at == name || !is_later))
            return false;
    }
    return true;
}

static tr_code check_name(const json_t *columns, size_t i, const char **state, tr_err *err)
{
    const char *name = tr_json_text(json_array_get(columns, i), "name", "");
    *state = "42601";
    if (!is_field_name(name))
        return TR_FAIL(err, TR_INVALID,
                       "column %zu is called \"%.60s\": give it a name of letters, digits and _, "
                       "such as count(*) AS total",
                       i + 1, name);
    *state = "42701";
    for (size_t k = 0; k < i; k++)
        if (tr_str_equal_folded(tr_str_of(name),
                                tr_str_of(tr_json_text(json_array_get(columns, k), "name", ""))))
            return TR_FAIL(err, TR_INVALID, "columns %zu and %zu are both called \"%.60s\"", k + 1,
                           i + 1, name);
    return TR_OK;
}

tr_code tr_adhoc_properties(const json_t *columns, json_t **out, const char **state, tr_err *err)
{
    json_t *properties = json_object();
    tr_code code = properties == NULL ? no_memory(err) : TR_OK;
    for (size_t i = 0; i < json_array_size(columns) && code == TR_OK; i++) {
        const json_t *column = json_array_get(columns, i);
        code = check_name(columns, i, state, err);
        if (code == TR_OK && json_object_set_new(properties, tr_json_text(column, "name", ""),
                                                 field_of(json_object_get(column, "type"))) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK)
        *out = properties;
    else
        json_decref(properties);
    return code;
}

/* A schema that is there ---------------------------------------------------------------------- */

static char letter_of(tr_kind kind)
{
    switch (kind) {
    case TR_KIND_BOOLEAN: return 'b';
    case TR_KIND_INT32: return 'i';
    case TR_KIND_INT64: return 'l';
    case TR_KIND_DOUBLE: return 'n';
    case TR_KIND_STRING: return 's';
    case TR_KIND_DATE: return 'd';
    case TR_KIND_TIMESTAMP: return 't';
    case TR_KIND_KEY:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return '-';
}

static const char *name_of(tr_kind kind)
{
    static const char *const names[] = {"boolean",   "int",      "long",      "number",
                                        "string",    "date",     "date-time", "a key",
                                        "an object", "an array", "a map"};
    return names[kind];
}

static tr_code check(const json_t *type, const tr_type *field, const char *path, const char **state,
                     tr_err *err);

static tr_code check_members(const json_t *type, const tr_type *field, const char *path,
                             const char **state, tr_err *err)
{
    const char *name;
    json_t *member;
    json_object_foreach(json_object_get(type, "members"), name, member)
    {
        char below[PATH_BYTES];
        const tr_type *found = tr_type_member(field, tr_str_of(name));
        (void)snprintf(below, sizeof below, "%s.%s", path, name);
        tr_text_mend(below);
        if (found == NULL) {
            *state = "42703";
            return TR_FAIL(err, TR_INVALID, "the table has no field %s", below);
        }
        TR_TRY(check(member, found, below, state, err));
    }
    return TR_OK;
}

static tr_code check(const json_t *type, const tr_type *field, const char *path, const char **state,
                     tr_err *err)
{
    const char *is = tr_json_text(type, "is", "");
    const scalar_form *form = form_of(is);
    if (strcmp(is, "struct") == 0 && field->kind == TR_KIND_OBJECT)
        return check_members(type, field, path, state, err);
    if ((strcmp(is, "list") == 0 && field->kind == TR_KIND_ARRAY) ||
        (strcmp(is, "map") == 0 && field->kind == TR_KIND_MAP))
        return check(json_object_get(type, "of"), field->children[0], path, state, err);
    if (strcmp(is, "null") == 0 ||
        (form != NULL && strchr(form->fits, letter_of(field->kind)) != NULL))
        return TR_OK;
    *state = "42804";
    return TR_FAIL(err, TR_INVALID, "%s is %s in the table's schema, and %s in the query", path,
                   name_of(field->kind), is);
}

tr_code tr_adhoc_check(const json_t *columns, const tr_type *root, const char **state, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *column = json_array_get(columns, i);
        const char *name = tr_json_text(column, "name", "");
        const tr_type *field = tr_type_member(root, tr_str_of(name));
        if (field == NULL) {
            *state = "42703";
            return TR_FAIL(err, TR_INVALID,
                           "the table has no column \"%.80s\": columns are matched by name, such "
                           "as SELECT 1 AS id, or INSERT INTO t (id) SELECT 1",
                           name);
        }
        TR_TRY(check(json_object_get(column, "type"), field, name, state, err));
    }
    return TR_OK;
}
