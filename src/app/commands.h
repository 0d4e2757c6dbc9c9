/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - the subcommands of `tributary`: each gets its own argv and returns the exit status.
 *
 *     0 done    1 failed, with the reason on stderr    2 usage
 */
#ifndef TR_APP_COMMANDS_H
#define TR_APP_COMMANDS_H

int tr_cmd_serve(int argc, char **argv);
int tr_cmd_client(int argc, char **argv);
int tr_cmd_ingest(int argc, char **argv);
int tr_cmd_export(int argc, char **argv);
int tr_cmd_explain(int argc, char **argv);
int tr_cmd_query(int argc, char **argv);
int tr_cmd_verify(int argc, char **argv);
int tr_cmd_demo(int argc, char **argv);

#endif
