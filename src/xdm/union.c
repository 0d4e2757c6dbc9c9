/* SPDX-License-Identifier: Apache-2.0 */
/* union.c - several schemas of one class as one, and a schema shown as JSON.
 *
 * Members are taken in the order of their ids; the first one's types are copied, the others' folded
 * in: unknown members are added, known ones merged, and where kinds disagree the first stays. A
 * field is required in the union only when every member requires it.
 */
#include "xdm/xdm_internal.h"

#include <stdlib.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a union schema");
}

static tr_code copy_rule(tr_arena *arena, const tr_xdm_rule *from, tr_xdm_rule *out, tr_err *err)
{
    tr_xdm_rule rule = *from;
    tr_str *members = tr_arena_array(arena, from->member_count, sizeof *members);
    rule.format = tr_arena_copy(arena, from->format);
    rule.pattern = tr_arena_copy(arena, from->pattern);
    if ((members == NULL && from->member_count > 0) ||
        (rule.format.at == NULL && from->format.len > 0) ||
        (rule.pattern.at == NULL && from->pattern.len > 0))
        return no_memory(err);
    for (uint32_t i = 0; i < from->member_count; i++) {
        members[i] = tr_arena_copy(arena, from->members[i]);
        if (members[i].at == NULL && from->members[i].len > 0)
            return no_memory(err);
    }
    rule.members = members;
    *out = rule;
    return TR_OK;
}

/* A deep copy of a type of `from`'s schema. */
static tr_code clone(tr_xdm_build *build, const tr_xdm_schema *of, const tr_type *from,
                     tr_type **out, tr_err *err)
{
    tr_xdm_rule rule;
    TR_TRY(copy_rule(build->arena, &of->rules[from->id], &rule, err));
    tr_type *type = tr_xdm_build_type(build, from->kind, from->name, &rule);
    if (type == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < from->child_count; i++) {
        tr_type *child = NULL;
        TR_TRY(clone(build, of, from->children[i], &child, err));
        if (!tr_type_add(build->arena, type, child))
            return no_memory(err);
    }
    *out = type;
    return TR_OK;
}

static bool has_member(const tr_xdm_rule *rule, tr_str text)
{
    for (uint32_t i = 0; i < rule->member_count; i++)
        if (tr_str_equal(rule->members[i], text))
            return true;
    return false;
}

/* What both rules allow is allowed: bounds and patterns go when they differ, enums are united. */
static tr_code fold_rule(tr_arena *arena, tr_xdm_rule *into, const tr_xdm_rule *from, tr_err *err)
{
    tr_xdm_rule more;
    TR_TRY(copy_rule(arena, from, &more, err));
    into->is_required = into->is_required && more.is_required;
    into->is_byte_sized = into->is_byte_sized && more.is_byte_sized;
    into->is_short_sized = into->is_short_sized && more.is_short_sized;
    into->has_minimum = into->has_minimum && more.has_minimum;
    into->has_maximum = into->has_maximum && more.has_maximum;
    into->minimum = more.minimum < into->minimum ? more.minimum : into->minimum;
    into->maximum = more.maximum > into->maximum ? more.maximum : into->maximum;
    into->min_length = more.min_length < into->min_length ? more.min_length : into->min_length;
    if (into->max_length >= 0 && (more.max_length < 0 || more.max_length > into->max_length))
        into->max_length = more.max_length;
    if (!tr_str_equal(into->format, more.format))
        into->format.len = 0;
    if (!tr_str_equal(into->pattern, more.pattern))
        into->pattern.len = 0;
    if (into->member_count == 0 || more.member_count == 0) {
        into->member_count = 0;
        return TR_OK;
    }
    tr_str *united = tr_arena_array(arena, into->member_count + more.member_count, sizeof *united);
    if (united == NULL)
        return no_memory(err);
    memcpy(united, into->members, into->member_count * sizeof *united);
    uint32_t count = into->member_count;
    for (uint32_t i = 0; i < more.member_count; i++)
        if (!has_member(into, more.members[i]))
            united[count++] = more.members[i];
    into->members = united;
    into->member_count = count;
    return TR_OK;
}

static tr_code fold(tr_xdm_build *build, tr_type *into, const tr_xdm_schema *of,
                    const tr_type *from, tr_err *err);

static tr_code fold_members(tr_xdm_build *build, tr_type *into, const tr_xdm_schema *of,
                            const tr_type *from, tr_err *err)
{
    for (uint32_t i = 0; i < into->child_count; i++)
        if (tr_type_member(from, into->children[i]->name) == NULL)
            build->ruled[into->children[i]->id].rule.is_required = false;
    for (uint32_t i = 0; i < from->child_count; i++) {
        const tr_type *member = from->children[i];
        tr_type *known = tr_type_member(into, member->name);
        if (known != NULL) {
            TR_TRY(fold(build, known, of, member, err));
            continue;
        }
        TR_TRY(clone(build, of, member, &known, err));
        build->ruled[known->id].rule.is_required = false;
        if (!tr_type_add(build->arena, into, known))
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code fold(tr_xdm_build *build, tr_type *into, const tr_xdm_schema *of,
                    const tr_type *from, tr_err *err)
{
    char name[TR_XDM_NAME_BYTES_MAX];
    const size_t len = from->name.len < sizeof name - 1 ? from->name.len : sizeof name - 1;
    tr_code code;
    if (len > 0)
        memcpy(name, from->name.at, len);
    name[len] = '\0';
    const size_t before = tr_xdm_path_push(&build->path, name);
    if (into->kind != from->kind) {
        tr_xdm_warn(build->warnings, "%s: \"%.*s\" has another type for it, which is left out",
                    build->path.text, TR_STR_ARG(of->id));
        code = TR_OK;
    } else {
        code = fold_rule(build->arena, &build->ruled[into->id].rule, &of->rules[from->id], err);
        if (code == TR_OK && into->kind == TR_KIND_OBJECT)
            code = fold_members(build, into, of, from, err);
        else if (code == TR_OK && !tr_kind_is_scalar(into->kind))
            code = fold(build, into->children[0], of, from->children[0], err);
    }
    tr_xdm_path_pop(&build->path, before);
    return code;
}

static int by_schema_id(const void *a, const void *b)
{
    return tr_str_compare((*(const tr_xdm_schema *const *)a)->id,
                          (*(const tr_xdm_schema *const *)b)->id);
}

/* The united root of some schemas; NULL when there are none. */
static tr_code unite(tr_xdm_build *build, const tr_xdm_schema *const *schemas, uint32_t count,
                     tr_type **out, tr_err *err)
{
    tr_type *root = NULL;
    tr_code code = TR_OK;
    const tr_xdm_schema **sorted = tr_alloc_array(count, sizeof *sorted);
    if (sorted == NULL)
        return no_memory(err);
    if (count > 0) {
        memcpy(sorted, schemas, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, by_schema_id);
        code = clone(build, sorted[0], sorted[0]->shape.root, &root, err);
    }
    for (uint32_t i = 1; i < count && code == TR_OK; i++)
        code = fold(build, root, sorted[i], sorted[i]->shape.root, err);
    tr_free(sorted);
    if (code == TR_OK)
        *out = root;
    return code;
}

static tr_code global_lookup(void *ctx, tr_str id, const json_t **doc, tr_err *err)
{
    (void)ctx;
    return tr_xdm_global_find(id, doc, err);
}

/* Folds the named members of a standard document's root into `root`. */
static tr_code add_standard(tr_xdm_build *build, tr_type *root, const char *id, const char *member,
                            tr_err *err)
{
    tr_xdm_schema *standard = NULL;
    tr_type *copy = NULL;
    tr_code code = TR_OK;
    if (tr_type_member(root, tr_str_of(member)) != NULL)
        return TR_OK;
    TR_TRY(tr_xdm_schema_open(global_lookup, NULL, tr_str_of(id), NULL, &standard, err));
    const tr_type *field = tr_type_member(standard->shape.root, tr_str_of(member));
    if (field != NULL)
        code = clone(build, standard, field, &copy, err);
    if (code == TR_OK && copy != NULL && !tr_type_add(build->arena, root, copy))
        code = no_memory(err);
    tr_xdm_schema_close(standard);
    return code;
}

/* timeSeriesEvents: an array of the united events; without any event schema, of the class itself */
static tr_code add_events(tr_xdm_build *build, tr_type *root, const tr_xdm_schema *const *events,
                          uint32_t event_count, tr_err *err)
{
    const tr_xdm_rule no_rule = {.min_length = -1, .max_length = -1};
    tr_xdm_schema *class_schema = NULL;
    const tr_xdm_schema *only[1];
    tr_type *element = NULL;
    tr_code code = TR_OK;
    if (tr_type_member(root, tr_str_of("timeSeriesEvents")) != NULL)
        return TR_OK;
    if (event_count == 0) {
        TR_TRY(tr_xdm_schema_open(global_lookup, NULL, tr_str_of(TR_XDM_EVENT_CLASS), NULL,
                                  &class_schema, err));
        only[0] = class_schema;
        code = unite(build, only, 1, &element, err);
        tr_xdm_schema_close(class_schema);
    } else {
        code = unite(build, events, event_count, &element, err);
    }
    TR_TRY(code);
    tr_type *array =
        tr_xdm_build_type(build, TR_KIND_ARRAY, tr_str_of("timeSeriesEvents"), &no_rule);
    if (array == NULL || !tr_type_add(build->arena, array, element) ||
        !tr_type_add(build->arena, root, array))
        return no_memory(err);
    return TR_OK;
}

static tr_code add_identities(tr_xdm_schema *schema, const tr_xdm_schema *const *members,
                              uint32_t member_count, tr_err *err)
{
    size_t most = 0;
    for (uint32_t i = 0; i < member_count; i++)
        most += members[i]->identity_count;
    schema->identities = tr_arena_array(&schema->arena, most, sizeof *schema->identities);
    if (schema->identities == NULL && most > 0)
        return no_memory(err);
    for (uint32_t i = 0; i < member_count; i++)
        for (uint32_t k = 0; k < members[i]->identity_count; k++) {
            const tr_xdm_identity *from = &members[i]->identities[k];
            const tr_leaf *leaf = &members[i]->shape.leaves[from->leaf];
            const uint32_t at = tr_shape_leaf(&schema->shape, leaf->path);
            bool is_known = at == UINT32_MAX;
            for (uint32_t n = 0; n < schema->identity_count; n++)
                is_known = is_known || schema->identities[n].leaf == at;
            if (is_known)
                continue;
            tr_xdm_identity *identity = &schema->identities[schema->identity_count++];
            *identity = *from;
            identity->leaf = at;
            identity->field = schema->shape.leaves[at].type;
            identity->namespace_code = tr_arena_copy(&schema->arena, from->namespace_code);
        }
    return TR_OK;
}

static tr_code fill_union(tr_str class_id, const tr_xdm_schema *const *members,
                          uint32_t member_count, const tr_xdm_schema *const *events,
                          uint32_t event_count, tr_xdm_schema *schema, tr_err *err)
{
    const tr_xdm_rule no_rule = {.min_length = -1, .max_length = -1};
    const bool is_profile = tr_str_is(class_id, TR_XDM_PROFILE_CLASS);
    tr_xdm_build build = {.arena = &schema->arena, .warnings = schema->warnings};
    tr_type *root = NULL;
    tr_code code = unite(&build, members, member_count, &root, err);
    if (code == TR_OK && root == NULL) {
        root = tr_xdm_build_type(&build, TR_KIND_OBJECT, tr_str_of(""), &no_rule);
        code = root == NULL ? no_memory(err) : TR_OK;
    }
    if (code == TR_OK)
        code = add_standard(&build, root, TR_XDM_IDENTITY_MAP_GROUP, "identityMap", err);
    if (code == TR_OK && is_profile)
        code = add_standard(&build, root, TR_XDM_PREFIX "xdm/context/profile-segmentation",
                            "segmentMembership", err);
    if (code == TR_OK && is_profile)
        code = add_events(&build, root, events, event_count, err);
    if (code == TR_OK)
        code = tr_xdm_build_finish(&build, root, schema, err);
    if (code == TR_OK)
        code = add_identities(schema, members, member_count, err);
    tr_xdm_build_free(&build);
    return code;
}

static tr_code fill_names(tr_str class_id, const tr_xdm_schema *const *members,
                          uint32_t member_count, tr_xdm_schema *schema, tr_err *err)
{
    const json_t *class_doc = NULL;
    tr_str title = member_count > 0 ? members[0]->title : tr_str_of("Union");
    char *id = tr_arena_alloc(&schema->arena, class_id.len + sizeof TR_XDM_UNION_SUFFIX);
    if (tr_xdm_global_find(class_id, &class_doc, NULL) == TR_OK)
        title = tr_str_of(tr_json_text(class_doc, "title", ""));
    if (id == NULL)
        return no_memory(err);
    memcpy(id, class_id.at, class_id.len);
    memcpy(id + class_id.len, TR_XDM_UNION_SUFFIX, sizeof TR_XDM_UNION_SUFFIX);
    schema->id = tr_str_of(id);
    schema->class_id = (tr_str){(const uint8_t *)id, class_id.len};
    schema->title = tr_arena_copy(&schema->arena, title);
    schema->behavior = member_count > 0                          ? members[0]->behavior
                       : tr_str_is(class_id, TR_XDM_EVENT_CLASS) ? TR_XDM_EVENT
                                                                 : TR_XDM_RECORD;
    return TR_OK;
}

tr_code tr_xdm_union_open(tr_str class_id, const tr_xdm_schema *const *members,
                          uint32_t member_count, const tr_xdm_schema *const *events,
                          uint32_t event_count, tr_xdm_schema **out, tr_err *err)
{
    tr_xdm_schema *schema = tr_xdm_schema_new();
    if (schema == NULL)
        return no_memory(err);
    tr_code code = fill_names(class_id, members, member_count, schema, err);
    if (code == TR_OK)
        code = fill_union(class_id, members, member_count, events, event_count, schema, err);
    if (code != TR_OK) {
        tr_xdm_schema_close(schema);
        return code;
    }
    *out = schema;
    return TR_OK;
}

static tr_type *standard_member(tr_arena *arena, const char *id, const char *member)
{
    tr_xdm_build build = {.arena = arena};
    tr_xdm_schema *standard = NULL;
    tr_type *out = NULL;
    if (tr_xdm_schema_open(global_lookup, NULL, tr_str_of(id), NULL, &standard, NULL) != TR_OK)
        return NULL;
    const tr_type *field = tr_type_member(standard->shape.root, tr_str_of(member));
    if (field != NULL && clone(&build, standard, field, &out, NULL) != TR_OK)
        out = NULL;
    tr_xdm_build_free(&build);
    tr_xdm_schema_close(standard);
    return out;
}

tr_type *tr_xdm_identity_map_type(tr_arena *arena)
{
    return standard_member(arena, TR_XDM_IDENTITY_MAP_GROUP, "identityMap");
}

tr_type *tr_xdm_segment_membership_type(tr_arena *arena)
{
    return standard_member(arena, TR_XDM_PREFIX "xdm/context/profile-segmentation",
                           "segmentMembership");
}
