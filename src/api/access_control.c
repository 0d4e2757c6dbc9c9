/* SPDX-License-Identifier: Apache-2.0 */
/* access_control.c - /data/foundation/access-control: what a client may do (reference: sandboxes
 * and auth, section 9).
 *
 *     GET  /acl/reference            every permission and resource type, with its actions
 *     POST /acl/effective-policies   which of those asked for the caller has, in this sandbox
 *
 * Permissions are not stored: a role has those of the table below whose role is not above it. What
 * a call needs is its scope (rights.c), so this is the same table seen in AEP's words.
 */
#include "api/core_internal.h"

#include <stdio.h>

enum { NAMES_MAX = 1000, GRANTS_MAX = 7 };
enum { READ = 1, WRITE = 2, DELETE = 4, ALL = READ | WRITE | DELETE };
enum { VIEWER, EDITOR, ADMIN };

#define BASE "/data/foundation/access-control"
#define PERMISSIONS "/permissions/"
#define RESOURCE_TYPES "/resource-types/"

typedef struct grant {
    const char *type; /* of resources; NULL ends the list */
    int actions;
} grant;

typedef struct permission {
    const char *name;
    int role; /* the least that has it */
    grant grants[GRANTS_MAX];
} permission;

static const permission permissions[] = {
    {"view-schemas",
     VIEWER,
     {{"classes", READ},
      {"data-types", READ},
      {"identity-descriptor", READ},
      {"mixins", READ},
      {"relationship-descriptor", READ},
      {"schemas", READ}}},
    {"manage-schemas",
     EDITOR,
     {{"classes", ALL},
      {"data-types", ALL},
      {"identity-descriptor", ALL},
      {"mixins", ALL},
      {"relationship-descriptor", ALL},
      {"schemas", ALL}}},
    {"view-datasets",
     VIEWER,
     {{"connection", READ},
      {"datasets", READ},
      {"datasets-data", READ},
      {"dule-label", READ},
      {"schemas", READ}}},
    {"manage-datasets",
     EDITOR,
     {{"connection", ALL},
      {"datasets", ALL},
      {"datasets-data", ALL},
      {"dule-label", ALL},
      {"schemas", READ}}},
    {"view-profiles",
     VIEWER,
     {{"datasets", READ},
      {"profile-configs", READ},
      {"profile-datasets", READ},
      {"profiles", READ},
      {"schemas", READ},
      {"segments", READ}}},
    {"manage-profiles",
     EDITOR,
     {{"datasets", READ | WRITE},
      {"profile-configs", ALL},
      {"profile-datasets", ALL},
      {"profiles", ALL},
      {"schemas", READ},
      {"segments", ALL},
      {"segment-jobs", WRITE}}},
    {"manage-profile-configs", EDITOR, {{"profile-configs", ALL}}},
    {"view-segments", VIEWER, {{"segments", READ}}},
    {"manage-segments", EDITOR, {{"segments", ALL}}},
    {"evaluate-segments", EDITOR, {{"segment-jobs", READ | WRITE}}},
    {"export-audience-for-segment", EDITOR, {{"segments", READ}}},
    {"view-identity-namespaces", VIEWER, {{"identity-namespaces", READ}}},
    {"manage-identity-namespaces", EDITOR, {{"identity-namespaces", ALL}}},
    {"view-sources", VIEWER, {{"connection", READ}}},
    {"manage-sources", EDITOR, {{"connection", ALL}}},
    {"view-monitoring-dashboard",
     VIEWER,
     {{"datasets", READ}, {"datasets-data", READ}, {"monitoring", READ}}},
    {"manage-queries", EDITOR, {{"datasets", ALL}, {"datasets-data", ALL}, {"schemas", READ}}},
    {"view-sandboxes", ADMIN, {{"sandboxes", READ}}},
    {"manage-sandboxes", ADMIN, {{"sandboxes", ALL}}},
    {"reset-sandboxes", ADMIN, {{"reset-sandboxes", READ | WRITE}}}};

static const char *const resource_types[] = {"classes",
                                             "connection",
                                             "data-types",
                                             "datasets",
                                             "datasets-data",
                                             "dule-label",
                                             "identity-descriptor",
                                             "identity-namespaces",
                                             "mixins",
                                             "monitoring",
                                             "profile-configs",
                                             "profile-datasets",
                                             "profiles",
                                             "relationship-descriptor",
                                             "reset-sandboxes",
                                             "sandboxes",
                                             "schemas",
                                             "segment-jobs",
                                             "segments"};

enum { PERMISSION_COUNT = sizeof permissions / sizeof *permissions };
enum { TYPE_COUNT = sizeof resource_types / sizeof *resource_types };

static json_t *list_actions(int actions)
{
    static const char *const names[] = {"read", "write", "delete"};
    json_t *list = json_array();
    for (int i = 0; i < 3; i++)
        if ((actions & 1 << i) != 0)
            (void)json_array_append_new(list, json_string(names[i]));
    return list;
}

static tr_code get_reference(tr_call *call, tr_err *err)
{
    json_t *all = json_object(), *types = json_object();
    for (int p = 0; p < PERMISSION_COUNT; p++) {
        json_t *own = json_object();
        for (const grant *g = permissions[p].grants; g < permissions[p].grants + GRANTS_MAX; g++)
            if (g->type != NULL)
                (void)json_object_set_new(own, g->type, list_actions(g->actions));
        (void)json_object_set_new(all, permissions[p].name, own);
    }
    for (int t = 0; t < TYPE_COUNT; t++)
        (void)json_object_set_new(types, resource_types[t], list_actions(ALL));
    return tr_reply_json(call, 200,
                         json_pack("{s:o, s:o}", "permissions", all, "resource-types", types), err);
}

static int rank_of(const char *role)
{
    return strcmp(role, "admin") == 0 ? ADMIN : strcmp(role, "editor") == 0 ? EDITOR : VIEWER;
}

/* What a role may do with resources of a type. */
static int actions_on(int role, const char *type)
{
    int actions = 0;
    for (int p = 0; p < PERMISSION_COUNT; p++)
        for (int g = 0; g < GRANTS_MAX && permissions[p].role <= role; g++)
            if (permissions[p].grants[g].type != NULL &&
                strcmp(permissions[p].grants[g].type, type) == 0)
                actions |= permissions[p].grants[g].actions;
    return actions;
}

/* AEP's own examples ask for "schema" and "manage-dataset": the singular of a name is the name. */
static bool names(const char *asked, const char *name)
{
    const size_t len = strlen(name);
    return strcmp(asked, name) == 0 ||
           (strlen(asked) == len - 1 && name[len - 1] == 's' && memcmp(asked, name, len - 1) == 0);
}

static void put(json_t *policies, const char *kind, const char *name, json_t *actions)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s%s", kind, name);
    (void)json_object_set_new(policies, path, actions);
}

/* Nothing is added for a name that nobody knows, nor for what the caller may not. */
static void put_policy(json_t *policies, int role, const char *asked)
{
    const char *rest = asked + sizeof PERMISSIONS - 1;
    if (strncmp(asked, PERMISSIONS, sizeof PERMISSIONS - 1) == 0)
        for (int p = 0; p < PERMISSION_COUNT; p++)
            if (names(rest, permissions[p].name) && permissions[p].role <= role)
                put(policies, PERMISSIONS, permissions[p].name, json_pack("[s]", "*"));
    if (strncmp(asked, RESOURCE_TYPES, sizeof RESOURCE_TYPES - 1) != 0)
        return;
    rest = asked + sizeof RESOURCE_TYPES - 1;
    for (int t = 0; t < TYPE_COUNT; t++) {
        const int actions = actions_on(role, resource_types[t]);
        if (names(rest, resource_types[t]) && actions != 0)
            put(policies, RESOURCE_TYPES, resource_types[t], list_actions(actions));
    }
}

/* A body of any type: AEP's declares none. */
static tr_code post_effective(tr_call *call, tr_err *err)
{
    json_t *asked = NULL;
    TR_TRY(tr_json_parse(call->request->body, &asked, err));
    tr_code code = TR_OK;
    if (!json_is_array(asked) || json_array_size(asked) > NAMES_MAX)
        code = TR_FAIL(err, TR_INVALID, "expected an array of at most %d names", NAMES_MAX);
    for (size_t i = 0; i < json_array_size(asked) && code == TR_OK; i++)
        if (!json_is_string(json_array_get(asked, i)))
            code = TR_FAIL(err, TR_INVALID, "[%zu] is not a text such as \"/permissions/NAME\"", i);
    json_t *policies = code == TR_OK ? json_object() : NULL;
    for (size_t i = 0; policies != NULL && i < json_array_size(asked); i++)
        put_policy(policies, rank_of(call->role), json_string_value(json_array_get(asked, i)));
    json_decref(asked);
    TR_TRY(code);
    return tr_reply_json(call, 200, json_pack("{s:o}", "policies", policies), err);
}

const tr_endpoint tr_api_access_control[] = {
    {"GET", BASE "/acl/reference", TR_SCOPE_ORG_READ, get_reference, 0},
    {"POST", BASE "/acl/effective-policies", TR_SCOPE_READ, post_effective, 0},
    {0}};
