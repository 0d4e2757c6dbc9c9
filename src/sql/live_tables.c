/* SPDX-License-Identifier: Apache-2.0 */
/* live_tables.c - see live_tables.h. */
#include "sql/live_tables.h"

#include "base/log.h"
#include "os/os.h"
#include "policy/policy.h"
#include "sql/dimension_tables.h"
#include "sql/rewrite_internal.h"
#include "sql/view_store.h"

#include <stdio.h>

struct tr_live_tables {
    tr_catalog *catalog;
    tr_live_cache *cache;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the live tables");
}

tr_code tr_live_tables_open(const tr_live_cache_parts *parts, tr_catalog *catalog,
                            tr_live_tables **out, tr_err *err)
{
    tr_live_tables *live = tr_alloc_zeroed(1, sizeof *live);
    if (live == NULL)
        return no_memory(err);
    live->catalog = catalog;
    const tr_code code = tr_live_cache_open(parts, &live->cache, err);
    if (code == TR_OK)
        *out = live;
    else
        tr_free(live);
    return code;
}

void tr_live_tables_close(tr_live_tables *live)
{
    if (live == NULL)
        return;
    tr_live_cache_close(live->cache);
    tr_free(live);
}

void tr_live_tables_drop(tr_live_tables *live, const tr_tenant *tenant)
{
    tr_live_cache_forget(live->cache, tenant);
}

/* What they are made of ------------------------------------------------------------------------ */

typedef enum live_kind { LIVE_PROFILE, LIVE_MEMBERS, LIVE_BATCHES, LIVE_JOBS } live_kind;

static const char *const kind_names[] = {"profile", "segment_membership", "batches", "export_jobs"};

/* The first identity that is marked as primary names the profile in a row of its own columns. */
static const char members_sql[] =
    "SELECT p.namespace AS \"identityNamespace\", p.id AS \"identityId\", namespace,"
    " m.key AS \"segmentId\", unnest(m.value) FROM"
    " (SELECT p, n.key AS namespace, unnest(map_entries(n.value)) AS m FROM"
    " (SELECT list_filter(flatten(list_transform(map_entries(\"identityMap\"), lambda e:"
    " list_transform(e.value, lambda i: {'namespace': e.key, 'id': i.id, 'primary': i.primary}))),"
    " lambda i: i.primary)[1] AS p, unnest(map_entries(\"segmentMembership\")) AS n"
    " FROM read_parquet({files}, union_by_name=true, hive_partitioning=false)))";

#define LINES "format='newline_delimited', maximum_object_size=67108864, columns="
static const char batches_sql[] =
    "SELECT id, \"dataSetId\", status, make_timestamptz(created * 1000) AS created,"
    " make_timestamptz(updated * 1000) AS updated, \"recordCount\", \"failedRecordCount\", size,"
    " \"document\" FROM read_json({files}, " LINES
    "{id: 'VARCHAR', \"dataSetId\": 'VARCHAR', status: 'VARCHAR', created: 'BIGINT',"
    " updated: 'BIGINT', \"recordCount\": 'BIGINT', \"failedRecordCount\": 'BIGINT', size: "
    "'BIGINT',"
    " \"document\": 'VARCHAR'})";
static const char jobs_sql[] =
    "SELECT id, status, \"dataSetId\", \"batchId\", \"mergePolicyId\","
    " make_timestamptz(created * 1000) AS created, make_timestamptz(updated * 1000) AS updated,"
    " profiles, \"document\" FROM read_json({files}, " LINES
    "{id: 'VARCHAR', status: 'VARCHAR', \"dataSetId\": 'VARCHAR', \"batchId\": 'VARCHAR',"
    " \"mergePolicyId\": 'VARCHAR', created: 'BIGINT', updated: 'BIGINT', profiles: 'BIGINT',"
    " \"document\": 'VARCHAR'})";

/* One statement's live tables while they are found. */
typedef struct finding {
    tr_live_tables *live;
    const tr_tenant *tenant;
    const tr_live_wanted *wanted;
    const tr_tokens *texts; /* the statement's, and those of the views that it may read */
    const char **views; /* whose texts they are; "": the statement's */
    size_t text_count;
    size_t *queue; /* of those that the statement reads, itself the first */
    size_t queue_count;
    const char *name; /* of the table that is added */
    json_t *tables, *temporary;
    json_t *policies; /* NULL: not asked for yet */
    bool is_narrow;
} finding;

/* files: taken; NULL: no memory */
static tr_code put_table(finding *f, const char *name, json_t *files, const char *sql, tr_err *err)
{
    json_t *table = sql == NULL ? files : json_pack("{s:o, s:s}", "files", files, "sql", sql);
    return table != NULL && json_object_set_new(f->tables, name, table) == 0 ? TR_OK
                                                                             : no_memory(err);
}

/* Profiles ------------------------------------------------------------------------------------- */

static bool is_of_members(void *ctx, const char *column)
{
    (void)ctx;
    return strcmp(column, "identityMap") == 0 || strcmp(column, "segmentMembership") == 0;
}

static bool names_table(const tr_tokens *text, const char *name)
{
    for (size_t i = 0; i < text->count; i++) {
        tr_str is = text->at[i].text;
        if (text->at[i].kind == TR_TOKEN_QUOTED && is.len >= 2)
            is = (tr_str){is.at + 1, is.len - 2};
        if (tr_str_equal_folded(is, tr_str_of(name)) && tr_is_table_place(text, i))
            return true;
    }
    return false;
}

/* By a text that names the table: what others name is none of its columns. */
static bool is_named(void *ctx, const char *column)
{
    const finding *f = ctx;
    for (size_t i = 0; i < f->text_count; i++)
        if (names_table(f->texts + i, f->name) && tr_names_column(f->texts + i, column))
            return true;
    return false;
}

static bool is_needed_whole(const finding *f)
{
    for (size_t i = 0; i < f->text_count; i++)
        if (names_table(f->texts + i, f->name) && tr_needs_whole_rows(f->texts + i, f->name))
            return true;
    return false;
}

static tr_code add_profiles(finding *f, live_kind kind, const char *name, const char *policy,
                            bool has_rows, tr_err *err)
{
    json_t *files = NULL;
    f->name = name;
    tr_live_question question = {
        .policy_id = policy, .ctx = f, .is_columns_only = f->wanted->is_columns_only || !has_rows};
    if (kind == LIVE_MEMBERS) {
        question.wants = is_of_members;
    } else if (!question.is_columns_only && !f->wanted->is_whole &&
               !is_needed_whole(f)) {
        question.wants = is_named;
        f->is_narrow = true;
    }
    const tr_code code = tr_live_cache_files(f->live->cache, f->tenant, &question,
                                             &f->wanted->patience, &files, err);
    if (code == TR_SEMANTIC && !has_rows) /* a policy that cannot be used: not listed */
        return TR_OK;
    TR_TRY(code);
    return put_table(f, name, files, kind == LIVE_MEMBERS ? members_sql : NULL, err);
}

/* The catalog's objects ------------------------------------------------------------------------ */

typedef struct lines {
    tr_file file;
    tr_buf text;
    live_kind kind;
} lines;

/* The document as the wire shows it: without what begins with "_". */
static json_t *shown_document(const json_t *doc)
{
    const char *name;
    json_t *member;
    void *next;
    json_t *shown = json_copy((json_t *)(uintptr_t)doc);
    json_object_foreach_safe(shown, next, name, member) if (name[0] == '_')(void)
        json_object_del(shown, name);
    return shown;
}

static json_t *batch_row(const tr_object *o)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:O?, s:O?, s:O?}", "id", o->id, "dataSetId",
                     o->parent, "status", o->state, "created", (json_int_t)o->created_ms, "updated",
                     (json_int_t)o->updated_ms, "recordCount",
                     json_object_get(o->doc, "recordCount"), "failedRecordCount",
                     json_object_get(o->doc, "failedRecordCount"), "size",
                     json_object_get(o->doc, "size"));
}

static json_t *job_row(const tr_object *o)
{
    const json_t *to = json_object_get(o->doc, "destination");
    return json_pack(
        "{s:s, s:s, s:O?, s:O?, s:O?, s:I, s:I, s:O?}", "id", o->id, "status", o->state,
        "dataSetId", json_object_get(to, "datasetId"), "batchId", json_object_get(to, "batchId"),
        "mergePolicyId", json_object_get(json_object_get(o->doc, "mergePolicy"), "id"), "created",
        (json_int_t)o->created_ms, "updated", (json_int_t)o->updated_ms, "profiles",
        json_object_get(json_object_get(o->doc, "metrics"), "totalExportedProfileCounter"));
}

static tr_code add_line(void *ctx, const tr_object *object, tr_err *err)
{
    lines *l = ctx;
    tr_buf document = {0};
    json_t *shown = shown_document(object->doc);
    json_t *row = l->kind == LIVE_BATCHES ? batch_row(object) : job_row(object);
    l->text.len = 0;
    tr_code code =
        shown == NULL || row == NULL ? no_memory(err) : tr_json_write(shown, &document, err);
    if (code == TR_OK &&
        json_object_set_new(row, "document", tr_json_str(tr_buf_str(&document))) != 0)
        code = no_memory(err);
    if (code == TR_OK)
        code = tr_json_write(row, &l->text, err);
    if (code == TR_OK)
        code = tr_buf_append(&l->text, tr_str_of("\n"), err);
    if (code == TR_OK)
        code = tr_file_write(&l->file, tr_buf_str(&l->text), err);
    json_decref(shown);
    json_decref(row);
    tr_buf_free(&document);
    return code;
}

static tr_code write_lines(finding *f, live_kind kind, const char *path, tr_err *err)
{
    lines l = {.kind = kind, .file = TR_FILE_NONE};
    const tr_catalog_filter all = {0};
    TR_TRY(tr_file_create(path, &l.file, err));
    const tr_code code =
        tr_catalog_list(f->live->catalog, f->tenant, kind == LIVE_BATCHES ? "batch" : "export",
                        &all, add_line, &l, err);
    tr_file_close(&l.file);
    tr_buf_free(&l.text);
    return code;
}

static tr_code add_objects(finding *f, live_kind kind, const char *name, bool has_rows, tr_err *err)
{
    char path[4096];
    const bool is_empty = f->wanted->is_columns_only || !has_rows;
    (void)snprintf(path, sizeof path, "%s", tr_live_cache_empty(f->live->cache));
    if (!is_empty) {
        TR_TRY(tr_live_cache_file(f->live->cache, ".json", path, err));
        if (json_array_append_new(f->temporary, json_string(path)) != 0)
            return no_memory(err);
        TR_TRY(write_lines(f, kind, path, err));
    }
    return put_table(f, name, json_pack("[s]", path),
                     kind == LIVE_BATCHES ? batches_sql : jobs_sql, err);
}

static tr_code load_policies(finding *f, tr_err *err)
{
    return f->policies != NULL ? TR_OK
                               : tr_policy_list(f->live->catalog, f->tenant, &f->policies, err);
}

/* Of the accelerated store: no rows but those of its own text. */
static tr_code add_dimension(finding *f, const char *name, tr_err *err)
{
    tr_buf sql = {0};
    TR_TRY(load_policies(f, err));
    tr_code code = tr_dimension_table(f->live->catalog, f->tenant, name, f->policies, &sql, err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = put_table(f, name, json_pack("[s]", tr_live_cache_empty(f->live->cache)),
                         (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

/* Names ---------------------------------------------------------------------------------------- */

/* AEP's rule for a table's name: lower case, all else one '_'. */
static void name_of(const char *text, char out[128])
{
    size_t len = 0;
    for (; *text != '\0' && len < 100; text++) {
        const char c = *text >= 'A' && *text <= 'Z' ? (char)(*text + 32) : *text;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[len++] = c;
        else if (len > 0 && out[len - 1] != '_')
            out[len++] = '_';
    }
    out[len] = '\0';
}

static bool is_policy(const json_t *policy, tr_str name)
{
    char by_name[128], by_id[128];
    name_of(tr_json_text(policy, "name", ""), by_name);
    name_of(tr_json_text(policy, "id", ""), by_id);
    return tr_str_equal_folded(name, tr_str_of(by_id)) ||
           (by_name[0] != '\0' && tr_str_equal_folded(name, tr_str_of(by_name)));
}

/* The id of the policy that `name` ends in; NULL: there is none. */
static const char *find_policy(const finding *f, tr_str name)
{
    size_t i;
    const json_t *policy;
    json_array_foreach(f->policies, i,
                       policy) if (is_policy(policy, name)) return tr_json_text(policy, "id", NULL);
    return NULL;
}

static bool has_table(const json_t *tables, const char *name)
{
    const char *key;
    const json_t *table;
    json_object_foreach(
        (json_t *)(uintptr_t)tables, key,
        table) if (tr_str_equal_folded(tr_str_of(key), tr_str_of(name))) return true;
    return false;
}

/* Adds the table of this name when it is one of ours and nobody else's. */
static tr_code add_by_name(finding *f, const char *name, bool has_rows, tr_err *err)
{
    if (has_table(f->tables, name))
        return TR_OK;
    if (tr_is_dimension_table(name))
        return add_dimension(f, name, err);
    for (int kind = 0; kind <= LIVE_JOBS; kind++) {
        const size_t len = strlen(kind_names[kind]);
        const char *policy = NULL;
        if (strncasecmp(name, kind_names[kind], len) != 0)
            continue;
        if (name[len] == '_' && kind <= LIVE_MEMBERS) {
            TR_TRY(load_policies(f, err));
            policy = find_policy(f, tr_str_of(name + len + 1));
        }
        if (name[len] != '\0' && policy == NULL)
            continue;
        return kind <= LIVE_MEMBERS ? add_profiles(f, (live_kind)kind, name, policy, has_rows, err)
                                    : add_objects(f, (live_kind)kind, name, has_rows, err);
    }
    return TR_OK;
}

/* The names of all of them, with what they are: an object, returned. */
static tr_code list_names(finding *f, json_t **out, tr_err *err)
{
    size_t i;
    const json_t *policy;
    char by_name[128], name[200];
    json_t *names =
        json_pack("{s:s, s:s, s:s, s:s}", kind_names[LIVE_PROFILE],
                  "merged profiles, by the default merge policy", kind_names[LIVE_MEMBERS],
                  "who is in which segment", kind_names[LIVE_BATCHES], "batches of all datasets",
                  kind_names[LIVE_JOBS], "export jobs");
    tr_code code = names == NULL ? no_memory(err) : load_policies(f, err);
    json_array_foreach(f->policies, i, policy)
    {
        name_of(tr_json_text(policy, "name", ""), by_name);
        if (tr_json_bool(policy, "default", false) || code != TR_OK)
            continue;
        if (by_name[0] == '\0' ||
            find_policy(f, tr_str_of(by_name)) != tr_json_text(policy, "id", ""))
            name_of(tr_json_text(policy, "id", ""), by_name);
        for (int kind = LIVE_PROFILE; kind <= LIVE_MEMBERS; kind++) {
            (void)snprintf(name, sizeof name, "%s_%s", kind_names[kind], by_name);
            if (json_object_set_new(names, name, json_string("by another merge policy")) != 0)
                code = no_memory(err);
        }
    }
    if (code == TR_OK)
        *out = names;
    else
        json_decref(names);
    return code;
}

/* ---------------------------------------------------------------------------------------------- */

static tr_code find_named(finding *f, const tr_tokens *text, bool has_rows, tr_arena *arena,
                          tr_err *err)
{
    for (size_t i = 0; i < text->count; i++) {
        if (!tr_is_table_place(text, i))
            continue;
        const char *name = tr_arena_text(arena, tr_token_name(text->at + i, arena));
        if (name == NULL)
            return no_memory(err);
        TR_TRY(add_by_name(f, name, has_rows, err));
    }
    return TR_OK;
}

/* The texts of the statement and of the views among its tables, cut into tokens. */
static tr_code cut_texts(finding *f, tr_arena *arena, tr_err *err)
{
    const char *name;
    const json_t *table;
    const size_t count = json_object_size(f->tables) + 1;
    tr_tokens *texts = tr_arena_alloc(arena, count * sizeof *texts);
    const char **views = tr_arena_alloc(arena, count * sizeof *views);
    f->queue = tr_arena_alloc(arena, count * sizeof *f->queue);
    if (texts == NULL || views == NULL || f->queue == NULL)
        return no_memory(err);
    f->texts = texts;
    f->views = views;
    TR_TRY(tr_lex(f->wanted->sql, arena, texts, err));
    views[0] = "";
    f->text_count = 1;
    f->queue[f->queue_count++] = 0;
    json_object_foreach(f->tables, name, table) {
        const char *text = tr_view_text(table);
        if (text == NULL)
            continue;
        views[f->text_count] = name;
        TR_TRY(tr_lex(tr_str_of(text), arena, texts + f->text_count++, err));
    }
    return TR_OK;
}

static bool is_queued(const finding *f, size_t text)
{
    for (size_t i = 0; i < f->queue_count; i++)
        if (f->queue[i] == text)
            return true;
    return false;
}

/* The tables that a text names, and the views, whose own turn comes. */
static tr_code find_read(finding *f, size_t from, tr_arena *arena, tr_err *err)
{
    TR_TRY(find_named(f, f->texts + from, true, arena, err));
    for (size_t i = 1; i < f->text_count; i++)
        if (!is_queued(f, i) && names_table(f->texts + from, f->views[i]))
            f->queue[f->queue_count++] = i;
    return TR_OK;
}

static tr_code find_all(finding *f, tr_arena *arena, tr_err *err)
{
    const char *name;
    const json_t *what;
    json_t *names = NULL;
    TR_TRY(cut_texts(f, arena, err));
    for (size_t i = 0; i < f->queue_count; i++) /* it grows meanwhile */
        TR_TRY(find_read(f, f->queue[i], arena, err));
    for (size_t i = 1; i < f->text_count && f->wanted->is_listed; i++)
        TR_TRY(find_named(f, f->texts + i, false, arena, err));
    if (!f->wanted->is_listed)
        return TR_OK;
    TR_TRY(list_names(f, &names, err));
    tr_code code = TR_OK;
    json_object_foreach(names, name, what) if (code == TR_OK) code =
        add_by_name(f, name, false, err);
    json_decref(names);
    return code;
}

tr_code tr_live_tables_add(tr_live_tables *live, const tr_tenant *tenant,
                           const tr_live_wanted *wanted, json_t *tables, json_t **temporary,
                           bool *is_narrow, tr_err *err)
{
    tr_arena arena = {0};
    finding f = {.live = live,
                 .tenant = tenant,
                 .wanted = wanted,
                 .tables = tables,
                 .temporary = json_array()};
    tr_code code = f.temporary == NULL ? no_memory(err) : find_all(&f, &arena, err);
    json_decref(f.policies);
    tr_arena_free(&arena);
    if (code == TR_OK) {
        *temporary = f.temporary;
        *is_narrow = f.is_narrow;
    } else {
        tr_live_tables_forget(f.temporary);
    }
    return code;
}

void tr_live_tables_forget(json_t *temporary)
{
    size_t i;
    const json_t *path;
    tr_err err = {0};
    json_array_foreach(temporary, i,
                       path) if (tr_file_remove(json_string_value(path), &err) != TR_OK)
        tr_log(TR_LOG_WARN, "sql", "scratch_kept", "reason=\"%s\"", err.text);
    json_decref(temporary);
}

tr_code tr_live_tables_list(tr_live_tables *live, const tr_tenant *tenant, json_t **out,
                            tr_err *err)
{
    const char *name;
    const json_t *what;
    json_t *names = NULL, *list = json_array();
    finding f = {.live = live, .tenant = tenant};
    tr_code code = list == NULL ? no_memory(err) : list_names(&f, &names, err);
    json_object_foreach(names, name, what)
    {
        json_t *row = json_pack("{s:s, s:O}", "table", name, "description", what);
        if (code == TR_OK && (row == NULL || json_array_append_new(list, row) != 0))
            code = no_memory(err);
    }
    json_decref(names);
    json_decref(f.policies);
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}
