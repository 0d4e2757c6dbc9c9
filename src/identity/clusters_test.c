/* SPDX-License-Identifier: Apache-2.0 */
/* clusters_test.c - goal: clusters, anchors, times, links, drops, ids and history are what the
 * rules of clusters.h say. Method: a model that states the rules plainly, with a matrix of links
 * and a search through it for every question, is compared after every row of random streams: few
 * and many identities, hubs, repeats, rows too wide, classes that never link, times in and out of
 * order.
 */
#include "identity/clusters.h"
#include "base/clock.h"
#include "base/test.h"
#include "codec/hash.h"

#include <stdio.h>

enum { NODES = 160, ROWS = 400, NAMES = 4000, DROPS = 4000, HISTORY = 400, BATCHES = 64 };

static int passed, failed;

/* The model ------------------------------------------------------------------------------------ */

typedef struct model_link {
    bool is_there;
    int64_t first_us, last_us;
    uint64_t batches; /* one bit each */
} model_link;

typedef struct model {
    int nodes;
    uint8_t key[NODES][16];
    char code[NODES][16], id[NODES][16];
    tr_node_class kind[NODES];
    int64_t first_us[NODES], last_us[NODES];
    model_link link[NODES][NODES];
    int name[NODES]; /* of its cluster; -1: none */
    int name_count, named_by[NAMES], generation[NAMES];
    int history[NODES][HISTORY], history_count[NODES];
    int64_t recorded_us[NODES][HISTORY];
    int drop_count;
    tr_drop drops[DROPS];
    uint64_t too_wide;
} model;

static int by_key(const model *m, int a, int b)
{
    return memcmp(m->key[a], m->key[b], 16);
}

static bool has_links(const model *m, int node)
{
    for (int i = 0; i < m->nodes; i++)
        if (m->link[node][i].is_there)
            return true;
    return false;
}

/* Whom `from` is connected with: in[node]. */
static int component(const model *m, int from, bool in[NODES])
{
    int queue[NODES], count = 1;
    memset(in, 0, NODES * sizeof *in);
    queue[0] = from;
    in[from] = true;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < m->nodes; j++)
            if (m->link[queue[i]][j].is_there && !in[j]) {
                in[j] = true;
                queue[count++] = j;
            }
    return count;
}

static bool is_better_anchor(const model *m, int a, int b)
{
    if (m->kind[a] != m->kind[b])
        return m->kind[a] < m->kind[b];
    if (m->first_us[a] != m->first_us[b])
        return m->first_us[a] < m->first_us[b];
    const int order = strcmp(m->code[a], m->code[b]);
    return order != 0 ? order < 0 : strcmp(m->id[a], m->id[b]) < 0;
}

static int anchor_of(const model *m, const bool in[NODES])
{
    int best = -1;
    for (int i = 0; i < m->nodes; i++)
        if (in[i] && (best < 0 || is_better_anchor(m, i, best)))
            best = i;
    return best;
}

static bool goes_first(const model *m, int a, int b)
{
    if (m->kind[a] != m->kind[b])
        return m->kind[a] > m->kind[b];
    if (m->last_us[a] != m->last_us[b])
        return m->last_us[a] < m->last_us[b];
    return by_key(m, a, b) < 0;
}

static void drop(model *m, int node, const tr_link_row *row, bool is_left_over)
{
    for (int i = 0; i < m->nodes; i++)
        m->link[node][i].is_there = m->link[i][node].is_there = false;
    m->first_us[node] = m->last_us[node] = TR_TIME_NONE;
    m->name[node] = -1;
    m->drops[m->drop_count++] = (tr_drop){(uint32_t)node, row->batch, row->time_us, is_left_over};
}

static void drop_one(model *m, const bool in[NODES], const bool in_row[NODES],
                     const tr_link_row *row)
{
    int victim = -1;
    for (int i = 0; i < m->nodes; i++)
        if (in[i] && !in_row[i] && (victim < 0 || goes_first(m, i, victim)))
            victim = i;
    drop(m, victim, row, false);
    for (;;) { /* those that are linked with nobody now, by key */
        int left = -1;
        for (int i = 0; i < m->nodes; i++)
            if (in[i] && i != victim && m->first_us[i] != TR_TIME_NONE && !has_links(m, i) &&
                (left < 0 || by_key(m, i, left) < 0))
                left = i;
        if (left < 0)
            return;
        drop(m, left, row, true);
    }
}

static int new_name(model *m, int node)
{
    int generation = 1;
    for (int i = 0; i < m->name_count; i++)
        generation += m->named_by[i] == node;
    m->named_by[m->name_count] = node;
    m->generation[m->name_count] = generation;
    return m->name_count++;
}

/* Which of the names that the members had they would have together; -1: none had one. */
static int merged_name(const model *m, const bool in[NODES])
{
    int best = -1, best_size = 0;
    for (int name = 0; name < m->name_count; name++) {
        int size = 0;
        for (int i = 0; i < m->nodes; i++)
            size += in[i] && m->name[i] == name;
        if (size > best_size) {
            best = name;
            best_size = size;
        }
    }
    return best;
}

/* A part of what the row brought together has a name now. */
static void settle(model *m, const bool part[NODES], int best, int merged, int64_t recorded_us)
{
    const int anchor = anchor_of(m, part);
    const int name = anchor == best && merged >= 0 ? merged : new_name(m, anchor);
    for (int i = 0; i < m->nodes; i++)
        if (part[i] && m->name[i] != name) {
            m->recorded_us[i][m->history_count[i]] = recorded_us;
            m->history[i][m->history_count[i]++] = name;
            m->name[i] = name;
        }
}

static void unite(model *m, int from, const bool in_row[NODES], const tr_link_row *row)
{
    bool all[NODES], in[NODES];
    (void)component(m, from, all);
    const int merged = merged_name(m, all);
    while (component(m, from, in) > (int)TR_CLUSTER_MEMBERS_MAX)
        drop_one(m, in, in_row, row);
    for (int i = 0; i < m->nodes; i++)
        all[i] = all[i] && m->first_us[i] != TR_TIME_NONE;
    const int best = anchor_of(m, all);
    for (; from >= 0; from = anchor_of(m, all)) {
        (void)component(m, from, in);
        settle(m, in, best, merged, row->recorded_us);
        for (int i = 0; i < m->nodes; i++)
            all[i] = all[i] && !in[i];
    }
}

static void see(model *m, int a, int b, const tr_link_row *row)
{
    model_link *link = &m->link[a][b];
    if (!link->is_there)
        *link = (model_link){true, row->time_us, row->time_us, 0};
    link->batches |= UINT64_C(1) << row->batch;
    if (row->time_us < link->first_us)
        link->first_us = row->time_us;
    if (row->time_us > link->last_us)
        link->last_us = row->time_us;
    if (m->first_us[a] == TR_TIME_NONE || row->time_us < m->first_us[a])
        m->first_us[a] = row->time_us;
    if (m->last_us[a] == TR_TIME_NONE || row->time_us > m->last_us[a])
        m->last_us[a] = row->time_us;
}

static void model_row(model *m, const tr_link_row *row)
{
    bool in_row[NODES] = {false};
    int distinct = 0, linked = 0, from = -1;
    for (uint32_t i = 0; i < row->count; i++)
        in_row[row->nodes[i]] = true;
    for (int i = 0; i < m->nodes; i++) {
        distinct += in_row[i];
        if (m->kind[i] == TR_NODE_UNLINKED)
            in_row[i] = false;
        linked += in_row[i];
        if (in_row[i])
            from = i;
    }
    m->too_wide += distinct > (int)TR_LINK_IDENTITIES_MAX;
    if (distinct > (int)TR_LINK_IDENTITIES_MAX || linked < 2)
        return;
    for (int i = 0; i < m->nodes; i++)
        for (int j = 0; j < m->nodes; j++)
            if (i != j && in_row[i] && in_row[j])
                see(m, i, j, row);
    unite(m, from, in_row, row);
}

/* Comparing ------------------------------------------------------------------------------------ */

static bool same_members(const model *m, const tr_clusters *clusters, int node)
{
    const uint32_t *members;
    bool in[NODES];
    const int count = component(m, node, in);
    bool is_same = (int)tr_clusters_members(clusters, (uint32_t)node, &members) == count;
    for (int i = 0; i < count && is_same; i++) {
        const int best = anchor_of(m, in);
        is_same = (int)members[i] == best;
        in[best] = false;
    }
    return is_same && tr_clusters_anchor(clusters, (uint32_t)node) == members[0];
}

static bool same_batches(const tr_link *link, uint64_t batches)
{
    uint32_t at = 0;
    for (uint32_t batch = 0; batch < BATCHES; batch++)
        if ((batches >> batch & 1) != 0 &&
            (at == link->batch_count || link->batches[at++] != batch))
            return false;
    return at == link->batch_count;
}

static bool same_links(const model *m, const tr_clusters *clusters, int node, tr_arena *arena)
{
    const tr_link *links = NULL;
    uint32_t count = 0;
    int expected = 0;
    bool in[NODES], is_same;
    (void)component(m, node, in);
    is_same = tr_clusters_links(clusters, (uint32_t)node, arena, &links, &count, NULL) == TR_OK;
    for (int i = 0; i < m->nodes; i++)
        for (int j = 0; j < i; j++)
            expected += in[i] && m->link[i][j].is_there;
    is_same = is_same && (int)count == expected;
    for (uint32_t i = 0; i < count && is_same; i++) {
        const tr_link *link = &links[i];
        const model_link *own = &m->link[link->a][link->b];
        is_same = own->is_there && in[link->a] && by_key(m, (int)link->a, (int)link->b) < 0 &&
                  link->first_us == own->first_us && link->last_us == own->last_us &&
                  same_batches(link, own->batches);
        if (i > 0 && is_same) {
            const int order = by_key(m, (int)link[-1].a, (int)link->a);
            is_same = order < 0 || (order == 0 && by_key(m, (int)link[-1].b, (int)link->b) < 0);
        }
    }
    return is_same;
}

static void model_id(const model *m, int node, int generation, uint8_t out[16])
{
    uint8_t text[20] = {0};
    memcpy(text, m->key[node], 16);
    text[18] = (uint8_t)(generation >> 8);
    text[19] = (uint8_t)generation;
    const tr_hash128 hash = tr_hash128_of((tr_str){text, sizeof text});
    memcpy(out, hash.bytes, 16);
}

static bool same_ids(const model *m, const tr_clusters *clusters, int node, tr_arena *arena)
{
    uint8_t expected[16], found[16];
    const tr_cluster_change *changes = NULL;
    uint32_t count = 0;
    const int name = m->name[node], total = m->history_count[node];
    model_id(m, name < 0 ? node : m->named_by[name], name < 0 ? 0 : m->generation[name], expected);
    tr_clusters_id(clusters, (uint32_t)node, found);
    bool is_same =
        memcmp(found, expected, 16) == 0 &&
        tr_clusters_history(clusters, (uint32_t)node, arena, &changes, &count, NULL) == TR_OK &&
        (int)count == total;
    for (int i = 0; i < total && is_same; i++) {
        const int then = m->history[node][total - 1 - i];
        model_id(m, m->named_by[then], m->generation[then], expected);
        is_same = memcmp(changes[i].cluster, expected, 16) == 0 &&
                  changes[i].recorded_us == m->recorded_us[node][total - 1 - i];
    }
    return is_same;
}

static bool same_stats(const model *m, const tr_clusters *clusters)
{
    tr_clusters_stats stats, own = {.nodes = (uint64_t)m->nodes,
                                    .drops = (uint64_t)m->drop_count,
                                    .rows_too_wide = m->too_wide};
    const tr_drop *drops;
    bool is_counted[NODES] = {false}, in[NODES];
    for (int i = 0; i < m->nodes; i++) {
        for (int j = 0; j < i; j++)
            own.links += m->link[i][j].is_there;
        if (m->name[i] < 0)
            continue;
        own.linked_nodes++;
        (void)component(m, i, in);
        own.clusters += !is_counted[i];
        for (int j = 0; j < m->nodes; j++)
            is_counted[j] = is_counted[j] || in[j];
    }
    tr_clusters_stats_of(clusters, &stats);
    bool is_same = memcmp(&stats, &own, sizeof stats) == 0 &&
                   (int)tr_clusters_drops(clusters, &drops) == m->drop_count;
    for (int i = 0; i < m->drop_count && is_same; i++)
        is_same = drops[i].node == m->drops[i].node && drops[i].batch == m->drops[i].batch &&
                  drops[i].time_us == m->drops[i].time_us &&
                  drops[i].is_left_over == m->drops[i].is_left_over;
    return is_same;
}

static bool is_same(const model *m, const tr_clusters *clusters)
{
    tr_arena arena = {0};
    bool is_good = same_stats(m, clusters);
    for (int i = 0; i < m->nodes && is_good; i++) {
        tr_node node;
        tr_clusters_describe(clusters, (uint32_t)i, &node);
        is_good = tr_clusters_find(clusters, m->key[i]) == (uint32_t)i &&
                  memcmp(node.key, m->key[i], 16) == 0 && tr_str_is(node.code, m->code[i]) &&
                  tr_str_is(node.id, m->id[i]) && node.kind == m->kind[i] &&
                  node.first_us == m->first_us[i] && node.last_us == m->last_us[i] &&
                  same_members(m, clusters, i) && same_links(m, clusters, i, &arena) &&
                  same_ids(m, clusters, i, &arena);
        tr_arena_reset(&arena);
    }
    tr_arena_free(&arena);
    return is_good;
}

/* Random streams ------------------------------------------------------------------------------- */

typedef struct world {
    uint64_t random;
    model m;
    tr_clusters *clusters;
    int width; /* of most rows */
    int hubs;  /* nodes that many rows name; 0: none */
    int times; /* 0: all the same; 1: ascending; 2: any */
} world;

static uint32_t below(world *w, int bound)
{
    return (uint32_t)(tr_test_random(&w->random) % (uint64_t)bound);
}

static bool add_node(model *m, tr_clusters *clusters, int i, tr_node_class kind, const char *code)
{
    uint32_t node = 0;
    const uint64_t seed[2] = {(uint64_t)i, 5};
    const tr_hash128 key = tr_hash128_of((tr_str){(const uint8_t *)seed, sizeof seed});
    memcpy(m->key[i], key.bytes, 16);
    (void)snprintf(m->code[i], sizeof m->code[i], "%s", code);
    (void)snprintf(m->id[i], sizeof m->id[i], "id-%d", i);
    m->kind[i] = kind;
    m->first_us[i] = m->last_us[i] = TR_TIME_NONE;
    m->name[i] = -1;
    m->nodes = i + 1;
    return tr_clusters_node(clusters, m->key[i], tr_str_of(m->code[i]), tr_str_of(m->id[i]), kind,
                            &node, NULL) == TR_OK &&
           node == (uint32_t)i;
}

static bool open_world(world *w, uint64_t seed)
{
    static const char *const codes[] = {"CRMID", "IDFA", "ECID", "Company", "Email", "AAID"};
    static const tr_node_class kinds[] = {TR_NODE_PERSON,   TR_NODE_DEVICE, TR_NODE_COOKIE,
                                          TR_NODE_UNLINKED, TR_NODE_PERSON, TR_NODE_COOKIE};
    memset(w, 0, sizeof *w);
    w->random = seed;
    w->width = 2 + (int)below(w, 3);
    w->hubs = (int)below(w, 4);
    w->times = (int)below(w, 3);
    const int nodes = 8 + (int)below(w, NODES - 8);
    bool is_good = tr_clusters_new(&w->clusters, NULL) == TR_OK;
    for (int i = 0; i < nodes && is_good; i++) {
        const uint32_t which = i % 3 == 0 ? 0 : below(w, 6);
        is_good = add_node(&w->m, w->clusters, i, kinds[which], codes[which]);
    }
    return is_good;
}

static void random_row(world *w, int number, uint32_t *nodes, tr_link_row *row)
{
    const uint32_t dice = below(w, 30);
    *row = (tr_link_row){.nodes = nodes, .batch = (uint32_t)(number / 16), .recorded_us = number};
    row->count = dice == 0 ? 40 : dice == 1 ? 18 : 1 + below(w, w->width);
    row->time_us = w->times == 0 ? 7 : w->times == 1 ? number : -40 + (int)below(w, 80);
    for (uint32_t i = 0; i < row->count; i++)
        nodes[i] = w->hubs > 0 && below(w, 4) == 0 ? below(w, w->hubs) : below(w, w->m.nodes);
}

static void random_streams_give_what_the_model_gives(void)
{
    static world w;
    uint64_t seed = tr_test_seed(11), drops = 0, left_over = 0, wide = 0;
    for (int i = 0; i < 16; i++) {
        bool is_good = open_world(&w, tr_test_random(&seed));
        CHECK(is_good);
        for (int number = 0; number < ROWS && is_good; number++) {
            uint32_t nodes[40];
            tr_link_row row;
            random_row(&w, number, nodes, &row);
            model_row(&w.m, &row);
            is_good = tr_clusters_link(w.clusters, &row, NULL) == TR_OK &&
                      (number % 16 != 15 || is_same(&w.m, w.clusters));
            if (!is_good)
                printf("stream %d differs at row %d\n", i, number);
            CHECK(is_good);
        }
        drops += (uint64_t)w.m.drop_count;
        wide += w.m.too_wide;
        for (int j = 0; j < w.m.drop_count; j++)
            left_over += w.m.drops[j].is_left_over;
        tr_clusters_free(w.clusters);
    }
    CHECK(drops > 100 && left_over > 10 && wide > 10); /* the streams go where the rules are */
    printf("%llu went, %llu of them left over, %llu rows too wide\n", (unsigned long long)drops,
           (unsigned long long)left_over, (unsigned long long)wide);
}

/* Hand-made ------------------------------------------------------------------------------------ */

static bool link_pair(tr_clusters *clusters, uint32_t a, uint32_t b, int64_t time_us)
{
    const uint32_t nodes[] = {a, b};
    return tr_clusters_link(clusters,
                            &(tr_link_row){.nodes = nodes, .count = 2, .time_us = time_us},
                            NULL) == TR_OK;
}

/* `count` persons in a chain: 0-1, 1-2, ... each link a microsecond later. */
static bool open_chain(model *m, tr_clusters **clusters, int count)
{
    memset(m, 0, sizeof *m);
    bool is_good = tr_clusters_new(clusters, NULL) == TR_OK;
    for (int i = 0; i < count && is_good; i++)
        is_good = add_node(m, *clusters, i, TR_NODE_PERSON, "CRMID");
    for (int i = 1; i < count && is_good; i++)
        is_good = link_pair(*clusters, (uint32_t)i - 1, (uint32_t)i, i);
    return is_good;
}

static void fifty_stay_and_with_the_fifty_first_the_oldest_goes(void)
{
    static model m;
    tr_clusters *clusters = NULL;
    const uint32_t *members;
    const tr_drop *drops;
    CHECK(open_chain(&m, &clusters, 50));
    CHECK(tr_clusters_members(clusters, 7, &members) == 50);
    CHECK(tr_clusters_drops(clusters, &drops) == 0);
    tr_clusters_free(clusters);
    CHECK(open_chain(&m, &clusters, 51));
    CHECK(tr_clusters_members(clusters, 50, &members) == 50);
    CHECK(tr_clusters_drops(clusters, &drops) == 1 && drops[0].node == 0);
    CHECK(tr_clusters_members(clusters, 0, &members) == 1 && members[0] == 0);
    tr_clusters_free(clusters);
}

static void a_hub_that_goes_leaves_its_spokes_alone(void)
{
    static model m;
    tr_clusters *clusters = NULL;
    const uint32_t *members;
    const tr_drop *drops;
    memset(&m, 0, sizeof m);
    CHECK(tr_clusters_new(&clusters, NULL) == TR_OK);
    CHECK(add_node(&m, clusters, 0, TR_NODE_COOKIE, "ECID")); /* of its class alone: it goes */
    for (int i = 1; i <= 51; i++)
        CHECK(add_node(&m, clusters, i, TR_NODE_PERSON, "CRMID"));
    for (uint32_t i = 1; i <= 40; i++)
        CHECK(link_pair(clusters, 0, i, i));
    for (uint32_t i = 41; i <= 51; i++)
        CHECK(link_pair(clusters, 40, i, i));
    CHECK(tr_clusters_drops(clusters, &drops) == 40 && drops[0].node == 0);
    CHECK(!drops[0].is_left_over && drops[1].is_left_over);
    CHECK(tr_clusters_members(clusters, 1, &members) == 1);
    CHECK(tr_clusters_members(clusters, 40, &members) == 12);
    tr_clusters_free(clusters);
}

static void a_row_of_twenty_links_and_one_of_twenty_one_does_not(void)
{
    static model m;
    tr_clusters *clusters = NULL;
    uint32_t nodes[21];
    const uint32_t *members;
    tr_clusters_stats stats;
    memset(&m, 0, sizeof m);
    CHECK(tr_clusters_new(&clusters, NULL) == TR_OK);
    for (int i = 0; i < 21; i++) {
        CHECK(add_node(&m, clusters, i, TR_NODE_PERSON, "CRMID"));
        nodes[i] = (uint32_t)i;
    }
    CHECK(tr_clusters_link(clusters, &(tr_link_row){.nodes = nodes, .count = 21}, NULL) == TR_OK);
    CHECK(tr_clusters_members(clusters, 0, &members) == 1);
    CHECK(tr_clusters_link(clusters, &(tr_link_row){.nodes = nodes, .count = 20}, NULL) == TR_OK);
    CHECK(tr_clusters_members(clusters, 0, &members) == 20);
    tr_clusters_stats_of(clusters, &stats);
    CHECK(stats.rows_too_wide == 1 && stats.links == 190 && stats.linked_nodes == 20);
    tr_clusters_free(clusters);
}

static void a_key_that_nobody_gave_is_not_found(void)
{
    static model m;
    tr_clusters *clusters = NULL;
    uint8_t key[16] = {0};
    CHECK(tr_clusters_new(&clusters, NULL) == TR_OK);
    CHECK(tr_clusters_find(clusters, key) == TR_NODE_NONE);
    memset(&m, 0, sizeof m);
    CHECK(add_node(&m, clusters, 0, TR_NODE_PERSON, "CRMID"));
    CHECK(tr_clusters_find(clusters, key) == TR_NODE_NONE);
    CHECK(tr_clusters_find(clusters, m.key[0]) == 0);
    tr_clusters_free(clusters);
}

/* The dictionary widens several times, lists are made, freed and made again. */
static tr_code many_links(uint64_t fail_after)
{
    tr_clusters *clusters = NULL;
    tr_memory_fail_after(fail_after);
    tr_code code = tr_clusters_new(&clusters, NULL);
    for (uint32_t i = 0; i < 3000 && code == TR_OK; i++) {
        uint32_t nodes[3];
        for (uint32_t j = 0; j < 3 && code == TR_OK; j++) {
            const uint32_t id = j == 0 ? i % 7 : i * 2 + j;
            const tr_hash128 key = tr_hash128_of((tr_str){(const uint8_t *)&id, sizeof id});
            code = tr_clusters_node(clusters, key.bytes, tr_str_of("ECID"), (tr_str){key.bytes, 16},
                                    TR_NODE_COOKIE, &nodes[j], NULL);
        }
        const tr_link_row row = {.nodes = nodes, .count = 3, .batch = i, .time_us = i};
        if (code == TR_OK)
            code = tr_clusters_link(clusters, &row, NULL);
    }
    tr_memory_fail_after(UINT64_MAX);
    tr_clusters_free(clusters);
    return code;
}

static void without_memory_it_says_so_and_lets_go_of_all(void)
{
    const uint64_t before = tr_memory_bytes_now();
    tr_code code = TR_NO_MEMORY;
    uint64_t after = 0;
    for (; code == TR_NO_MEMORY && after < 1000; after++) {
        code = many_links(after);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        CHECK(tr_memory_bytes_now() == before);
    }
    CHECK(code == TR_OK && after > 20);
}

int main(void)
{
    RUN(random_streams_give_what_the_model_gives);
    RUN(fifty_stay_and_with_the_fifty_first_the_oldest_goes);
    RUN(a_hub_that_goes_leaves_its_spokes_alone);
    RUN(a_row_of_twenty_links_and_one_of_twenty_one_does_not);
    RUN(a_key_that_nobody_gave_is_not_found);
    RUN(without_memory_it_says_so_and_lets_go_of_all);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
