/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - what can be set about a server: by a file, and by the command line over it.
 *
 * The file has one setting a line, `name = value`; # begins a comment. Every name is also an
 * option, `--name value`. docs/configuration.md lists them; an unknown name is an error.
 */
#ifndef TR_APP_SETTINGS_H
#define TR_APP_SETTINGS_H

#include "app/args.h"
#include "base/memory.h"

typedef struct tr_settings {     /* texts live in the arena, or in argv */
    const char *data;            /* the data folder */
    const char *listen;          /* "127.0.0.1:8080" */
    const char *pg_listen;       /* "127.0.0.1:5433"; NULL: no SQL */
    bool is_pg_listen_given;     /* not: without SQL when that port is taken */
    const char *public_url;      /* NULL: made from listen */
    const char *tls_certificate; /* PEM files; NULL: no TLS */
    const char *tls_key;
    const char *query_worker; /* NULL: beside the binary */
    const char *log_level;    /* "error", "warn", "info", "debug" */
    uint32_t workers;         /* 0, here and below: the room's own default */
    uint32_t jobs;
    uint32_t http_threads;
    uint32_t connections_max;
    uint32_t pg_connections_max;
    uint32_t pg_idle_s; /* TR_SETTINGS_UNSET: the default; 0: for ever */
    uint32_t http_timeout_s;
    uint32_t query_memory_mb;
    uint32_t query_deadline_s;
    uint32_t query_threads;
    uint32_t query_temporary_mb; /* of a session's temporary tables; 0: TR_SPILL_BYTES_MAX */
    uint32_t query_rows_max; /* of a result whose query does not say how many */
    uint32_t query_jobs; /* of Query Service at a time */
    uint32_t query_job_deadline_s;
    uint32_t segment_states; /* 2 or 3 */
    uint32_t merged_mb_max;  /* TR_SETTINGS_UNSET: the default; 0: off */
    uint32_t merged_rows_min;
} tr_settings;

#define TR_SETTINGS_UNSET UINT32_MAX
/* What settings are before anybody sets them. */
static const tr_settings tr_settings_none = {.pg_idle_s = TR_SETTINGS_UNSET,
                                             .merged_mb_max = TR_SETTINGS_UNSET,
                                             .merged_rows_min = TR_SETTINGS_UNSET};

enum { TR_SETTINGS_ARGS_MAX = 28 };
/* The table of all settings, each to its place in *settings; ends with a NULL name. */
void tr_settings_args(tr_settings *settings, tr_arg out[TR_SETTINGS_ARGS_MAX]);

/* Reads a file over *settings.
 * TR_INVALID  names line, setting and what was expected */
TR_MUST_CHECK tr_code tr_settings_read(tr_settings *settings, const char *path, tr_arena *arena,
                                       tr_err *err);
/* What the parts must be to each other; fills the defaults.
 * TR_INVALID  names the setting */
TR_MUST_CHECK tr_code tr_settings_check(tr_settings *settings, tr_err *err);

#endif
