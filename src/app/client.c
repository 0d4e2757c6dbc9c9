/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - tributary client add: credentials for somebody who calls the API.
 *
 * Writes to the catalog itself, so that the first client can be made before anybody can log in: who
 * may write the data folder is the administrator. A running server finds the client at once.
 */
#include "app/client.h"
#include "app/commands.h"
#include "app/server.h"

#include "api/api.h"

#include <stdio.h>

static const char usage[] =
    "usage: tributary client add --data DIR --org ORG --name NAME [--role admin|editor|viewer]\n"
    "                            [--sandbox NAME]...\n"
    "Adds an API client to an org, and the org when it is new; the server may be up or down. "
    "Prints\n"
    "one JSON object: client_id, client_secret (shown only now), org_id, technical_account_id.\n"
    "\n"
    "  --org ORG        of the form 0123456789ABCDEF01234567@AdobeOrg\n"
    "  --role ROLE      viewer reads (unless told otherwise), editor changes, admin does all\n"
    "  --sandbox NAME   only these sandboxes; may be repeated\n";

tr_code tr_client_add(const tr_new_client *client, json_t **out, tr_err *err)
{
    char path[TR_DATA_PATH_BYTES];
    tr_catalog *catalog = NULL;
    TR_TRY(tr_api_client_check(client->org, client->name, client->role, client->sandboxes, err));
    TR_TRY(tr_dir_make(client->data, err));
    TR_TRY(tr_data_path(client->data, TR_DATA_CATALOG, path, err));
    TR_TRY(tr_catalog_open(path, &catalog, err));
    const tr_code code = tr_api_client_add(catalog, client->org, client->name, client->role,
                                           client->sandboxes, out, err);
    tr_catalog_close(catalog);
    return code;
}

int tr_cmd_client(int argc, char **argv)
{
    tr_new_client o = {.role = "viewer"};
    tr_arg_list sandboxes = {0};
    tr_err err = {0};
    json_t *client = NULL;
    int words;
    const tr_arg args[] = {{"data", TR_ARG_TEXT, &o.data},       {"org", TR_ARG_TEXT, &o.org},
                           {"name", TR_ARG_TEXT, &o.name},       {"role", TR_ARG_TEXT, &o.role},
                           {"sandbox", TR_ARG_LIST, &sandboxes}, {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "client", .usage = usage, .args = args, .words_most = 1};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (words != 1 || strcmp(argv[1], "add") != 0)
        return tr_args_refuse(&command, "only `client add` exists");
    const char *missing = o.data == NULL   ? "data"
                          : o.org == NULL  ? "org"
                          : o.name == NULL ? "name"
                                           : NULL;
    if (missing != NULL)
        return tr_args_refuse(&command, "--%s is missing", missing);
    o.sandboxes = sandboxes.count > 0 ? sandboxes.texts : NULL;
    const tr_code code = tr_client_add(&o, &client, &err);
    if (code == TR_INVALID) /* the text names the option's value */
        return tr_args_refuse(&command, "%s", err.text);
    if (code != TR_OK) {
        fprintf(stderr, "tributary client: %s\n", err.text);
        return 1;
    }
    (void)json_dumpf(client, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    printf("\n");
    json_decref(client);
    return 0;
}
