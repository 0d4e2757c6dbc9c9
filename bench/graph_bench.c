/* SPDX-License-Identifier: Apache-2.0 */
/* graph_bench.c - how long a sandbox's identity graph takes to be read from its run files.
 *
 *     graph_bench generate DIR [--people N]    a catalog and a lake with the data below
 *     graph_bench run DIR [--out FILE]         opens them, reads the graph; FILE: code,id,label as
 *     CSV
 *
 * The data: N people. A CRM system knows everybody's CRM id and e-mail address, every twentieth
 * shares the next one's; web logins link e-mail addresses with cookies: one for everybody, a second
 * one for every fifth. 2.2 N rows of two identities each, no cluster near the limit. A cluster's
 * label is the smallest "code|id" in it, which is what the peer computes.
 */
#include "base/clock.h"
#include "catalog/namespaces.h"
#include "graph/graph_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS_PER_FILE = 275000 };

static _Noreturn void fail(const char *what, const tr_err *err)
{
    (void)fprintf(stderr, "graph_bench: %s: %s\n", what, err->text);
    exit(1);
}

static uint32_t email_of(uint32_t person)
{
    return person % 20 == 0 ? person + 1 : person;
}

typedef struct pair {
    char text[2][64];
    tr_world_identity identities[2];
} pair;

static void set_identity(pair *p, int at, const char *code)
{
    p->identities[at] = (tr_world_identity){tr_str_of(code), tr_str_of(p->text[at])};
}

/* People in an order that no key has. */
static void make_row(uint32_t people, bool is_web, uint32_t number, pair *p)
{
    const uint32_t person = is_web && number >= people ? (number - people) * 5 : number;
    const uint32_t email = email_of(person);
    if (is_web)
        (void)snprintf(p->text[0], sizeof p->text[0], "%038u", number);
    else
        (void)snprintf(p->text[0], sizeof p->text[0], "C-%09u", person);
    (void)snprintf(p->text[1], sizeof p->text[1], "person.%u@example.org", email);
    set_identity(p, 0, is_web ? "ECID" : "CRMID");
    set_identity(p, 1, "Email");
}

static void publish(tr_world_house *house, uint32_t people, bool is_web)
{
    const uint32_t rows = is_web ? people + people / 5 : people;
    tr_world_run *runs[16] = {NULL};
    uint32_t files = 0;
    tr_err err = {0};
    const int64_t time = is_web ? INT64_C(1700000002000000) : INT64_C(1700000001000000);
    for (uint32_t row = 0; row < rows; row++) {
        pair p;
        if (row % ROWS_PER_FILE == 0 && files < 16 &&
            tr_world_run_open(house->secret, is_web, time, &runs[files++], &err) != TR_OK)
            fail("run", &err);
        make_row(people, is_web, row, &p);
        if (tr_world_run_add(runs[files - 1], p.identities, 2, time - rows + row, &err) != TR_OK)
            fail("row", &err);
    }
    const tr_world_batch batch = {
        .dataset = is_web ? "64b0c0ffee0000000000a002" : "64b0c0ffee0000000000a001",
        .id = is_web ? "01WEB00000000000000000000A" : "01CRM00000000000000000000A",
        .is_event = is_web,
        .ingested_us = time};
    if (tr_world_publish(house, &batch, runs, files, &err) != TR_OK)
        fail("publish", &err);
    for (uint32_t i = 0; i < files; i++)
        tr_world_run_close(runs[i]);
}

static void generate(const char *dir, uint32_t people)
{
    tr_world_house house;
    tr_err err = {0};
    json_t *made = NULL, *crm = json_pack("{s:s, s:s, s:s}", "name", "CRM", "code", "CRMID",
                                          "idType", "CROSS_DEVICE");
    if (tr_world_house_open_in(&house, dir, &err) != TR_OK ||
        tr_namespace_create(house.catalog, house.tenant.org, crm, &made, NULL, &err) != TR_OK)
        fail(dir, &err);
    publish(&house, people, false);
    publish(&house, people, true);
    json_decref(crm);
    json_decref(made);
    tr_world_house_close(&house);
}

static int compare_nodes(const tr_node *a, const tr_node *b)
{
    const int order = tr_str_compare(a->code, b->code);
    return order != 0 ? order : tr_str_compare(a->id, b->id);
}

static void dump(const tr_clusters *clusters, const char *path)
{
    FILE *out = fopen(path, "w");
    tr_clusters_stats stats;
    tr_clusters_stats_of(clusters, &stats);
    for (uint32_t node = 0; out != NULL && node < stats.nodes; node++) {
        const uint32_t *members;
        const uint32_t count = tr_clusters_members(clusters, node, &members);
        tr_node own, least = {0};
        tr_clusters_describe(clusters, node, &own);
        for (uint32_t i = 0; i < count; i++) {
            tr_node member;
            tr_clusters_describe(clusters, members[i], &member);
            if (i == 0 || compare_nodes(&member, &least) < 0)
                least = member;
        }
        (void)fprintf(out, "%.*s,%.*s,%.*s|%.*s\n", TR_STR_ARG(own.code), TR_STR_ARG(own.id),
                      TR_STR_ARG(least.code), TR_STR_ARG(least.id));
    }
    if (out == NULL || fclose(out) != 0)
        fail(path, &(tr_err){.text = "cannot be written"});
}

/* Of the thread that links: the others read ahead. */
static int64_t cpu_us(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void run(const char *dir, const char *out)
{
    tr_world_house house;
    tr_err err = {0};
    tr_graph_reading *reading = NULL;
    tr_clusters_stats stats;
    if (tr_world_house_open_in(&house, dir, &err) != TR_OK)
        fail(dir, &err);
    const uint64_t before = tr_memory_bytes_now();
    const int64_t from = tr_time_monotonic_us(), cpu_from = cpu_us();
    if (tr_graph_read(house.graph, &house.tenant, &reading, &err) != TR_OK)
        fail("graph", &err);
    const int64_t done = tr_time_monotonic_us(), cpu_done = cpu_us();
    tr_clusters_stats_of(tr_graph_clusters(reading), &stats);
    const double bytes = (double)(tr_memory_bytes_now() - before);
    printf("graph %.3f s, linking %.3f CPU s, %llu links, %llu identities, %llu clusters, %llu "
           "went, %.0f MB, %.0f "
           "bytes an identity\n",
           (double)(done - from) / 1e6, (double)(cpu_done - cpu_from) / 1e6,
           (unsigned long long)stats.links, (unsigned long long)stats.nodes,
           (unsigned long long)stats.clusters, (unsigned long long)stats.drops, bytes / 1e6,
           bytes / (double)stats.nodes);
    if (out != NULL)
        dump(tr_graph_clusters(reading), out);
    tr_graph_done(reading);
    tr_world_house_close(&house);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 2 ? argv[2] : NULL, *out = NULL;
    uint32_t people = 1000000;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--people") == 0)
            people = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--out") == 0)
            out = argv[i + 1];
    }
    if (dir != NULL && strcmp(argv[1], "generate") == 0)
        generate(dir, people);
    else if (dir != NULL && strcmp(argv[1], "run") == 0)
        run(dir, out);
    else
        (void)fprintf(stderr,
                      "usage: graph_bench generate DIR [--people N] | run DIR [--out FILE]\n");
    return dir == NULL;
}
