/* SPDX-License-Identifier: Apache-2.0 */
/* schemas.c - resolved schemas, cached; see schemas.h.
 *
 * One cache for the process, a list under one lock, newest use first. The key is the sandbox's uuid
 * (a database's own number could mean another sandbox in another database) and the id as asked.
 *
 *     entries --> [uuid, id, schema, readers 2] --> [uuid, id, schema, readers 0] --> ...
 *
 * A schema is built outside of the lock. When the registry changed meanwhile (`generation`), the
 * result is handed out, but not found by anybody else. An entry that is no longer to be found lives
 * until its last reader closes it.
 */
#include "catalog/schemas.h"
#include "catalog/catalog_internal.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdio.h>

typedef struct entry {
    struct entry *next;
    tr_xdm_schema *schema;
    uint32_t readers;
    bool is_findable;
    char sandbox_id[40];
    char id[256];
} entry;

static struct {
    pthread_mutex_t lock;
    entry *first;
    uint32_t findable;
    uint64_t generation;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void free_entry(entry *e)
{
    tr_xdm_schema_close(e->schema);
    tr_free(e);
}

/* Frees what is neither findable nor read; with the lock held. */
static void sweep(void)
{
    for (entry **at = &cache.first; *at != NULL;) {
        entry *e = *at;
        if (e->is_findable || e->readers > 0) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        free_entry(e);
    }
}

/* Makes the least recently used entries unfindable until there is room; with the lock held. */
static void make_room(void)
{
    while (cache.findable >= TR_SCHEMAS_CACHED_MAX) {
        entry *oldest = NULL;
        for (entry *e = cache.first; e != NULL; e = e->next)
            oldest = e->is_findable ? e : oldest;
        if (oldest == NULL)
            return;
        oldest->is_findable = false;
        cache.findable--;
    }
}

static const tr_xdm_schema *find(const tr_tenant *tenant, const char *id, uint64_t *generation)
{
    const tr_xdm_schema *found = NULL;
    pthread_mutex_lock(&cache.lock);
    *generation = cache.generation;
    for (entry **at = &cache.first; *at != NULL; at = &(*at)->next) {
        entry *e = *at;
        if (!e->is_findable || strcmp(e->sandbox_id, tenant->sandbox_id) != 0 ||
            strcmp(e->id, id) != 0)
            continue;
        e->readers++;
        found = e->schema;
        *at = e->next;
        e->next = cache.first;
        cache.first = e;
        break;
    }
    pthread_mutex_unlock(&cache.lock);
    return found;
}

/* Takes the schema. */
static tr_code add(const tr_tenant *tenant, const char *id, tr_xdm_schema *schema,
                   uint64_t generation, tr_err *err)
{
    entry *e = tr_alloc_zeroed(1, sizeof *e);
    if (e == NULL) {
        tr_xdm_schema_close(schema);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to keep a schema");
    }
    e->schema = schema;
    e->readers = 1;
    (void)snprintf(e->sandbox_id, sizeof e->sandbox_id, "%s", tenant->sandbox_id);
    (void)snprintf(e->id, sizeof e->id, "%s", id);
    pthread_mutex_lock(&cache.lock);
    e->is_findable = cache.generation == generation;
    if (e->is_findable) {
        make_room();
        cache.findable++;
    }
    e->next = cache.first;
    cache.first = e;
    sweep();
    pthread_mutex_unlock(&cache.lock);
    return TR_OK;
}

void tr_catalog_schema_close(tr_catalog *catalog, const tr_xdm_schema *schema)
{
    (void)catalog;
    if (schema == NULL)
        return;
    pthread_mutex_lock(&cache.lock);
    for (entry *e = cache.first; e != NULL; e = e->next)
        if (e->schema == schema) {
            e->readers--;
            break;
        }
    sweep();
    pthread_mutex_unlock(&cache.lock);
}

void tr_catalog_schemas_changed(tr_catalog *catalog, const tr_tenant *tenant)
{
    pthread_mutex_lock(&cache.lock);
    cache.generation++;
    for (entry *e = cache.first; e != NULL; e = e->next)
        if (e->is_findable && strcmp(e->sandbox_id, tenant->sandbox_id) == 0) {
            e->is_findable = false;
            cache.findable--;
        }
    sweep();
    pthread_mutex_unlock(&cache.lock);
    atomic_fetch_add(&catalog->profile_version, 2); /* whoever read the cache before reads again */
}

static tr_code add_descriptor(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append_new(ctx, json_copy(object->doc)) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for the descriptors of a schema");
}

/* The identity descriptors of a schema, their namespaces as codes. */
static tr_code identities_of(tr_registry *registry, const char *id, json_t **out, tr_err *err)
{
    const tr_catalog_filter filter = {.parent = id, .state = "xdm:descriptorIdentity"};
    char code_text[256];
    json_t *list = json_array();
    tr_code code = tr_catalog_list(registry->catalog, registry->tenant, "descriptor", &filter,
                                   add_descriptor, list, err);
    for (size_t i = 0; i < json_array_size(list) && code == TR_OK; i++) {
        json_t *descriptor = json_array_get(list, i);
        const char *namespace = tr_json_text(descriptor, "xdm:namespace", "");
        code = tr_registry_namespace(registry, namespace, code_text, sizeof code_text, err);
        if (code == TR_OK &&
            json_object_set_new(descriptor, "xdm:namespace", json_string(code_text)) != 0)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the descriptors of a schema");
    }
    if (code != TR_OK) {
        json_decref(list);
        return code;
    }
    *out = list;
    return TR_OK;
}

static tr_code build_plain(tr_registry *registry, tr_str id, tr_xdm_schema **out, tr_err *err)
{
    const json_t *doc;
    json_t *descriptors = NULL;
    TR_TRY(tr_registry_lookup(registry, id, &doc, err));
    const char *long_id = tr_json_text(doc, "$id", "");
    TR_TRY(identities_of(registry, long_id, &descriptors, err));
    const tr_code code =
        tr_xdm_schema_open(tr_registry_lookup, registry, tr_str_of(long_id), descriptors, out, err);
    json_decref(descriptors);
    return code;
}

typedef struct opened { /* schemas of a union, each to be closed */
    const tr_xdm_schema **list;
    uint32_t count;
} opened;

/* Opens the tagged schemas of a class (events: of every time-series class), and the class itself */
static tr_code open_members(tr_registry *registry, const char *class_id, bool is_events,
                            opened *out, tr_err *err)
{
    json_t *members = NULL;
    TR_TRY(tr_registry_union_members(registry, is_events ? NULL : class_id, &members, err));
    const size_t most = json_array_size(members) + 1;
    out->list = tr_alloc_array(most, sizeof *out->list);
    tr_code code = out->list == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a union") : TR_OK;
    for (size_t i = 0; i < most && code == TR_OK; i++) {
        const char *id =
            i == 0 ? class_id : tr_json_text(json_array_get(members, i - 1), "$id", "");
        const tr_xdm_schema *schema = NULL;
        code = tr_catalog_schema_open(registry->catalog, registry->tenant, tr_str_of(id), &schema,
                                      err);
        if (code == TR_OK && is_events && schema->behavior != TR_XDM_EVENT)
            tr_catalog_schema_close(registry->catalog, schema);
        else if (code == TR_OK)
            out->list[out->count++] = schema;
    }
    json_decref(members);
    return code;
}

static void close_members(tr_registry *registry, opened *members)
{
    for (uint32_t i = 0; i < members->count; i++)
        tr_catalog_schema_close(registry->catalog, members->list[i]);
    tr_free(members->list);
}

static tr_code build_union(tr_registry *registry, tr_str id, tr_xdm_schema **out, tr_err *err)
{
    const json_t *doc;
    opened members = {0}, events = {0};
    TR_TRY(tr_registry_lookup(registry, id, &doc, err));
    const char *class_id = tr_json_text(doc, "meta:class", "");
    tr_code code = open_members(registry, class_id, false, &members, err);
    if (code == TR_OK && strcmp(class_id, TR_XDM_PROFILE_CLASS) == 0)
        code = open_members(registry, TR_XDM_EVENT_CLASS, true, &events, err);
    if (code == TR_OK)
        code = tr_xdm_union_open(tr_str_of(class_id), members.list, members.count, events.list,
                                 events.count, out, err);
    close_members(registry, &members);
    close_members(registry, &events);
    return code;
}

static bool is_union_id(tr_str id)
{
    const size_t len = strlen(TR_XDM_UNION_SUFFIX);
    return id.len > len && memcmp(id.at + id.len - len, TR_XDM_UNION_SUFFIX, len) == 0;
}

tr_code tr_catalog_schema_open(tr_catalog *catalog, const tr_tenant *tenant, tr_str id,
                               const tr_xdm_schema **out, tr_err *err)
{
    tr_registry registry = {.catalog = catalog, .tenant = tenant};
    tr_xdm_schema *built = NULL;
    uint64_t generation;
    char text[256];
    if (tr_str_is(id, "@/xdms/context/profile") || tr_str_is(id, "_xdm.context.profile"))
        id = tr_str_of(TR_XDM_OLD_PROFILE);
    if (id.len == 0 || id.len >= sizeof text)
        return TR_FAIL(err, TR_NOT_FOUND, "no schema resource with id \"%.*s\"", TR_STR_ARG(id));
    memcpy(text, id.at, id.len);
    text[id.len] = '\0';
    const tr_xdm_schema *found = find(tenant, text, &generation);
    if (found == NULL) {
        const tr_code code = is_union_id(id) ? build_union(&registry, id, &built, err)
                                             : build_plain(&registry, id, &built, err);
        json_decref(registry.held);
        TR_TRY(code);
        TR_TRY(add(tenant, text, built, generation, err));
        found = built;
    }
    *out = found;
    return TR_OK;
}
