/* SPDX-License-Identifier: Apache-2.0 */
/* graph_test.c - the graph with a real catalog and lake in a temporary folder.
 *
 * Goal: whatever happened - batches of several files, events out of order, batches taken back or
 * folded, namespaces that come later, restarts - the graph is that of the live batches' rows in
 * their order. Method: random histories; the rows of live batches are kept, ordered by a slow sort
 * and linked by identity/clusters.h, which has a model of its own. Every identity is compared.
 */
#include "base/clock.h"
#include "base/test.h"
#include "catalog/namespaces.h"
#include "graph/graph_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { POOL = 90, BATCHES = 60, ROWS_MAX = 40, WIDTH_MAX = 24 };

static int passed, failed;

typedef struct pool_id { /* an identity of the pool */
    char code[16], written[16], id[64];
    tr_node_class kind;
    bool is_bad;
} pool_id;

typedef struct row {
    uint32_t ids[WIDTH_MAX], count; /* of the pool; the first is primary */
    int64_t time_us;
    uint32_t file;
} row;

typedef struct world_batch {
    char id[32];
    bool is_event, is_gone;
    int64_t ingested_us;
    row rows[ROWS_MAX];
    uint32_t row_count, file_count;
} world_batch;

typedef struct world {
    uint64_t random;
    tr_world_house house;
    pool_id pool[POOL];
    world_batch batches[BATCHES];
    uint32_t batch_count;
    bool has_loyalty; /* the namespace was created */
    uint32_t removals;
} world;

static uint32_t below(world *w, uint32_t bound)
{
    return (uint32_t)(tr_test_random(&w->random) % bound);
}

/* Namespaces in several spellings, values that are nobody's, one namespace that comes later. */
static void fill_pool(world *w)
{
    static const struct {
        const char *code, *written;
        tr_node_class kind;
    } spaces[] = {
        {"CRMID", "crmid", TR_NODE_PERSON},     {"Email", "EMAIL", TR_NODE_PERSON},
        {"ECID", "ecid", TR_NODE_COOKIE},       {"IDFA", "IDFA", TR_NODE_DEVICE},
        {"Loyalty", "Loyalty", TR_NODE_PERSON}, {"AAMTraits", "AAMTraits", TR_NODE_UNLINKED}};
    static const char *const bad[] = {"null", "Anonymous", "INVALID"};
    for (uint32_t i = 0; i < POOL; i++) {
        const uint32_t space = i % 6;
        pool_id *id = &w->pool[i];
        (void)snprintf(id->code, sizeof id->code, "%s", spaces[space].code);
        (void)snprintf(id->written, sizeof id->written, "%s",
                       below(w, 2) ? spaces[space].code : spaces[space].written);
        id->kind = spaces[space].kind;
        id->is_bad = i % 11 == 10;
        if (id->is_bad)
            (void)snprintf(id->id, sizeof id->id, "%s", bad[i % 3]);
        else if (space == 2)
            (void)snprintf(id->id, sizeof id->id, "%038u", i);
        else
            (void)snprintf(id->id, sizeof id->id, "\xc3\xa9 %u", i);
    }
}

static bool open_world(world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = seed;
    fill_pool(w);
    json_t *body = json_pack("{s:s, s:s, s:s}", "name", "CRM", "code", "CRMID", "idType",
                             "CROSS_DEVICE"),
           *made = NULL;
    const bool is_good = tr_world_house_open(&w->house, NULL) == TR_OK &&
                         tr_namespace_create(w->house.catalog, w->house.tenant.org, body, &made,
                                             NULL, NULL) == TR_OK;
    json_decref(body);
    json_decref(made);
    return is_good;
}

/* What happens ------------------------------------------------------------------------------- */

static void random_rows(world *w, world_batch *b)
{
    static const int64_t scales[] = {1, 1000003, -INT64_C(70000000000011)};
    b->is_event = below(w, 2) == 0;
    b->file_count = 1 + below(w, 3);
    b->row_count = below(w, ROWS_MAX + 1);
    b->ingested_us = 1000000 * (int64_t)(w->batch_count + 1);
    const int64_t scale = scales[below(w, 3)]; /* times that differ little, or much, or back */
    for (uint32_t i = 0; i < b->row_count; i++) {
        row *r = &b->rows[i];
        r->count = below(w, 25) == 0 ? WIDTH_MAX : below(w, 4);
        r->file = i * b->file_count / b->row_count;
        r->time_us = b->is_event ? 5000 + (int64_t)below(w, 50) * scale : b->ingested_us;
        for (uint32_t j = 0; j < r->count; j++)
            r->ids[j] = below(w, POOL);
    }
}

static bool add_rows(const world *w, const world_batch *b, uint32_t file, tr_world_run *run)
{
    bool is_good = true;
    for (uint32_t i = 0; i < b->row_count && is_good; i++) {
        tr_world_identity identities[WIDTH_MAX];
        const row *r = &b->rows[i];
        if (r->file != file)
            continue;
        for (uint32_t j = 0; j < r->count; j++)
            identities[j] = (tr_world_identity){tr_str_of(w->pool[r->ids[j]].written),
                                                tr_str_of(w->pool[r->ids[j]].id)};
        is_good = tr_world_run_add(run, identities, r->count, r->time_us, NULL) == TR_OK;
    }
    return is_good;
}

static bool publish(world *w)
{
    world_batch *b = &w->batches[w->batch_count];
    tr_world_run *runs[3] = {NULL};
    random_rows(w, b);
    (void)snprintf(b->id, sizeof b->id, "01BATCH%019u", w->batch_count);
    const tr_world_batch spec = {.dataset = w->batch_count % 2 == 0 ? "64b0c0ffee0000000000a001"
                                                                    : "64b0c0ffee0000000000a002",
                                 .id = b->id,
                                 .is_event = b->is_event,
                                 .ingested_us = b->ingested_us};
    w->batch_count++;
    bool is_good = true;
    for (uint32_t i = 0; i < b->file_count && is_good; i++)
        is_good = tr_world_run_open(w->house.secret, b->is_event, b->ingested_us - 7, &runs[i],
                                    NULL) == TR_OK &&
                  add_rows(w, b, i, runs[i]);
    is_good = is_good && tr_world_publish(&w->house, &spec, runs, b->file_count, NULL) == TR_OK;
    for (uint32_t i = 0; i < 3; i++)
        tr_world_run_close(runs[i]);
    return is_good;
}

static bool create_loyalty(world *w)
{
    json_t *made = NULL, *body = json_pack("{s:s, s:s, s:s}", "name", "Loyalty", "code", "Loyalty",
                                           "idType", "Cross_Device");
    const bool is_good = tr_namespace_create(w->house.catalog, w->house.tenant.org, body, &made,
                                             NULL, NULL) == TR_OK;
    json_decref(body);
    json_decref(made);
    w->has_loyalty = true;
    return is_good;
}

/* Its rows go, and what names it in others. */
static void forget_in_model(world *w, const pool_id *who)
{
    for (uint32_t i = 0; i < w->batch_count; i++) {
        world_batch *b = &w->batches[i];
        uint32_t rows = 0;
        for (uint32_t j = 0; j < b->row_count; j++) {
            row r = b->rows[j];
            uint32_t count = 0;
            bool is_own = false;
            for (uint32_t k = 0; k < r.count; k++) {
                const pool_id *id = &w->pool[r.ids[k]];
                const bool is_who =
                    strcmp(id->code, who->code) == 0 && strcmp(id->id, who->id) == 0;
                is_own = is_own || (is_who && k == 0);
                if (!is_who)
                    r.ids[count++] = r.ids[k];
            }
            r.count = count;
            if (!is_own)
                b->rows[rows++] = r;
        }
        b->row_count = rows;
    }
}

/* As a delete request does: the graph is read beside, or not; a batch comes meanwhile, or not. */
static bool forget_identity(world *w, const pool_id *who)
{
    tr_forgotten one = {.code = tr_str_of(who->code), .id = tr_str_of(who->id)};
    const tr_forget_list list = {&one, 1};
    tr_world_house *house = &w->house;
    tr_store_removal *removal = NULL;
    json_t *bytes = json_array();
    bool is_complete = false, is_good;
    tr_graph_preparation coming = {0};
    tr_profile_key(house->secret, one.code, one.id, one.key);
    is_good = tr_store_removal_open(house->store, &house->tenant, ++w->removals, &list, &removal,
                                    NULL) == TR_OK;
    for (int i = 0; i < 3 && is_good && !is_complete; i++) {
        tr_arena arena = {0};
        is_good = tr_store_removal_prepare(removal, NULL) == TR_OK &&
                  tr_store_removal_exchanged(removal, &arena, &coming.exchanged, &coming.count,
                                             NULL) == TR_OK;
        if (is_good && below(w, 4) > 0)
            tr_graph_prepare(house->graph, &house->tenant, &coming);
        if (is_good && i == 0 && below(w, 3) == 0 && w->batch_count < BATCHES)
            is_good = publish(w);
        tr_arena_free(&arena);
        is_good = is_good && tr_catalog_begin(house->catalog, NULL) == TR_OK;
        const tr_code code =
            is_good ? tr_store_removal_apply(removal, bytes, &is_complete, NULL) : TR_IO;
        is_good = code == TR_OK && tr_catalog_end(house->catalog, is_complete ? TR_OK : TR_CONFLICT,
                                                  NULL) == (is_complete ? TR_OK : TR_CONFLICT);
    }
    tr_graph_prepare_end(house->graph, &house->tenant, &coming, is_complete);
    tr_store_removal_close(removal, is_complete);
    is_good = is_good && is_complete &&
              tr_store_remove_bytes(house->store, &house->tenant, bytes, NULL) == TR_OK;
    if (is_good)
        forget_in_model(w, who);
    json_decref(bytes);
    return is_good;
}

/* As REVERT does: the graph is read beside, or not; a batch comes meanwhile, or not. */
static bool take_back(world *w, world_batch *any)
{
    tr_world_house *house = &w->house;
    const char *id = any->id;
    tr_graph_preparation coming = {.batches = &id, .batch_count = 1};
    bool is_good = true;
    any->is_gone = true;
    if (below(w, 4) > 0)
        tr_graph_prepare(house->graph, &house->tenant, &coming);
    if (below(w, 3) == 0 && w->batch_count < BATCHES)
        is_good = publish(w);
    is_good = is_good && tr_world_set_state(house, id, "gone", NULL) == TR_OK;
    tr_graph_prepare_end(house->graph, &house->tenant, &coming, below(w, 4) > 0);
    return is_good;
}

/* One random thing; mostly a batch. */
static bool happen(world *w)
{
    const uint32_t dice = below(w, 12);
    world_batch *any = w->batch_count == 0 ? NULL : &w->batches[below(w, w->batch_count)];
    if (dice == 0 && any != NULL && !any->is_gone)
        return take_back(w, any);
    if (dice == 1 && any != NULL && !any->is_gone)
        return tr_world_set_state(&w->house, any->id, "lake", NULL) == TR_OK;
    if (dice == 2)
        return tr_world_house_reopen(&w->house, NULL) == TR_OK;
    if (dice == 4 && w->batch_count > 0)
        return forget_identity(w, &w->pool[below(w, POOL)]);
    if (dice == 3 && !w->has_loyalty && w->batch_count > 5)
        return create_loyalty(w);
    return w->batch_count == BATCHES || publish(w);
}

/* What should be ----------------------------------------------------------------------------- */

static const world *ordering;
static const world_batch *ordering_batch;

static int by_time_key_arrival(const void *left, const void *right)
{
    const row *a = &ordering_batch->rows[*(const uint32_t *)left];
    const row *b = &ordering_batch->rows[*(const uint32_t *)right];
    uint8_t keys[2][16] = {{0}, {0}};
    const pool_id *pool = ordering->pool;
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us ? -1 : 1;
    if (a->count > 0)
        tr_profile_key(ordering->house.secret, tr_str_of(pool[a->ids[0]].code),
                       tr_str_of(pool[a->ids[0]].id), keys[0]);
    if (b->count > 0)
        tr_profile_key(ordering->house.secret, tr_str_of(pool[b->ids[0]].code),
                       tr_str_of(pool[b->ids[0]].id), keys[1]);
    const int order = memcmp(keys[0], keys[1], 16);
    return order != 0 ? order : (*(const uint32_t *)left > *(const uint32_t *)right) * 2 - 1;
}

static bool links(const world *w, const pool_id *id)
{
    return !id->is_bad && id->kind != TR_NODE_UNLINKED &&
           (w->has_loyalty || strcmp(id->code, "Loyalty") != 0);
}

static bool link_row(const world *w, const world_batch *b, const row *r, uint32_t number,
                     tr_clusters *clusters)
{
    uint32_t nodes[WIDTH_MAX], count = 0;
    bool is_good = true;
    for (uint32_t i = 0; i < r->count && is_good; i++) {
        uint8_t key[16];
        const pool_id *id = &w->pool[r->ids[i]];
        const tr_str code = tr_str_of(id->code), text = tr_str_of(id->id);
        tr_profile_key(w->house.secret, code, text, key);
        if (links(w, id))
            is_good = tr_clusters_node(clusters, key, code, text, id->kind, &nodes[count++],
                                       NULL) == TR_OK;
    }
    const tr_link_row link = {.nodes = nodes,
                              .count = count,
                              .batch = number,
                              .time_us = r->time_us,
                              .recorded_us = b->ingested_us};
    return is_good && tr_clusters_link(clusters, &link, NULL) == TR_OK;
}

/* A batch in which nothing links has no number. */
static bool has_links(const world *w, const world_batch *b)
{
    for (uint32_t i = 0; i < b->row_count; i++) {
        uint32_t count = 0;
        for (uint32_t j = 0; j < b->rows[i].count; j++)
            count += links(w, &w->pool[b->rows[i].ids[j]]);
        if (count >= 2)
            return true;
    }
    return false;
}

static tr_clusters *expected(const world *w)
{
    tr_clusters *clusters = NULL;
    uint32_t number = 0;
    bool is_good = tr_clusters_new(&clusters, NULL) == TR_OK;
    for (uint32_t i = 0; i < w->batch_count && is_good; i++) {
        const world_batch *b = &w->batches[i];
        uint32_t order[ROWS_MAX];
        if (b->is_gone || !has_links(w, b))
            continue;
        for (uint32_t j = 0; j < b->row_count; j++)
            order[j] = j;
        ordering = w;
        ordering_batch = b;
        qsort(order, b->row_count, sizeof *order, by_time_key_arrival);
        for (uint32_t j = 0; j < b->row_count && is_good; j++)
            is_good = link_row(w, b, &b->rows[order[j]], number, clusters);
        number++;
    }
    CHECK(is_good);
    return clusters;
}

/* Comparing ---------------------------------------------------------------------------------- */

static bool same_node(const tr_clusters *a, uint32_t left, const tr_clusters *b, uint32_t right)
{
    tr_node own, other;
    tr_clusters_describe(a, left, &own);
    tr_clusters_describe(b, right, &other);
    return memcmp(own.key, other.key, 16) == 0 && tr_str_equal(own.code, other.code) &&
           tr_str_equal(own.id, other.id) && own.kind == other.kind &&
           own.first_us == other.first_us && own.last_us == other.last_us;
}

static bool same_links(const tr_clusters *a, uint32_t left, const tr_clusters *b, uint32_t right)
{
    tr_arena arena = {0};
    const tr_link *own = NULL, *other = NULL;
    uint32_t count = 0, other_count = 0;
    bool is_same = tr_clusters_links(a, left, &arena, &own, &count, NULL) == TR_OK &&
                   tr_clusters_links(b, right, &arena, &other, &other_count, NULL) == TR_OK &&
                   count == other_count;
    for (uint32_t i = 0; i < count && is_same; i++)
        is_same = same_node(a, own[i].a, b, other[i].a) && same_node(a, own[i].b, b, other[i].b) &&
                  own[i].first_us == other[i].first_us && own[i].last_us == other[i].last_us &&
                  own[i].batch_count == other[i].batch_count &&
                  memcmp(own[i].batches, other[i].batches,
                         own[i].batch_count * sizeof *own[i].batches) == 0;
    tr_arena_free(&arena);
    return is_same;
}

static bool same_history(const tr_clusters *a, uint32_t left, const tr_clusters *b, uint32_t right)
{
    uint8_t own_id[16], other_id[16];
    tr_arena arena = {0};
    const tr_cluster_change *own = NULL, *other = NULL;
    uint32_t count = 0, other_count = 0;
    tr_clusters_id(a, left, own_id);
    tr_clusters_id(b, right, other_id);
    const bool is_same =
        memcmp(own_id, other_id, 16) == 0 &&
        tr_clusters_history(a, left, &arena, &own, &count, NULL) == TR_OK &&
        tr_clusters_history(b, right, &arena, &other, &other_count, NULL) == TR_OK &&
        count == other_count && (count == 0 || memcmp(own, other, count * sizeof *own) == 0);
    tr_arena_free(&arena);
    return is_same;
}

static bool same_identity(const world *w, const pool_id *id, const tr_clusters *a,
                          const tr_clusters *b)
{
    uint8_t key[16];
    const uint32_t *own, *other;
    tr_profile_key(w->house.secret, tr_str_of(id->code), tr_str_of(id->id), key);
    const uint32_t left = tr_clusters_find(a, key), right = tr_clusters_find(b, key);
    if (left == TR_NODE_NONE || right == TR_NODE_NONE) /* rows of one identity make no node */
        return (left == TR_NODE_NONE || tr_clusters_members(a, left, &own) == 1) &&
               (right == TR_NODE_NONE || tr_clusters_members(b, right, &own) == 1);
    const uint32_t count = tr_clusters_members(a, left, &own);
    bool is_same = tr_clusters_members(b, right, &other) == count &&
                   same_links(a, left, b, right) && same_history(a, left, b, right);
    for (uint32_t i = 0; i < count && is_same; i++)
        is_same = same_node(a, own[i], b, other[i]);
    return is_same;
}

static bool same_drops(const tr_clusters *a, const tr_clusters *b)
{
    const tr_drop *own, *other;
    const uint32_t count = tr_clusters_drops(a, &own);
    bool is_same = tr_clusters_drops(b, &other) == count;
    for (uint32_t i = 0; i < count && is_same; i++)
        is_same = same_node(a, own[i].node, b, other[i].node) && own[i].batch == other[i].batch &&
                  own[i].time_us == other[i].time_us &&
                  own[i].is_left_over == other[i].is_left_over;
    return is_same;
}

static bool is_as_expected(world *w)
{
    tr_err err = {0};
    tr_graph_reading *reading = NULL;
    if (tr_graph_read(w->house.graph, &w->house.tenant, &reading, &err) != TR_OK) {
        printf("%s\n", err.text);
        return false;
    }
    tr_clusters *should = expected(w);
    const tr_clusters *is = tr_graph_clusters(reading);
    bool is_same = same_drops(should, is);
    for (uint32_t i = 0; i < POOL && is_same; i++)
        is_same = same_identity(w, &w->pool[i], should, is);
    tr_graph_done(reading);
    tr_clusters_free(should);
    return is_same;
}

static void the_graph_is_that_of_the_live_batches(void)
{
    static world w;
    uint64_t seed = tr_test_seed(21);
    for (int i = 0; i < 2; i++) {
        bool is_good = open_world(&w, tr_test_random(&seed));
        for (int step = 0; step < 24 && is_good; step++) {
            is_good = happen(&w) && (below(&w, 3) == 0 || is_as_expected(&w));
            if (!is_good)
                printf("world %d differs after step %d\n", i, step);
        }
        CHECK(is_good && is_as_expected(&w));
        tr_world_house_close(&w.house);
    }
}

/* Hand-made ---------------------------------------------------------------------------------- */

static const char dataset[] = "64b0c0ffee0000000000a001";
static const char first_batch[] = "01FIRST0000000000000000001";
static const char second_batch[] = "01SECOND000000000000000001";

static bool publish_row(tr_world_house *house, const char *id, int64_t ingested_us,
                        const tr_world_identity *identities, uint32_t count)
{
    tr_world_run *run = NULL;
    const tr_world_batch batch = {.dataset = dataset, .id = id, .ingested_us = ingested_us};
    const bool is_good =
        tr_world_run_open(house->secret, false, ingested_us, &run, NULL) == TR_OK &&
        tr_world_run_add(run, identities, count, 5, NULL) == TR_OK &&
        tr_world_publish(house, &batch, &run, 1, NULL) == TR_OK;
    tr_world_run_close(run);
    return is_good;
}

/* {Email a, ECID 1} and {Email a, IDFA i, Shop s, Email null}; Shop is a namespace that nobody
 * has. */
static bool open_two_batches(tr_world_house *house)
{
    const tr_str email = tr_str_of("Email"), a = tr_str_of("a@example.org");
    const tr_world_identity first[] = {
        {email, a}, {tr_str_of("ECID"), tr_str_of("00000000000000000000000000000000000001")}};
    const tr_world_identity second[] = {{email, a},
                                        {tr_str_of("IDFA"), tr_str_of("i")},
                                        {tr_str_of("Shop"), tr_str_of("s")},
                                        {email, tr_str_of("null")}};
    return tr_world_house_open(house, NULL) == TR_OK &&
           publish_row(house, first_batch, 1000, first, 2) &&
           publish_row(house, second_batch, 2000, second, 4);
}

/* How many keys a lookup of Email a would ask for. */
static uint32_t keys_of_email(tr_world_house *house, tr_code *code)
{
    uint8_t key[16];
    tr_arena arena = {0};
    const uint8_t(*keys)[16] = NULL;
    uint32_t count = 0;
    tr_profile_key(house->secret, tr_str_of("email"), tr_str_of("a@example.org"), key);
    *code = tr_graph_keys(house->graph, &house->tenant, key, &arena, &keys, &count, NULL);
    if (*code == TR_OK)
        CHECK(memcmp(keys[0], key, 16) == 0); /* a person stands for devices and cookies */
    tr_arena_free(&arena);
    return count;
}

static void what_links_nobody_is_counted(void)
{
    tr_world_house house;
    tr_graph_reading *reading = NULL;
    CHECK(open_two_batches(&house));
    CHECK(tr_graph_read(house.graph, &house.tenant, &reading, NULL) == TR_OK);
    if (reading != NULL) {
        tr_str batch, of;
        const tr_graph_counts counts = tr_graph_counts_of(reading);
        CHECK(counts.rows == 2 && counts.unknown_namespaces == 1 && counts.bad_values == 1);
        tr_graph_batch(reading, 1, &batch, &of);
        CHECK(tr_str_is(batch, second_batch) && tr_str_is(of, dataset));
    }
    tr_graph_done(reading);
    tr_world_house_close(&house);
}

static void the_version_moves_with_the_batches_alone(void)
{
    tr_world_house house;
    uint64_t versions[4] = {0};
    CHECK(open_two_batches(&house));
    for (uint32_t i = 0; i < 4; i++) {
        tr_graph_reading *reading = NULL;
        CHECK(i != 2 || tr_world_set_state(&house, first_batch, "lake", NULL) == TR_OK);
        CHECK(i != 3 || tr_world_set_state(&house, first_batch, "gone", NULL) == TR_OK);
        CHECK(tr_graph_read(house.graph, &house.tenant, &reading, NULL) == TR_OK);
        versions[i] = reading == NULL ? 0 : tr_graph_version(reading);
        tr_graph_done(reading);
    }
    CHECK(versions[0] == versions[1] && versions[1] == versions[2] && versions[2] != versions[3]);
    tr_world_house_close(&house);
}

static void damage(tr_world_house *house, const char *batch_id, const char *name)
{
    tr_buf path = {0};
    CHECK(tr_lake_path(house->lake, &house->tenant, dataset, batch_id, name, &path, NULL) == TR_OK);
    FILE *file = path.at == NULL ? NULL : fopen((const char *)path.at, "r+");
    CHECK(file != NULL && fseek(file, 200, SEEK_SET) == 0 && fputs("damage", file) >= 0);
    if (file != NULL)
        CHECK(fclose(file) == 0);
    tr_buf_free(&path);
}

static void a_damaged_file_is_an_error_until_it_is_gone(void)
{
    tr_world_house house;
    tr_code code;
    CHECK(open_two_batches(&house));
    damage(&house, second_batch, "part-00000.parquet");
    for (int i = 0; i < 2; i++) {
        (void)keys_of_email(&house, &code);
        CHECK(code == TR_CORRUPT);
    }
    CHECK(tr_world_set_state(&house, second_batch, "gone", NULL) == TR_OK);
    CHECK(keys_of_email(&house, &code) == 2 && code == TR_OK);
    tr_world_house_close(&house);
}

static void a_missing_file_is_damage(void)
{
    tr_world_house house;
    tr_code code;
    CHECK(open_two_batches(&house));
    CHECK(tr_lake_remove_batch(house.lake, &house.tenant, dataset, first_batch, NULL) == TR_OK);
    (void)keys_of_email(&house, &code);
    CHECK(code == TR_CORRUPT);
    tr_world_house_close(&house);
}

static void without_memory_it_says_so_and_the_next_one_reads(void)
{
    tr_world_house house;
    tr_code code = TR_NO_MEMORY;
    uint32_t after = 0;
    CHECK(open_two_batches(&house));
    for (; code != TR_OK && after < 2000; after++) {
        tr_code again;
        tr_graph_close(house.graph);
        house.graph = NULL;
        CHECK(tr_graph_open(house.catalog, house.lake, house.store, &house.graph, NULL) == TR_OK);
        tr_memory_fail_after(after);
        (void)keys_of_email(&house, &code);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        CHECK(keys_of_email(&house, &again) == 3 && again == TR_OK);
    }
    CHECK(code == TR_OK && after > 20);
    tr_world_house_close(&house);
}

/* Rows (CRM i, Email i / 2) of one of three files. */
static bool add_pairs(tr_world_run *run, uint32_t from, uint32_t end)
{
    bool is_good = true;
    for (uint32_t i = from; i < end && is_good; i++) {
        char crm[16], email[16];
        const int crm_len = snprintf(crm, sizeof crm, "g-%u", i);
        const int email_len = snprintf(email, sizeof email, "e-%u", i / 2);
        const tr_world_identity pair[] = {
            {tr_str_of("GAID"), {(const uint8_t *)crm, (size_t)crm_len}},
            {tr_str_of("Email"), {(const uint8_t *)email, (size_t)email_len}}};
        is_good = tr_world_run_add(run, pair, 2, 7, NULL) == TR_OK;
    }
    return is_good;
}

static bool publish_many(tr_world_house *house, uint32_t rows)
{
    tr_world_run *runs[3] = {NULL};
    const tr_world_batch batch = {.dataset = dataset, .id = first_batch, .ingested_us = 9};
    bool is_good = true;
    for (uint32_t i = 0; i < 3 && is_good; i++)
        is_good = tr_world_run_open(house->secret, false, 9, &runs[i], NULL) == TR_OK &&
                  add_pairs(runs[i], rows / 3 * i, rows / 3 * (i + 1));
    is_good = is_good && tr_world_publish(house, &batch, runs, 3, NULL) == TR_OK;
    for (uint32_t i = 0; i < 3; i++)
        tr_world_run_close(runs[i]);
    return is_good;
}

static void many_rows_are_read_on_every_core_and_linked_in_order(void)
{
    enum { ROWS = 24000 };
    tr_world_house house;
    tr_graph_reading *reading = NULL;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK && publish_many(&house, ROWS));
    CHECK(tr_graph_read(house.graph, &house.tenant, &reading, NULL) == TR_OK);
    if (reading != NULL) {
        tr_clusters_stats stats;
        tr_clusters_stats_of(tr_graph_clusters(reading), &stats);
        CHECK(stats.links == ROWS && stats.clusters == ROWS / 2 && stats.nodes == ROWS / 2 * 3);
    }
    tr_graph_done(reading);
    damage(&house, first_batch, "part-00001.parquet");
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    CHECK(tr_graph_read(house.graph, &house.tenant, &reading, NULL) == TR_CORRUPT);
    tr_world_house_close(&house);
}

typedef struct watcher {
    tr_world_house *house;
    atomic_bool *is_over;
    uint32_t asked;
    bool is_good;
} watcher;

/* Each batch links two more devices: an even number of keys is half a batch. */
static void *watch(void *ctx)
{
    watcher *w = ctx;
    uint32_t before = 0;
    w->is_good = true;
    while (!atomic_load(w->is_over)) {
        tr_code code;
        const uint32_t count = keys_of_email(w->house, &code);
        w->is_good = w->is_good && code == TR_OK && count % 2 == 1 && count >= before;
        before = count;
        w->asked++;
    }
    return NULL;
}

static bool publish_two_devices(tr_world_house *house, uint32_t number)
{
    char id[32], device[16];
    tr_world_run *run = NULL;
    (void)snprintf(id, sizeof id, "01PAIR%020u", number);
    const tr_world_batch batch = {
        .dataset = dataset, .id = id, .ingested_us = 5000 + (int64_t)number};
    bool is_good = tr_world_run_open(house->secret, false, 1, &run, NULL) == TR_OK;
    for (uint32_t i = 0; i < 2 && is_good; i++) {
        (void)snprintf(device, sizeof device, "d-%u-%u", number, i);
        const tr_world_identity pair[] = {{tr_str_of("IDFA"), tr_str_of(device)},
                                          {tr_str_of("Email"), tr_str_of("a@example.org")}};
        is_good = tr_world_run_add(run, pair, 2, 1, NULL) == TR_OK;
    }
    is_good = is_good && tr_world_publish(house, &batch, &run, 1, NULL) == TR_OK;
    tr_world_run_close(run);
    return is_good;
}

static void nobody_sees_half_a_batch(void)
{
    tr_world_house house;
    tr_code code;
    atomic_bool is_over = false;
    pthread_t threads[2];
    watcher watchers[2];
    CHECK(open_two_batches(&house));
    for (uint32_t i = 0; i < 2; i++) {
        watchers[i] = (watcher){.house = &house, .is_over = &is_over};
        CHECK(pthread_create(&threads[i], NULL, watch, &watchers[i]) == 0);
    }
    for (uint32_t number = 0; number < 8; number++) {
        CHECK(publish_two_devices(&house, number));
        CHECK(keys_of_email(&house, &code) == 5 + 2 * number && code == TR_OK);
    }
    CHECK(tr_world_set_state(&house, second_batch, "lake", NULL) == TR_OK); /* folded: stays */
    CHECK(keys_of_email(&house, &code) == 19 && code == TR_OK);
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(watchers[i].is_good && watchers[i].asked > 0);
    }
    tr_world_house_close(&house);
}

static void a_tenant_that_is_retired_is_read_anew(void)
{
    tr_world_house house;
    tr_code code;
    tr_graph_reading *reading = NULL;
    CHECK(open_two_batches(&house));
    CHECK(tr_graph_read(house.graph, &house.tenant, &reading, NULL) == TR_OK);
    tr_graph_retire_tenant(house.graph, house.tenant.id);
    tr_graph_done(reading); /* whoever reads reads on */
    CHECK(keys_of_email(&house, &code) == 3 && code == TR_OK);
    tr_world_house_close(&house);
}

int main(void)
{
    RUN(the_graph_is_that_of_the_live_batches);
    RUN(what_links_nobody_is_counted);
    RUN(the_version_moves_with_the_batches_alone);
    RUN(a_damaged_file_is_an_error_until_it_is_gone);
    RUN(a_missing_file_is_damage);
    RUN(without_memory_it_says_so_and_the_next_one_reads);
    RUN(a_tenant_that_is_retired_is_read_anew);
    RUN(many_rows_are_read_on_every_core_and_linked_in_order);
    RUN(nobody_sees_half_a_batch);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
