/* SPDX-License-Identifier: Apache-2.0 */
/* row_plan.c - a schema into the nodes that a row is walked down, and the shape of the run.
 *
 * The run's type is the schema's, and an identityMap where it has none, and the bookkeeping column.
 * Rules belong to the schema's types; both trees are stepped through side by side.
 *
 * The old `identities` array is understood also where the schema lacks it: nodes that store
 * nothing, but whose values are captured.
 */
#include "ingest/row_internal.h"

#include <string.h>

typedef struct plan {
    tr_row_reader *reader;
    const tr_xdm_schema *schema;
    tr_err *err;
} plan;

/* Where a node stands: `def` and `rep` as in row_internal.h, of a value that is there. */
typedef struct place {
    tr_row_node *parent;
    uint8_t def, rep;
    bool is_in_unit;
    bool is_captured_only;
    tr_str path;
} place;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to read rows of a schema");
}

uint32_t tr_row_member_find(const tr_row_node *node, tr_str name)
{
    const uint32_t mask = node->table_size - 1;
    for (uint32_t at = (uint32_t)tr_hash64_of(name) & mask;; at = (at + 1) & mask) {
        const uint32_t entry = node->table[at];
        if (entry == 0)
            return UINT32_MAX;
        if (tr_str_equal(node->members[entry - 1].name, name))
            return entry - 1;
    }
}

static void table_put(tr_row_node *node, uint32_t member)
{
    const uint32_t mask = node->table_size - 1;
    uint32_t at = (uint32_t)tr_hash64_of(node->members[member].name) & mask;
    while (node->table[at] != 0)
        at = (at + 1) & mask;
    node->table[at] = member + 1;
}

/* Room for `members` members, at most half of the table. Old arrays stay in the arena. */
static bool make_room(tr_arena *arena, tr_row_node *node, uint32_t members)
{
    uint32_t size = 8;
    while (size < members * 2 + 2)
        size *= 2;
    tr_row_member *grown = tr_arena_array(arena, members, sizeof *grown);
    uint32_t *table = tr_arena_array(arena, size, sizeof *table);
    if ((grown == NULL && members > 0) || table == NULL)
        return false;
    if (node->member_count > 0)
        memcpy(grown, node->members, node->member_count * sizeof *grown);
    node->members = grown;
    node->member_cap = members;
    node->table = table;
    node->table_size = size;
    for (uint32_t m = 0; m < node->member_count; m++)
        table_put(node, m);
    return true;
}

static tr_str join_path(tr_arena *arena, tr_str path, tr_str name)
{
    const size_t dot = path.len > 0 ? 1 : 0;
    uint8_t *at = tr_arena_alloc(arena, path.len + dot + name.len + 1);
    if (at == NULL)
        return (tr_str){NULL, 0};
    if (path.len > 0)
        memcpy(at, path.at, path.len);
    at[path.len] = '.';
    if (name.len > 0)
        memcpy(at + path.len + dot, name.at, name.len);
    return (tr_str){at, path.len + dot + name.len};
}

static bool note_unknown_node(tr_row_reader *reader, tr_row_node *node)
{
    if (node->member_count > node->known_count)
        return true;
    if (reader->unknown_node_count == reader->unknown_node_cap) {
        const uint32_t cap = reader->unknown_node_cap == 0 ? 16 : reader->unknown_node_cap * 2;
        tr_row_node **grown = tr_grow_array(reader->unknown_nodes, cap, sizeof(tr_row_node *));
        if (grown == NULL)
            return false;
        reader->unknown_nodes = grown;
        reader->unknown_node_cap = cap;
    }
    reader->unknown_nodes[reader->unknown_node_count++] = node;
    return true;
}

tr_code tr_row_member_add(tr_row_reader *reader, tr_row_node *node, tr_str name, uint32_t *out,
                          tr_err *err)
{
    tr_arena *arena = &reader->arena;
    if (reader->unknown_count >= TR_ROW_UNKNOWN_MAX) /* hostile: all others under one name */
        name = tr_str_of("*");
    const uint32_t found = tr_row_member_find(node, name);
    if (found != UINT32_MAX) {
        *out = found;
        return TR_OK;
    }
    tr_row_member member = {.name = tr_arena_copy(arena, name),
                            .path = join_path(arena, node->path, tr_row_cut(name, 128))};
    if (member.name.at == NULL || member.path.at == NULL || !note_unknown_node(reader, node))
        return no_memory(err);
    if (node->member_count == node->member_cap && !make_room(arena, node, node->member_cap * 2 + 8))
        return no_memory(err);
    *out = node->member_count;
    node->members[node->member_count++] = member;
    table_put(node, *out);
    reader->unknown_count++;
    return TR_OK;
}

static bool has_text_rule(const tr_row_node *node)
{
    const tr_xdm_rule *rule = node->rule;
    return rule->min_length > 0 || rule->max_length >= 0 || rule->member_count > 0 ||
           node->pattern != NULL || node->format != TR_TEXT_ANY;
}

static tr_code keep_pattern(tr_row_reader *reader, tr_row_node *node, tr_err *err)
{
    tr_row_pattern *pattern;
    const tr_code code = tr_row_pattern_open(node->rule->pattern, &pattern, NULL);
    if (code == TR_INVALID)
        return TR_OK;
    if (code != TR_OK)
        return no_memory(err);
    node->pattern = pattern;
    if (reader->pattern_count == reader->pattern_cap) {
        const uint32_t cap = reader->pattern_cap == 0 ? 16 : reader->pattern_cap * 2;
        tr_row_pattern **grown = tr_grow_array(reader->patterns, cap, sizeof(tr_row_pattern *));
        if (grown == NULL) {
            tr_row_pattern_close(pattern);
            return no_memory(err);
        }
        reader->patterns = grown;
        reader->pattern_cap = cap;
    }
    reader->patterns[reader->pattern_count++] = pattern;
    return TR_OK;
}

/* Stands below the member that holds the tenant's own fields. */
static bool is_own(const tr_row_reader *reader, const tr_row_node *node)
{
    const tr_str root = tr_str_of(reader->options.own_root);
    return reader->options.own_root == NULL ||
           (node->path.len > root.len && memcmp(node->path.at, root.at, root.len) == 0 &&
            node->path.at[root.len] == '.');
}

/* Which checks a scalar's rule asks for; sizes of integers are types and always hold. */
static tr_code add_rule(tr_row_reader *reader, tr_row_node *node, const tr_xdm_rule *rule,
                        tr_err *err)
{
    if (rule == NULL)
        return TR_OK;
    node->rule = rule;
    const bool is_number =
        node->kind == TR_KIND_INT32 || node->kind == TR_KIND_INT64 || node->kind == TR_KIND_DOUBLE;
    if (is_number)
        node->has_rule =
            rule->is_byte_sized || rule->is_short_sized || rule->has_minimum || rule->has_maximum;
    if (node->kind != TR_KIND_STRING || reader->options.is_unconstrained)
        return TR_OK;
    node->format = tr_row_format_of(rule->format);
    if (rule->pattern.len > 0 && is_own(reader, node))
        TR_TRY(keep_pattern(reader, node, err));
    node->has_rule = has_text_rule(node);
    return TR_OK;
}

static tr_row_node *new_node(const plan *p, tr_kind kind, const place *at)
{
    tr_row_node *node = tr_arena_array(&p->reader->arena, 1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->kind = kind;
    node->def = at->def;
    node->rep = at->rep;
    node->unit = UINT32_MAX;
    node->is_in_unit = at->is_in_unit;
    node->first = UINT32_MAX;
    node->path = at->path;
    return node;
}

static tr_code build(const plan *p, const tr_type *type, const tr_type *ruled, const place *at,
                     tr_row_node **out);

static tr_code add_required(const plan *p, tr_row_node *node, const tr_type *type,
                            const tr_type *ruled)
{
    const bool is_event_root = type->parent == NULL && p->schema->behavior == TR_XDM_EVENT;
    uint32_t *required = tr_arena_array(&p->reader->arena, type->child_count, sizeof *required);
    if (required == NULL && type->child_count > 0)
        return no_memory(p->err);
    node->required = required;
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_str name = type->children[i]->name;
        const bool is_key =
            is_event_root && (tr_str_is(name, "_id") || tr_str_is(name, "timestamp"));
        const bool is_ruled = ruled != NULL && i < ruled->child_count &&
                              !p->reader->options.is_unconstrained &&
                              p->schema->rules[ruled->children[i]->id].is_required;
        if (is_key || is_ruled)
            required[node->required_count++] = i;
    }
    return TR_OK;
}

static tr_code build_object(const plan *p, const tr_type *type, const tr_type *ruled,
                            const place *at, tr_row_node *node)
{
    place below = {.parent = node,
                   .is_in_unit = at->is_in_unit,
                   .is_captured_only = at->is_captured_only,
                   .rep = at->rep,
                   .def = at->is_in_unit ? (uint8_t)(at->def + 1) : 0};
    uint32_t count = type->child_count;
    if (type->parent == NULL)
        count--; /* the bookkeeping column is in no row */
    if (!make_room(&p->reader->arena, node, count))
        return no_memory(p->err);
    for (uint32_t i = 0; i < count; i++) {
        const tr_type *child = type->children[i];
        tr_row_member *member = &node->members[i];
        member->name = child->name;
        member->follower = i + 1 < count ? i + 1 : 0;
        below.path = join_path(&p->reader->arena, at->path, child->name);
        if (below.path.at == NULL)
            return no_memory(p->err);
        TR_TRY(build(p, child, ruled != NULL && i < ruled->child_count ? ruled->children[i] : NULL,
                     &below, &member->node));
        node->member_count++;
        table_put(node, i);
    }
    node->known_count = count;
    return add_required(p, node, type, ruled);
}

/* An array's or a map's inner value. */
static tr_code build_inner(const plan *p, const tr_type *type, const tr_type *ruled,
                           const place *at, tr_row_node *node)
{
    const place below = {.parent = node,
                         .is_in_unit = true,
                         .is_captured_only = at->is_captured_only,
                         .rep = node->rep,
                         .def = (uint8_t)(node->def + 2),
                         .path = type->kind == TR_KIND_MAP
                                     ? join_path(&p->reader->arena, at->path, tr_str_of("*"))
                                     : at->path};
    if (below.path.at == NULL)
        return no_memory(p->err);
    return build(p, type->children[0], ruled != NULL ? ruled->children[0] : NULL, &below,
                 &node->child);
}

static void store_node(const plan *p, const tr_type *type, const place *at, tr_row_node *node)
{
    const tr_leaf *leaf = &p->reader->shape.leaves[type->first_leaf];
    if (at->is_captured_only || type->leaf_count == 0)
        return;
    node->first_leaf = type->first_leaf;
    node->leaf_count = type->leaf_count;
    if (node->kind == TR_KIND_OBJECT)
        return;
    node->unit = leaf->unit;
    node->filled = &p->reader->units[leaf->unit].filled;
    if (node->kind != TR_KIND_ARRAY)
        node->builder = p->reader->builders[type->first_leaf];
}

static tr_code build(const plan *p, const tr_type *type, const tr_type *ruled, const place *at,
                     tr_row_node **out)
{
    place here = *at;
    const bool is_container = type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
    if (is_container) {
        here.rep = (uint8_t)(at->rep + 1);
        here.def = at->is_in_unit ? at->def : 1;
    }
    tr_row_node *node = new_node(p, type->kind, &here);
    if (node == NULL)
        return no_memory(p->err);
    node->is_unit = is_container && !at->is_in_unit;
    node->is_in_unit = at->is_in_unit || is_container;
    store_node(p, type, &here, node);
    *out = node;
    if (type->kind == TR_KIND_OBJECT)
        return build_object(p, type, ruled, &here, node);
    if (is_container)
        return build_inner(p, type, ruled, &here, node);
    return add_rule(p->reader, node, ruled != NULL ? &p->schema->rules[ruled->id] : NULL, p->err);
}

static tr_row_node *member_of(const tr_row_node *object, const char *name)
{
    if (object == NULL || object->kind != TR_KIND_OBJECT)
        return NULL;
    const uint32_t member = tr_row_member_find(object, tr_str_of(name));
    return member == UINT32_MAX ? NULL : object->members[member].node;
}

static void stop_storing(tr_row_node *node)
{
    node->leaf_count = 0;
    node->unit = UINT32_MAX;
    node->builder = NULL;
    if (node->child != NULL)
        stop_storing(node->child);
    for (uint32_t m = 0; m < node->known_count; m++)
        if (node->members[m].node != NULL)
            stop_storing(node->members[m].node);
}

static void set_role(tr_row_node *node, tr_kind kind, tr_row_role role)
{
    if (node != NULL && node->kind == kind)
        node->role = role;
}

/* identityMap is stored at the end of a row, when all identities are known: its nodes only capture.
 * */
static void find_identity_map(tr_row_reader *reader)
{
    tr_row_node *map = member_of(reader->root, "identityMap");
    if (map == NULL || map->kind != TR_KIND_MAP || map->child->kind != TR_KIND_ARRAY ||
        map->child->child->kind != TR_KIND_OBJECT)
        return;
    tr_row_node *item = map->child->child;
    tr_row_node *id = member_of(item, "id");
    tr_row_node *state = member_of(item, "authenticatedState"),
                *primary = member_of(item, "primary");
    if (id == NULL || id->kind != TR_KIND_STRING)
        return;
    reader->identity_map.is_there = true;
    reader->identity_map.unit = map->unit;
    reader->identity_map.first_leaf = map->first_leaf;
    reader->identity_map.leaf_count = map->leaf_count;
    reader->identity_map.element_def = item->def;
    reader->identity_map.key = map->builder;
    reader->identity_map.id = id->builder;
    if (state != NULL && state->kind == TR_KIND_STRING)
        reader->identity_map.state = state->builder;
    if (primary != NULL && primary->kind == TR_KIND_BOOLEAN)
        reader->identity_map.primary = primary->builder;
    map->role = TR_ROLE_MAP;
    item->role = TR_ROLE_ITEM;
    id->role = TR_ROLE_ID;
    set_role(state, TR_KIND_STRING, TR_ROLE_STATE);
    set_role(primary, TR_KIND_BOOLEAN, TR_ROLE_PRIMARY);
    stop_storing(map);
}

static tr_type *old_identities_type(tr_arena *arena)
{
    tr_type *array = tr_type_make(arena, TR_KIND_ARRAY, tr_str_of("identities"));
    tr_type *item = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *id = tr_type_make(arena, TR_KIND_STRING, tr_str_of("id"));
    tr_type *namespace = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of("namespace"));
    tr_type *code = tr_type_make(arena, TR_KIND_STRING, tr_str_of("code"));
    tr_type *state = tr_type_make(arena, TR_KIND_STRING, tr_str_of("authenticatedState"));
    tr_type *primary = tr_type_make(arena, TR_KIND_BOOLEAN, tr_str_of("primary"));
    if (array == NULL || item == NULL || id == NULL || namespace == NULL || code == NULL ||
        primary == NULL || state == NULL)
        return NULL;
    const bool is_good = tr_type_add(arena, array, item) && tr_type_add(arena, namespace, code) &&
                         tr_type_add(arena, item, id) && tr_type_add(arena, item, namespace) &&
                         tr_type_add(arena, item, state) && tr_type_add(arena, item, primary);
    return is_good ? array : NULL;
}

/* The old array beside identityMap: [{"id","namespace":{"code"},"primary"}]. */
static tr_code add_old_identities(const plan *p)
{
    tr_row_reader *reader = p->reader;
    tr_row_node *array = member_of(reader->root, "identities");
    if (array == NULL) {
        uint32_t member;
        const tr_type *type = old_identities_type(&reader->arena);
        const place at = {
            .parent = reader->root, .is_captured_only = true, .path = tr_str_of("identities")};
        if (type == NULL)
            return no_memory(p->err);
        TR_TRY(build(p, type, NULL, &at, &array));
        TR_TRY(tr_row_member_add(reader, reader->root, type->name, &member, p->err));
        reader->root->members[member].node = array;
        array->child->is_open = true;
        member_of(array->child, "namespace")->is_open = true;
    }
    tr_row_node *item = array->kind == TR_KIND_ARRAY ? array->child : NULL;
    tr_row_node *code = member_of(member_of(item, "namespace"), "code"),
                *id = member_of(item, "id");
    if (code == NULL || code->kind != TR_KIND_STRING || id == NULL || id->kind != TR_KIND_STRING)
        return TR_OK; /* a field that only has the same name */
    item->role = TR_ROLE_ITEM;
    id->role = TR_ROLE_ID;
    code->role = TR_ROLE_NAMESPACE;
    set_role(member_of(item, "authenticatedState"), TR_KIND_STRING, TR_ROLE_STATE);
    set_role(member_of(item, "primary"), TR_KIND_BOOLEAN, TR_ROLE_PRIMARY);
    return TR_OK;
}

/* The node of a field that is in no array or map. */
static tr_row_node *node_of(tr_row_node *root, const tr_type *field)
{
    if (field->parent == NULL)
        return root;
    tr_row_node *object = node_of(root, field->parent);
    const uint32_t member = object == NULL || object->kind != TR_KIND_OBJECT
                                ? UINT32_MAX
                                : tr_row_member_find(object, field->name);
    return member == UINT32_MAX ? NULL : object->members[member].node;
}

static tr_code find_fields(const plan *p)
{
    tr_row_reader *reader = p->reader;
    const tr_xdm_schema *schema = p->schema;
    reader->fields = tr_arena_array(&reader->arena, schema->identity_count, sizeof(tr_row_node *));
    if (reader->fields == NULL && schema->identity_count > 0)
        return no_memory(p->err);
    for (uint32_t i = 0; i < schema->identity_count; i++) {
        reader->fields[i] = node_of(reader->root, schema->identities[i].field);
        if (reader->fields[i] != NULL)
            reader->fields[i]->role = TR_ROLE_FIELD;
    }
    tr_row_node *updated =
        member_of(member_of(reader->root, "extSourceSystemAudit"), "lastUpdatedDate");
    if (schema->behavior == TR_XDM_RECORD)
        set_role(updated, TR_KIND_TIMESTAMP, TR_ROLE_UPDATED);
    return TR_OK;
}

static tr_code make_shape_of_run(const plan *p, tr_err *err)
{
    tr_arena *arena = &p->reader->arena;
    tr_type *root = tr_type_copy(arena, p->schema->shape.root);
    if (root == NULL)
        return no_memory(err);
    if (p->schema->behavior != TR_XDM_ADHOC &&
        tr_type_member(root, tr_str_of("identityMap")) == NULL) {
        tr_type *map = tr_xdm_identity_map_type(arena);
        if (map == NULL || !tr_type_add(arena, root, map))
            return no_memory(err);
    }
    if (tr_run_add_bookkeeping(arena, root) == NULL)
        return no_memory(err);
    return tr_shape_make(arena, root, &p->reader->shape, err);
}

/* Constant columns (ingestion time, batch) need no builder. */
static tr_code open_builders(tr_row_reader *reader, tr_err *err)
{
    const tr_shape *shape = &reader->shape;
    tr_arena *arena = &reader->arena;
    reader->book = shape->root->children[shape->root->child_count - 1]->first_leaf;
    reader->builders = tr_arena_array(arena, shape->leaf_count, sizeof(tr_column_builder *));
    reader->row_entries = tr_arena_array(arena, shape->leaf_count, sizeof *reader->row_entries);
    reader->units = tr_arena_array(arena, shape->unit_count, sizeof *reader->units);
    if (reader->builders == NULL || reader->row_entries == NULL || reader->units == NULL)
        return no_memory(err);
    for (uint32_t u = 0; u < shape->unit_count; u++)
        reader->units[u] =
            (tr_row_unit){.first_leaf = shape->units[u].first_leaf,
                          .leaf_count = shape->units[u].leaf_count,
                          .is_repeated = !tr_kind_is_scalar(shape->units[u].type->kind)};
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++)
        if (leaf < reader->book + 4)
            TR_TRY(tr_column_builder_open(&shape->leaves[leaf], &reader->builders[leaf], err));
    return TR_OK;
}

tr_code tr_row_plan(tr_row_reader *reader, tr_err *err)
{
    const plan p = {.reader = reader, .schema = reader->options.schema, .err = err};
    const place top = {.path = tr_str_of("")};
    TR_TRY(make_shape_of_run(&p, err));
    TR_TRY(open_builders(reader, err));
    TR_TRY(build(&p, reader->shape.root, p.schema->shape.root, &top, &reader->root));
    if (p.schema->behavior != TR_XDM_ADHOC) {
        find_identity_map(reader);
        TR_TRY(add_old_identities(&p));
    }
    return find_fields(&p);
}
