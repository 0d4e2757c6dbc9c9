/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_demo.c - tributary demo: not written yet. */
#include "app/commands.h"

#include <stdio.h>

int tr_cmd_demo(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fprintf(stderr, "tributary demo: not there yet\n");
    return 1;
}
