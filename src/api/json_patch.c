/* SPDX-License-Identifier: Apache-2.0 */
/* json_patch.c - RFC 6902, whole: add, remove, replace, move, copy, test.
 *
 * Operations are applied to a deep copy, which takes the target's place only when all of them have
 * worked. A path is a JSON Pointer (RFC 6901): "" is the whole document, ~1 is '/', ~0 is '~', and
 * "-" is behind the last element of an array.
 *
 * A patch is small and what it makes could be huge (copying the document into itself doubles it),
 * so the depth of paths and of moved values and the number of copied nodes have limits.
 */
#include "api/api_internal.h"
#include "base/limits.h"

#include <math.h>

enum { STEPS_MAX = TR_JSON_DEPTH_MAX * 2 };

typedef struct place {
    json_t *parent;   /* NULL: the document itself */
    const char *name; /* the last step, unescaped; in the arena */
} place;

typedef struct patch {
    tr_arena arena;
    json_t *root;  /* owned */
    size_t number; /* of the operation, from 1 */
    const char *path;
    uint32_t copied_nodes;
} patch;

static tr_code fail(const patch *p, tr_err *err, const char *why)
{
    return TR_FAIL(err, TR_INVALID, "operation %zu of the JSON Patch, path \"%.200s\": %s",
                   p->number, p->path == NULL ? "" : p->path, why);
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to apply a JSON Patch");
}

/* The next step of a pointer ("/a/b" -> "a"), unescaped; *rest moves behind it. */
static tr_code next_step(patch *p, const char **rest, const char **name, tr_err *err)
{
    if (**rest != '/')
        return fail(p, err, "a path is \"\" or begins with '/'");
    const char *at = *rest + 1;
    const size_t len = strcspn(at, "/");
    char *text = tr_arena_alloc(&p->arena, len + 1);
    size_t written = 0;
    if (text == NULL)
        return no_memory(err);
    for (size_t i = 0; i < len; i++) {
        char byte = at[i];
        if (byte == '~') {
            if (i + 1 == len || (at[i + 1] != '0' && at[i + 1] != '1'))
                return fail(p, err, "'~' is followed by 0 or 1");
            byte = at[++i] == '0' ? '~' : '/';
        }
        text[written++] = byte;
    }
    text[written] = '\0';
    *name = text;
    *rest = at + len;
    return TR_OK;
}

/* Digits without a leading zero; false: not the index of an element. */
static bool index_of(const char *name, size_t *out)
{
    int64_t number;
    if ((name[0] == '0' && name[1] != '\0') || name[0] == '-' || strlen(name) > 9 ||
        !tr_str_to_i64(tr_str_of(name), &number))
        return false;
    *out = (size_t)number;
    return true;
}

static json_t *child_of(const json_t *parent, const char *name)
{
    size_t index;
    if (json_is_object(parent))
        return json_object_get(parent, name);
    return json_is_array(parent) && index_of(name, &index) ? json_array_get(parent, index) : NULL;
}

/* The place a pointer names: its parent exists, it itself perhaps not. */
static tr_code find_place(patch *p, const char *pointer, place *out, tr_err *err)
{
    const char *rest = pointer;
    place at = {NULL, NULL};
    json_t *node = p->root;
    p->path = pointer;
    for (uint32_t steps = 0; *rest != '\0'; steps++) {
        TR_TRY(next_step(p, &rest, &at.name, err));
        if (steps == STEPS_MAX)
            return fail(p, err, "the path has too many steps");
        if (!json_is_object(node) && !json_is_array(node))
            return fail(p, err, "nothing is there");
        at.parent = node;
        node = child_of(node, at.name);
    }
    *out = at;
    return TR_OK;
}

static tr_code get_value(patch *p, const char *pointer, json_t **out, tr_err *err)
{
    place at;
    TR_TRY(find_place(p, pointer, &at, err));
    json_t *value = at.parent == NULL ? p->root : child_of(at.parent, at.name);
    if (value == NULL)
        return fail(p, err, "nothing is there");
    *out = value;
    return TR_OK;
}

static tr_code remove_at(patch *p, const char *pointer, tr_err *err)
{
    place at;
    json_t *value;
    size_t index = 0;
    TR_TRY(get_value(p, pointer, &value, err));
    TR_TRY(find_place(p, pointer, &at, err));
    if (at.parent == NULL)
        return fail(p, err, "the whole document cannot be removed");
    if (json_is_object(at.parent))
        return json_object_del(at.parent, at.name) == 0 ? TR_OK : fail(p, err, "nothing is there");
    return index_of(at.name, &index) && json_array_remove(at.parent, index) == 0
               ? TR_OK
               : fail(p, err, "nothing is there");
}

/* Takes the value. */
static tr_code add_at(patch *p, const char *pointer, json_t *value, tr_err *err)
{
    place at;
    size_t index = 0;
    const tr_code code = value == NULL ? no_memory(err) : find_place(p, pointer, &at, err);
    if (code != TR_OK) {
        json_decref(value);
        return code;
    }
    if (at.parent == NULL) {
        json_decref(p->root);
        p->root = value;
        return TR_OK;
    }
    if (json_is_object(at.parent))
        return json_object_set_new(at.parent, at.name, value) == 0 ? TR_OK : no_memory(err);
    if (strcmp(at.name, "-") == 0)
        return json_array_append_new(at.parent, value) == 0 ? TR_OK : no_memory(err);
    if (!index_of(at.name, &index) || index > json_array_size(at.parent)) {
        json_decref(value);
        return fail(p, err, "no such position in the array");
    }
    return json_array_insert_new(at.parent, index, value) == 0 ? TR_OK : no_memory(err);
}

static tr_code replace_at(patch *p, const char *pointer, json_t *value, tr_err *err)
{
    json_t *old = NULL;
    place at;
    size_t index = 0;
    tr_code code = get_value(p, pointer, &old, err);
    if (code == TR_OK)
        code = find_place(p, pointer, &at, err);
    if (code != TR_OK || !json_is_array(at.parent)) {
        if (code == TR_OK)
            return add_at(p, pointer, value, err);
        json_decref(value);
        return code;
    }
    (void)index_of(at.name, &index); /* get_value has found it */
    return json_array_set_new(at.parent, index, value) == 0 ? TR_OK : no_memory(err);
}

/* Equality as RFC 6902 wants it: numbers by value, objects whatever their order. */
static bool is_equal(const json_t *a, const json_t *b, uint32_t depth)
{
    const char *key;
    json_t *value;
    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b)
                   ? json_integer_value(a) == json_integer_value(b)
                   : !islessgreater(json_number_value(a), json_number_value(b));
    if (json_typeof(a) != json_typeof(b) || depth > TR_JSON_DEPTH_MAX * 2)
        return false;
    if (json_is_array(a)) {
        bool same = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; same && i < json_array_size(a); i++)
            same = is_equal(json_array_get(a, i), json_array_get(b, i), depth + 1);
        return same;
    }
    if (!json_is_object(a))
        return json_equal(a, b) != 0;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)(uintptr_t)a, key, value) {
        const json_t *other = json_object_get(b, key);
        if (other == NULL || !is_equal(value, other, depth + 1))
            return false;
    }
    return true;
}

/* Counts the nodes of a value that is copied; false: too many of them, or too deep. */
static bool may_copy(patch *p, const json_t *value, uint32_t depth)
{
    const char *key;
    json_t *child;
    if (++p->copied_nodes > TR_SCHEMA_NODES_MAX || depth > STEPS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!may_copy(p, json_array_get(value, i), depth + 1))
            return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, child)
        if (!may_copy(p, child, depth + 1))
            return false;
    return true;
}

static bool is_inside(const char *pointer, const char *of)
{
    const size_t len = strlen(of);
    return strncmp(pointer, of, len) == 0 && pointer[len] == '/';
}

static tr_code move_or_copy(patch *p, const char *path, const char *from, bool is_move, tr_err *err)
{
    json_t *value = NULL;
    if (from == NULL)
        return fail(p, err, "\"from\" is missing");
    if (is_move && is_inside(path, from))
        return fail(p, err, "a value cannot be moved into itself");
    TR_TRY(get_value(p, from, &value, err));
    if (is_move && strcmp(path, from) == 0)
        return TR_OK;
    if (!may_copy(p, value, 0))
        return fail(p, err, "the patch moves or copies too much");
    json_t *copy = json_deep_copy(value);
    if (copy == NULL)
        return no_memory(err);
    const tr_code code = is_move ? remove_at(p, from, err) : TR_OK;
    if (code != TR_OK) {
        json_decref(copy);
        return code;
    }
    return add_at(p, path, copy, err);
}

static tr_code test_at(patch *p, const char *path, const json_t *value, tr_err *err)
{
    json_t *found = NULL;
    TR_TRY(get_value(p, path, &found, err));
    return is_equal(found, value, 0) ? TR_OK
                                     : fail(p, err, "the test failed: another value is there");
}

static tr_code apply(patch *p, const json_t *operation, tr_err *err)
{
    const char *op = tr_json_text(operation, "op", NULL);
    const char *path = tr_json_text(operation, "path", NULL);
    const json_t *value = json_object_get(operation, "value");
    p->path = path;
    if (!json_is_object(operation) || op == NULL || path == NULL)
        return fail(p, err, "an operation is an object with \"op\" and \"path\"");
    if (strcmp(op, "remove") == 0)
        return remove_at(p, path, err);
    if (strcmp(op, "move") == 0 || strcmp(op, "copy") == 0)
        return move_or_copy(p, path, tr_json_text(operation, "from", NULL), op[0] == 'm', err);
    const bool is_add = strcmp(op, "add") == 0, is_test = strcmp(op, "test") == 0;
    if (!is_add && !is_test && strcmp(op, "replace") != 0)
        return fail(p, err, "\"op\" is one of add, remove, replace, move, copy, test");
    if (value == NULL)
        return fail(p, err, "\"value\" is missing");
    if (is_test)
        return test_at(p, path, value, err);
    return is_add ? add_at(p, path, json_deep_copy(value), err)
                  : replace_at(p, path, json_deep_copy(value), err);
}

tr_code tr_json_patch(json_t **target, const json_t *operations, tr_err *err)
{
    patch p = {.arena = {.bytes_max = TR_BODY_BYTES_MAX}};
    tr_code code = TR_OK;
    if (!json_is_array(operations))
        return TR_FAIL(err, TR_INVALID, "a JSON Patch is an array of operations");
    p.root = json_deep_copy(*target);
    if (p.root == NULL)
        return no_memory(err);
    for (size_t i = 0; i < json_array_size(operations) && code == TR_OK; i++) {
        p.number = i + 1;
        code = apply(&p, json_array_get(operations, i), err);
    }
    tr_arena_free(&p.arena);
    if (code != TR_OK) {
        json_decref(p.root);
        return code;
    }
    json_decref(*target);
    *target = p.root;
    return TR_OK;
}
