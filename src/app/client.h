/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - makes API clients in a data folder, with its server up or down. */
#ifndef TR_APP_CLIENT_H
#define TR_APP_CLIENT_H

#include "codec/json.h"

typedef struct tr_new_client {
    const char *data, *org, *name;
    const char *role;             /* "admin", "editor", "viewer" */
    const char *const *sandboxes; /* NULL: all; else ends with NULL */
} tr_new_client;

/* *out is {"client_id","client_secret","org_id","technical_account_id"}; returned. */
TR_MUST_CHECK tr_code tr_client_add(const tr_new_client *client, json_t **out, tr_err *err);

#endif
