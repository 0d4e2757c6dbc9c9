/* SPDX-License-Identifier: Apache-2.0 */
/* xdm_test.c - goal: every standard document opens; a tenant's documents come out as the types,
 * rules and identities that the reference says, and hostile ones are cut or refused. Method:
 * documents are written as JSON here, found in a table first and in the global library second.
 */
#include "base/limits.h"
#include "base/test.h"
#include "xdm/fields.h"
#include "xdm/xdm.h"
#include "xdm/xdm_internal.h"

static tr_code look(void *ctx, tr_str id, const json_t **doc, tr_err *err)
{
    const json_t *mine = json_object_getn(ctx, (const char *)id.at, id.len);
    if (mine == NULL)
        return tr_xdm_global_find(id, doc, err);
    *doc = mine;
    return TR_OK;
}

static json_t *parse(const char *text)
{
    json_t *out = NULL;
    tr_err err = {0};
    CHECK(tr_json_parse(tr_str_of(text), &out, &err) == TR_OK);
    return out;
}

static tr_xdm_schema *open_of(json_t *docs, const char *id, const char *descriptors)
{
    tr_xdm_schema *schema = NULL;
    tr_err err = {0};
    json_t *list = descriptors == NULL ? NULL : parse(descriptors);
    if (tr_xdm_schema_open(look, docs, tr_str_of(id), list, &schema, &err) != TR_OK)
        printf("%s: %s\n", id, err.text);
    json_decref(list);
    return schema;
}

static const tr_type *find(const tr_xdm_schema *schema, const char *path)
{
    return tr_type_find(schema->shape.root, tr_str_of(path));
}

static bool is_kind(const tr_xdm_schema *schema, const char *path, tr_kind kind)
{
    const tr_type *type = find(schema, path);
    if (type == NULL || type->kind != kind)
        printf("%s: %s\n", path, type == NULL ? "no such path" : "another kind");
    return type != NULL && type->kind == kind;
}

static bool has_warning(const tr_xdm_schema *schema, const char *part)
{
    for (size_t i = 0; i < json_array_size(schema->warnings); i++)
        if (strstr(json_string_value(json_array_get(schema->warnings, i)), part) != NULL)
            return true;
    return false;
}

static void standard_names_become_compatible_ones(void)
{
    static const char *const cases[][2] = {
        {"xdm:firstName", "firstName"},
        {"@id", "_id"},
        {"repo:createDate", "_repo.createDate"},
        {"schema:latitude", "_schema.latitude"},
        {"https://ns.adobe.com/xdm/channels/email", "_channels.email"},
        {"https://ns.adobe.com/experience/mcid", "_experience.mcid"},
        {"https://ns.adobe.com/experience/profile/identityNamespaces",
         "_experience.profile.identityNamespaces"},
        {"https://ns.thirdparty.com/color", "_ns.thirdparty.com.color"},
        {"acme:internalSku", "_acme.internalSku"},
        {"_acme", "_acme"},
        {"plain", "plain"},
        {"odd:", "odd:"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_xdm_name name;
        tr_xdm_path path = {.len = 0};
        tr_xdm_name_split(cases[i][0], &name);
        for (uint32_t k = 0; k < name.part_count; k++)
            (void)tr_xdm_path_push(&path, name.parts[k]);
        CHECK(strcmp(path.text, cases[i][1]) == 0);
    }
}

static void an_id_has_a_short_form(void)
{
    static const char *const cases[][2] = {
        {"https://ns.adobe.com/acme/schemas/1", "_acme.schemas.1"},
        {"https://ns.adobe.com/xdm/context/profile__union", "_xdm.context.profile__union"},
        {"http://schema.org/GeoShape", "_schema.org.GeoShape"},
        {"http://www.iptc.org/series", "_iptc.org.series"},
        {"_acme.schemas.1", "_acme.schemas.1"}};
    tr_arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(tr_str_is(tr_xdm_alt_id(&arena, tr_str_of(cases[i][0])), cases[i][1]));
    tr_arena_free(&arena);
}

static void the_integer_type_follows_the_bounds(void)
{
    static const char *const cases[][2] = {
        {"{\"type\":\"integer\"}", "int"},
        {"{\"type\":\"integer\",\"minimum\":-128,\"maximum\":127}", "byte"},
        {"{\"type\":\"integer\",\"minimum\":-128,\"maximum\":128}", "byte"},
        {"{\"type\":\"integer\",\"minimum\":1,\"maximum\":32767}", "short"},
        {"{\"type\":\"integer\",\"minimum\":-32769,\"maximum\":0}", "int"},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":2147483649}", "long"},
        {"{\"type\":\"integer\",\"minimum\":0}", "long"},
        {"{\"type\":\"integer\",\"meta:xdmType\":\"long\"}", "long"},
        {"{\"type\":\"number\"}", "number"},
        {"{\"type\":\"string\",\"format\":\"date\"}", "date"},
        {"{\"type\":[\"null\",\"string\"],\"format\":\"date-time\"}", "date-time"},
        {"{\"enum\":[\"a\"]}", "string"},
        {"{\"items\":{\"type\":\"string\"}}", "array"},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "map"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *node = parse(cases[i][0]);
        CHECK(strcmp(tr_xdm_node_xdm_type(node), cases[i][1]) == 0);
        json_decref(node);
    }
}

static void every_standard_document_opens(void)
{
    static const char *const kinds[] = {"schemas", "classes", "fieldgroups", "datatypes"};
    size_t count = 0, cut = 0;
    for (size_t k = 0; k < 4; k++) {
        const json_t *list = NULL;
        CHECK(tr_xdm_global_list(kinds[k], &list, NULL) == TR_OK);
        for (size_t i = 0; i < json_array_size(list); i++, count++) {
            const char *id = tr_json_text(json_array_get(list, i), "$id", "");
            tr_xdm_schema *schema = open_of(NULL, id, NULL);
            cut += schema != NULL && has_warning(schema, "refers to itself");
            /* The bases of JSON-LD and of the repository have definitions only. */
            CHECK(schema != NULL || strstr(id, "common/extensible") != NULL ||
                  strstr(id, "core/1.0") != NULL);
            tr_xdm_schema_close(schema);
        }
    }
    CHECK(count > 290);
    CHECK(cut == 0);
}

static void the_old_profile_schema_holds_every_standard_profile_field(void)
{
    static const struct {
        const char *path;
        tr_kind kind;
    } fields[] = {{"person.name.courtesyTitle", TR_KIND_STRING},
                  {"person.name.firstName", TR_KIND_STRING},
                  {"person.name.lastName", TR_KIND_STRING},
                  {"person.gender", TR_KIND_STRING},
                  {"person.birthDayAndMonth", TR_KIND_STRING},
                  {"person.birthDate", TR_KIND_DATE},
                  {"person.birthYear", TR_KIND_INT32},
                  {"identityMap", TR_KIND_MAP},
                  {"identityMap.*.id", TR_KIND_STRING},
                  {"identityMap.*.primary", TR_KIND_BOOLEAN},
                  {"homePhone.number", TR_KIND_STRING},
                  {"personalEmail.address", TR_KIND_STRING},
                  {"homeAddress.street1", TR_KIND_STRING},
                  {"homeAddress.city", TR_KIND_STRING},
                  {"homeAddress.stateProvince", TR_KIND_STRING},
                  {"homeAddress.country", TR_KIND_STRING},
                  {"homeAddress.postalCode", TR_KIND_STRING},
                  {"homeAddress._schema.latitude", TR_KIND_DOUBLE},
                  {"homeAddress._schema.longitude", TR_KIND_DOUBLE},
                  {"identities", TR_KIND_ARRAY},
                  {"identities.id", TR_KIND_STRING},
                  {"identities.namespace.code", TR_KIND_STRING},
                  {"identities.primary", TR_KIND_BOOLEAN},
                  {"_id", TR_KIND_STRING},
                  {"_repo.createDate", TR_KIND_TIMESTAMP},
                  {"segmentMembership", TR_KIND_MAP},
                  {"consents.marketing.email.val", TR_KIND_STRING},
                  {"extSourceSystemAudit.lastUpdatedDate", TR_KIND_TIMESTAMP}};
    tr_xdm_schema *schema = open_of(NULL, TR_XDM_OLD_PROFILE, NULL);
    CHECK(schema != NULL);
    if (schema == NULL)
        return;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        CHECK(is_kind(schema, fields[i].path, fields[i].kind));
    CHECK(schema->behavior == TR_XDM_RECORD);
    CHECK(tr_str_is(schema->class_id, TR_XDM_PROFILE_CLASS));
    for (uint32_t i = 0; i < schema->shape.root->child_count; i++)
        CHECK(!schema->rules[schema->shape.root->children[i]->id].is_required);
    CHECK(find(schema, "timeSeriesEvents") == NULL);
    tr_xdm_schema_close(schema);
}

static void an_event_has_an_id_and_a_time(void)
{
    tr_xdm_schema *schema = open_of(NULL, TR_XDM_EVENT_CLASS, NULL);
    CHECK(schema != NULL && schema->behavior == TR_XDM_EVENT);
    CHECK(is_kind(schema, "_id", TR_KIND_STRING) &&
          is_kind(schema, "timestamp", TR_KIND_TIMESTAMP));
    CHECK(schema->rules[find(schema, "_id")->id].is_required);
    CHECK(schema->rules[find(schema, "timestamp")->id].is_required);
    CHECK(!schema->rules[find(schema, "eventType")->id].is_required);
    CHECK(is_kind(schema, "eventType", TR_KIND_STRING) &&
          is_kind(schema, "identityMap", TR_KIND_MAP));
    tr_xdm_schema_close(schema);
}

static json_t *acme(void)
{
    return parse(
        "{\"acme/schemas/1\":{\"$id\":\"acme/schemas/1\",\"meta:resourceType\":\"schemas\","
        "\"title\":\"Members\",\"meta:immutableTags\":[\"union\"],"
        "\"allOf\":[{\"$ref\":\"https://ns.adobe.com/xdm/context/profile\"},"
        "{\"$ref\":\"https://ns.adobe.com/xdm/context/profile-person-details\"},"
        "{\"$ref\":\"acme/mixins/1\"},{\"$ref\":\"acme/mixins/2\"}]},"
        "\"acme/mixins/1\":{\"$id\":\"acme/mixins/1\",\"meta:resourceType\":\"mixins\","
        "\"definitions\":{\"mine\":{\"properties\":{\"_acme\":{\"type\":\"object\","
        "\"required\":[\"id\"],\"properties\":{"
        "\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":9,\"pattern\":\"^[a-z]+$\"},"
        "\"tier\":{\"type\":\"string\",\"enum\":[\"gold\",\"silver\"]},"
        "\"points\":{\"type\":\"integer\",\"meta:xdmType\":\"long\",\"exclusiveMinimum\":0},"
        "\"nothing\":{\"type\":\"object\",\"properties\":{}},"
        "\"visits\":{\"type\":\"array\",\"items\":{\"$ref\":\"acme/datatypes/1\"}},"
        "\"counts\":{\"type\":\"object\",\"meta:xdmType\":\"map\",\"additionalProperties\":"
        "{\"type\":\"integer\"}}}}}}},\"allOf\":[{\"$ref\":\"#/definitions/mine\"}]},"
        "\"acme/mixins/2\":{\"$id\":\"acme/mixins/2\",\"meta:resourceType\":\"mixins\","
        "\"properties\":{\"_acme\":{\"type\":\"object\",\"properties\":{"
        "\"since\":{\"type\":\"string\",\"format\":\"date\"},"
        "\"id\":{\"type\":\"string\",\"title\":\"ignored\"},"
        "\"where\":{\"$ref\":\"https://ns.adobe.com/xdm/common/geo%23/definitions/city\"}}}}},"
        "\"acme/datatypes/1\":{\"$id\":\"acme/datatypes/1\",\"meta:resourceType\":\"datatypes\","
        "\"type\":\"object\",\"title\":\"Visit\",\"properties\":{"
        "\"url\":{\"type\":\"string\",\"format\":\"uri\"},"
        "\"at\":{\"type\":\"string\",\"format\":\"date-time\"}}}}");
}

static void a_tenant_schema_is_composed_of_its_groups(void)
{
    json_t *docs = acme();
    tr_xdm_schema *schema = open_of(
        docs, "acme/schemas/1",
        "[{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/_acme/id\","
        "\"xdm:namespace\":\"Loyalty\",\"xdm:isPrimary\":true},"
        "{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/xdm:person/xdm:nope\","
        "\"xdm:namespace\":\"Email\"}]");
    CHECK(schema != NULL && schema->is_union_member);
    CHECK(is_kind(schema, "_acme.id", TR_KIND_STRING) &&
          is_kind(schema, "_acme.points", TR_KIND_INT64));
    CHECK(is_kind(schema, "_acme.since", TR_KIND_DATE) &&
          is_kind(schema, "_acme.visits.at", TR_KIND_TIMESTAMP));
    CHECK(is_kind(schema, "_acme.counts", TR_KIND_MAP) &&
          is_kind(schema, "_acme.where.city", TR_KIND_STRING));
    CHECK(find(schema, "_acme.nothing") == NULL && has_warning(schema, "_acme.nothing"));
    const tr_xdm_rule *id = &schema->rules[find(schema, "_acme.id")->id];
    CHECK(id->is_required && id->min_length == 1 && id->max_length == 9);
    CHECK(tr_str_is(id->pattern, "^[a-z]+$"));
    const tr_xdm_rule *points = &schema->rules[find(schema, "_acme.points")->id];
    CHECK(points->has_minimum && points->minimum == 1 && !points->has_maximum);
    const tr_xdm_rule *tier = &schema->rules[find(schema, "_acme.tier")->id];
    CHECK(tier->member_count == 2 && tr_str_is(tier->members[1], "silver"));
    CHECK(tr_str_is(schema->rules[find(schema, "_acme.visits.url")->id].format, "uri"));
    CHECK(schema->identity_count == 1 && schema->identities[0].is_primary);
    CHECK(tr_str_is(schema->identities[0].namespace_code, "Loyalty"));
    CHECK(tr_str_is(schema->shape.leaves[schema->identities[0].leaf].path, "_acme.id"));
    CHECK(has_warning(schema, "/xdm:person/xdm:nope"));
    tr_xdm_schema_close(schema);
    json_decref(docs);
}

static void members_are_sorted_by_name(void)
{
    tr_xdm_schema *schema = open_of(NULL, TR_XDM_OLD_PROFILE, NULL);
    const tr_type *root = schema->shape.root;
    for (uint32_t i = 1; i < root->child_count; i++)
        CHECK(tr_str_compare(root->children[i - 1]->name, root->children[i]->name) < 0);
    tr_xdm_schema_close(schema);
}

static void a_data_type_inside_itself_is_cut(void)
{
    json_t *docs = parse("{\"a\":{\"$id\":\"a\",\"type\":\"object\",\"properties\":{\"name\":"
                         "{\"type\":\"string\"},\"next\":{\"$ref\":\"a\"}}}}");
    tr_xdm_schema *schema = open_of(docs, "a", NULL);
    CHECK(schema != NULL && find(schema, "name") != NULL && find(schema, "next") == NULL);
    CHECK(has_warning(schema, "refers to itself"));
    tr_xdm_schema_close(schema);
    json_decref(docs);
}

static void documents_that_double_at_every_level_are_refused(void)
{
    json_t *docs = json_object();
    for (int i = 0; i < 30; i++) {
        char id[8], next[8];
        (void)snprintf(id, sizeof id, "d%d", i);
        (void)snprintf(next, sizeof next, "d%d", i + 1);
        (void)json_object_set_new(docs, id,
                                  json_pack("{s:s, s:{s:{s:s}, s:{s:s}}}", "$id", id, "properties",
                                            "a", "$ref", next, "b", "$ref", next));
    }
    (void)json_object_set_new(docs, "d30", parse("{\"type\":\"string\"}"));
    tr_xdm_schema *schema = NULL;
    tr_err err = {0};
    CHECK(tr_xdm_schema_open(look, docs, tr_str_of("d0"), NULL, &schema, &err) == TR_LIMIT);
    CHECK(schema == NULL);
    json_decref(docs);
}

static void a_reference_to_nothing_names_both_ends(void)
{
    json_t *docs = parse("{\"a\":{\"$id\":\"a\",\"allOf\":[{\"$ref\":\"b\"}]},"
                         "\"c\":{\"$id\":\"c\",\"allOf\":[{\"$ref\":\"#/definitions/x\"}]}}");
    tr_xdm_schema *schema = NULL;
    tr_err err = {0};
    CHECK(tr_xdm_schema_open(look, docs, tr_str_of("a"), NULL, &schema, &err) == TR_NOT_FOUND);
    CHECK(tr_xdm_schema_open(look, docs, tr_str_of("c"), NULL, &schema, &err) == TR_NOT_FOUND);
    CHECK(strstr(err.text, "#/definitions/x") != NULL && strstr(err.text, "\"c\"") != NULL);
    CHECK(tr_xdm_schema_open(look, docs, tr_str_of("zz"), NULL, &schema, &err) == TR_NOT_FOUND);
    CHECK(strstr(err.text, "zz") != NULL && schema == NULL);
    json_decref(docs);
}

static void the_union_holds_the_fields_of_all_members(void)
{
    json_t *docs = parse(
        "{\"s1\":{\"$id\":\"s1\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"x\"]},"
        "\"o\":{\"properties\":{\"p\":{\"type\":\"integer\"}}}},\"required\":[\"a\"]},"
        "\"s2\":{\"$id\":\"s2\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"y\"]},"
        "\"o\":{\"properties\":{\"p\":{\"type\":\"string\"},\"q\":{\"type\":\"boolean\"}}}},"
        "\"required\":[\"a\",\"o\"]},"
        "\"e1\":{\"$id\":\"e1\",\"allOf\":[{\"$ref\":\"https://ns.adobe.com/xdm/context/"
        "experienceevent\"}],"
        "\"properties\":{\"z\":{\"type\":\"number\"}}}}");
    tr_xdm_schema *s1 = open_of(docs, "s1", NULL), *s2 = open_of(docs, "s2", NULL);
    tr_xdm_schema *e1 = open_of(docs, "e1", NULL), *united = NULL;
    const tr_xdm_schema *members[] = {s2, s1}, *events[] = {e1};
    tr_err err = {0};
    CHECK(tr_xdm_union_open(tr_str_of(TR_XDM_PROFILE_CLASS), members, 2, events, 1, &united,
                            &err) == TR_OK);
    CHECK(tr_str_is(united->id, TR_XDM_PROFILE_UNION) &&
          tr_str_is(united->class_id, TR_XDM_PROFILE_CLASS));
    CHECK(is_kind(united, "o.p", TR_KIND_INT32) && is_kind(united, "o.q", TR_KIND_BOOLEAN));
    CHECK(has_warning(united, "o.p"));
    CHECK(united->rules[find(united, "a")->id].is_required);
    CHECK(united->rules[find(united, "a")->id].member_count == 2);
    CHECK(!united->rules[find(united, "o")->id].is_required);
    CHECK(is_kind(united, "identityMap.*.authenticatedState", TR_KIND_STRING));
    CHECK(is_kind(united, "segmentMembership.*.*.lastQualificationTime", TR_KIND_TIMESTAMP));
    CHECK(is_kind(united, "timeSeriesEvents", TR_KIND_ARRAY));
    CHECK(is_kind(united, "timeSeriesEvents.z", TR_KIND_DOUBLE));
    CHECK(is_kind(united, "timeSeriesEvents._id", TR_KIND_STRING));
    tr_xdm_schema_close(united);
    tr_xdm_schema_close(s1);
    tr_xdm_schema_close(s2);
    tr_xdm_schema_close(e1);
    json_decref(docs);
}

static void a_union_of_nobody_still_has_the_standard_maps(void)
{
    tr_xdm_schema *united = NULL;
    tr_err err = {0};
    CHECK(tr_xdm_union_open(tr_str_of(TR_XDM_PROFILE_CLASS), NULL, 0, NULL, 0, &united, &err) ==
          TR_OK);
    CHECK(united->shape.root->child_count == 3);
    CHECK(is_kind(united, "timeSeriesEvents.timestamp", TR_KIND_TIMESTAMP));
    json_t *shown = NULL;
    CHECK(tr_xdm_shape_json(united, &shown, &err) == TR_OK);
    CHECK(strcmp(tr_json_text(json_object_get(json_object_get(shown, "properties"), "identityMap"),
                              "meta:xdmType", ""),
                 "map") == 0);
    json_decref(shown);
    tr_xdm_schema_close(united);
}

static json_t *at(json_t *node, const char *const *names)
{
    for (; *names != NULL; names++)
        node = json_object_get(json_object_get(node, "properties"), *names);
    return node;
}

static void the_full_form_speaks_both_vocabularies(void)
{
    json_t *docs = acme(), *xed = NULL, *xdm = NULL;
    tr_err err = {0};
    CHECK(tr_xdm_resolve_json(look, docs, tr_str_of("acme/schemas/1"), false, &xed, &err) == TR_OK);
    CHECK(tr_xdm_resolve_json(look, docs, tr_str_of("acme/schemas/1"), true, &xdm, &err) == TR_OK);
    CHECK(json_object_get(xed, "allOf") == NULL && json_object_get(xed, "definitions") == NULL);
    const json_t *name = at(xed, (const char *[]){"person", "name", "firstName", NULL});
    CHECK(strcmp(tr_json_text(name, "meta:xdmField", ""), "xdm:firstName") == 0);
    CHECK(strcmp(tr_json_text(name, "meta:xdmType", ""), "string") == 0);
    CHECK(at(xed, (const char *[]){"_repo", "modifyDate", NULL}) != NULL);
    CHECK(at(xdm, (const char *[]){"repo:modifyDate", NULL}) != NULL);
    CHECK(at(xdm, (const char *[]){"xdm:person", "xdm:name", "xdm:firstName", NULL}) != NULL);
    CHECK(at(xdm, (const char *[]){"_acme", "since", NULL}) != NULL);
    const json_t *visit =
        json_object_get(at(xed, (const char *[]){"_acme", "visits", NULL}), "items");
    CHECK(strcmp(tr_json_text(visit, "meta:referencedFrom", ""), "acme/datatypes/1") == 0);
    CHECK(strcmp(tr_json_text(visit, "title", ""), "Visit") == 0);
    CHECK(strcmp(tr_json_text(xed, "title", ""), "Members") == 0);
    json_decref(xed);
    json_decref(xdm);
    json_decref(docs);
}

static void a_tenants_name_means_the_standard_field(void)
{
    json_t *docs = parse(
        "{\"s\":{\"$id\":\"s\",\"allOf\":[{\"$ref\":\"https://ns.adobe.com/xdm/context/"
        "profile-person-details\"}"
        ",{\"$ref\":\"g\"}]},\"g\":{\"$id\":\"g\",\"properties\":{\"person\":{\"type\":\"object\","
        "\"properties\":{\"_acme\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\"}"
        "}}}},"
        "\"_repo\":{\"type\":\"object\",\"properties\":{\"y\":{\"type\":\"string\"}}}}}}");
    tr_xdm_schema *schema = open_of(docs, "s", NULL);
    json_t *full = NULL;
    CHECK(is_kind(schema, "person._acme.x", TR_KIND_STRING) &&
          is_kind(schema, "person.birthDate", TR_KIND_DATE));
    CHECK(tr_xdm_resolve_json(look, docs, tr_str_of("s"), true, &full, NULL) == TR_OK);
    CHECK(at(full, (const char *[]){"xdm:person", "_acme", "x", NULL}) != NULL);
    json_decref(full);
    tr_xdm_schema_close(schema);
    json_decref(docs);
}

enum { GROUPS = 4, FIELDS = 12 };

/* The slow obvious answer to which leaves a schema of random groups has: a flag per field. */
static void the_order_of_groups_never_shows(void)
{
    uint64_t seed = tr_test_seed(0x5eed);
    for (int round = 0; round < 60; round++) {
        bool has[FIELDS] = {false};
        json_t *docs = json_object(), *parts = json_array();
        for (int g = 0; g < GROUPS; g++) {
            char id[16];
            json_t *fields = json_object();
            for (int f = 0; f < FIELDS; f++) {
                char name[16];
                if (tr_test_random(&seed) % 3 != 0)
                    continue;
                has[f] = true;
                (void)snprintf(name, sizeof name, "f%02d", f);
                (void)json_object_set_new(fields, name, json_pack("{s:s}", "type", "string"));
            }
            (void)snprintf(id, sizeof id, "g%d", g);
            (void)json_object_set_new(docs, id,
                                      json_pack("{s:s, s:{s:{s:o}}}", "$id", id, "properties", "o",
                                                "properties", fields));
            (void)json_array_insert_new(parts, tr_test_random(&seed) % (size_t)(g + 1),
                                        json_pack("{s:s}", "$ref", id));
        }
        (void)json_object_set_new(docs, "s", json_pack("{s:s, s:o}", "$id", "s", "allOf", parts));
        tr_xdm_schema *schema = NULL;
        const tr_code code = tr_xdm_schema_open(look, docs, tr_str_of("s"), NULL, &schema, NULL);
        uint32_t leaf = 0;
        for (int f = 0; f < FIELDS && code == TR_OK; f++) {
            char path[24];
            (void)snprintf(path, sizeof path, "o.f%02d", f);
            if (has[f])
                CHECK(tr_str_is(schema->shape.leaves[leaf++].path, path));
        }
        CHECK(code == TR_OK ? leaf == schema->shape.leaf_count : code == TR_INVALID);
        tr_xdm_schema_close(schema);
        json_decref(docs);
    }
}

static void a_selector_is_a_list_of_paths(void)
{
    static const struct {
        const char *selector, *paths; /* NULL: refused */
    } rows[] = {{"addresses(type,city.country)", "addresses.type,addresses.city.country"},
                {" person ( name ( firstName , lastName ) , birthYear ) , _id ",
                 "person.name.firstName,person.name.lastName,person.birthYear,_id"},
                {"a,,b", "a,b"},
                {"", ""},
                {"a.b(c(d.e))", "a.b.c.d.e"},
                {"a(b", NULL},
                {"a)", NULL},
                {"(a)", NULL},
                {"a()", NULL},
                {"a(b)c", NULL},
                {"a(b)(c)", NULL},
                {"a(b,(c))", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tr_buf out = {0};
        tr_err err = {0};
        const tr_code code = tr_xdm_selector_paths(tr_str_of(rows[i].selector), &out, &err);
        CHECK(code == (rows[i].paths == NULL ? TR_INVALID : TR_OK));
        if (code == TR_OK)
            CHECK(tr_str_is(tr_buf_str(&out), rows[i].paths));
        else
            CHECK(strstr(err.text, "fields: ") == err.text);
        tr_buf_free(&out);
    }
    tr_buf deep = {0}, out = {0};
    for (int i = 0; i < 100000; i++)
        CHECK(tr_buf_append(&deep, tr_str_of("a("), NULL) == TR_OK);
    CHECK(tr_xdm_selector_paths(tr_buf_str(&deep), &out, NULL) == TR_INVALID);
    tr_buf_free(&deep);
    tr_buf_free(&out);
}

static void out_of_memory_is_an_answer(void)
{
    json_t *docs = acme();
    tr_xdm_schema *warm = open_of(docs, "acme/schemas/1", NULL);
    const bool is_warm = warm != NULL;
    tr_xdm_schema_close(warm);
    CHECK(is_warm);
    for (uint64_t after = 0; after < 64; after++) {
        tr_xdm_schema *schema = NULL;
        tr_memory_fail_after(after);
        const tr_code code =
            tr_xdm_schema_open(look, docs, tr_str_of("acme/schemas/1"), NULL, &schema, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK ? schema != NULL : schema == NULL);
        tr_xdm_schema_close(schema);
    }
    json_decref(docs);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(standard_names_become_compatible_ones);
    RUN(an_id_has_a_short_form);
    RUN(the_integer_type_follows_the_bounds);
    RUN(every_standard_document_opens);
    RUN(the_old_profile_schema_holds_every_standard_profile_field);
    RUN(an_event_has_an_id_and_a_time);
    RUN(a_tenant_schema_is_composed_of_its_groups);
    RUN(members_are_sorted_by_name);
    RUN(a_data_type_inside_itself_is_cut);
    RUN(documents_that_double_at_every_level_are_refused);
    RUN(a_reference_to_nothing_names_both_ends);
    RUN(the_union_holds_the_fields_of_all_members);
    RUN(a_union_of_nobody_still_has_the_standard_maps);
    RUN(the_full_form_speaks_both_vocabularies);
    RUN(a_tenants_name_means_the_standard_field);
    RUN(the_order_of_groups_never_shows);
    RUN(a_selector_is_a_list_of_paths);
    RUN(out_of_memory_is_an_answer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
