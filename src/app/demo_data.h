/* SPDX-License-Identifier: Apache-2.0 */
/* demo_data.h - three systems of a shop that know the same people, made up: the same every time.
 *
 *     person        0 ................................ people
 *     CRM           |###############################.......|   the first four fifths
 *     loyalty       |.............#########################|   the last three fifths
 *     web           every third person, and visitors that nobody knows
 *
 * Loyalty has numbers of its own, and knows the CRMID of its members, which makes them one person;
 * where both know somebody, loyalty was told a newer e-mail address by some. Every line is one XDM
 * object; names and addresses are invented, mail goes to example.com.
 */
#ifndef TR_APP_DEMO_DATA_H
#define TR_APP_DEMO_DATA_H

#include "base/memory.h"

typedef struct tr_demo_data {
    tr_buf crm, loyalty, web; /* JSON lines */
    uint32_t crm_rows, loyalty_rows, web_rows;
    uint32_t visitors; /* web identities without a CRMID */
    char member[16];   /* the loyalty number of somebody whom the CRM knows as well */
} tr_demo_data;

enum { TR_DEMO_PEOPLE = 5000 };

/* *out is zeroed before; freed by tr_demo_data_free, also after a failure. */
TR_MUST_CHECK tr_code tr_demo_data_make(uint32_t people, uint32_t visitors, tr_demo_data *out,
                                        tr_err *err);
void tr_demo_data_free(tr_demo_data *data);

#endif
