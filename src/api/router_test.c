/* SPDX-License-Identifier: Apache-2.0 */
/* router_test.c - goal: every request finds the most specific endpoint of its path and method,
 * or the methods that there are; the cache forgets what has ended. Method: small tables of our
 * own, and a random one against a search that tries every endpoint. */
#include "api/core_internal.h"
#include "base/test.h"

static tr_code no_handler(tr_call *call, tr_err *err)
{
    (void)call;
    (void)err;
    return TR_OK;
}

#define E(method, path) {method, path, TR_SCOPE_READ, no_handler, 0}

static const tr_endpoint first[] = {E("GET", "/"),
                                    E("GET", "/a"),
                                    E("POST", "/a/bulk"),
                                    E("GET", "/a/{id}"),
                                    E("DELETE", "/a/{id}"),
                                    E("GET", "/a/{id}/b/{other}"),
                                    {0}};
static const tr_endpoint second[] = {E("GET", "/a/x/b/y"),
                                     E("PUT", "/f/{d}/files/{path...}"),
                                     E("HEAD", "/f/{d}/files/{path...}"),
                                     E("POST", "/f/{d}/files/list"),
                                     {0}};
static const tr_endpoint *const tables[] = {first, second, NULL};

static tr_arena arena;

/* Routes a path as http would cut it: no empty segments, already decoded. */
static tr_route route(const tr_router *router, const char *method, const char *path)
{
    tr_str segments[32];
    uint32_t count = 0;
    while (*path != '\0') {
        const size_t len = strcspn(path, "/");
        if (len > 0)
            segments[count++] = (tr_str){(const uint8_t *)path, len};
        path += len + (path[len] == '/');
    }
    tr_route out;
    const tr_http_request request = {
        .method = method, .segments = segments, .segment_count = count, .arena = &arena};
    tr_router_find(router, &request, &out);
    return out;
}

static bool leads_to(const tr_router *router, const char *method, const char *path,
                     const char *wanted)
{
    const tr_route found = route(router, method, path);
    return found.endpoint != NULL && strcmp(found.endpoint->path, wanted) == 0;
}

static void the_most_specific_endpoint_wins(void)
{
    tr_router *router = NULL;
    CHECK(tr_router_open(tables, &router, NULL) == TR_OK);
    CHECK(leads_to(router, "GET", "/", "/"));
    CHECK(leads_to(router, "GET", "/a", "/a"));
    CHECK(leads_to(router, "GET", "/a/", "/a"));
    CHECK(leads_to(router, "GET", "//a//1//", "/a/{id}"));
    CHECK(leads_to(router, "POST", "/a/bulk", "/a/bulk"));
    CHECK(leads_to(router, "GET", "/a/bulk", "/a/{id}")); /* the literal does not know GET */
    CHECK(leads_to(router, "GET", "/a/x/b/y", "/a/x/b/y"));
    CHECK(leads_to(router, "GET", "/a/x/b/z", "/a/{id}/b/{other}"));
    CHECK(leads_to(router, "HEAD", "/a/1", "/a/{id}"));
    CHECK(leads_to(router, "HEAD", "/f/1/files/p", "/f/{d}/files/{path...}"));
    CHECK(leads_to(router, "POST", "/f/1/files/list", "/f/{d}/files/list"));
    CHECK(leads_to(router, "PUT", "/f/1/files/list", "/f/{d}/files/{path...}"));
    tr_router_close(router);
}

static void parameters_come_in_the_order_of_the_path(void)
{
    tr_router *router = NULL;
    CHECK(tr_router_open(tables, &router, NULL) == TR_OK);
    tr_route found = route(router, "GET", "/a/one/b/two");
    CHECK(found.param_count == 2 && tr_str_is(found.params[0], "one") &&
          tr_str_is(found.params[1], "two"));
    found = route(router, "PUT", "/f/7/files/x/y/z.json");
    CHECK(found.param_count == 2 && tr_str_is(found.params[0], "7") &&
          tr_str_is(found.params[1], "x/y/z.json"));
    found = route(router, "GET", "/a/x/b/y");
    CHECK(found.param_count == 0);
    tr_router_close(router);
}

static void what_is_not_there_says_so(void)
{
    tr_router *router = NULL;
    CHECK(tr_router_open(tables, &router, NULL) == TR_OK);
    CHECK(route(router, "GET", "/b").endpoint == NULL);
    CHECK(route(router, "GET", "/b").allow[0] == '\0');
    CHECK(route(router, "GET", "/a/1/b").allow[0] == '\0');
    CHECK(route(router, "PUT", "/f/1/files").allow[0] == '\0');
    CHECK(strcmp(route(router, "PATCH", "/a/1").allow, "GET, DELETE") == 0);
    CHECK(strcmp(route(router, "PUT", "/a/bulk").allow, "POST, GET, DELETE") == 0);
    CHECK(strcmp(route(router, "HEAD", "/x").allow, "") == 0);
    CHECK(route(router, "get", "/a").endpoint == NULL);
    tr_router_close(router);
}

static void an_endpoint_twice_is_refused(void)
{
    static const tr_endpoint twice[] = {E("GET", "/a/{x}"), E("GET", "/a/{y}"), {0}};
    static const tr_endpoint *const both[] = {twice, NULL};
    tr_router *router = NULL;
    tr_err err = {0};
    CHECK(tr_router_open(both, &router, &err) == TR_CONFLICT);
    CHECK(router == NULL && strstr(err.text, "GET /a/{y}") != NULL);
}

/* The slow router: of all endpoints that match, the one whose first differing segment is the most
 * specific: literals before parameters. */
static bool matches(const char *pattern, const char *path)
{
    for (;;) {
        pattern += strspn(pattern, "/");
        path += strspn(path, "/");
        const size_t a = strcspn(pattern, "/"), b = strcspn(path, "/");
        if (a == 0 || b == 0)
            return a == b;
        if (pattern[0] == '{' && strncmp(pattern + a - 4, "...}", 4) == 0)
            return true;
        if (pattern[0] != '{' && (a != b || strncmp(pattern, path, a) != 0))
            return false;
        pattern += a;
        path += b;
    }
}

/* 0 literal, 1 {}, 2 {...}, for each segment: the least text wins. */
static void rank(const char *pattern, char out[16])
{
    size_t n = 0;
    while (*(pattern += strspn(pattern, "/")) != '\0') {
        const size_t len = strcspn(pattern, "/");
        out[n++] = pattern[0] != '{' ? '0' : strncmp(pattern + len - 4, "...}", 4) == 0 ? '2' : '1';
        pattern += len;
    }
    out[n] = '\0';
}

static void add_word(char path[64], const char *word)
{
    const size_t len = strlen(path);
    (void)snprintf(path + len, 64 - len, "/%s", word);
}

static void it_finds_what_a_search_through_all_finds(void)
{
    static const char *const words[] = {"a", "b", "{x}", "{y...}"};
    static const char *const methods[] = {"GET", "PUT"};
    uint64_t state = tr_test_seed(42);
    for (int world = 0; world < 200; world++) {
        static char paths[40][64];
        tr_endpoint table[41] = {0};
        size_t count = 0;
        for (int i = 0; i < 40; i++) {
            char *path = paths[count];
            path[0] = '\0';
            const uint64_t depth = tr_test_random(&state) % 4;
            for (uint64_t d = 0; d <= depth; d++) {
                const char *word = words[tr_test_random(&state) % (d == depth ? 4 : 3)];
                add_word(path, word);
            }
            const char *method = methods[tr_test_random(&state) % 2];
            bool is_new = true;
            for (size_t j = 0; j < count; j++)
                is_new = is_new && (strcmp(table[j].path, path) != 0 ||
                                    strcmp(table[j].method, method) != 0);
            if (is_new)
                table[count++] = (tr_endpoint)E(method, path);
        }
        const tr_endpoint *const one[] = {table, NULL};
        tr_router *router = NULL;
        CHECK(tr_router_open(one, &router, NULL) == TR_OK);
        for (int ask = 0; ask < 50; ask++) {
            char path[64] = "", best_rank[16] = "9", its_rank[16];
            const tr_endpoint *best = NULL;
            const uint64_t depth = tr_test_random(&state) % 5;
            for (uint64_t d = 0; d <= depth; d++)
                add_word(path, tr_test_random(&state) % 3 == 0 ? "c" : words[d % 2]);
            for (size_t i = 0; i < count; i++) {
                rank(table[i].path, its_rank);
                if (strcmp(table[i].method, "GET") == 0 && matches(table[i].path, path) &&
                    strcmp(its_rank, best_rank) < 0) {
                    best = &table[i];
                    memcpy(best_rank, its_rank, sizeof best_rank);
                }
            }
            const tr_endpoint *found = route(router, "GET", path).endpoint;
            if (found != best)
                printf("%s: %s, expected %s\n", path, found == NULL ? "-" : found->path,
                       best == NULL ? "-" : best->path);
            CHECK(found == best);
        }
        tr_router_close(router);
    }
}

static void a_fact_is_recalled_until_it_ends(void)
{
    tr_recall *recall = NULL;
    uint8_t key[32] = {1}, other[32] = {2};
    int value = 7, got = 0;
    CHECK(tr_recall_open(16, sizeof value, &recall, NULL) == TR_OK);
    CHECK(!tr_recall_get(recall, key, 0, &got));
    tr_recall_put(recall, key, 100, &value);
    CHECK(tr_recall_get(recall, key, 99, &got) && got == 7);
    CHECK(!tr_recall_get(recall, key, 100, &got));
    CHECK(!tr_recall_get(recall, other, 0, &got));
    value = 8;
    tr_recall_put(recall, key, 100, &value);
    CHECK(tr_recall_get(recall, key, 0, &got) && got == 8);
    for (int i = 0; i < 1000; i++) { /* bounded: old ones make room */
        memcpy(other, &i, sizeof i);
        tr_recall_put(recall, other, 1000 + i, &i);
        CHECK(tr_recall_get(recall, other, 0, &got) && got == i);
    }
    tr_recall_forget(recall);
    CHECK(!tr_recall_get(recall, other, 0, &got));
    tr_recall_close(recall);
}

static void roles_are_whole_words(void)
{
    CHECK(tr_scope_admits(TR_SCOPE_READ, "viewer") && !tr_scope_admits(TR_SCOPE_WRITE, "viewer"));
    CHECK(tr_scope_admits(TR_SCOPE_WRITE, "editor") && !tr_scope_admits(TR_SCOPE_ADMIN, "editor"));
    CHECK(tr_scope_admits(TR_SCOPE_ORG_ADMIN, "admin"));
    CHECK(!tr_scope_admits(TR_SCOPE_READ, "") && !tr_scope_admits(TR_SCOPE_READ, "view"));
    CHECK(!tr_scope_admits(TR_SCOPE_READ, "iewer"));
    CHECK(!tr_scope_admits(TR_SCOPE_READ, "editor admin"));
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(the_most_specific_endpoint_wins);
    RUN(parameters_come_in_the_order_of_the_path);
    RUN(what_is_not_there_says_so);
    RUN(an_endpoint_twice_is_refused);
    RUN(it_finds_what_a_search_through_all_finds);
    RUN(a_fact_is_recalled_until_it_ends);
    RUN(roles_are_whole_words);
    tr_arena_free(&arena);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
