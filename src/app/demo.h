/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h - what the steps of the demo share: one server, one client, and how both are shown.
 *
 *     3  Data in
 *        POST /data/foundation/import/batches                                       201
 *        PUT  /data/foundation/import/batches/01HB.../datasets/64f1.../files/crm    200
 *           4,000 records of the CRM
 */
#ifndef TR_APP_DEMO_H
#define TR_APP_DEMO_H

#include "app/demo_data.h"
#include "app/remote.h"
#include "app/server.h"

#include <signal.h>

typedef struct tr_demo {
    const char *data;   /* the server's folder */
    const char *worker; /* the SQL worker; NULL: beside the binary */
    tr_server *server;
    tr_remote *remote;
    tr_demo_data people;
    int step;
    bool has_colour;
    char crm_schema[200], loyalty_schema[200], web_schema[200];
    char crm[40], loyalty[40], web[40]; /* dataset ids */
    char newest[40], crm_first[40];     /* datasets to export to */
    char newest_table[80], crm_first_table[80];
    char policy[64]; /* the CRM goes first */
    char batch[80];  /* of the first export */
} tr_demo;

/* Set by a signal: the next call ends the demo. */
extern volatile sig_atomic_t tr_demo_interrupted;

void tr_demo_step(tr_demo *demo, const char *title);
/* A line under a call. */
void tr_demo_note(const tr_demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What a person would type. */
void tr_demo_command(const tr_demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Gets the token that all calls carry. */
TR_MUST_CHECK tr_code tr_demo_get_in(tr_demo *demo, const tr_remote_options *client, tr_err *err);
/* Prints a call, does it, prints its status. */
TR_MUST_CHECK tr_code tr_demo_call(tr_demo *demo, const char *method, const char *path,
                                   const json_t *body, json_t **out, tr_err *err);
/* The same for bytes. */
TR_MUST_CHECK tr_code tr_demo_send(tr_demo *demo, const char *path, tr_str bytes, tr_err *err);
TR_MUST_CHECK tr_code tr_demo_fetch(tr_demo *demo, const char *path, const char *to, tr_err *err);
/* Polls without printing. */
TR_MUST_CHECK tr_code tr_demo_poll(tr_demo *demo, const char *path, json_t **out, tr_err *err);

/* The tutorial, from the first token to the last table. */
TR_MUST_CHECK tr_code tr_demo_run(tr_demo *demo, tr_err *err);

#endif
