/* SPDX-License-Identifier: Apache-2.0 */
/* query_internal.h - one run of the worker process, from start to end; the files it may read. */
#ifndef TR_QUERY_QUERY_INTERNAL_H
#define TR_QUERY_QUERY_INTERNAL_H

#include "query/query.h"

#include <pthread.h>
#include <sys/types.h>

typedef struct tr_worker_run {
    const char *path;    /* of the executable */
    tr_str request;      /* JSON */
    int input_fd;        /* the worker's descriptor 4; -1: none */
    int result_fd;       /* its descriptor 1; -1: a pipe into `result` */
    tr_buf *result;      /* appended to */
    size_t bytes_max;    /* of what is appended */
    uint32_t deadline_s; /* then it is killed */
} tr_worker_run;

/* A worker's descriptors and what came out of them; -1: closed. */
typedef struct tr_worker_child {
    pid_t pid;
    int request_fd;
    int result_read, result_write;
    int verdict_read, verdict_write;
    tr_buf verdict;
    tr_buf *result;
    size_t result_bytes_max;
} tr_worker_child;

#define TR_WORKER_CHILD_NONE                                                                   \
    ((tr_worker_child){.pid = -1, .request_fd = -1, .result_read = -1, .result_write = -1,     \
                       .verdict_read = -1, .verdict_write = -1})

TR_MUST_CHECK tr_code tr_worker_start(tr_worker_child *child, const tr_worker_run *run,
                                      tr_err *err);
int tr_worker_end(tr_worker_child *child); /* by SIGKILL; its status. Idempotent */
void tr_worker_free(tr_worker_child *child);
/* What a worker that ended with `status` said, or why it said nothing. */
TR_MUST_CHECK tr_code tr_worker_judge(const tr_worker_child *child, int status, json_t **verdict,
                                      tr_err *err);

/* The files of a statement, linked into a folder that only one worker may read: what is removed
 * from the lake meanwhile stays for it. */
typedef struct tr_query_hold {
    char *folder;  /* NULL: none */
    json_t *links; /* {path: its name here} */
    uint64_t count;
} tr_query_hold;

TR_MUST_CHECK tr_code tr_query_hold_open(const char *scratch_folder, tr_query_hold *out,
                                         tr_err *err);
void tr_query_hold_close(tr_query_hold *hold); /* idempotent */
/* `tables` with the files' names here; *out is returned. What the last call held and this one does
 * not name goes.
 * TR_NOT_FOUND  a file has gone before it could be held: ask the catalog again */
TR_MUST_CHECK tr_code tr_query_hold_tables(tr_query_hold *hold, const json_t *tables, json_t **out,
                                           tr_err *err);

struct tr_query_session {
    tr_query_session *next; /* in the pool, as the two below */
    int64_t sandbox;        /* whose statements it has run; 0: nobody's */
    int64_t parked_us;
    tr_query *query;
    tr_worker_child child;
    pthread_mutex_t mutex; /* guards child.pid and is_killed */
    bool is_killed;
    int command_fd;
    int watched_fd; /* of the client: when it has gone, nobody waits for the answer */
    char *spill;
    tr_query_hold hold;
    uint32_t deadline_s;
    _Atomic int64_t deadline_us; /* of the command; 0: none was sent */
    bool is_lost;                /* taken, and killed by the pool: its place is somebody else's */
    _Atomic int64_t begun_cpu_us; /* what it had used when the command was sent */
    _Atomic bool is_slow;         /* pace.c: it has used much since, and is used once */
    _Atomic bool has_answered;    /* something came of it since pace.c looked */
    _Atomic bool is_awaited;      /* somebody waits for its next answer */
    bool is_paused;               /* these are the pool's keeper's: it waits for its turn */
    int64_t turned_us, seen_cpu_us;
    bool is_over;                /* it has ended by itself, with its last answer */
    char statement[64];          /* the id of the command under way; "": none was given */
    tr_buf read; /* answers, from `at` on not looked at yet */
    size_t at;
};
/* Starts one, and ends one, without the pool. */
TR_MUST_CHECK tr_code tr_query_session_make(tr_query *query, tr_query_session **out, tr_err *err);
void tr_query_session_end(tr_query_session *session); /* accepts NULL */

typedef struct tr_query_pool tr_query_pool;
TR_MUST_CHECK tr_code tr_query_pool_open(tr_query *query, uint32_t workers_max, tr_query_pool **out,
                                         tr_err *err);
void tr_query_pool_close(tr_query_pool *pool); /* accepts NULL; all that were taken are back */
TR_MUST_CHECK tr_code tr_query_pool_take(tr_query_pool *pool, const tr_query_turn *turn,
                                         tr_query_session **out, tr_err *err);
/* is_whole  it waits for a command: it may be used again, for the same sandbox */
void tr_query_pool_give_back(tr_query_pool *pool, tr_query_session *session, bool is_whole);
tr_query_pool *tr_query_pool_of(tr_query *query);

/* A command is about to be sent. */
void tr_query_pace_begin(tr_query_session *session);
typedef struct tr_query_pace_terms {
    uint32_t at_once; /* so many that have used much run at a time */
    int64_t much_us;  /* of the processor, for one command */
    int64_t turn_us;
} tr_query_pace_terms;
typedef struct tr_query_paced {
    uint32_t running; /* of those that have used much, and are waited for */
    uint32_t silent;  /* of these, without an answer since the last look */
} tr_query_paced;
/* Looks after the workers that are taken, in a list by ->next, several times a second: those whose
 * command has used much of the processor run on what others leave over, and take turns. */
tr_query_paced tr_query_pace(tr_query_session *taken, const tr_query_pace_terms *terms);

/* What query.c lends to sessions: the request of one, as JSON text, its spill folder, and the
 * folder of the files it may read. */
TR_MUST_CHECK tr_code tr_query_session_request(tr_query *query, tr_query_hold *hold, char **spill,
                                               tr_buf *out, tr_err *err);
/* Makes a folder "<kind>-<pid>-<n>" that is nobody else's; *out is returned (tr_free). */
TR_MUST_CHECK tr_code tr_query_make_folder(const char *scratch_folder, const char *kind, char **out,
                                           tr_err *err);
/* Scratch that could not be removed is swept later; it changes no answer. */
void tr_query_note_kept(tr_code code);
const char *tr_query_worker_path(const tr_query *query);
void tr_query_drop_spill(char *spill); /* taken; accepts NULL */

/* Starts the worker, waits for its end, never longer than the deadline. *verdict is returned: what
 * it said, its code being TR_OK. Every other end is an error of its own:
 *   what the worker's verdict says
 *   TR_LIMIT    the deadline, or more than bytes_max
 *   TR_INVALID  it crashed: so would it the next time
 *   TR_IO       it could not be started, or somebody killed it */
TR_MUST_CHECK tr_code tr_worker(const tr_worker_run *run, json_t **verdict, tr_err *err);

#endif
