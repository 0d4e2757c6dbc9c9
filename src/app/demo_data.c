/* SPDX-License-Identifier: Apache-2.0 */
/* demo_data.c - see demo_data.h. */
#include "app/demo_data.h"

#include <ctype.h>
#include <stdio.h>

static const char *const first_names[] = {
    "Ada",   "Amir", "Anna",  "Ben",  "Carla", "Chen", "Dana",  "Elif", "Emil",  "Eva",
    "Farid", "Finn", "Grace", "Hana", "Ines",  "Ivan", "Jonas", "Kofi", "Lena",  "Luca",
    "Maria", "Mina", "Noor",  "Olga", "Omar",  "Paul", "Rosa",  "Sami", "Tomas", "Yuki"};
static const char *const last_names[] = {"Adeyemi", "Bauer",  "Costa",  "Dubois", "Eriksen",
                                         "Fischer", "Garcia", "Haddad", "Ito",    "Jansen",
                                         "Kaya",    "Lopez",  "Moreau", "Nguyen", "Okafor",
                                         "Petrov",  "Rossi",  "Sato",   "Tanaka", "Weber"};
static const char *const cities[][2] = {
    {"Berlin", "DE"}, {"Lyon", "FR"},  {"Porto", "PT"},  {"Oslo", "NO"},  {"Graz", "AT"},
    {"Gent", "BE"},   {"Turin", "IT"}, {"Malaga", "ES"}, {"Leeds", "GB"}, {"Tampere", "FI"}};
static const char *const tiers[] = {"bronze", "bronze", "bronze", "silver", "silver", "gold"};
static const char *const pages[] = {"home", "shoes",  "jackets", "bags",
                                    "sale", "basket", "checkout"};

#define PICK(list, number) (list)[(number) % (sizeof(list) / sizeof *(list))]

/* A number that belongs to (person, what): the same in every system, so that they agree on it. */
static uint64_t number_of(uint32_t person, uint32_t what)
{
    uint64_t x = ((uint64_t)person << 32 | what) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    x ^= x >> 31;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 29;
}

enum {
    FIRST_NAME = 1,
    LAST_NAME,
    CITY,
    BIRTHDAY,
    TIER,
    POINTS,
    NEW_MAIL,
    JOINED,
    VISITS,
    PAGE,
    MOMENT
};

/* anna.rossi.42@example.com */
static void mail_of(uint32_t person, const char *suffix, char out[96])
{
    (void)snprintf(out, 96, "%s.%s.%u%s@example.com",
                   PICK(first_names, number_of(person, FIRST_NAME)),
                   PICK(last_names, number_of(person, LAST_NAME)), person, suffix);
    for (char *at = out; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
}

static tr_code add_crm(tr_buf *out, uint32_t person, tr_err *err)
{
    char mail[96];
    const uint64_t birth = number_of(person, BIRTHDAY);
    const char *const *city = cities[number_of(person, CITY) % (sizeof cities / sizeof *cities)];
    mail_of(person, "", mail);
    return tr_buf_format(out, err,
                         "{\"identityMap\":{\"CRMID\":[{\"id\":\"crm-%06u\",\"primary\":true}],"
                         "\"Email\":[{\"id\":\"%s\"}]},"
                         "\"person\":{\"name\":{\"firstName\":\"%s\",\"lastName\":\"%s\"},"
                         "\"birthDate\":\"%u-%02u-%02u\"},"
                         "\"personalEmail\":{\"address\":\"%s\"},"
                         "\"homeAddress\":{\"city\":\"%s\",\"countryCode\":\"%s\"}}\n",
                         person, mail, PICK(first_names, number_of(person, FIRST_NAME)),
                         PICK(last_names, number_of(person, LAST_NAME)),
                         1940 + (unsigned)(birth % 65), 1 + (unsigned)(birth / 65 % 12),
                         1 + (unsigned)(birth / 780 % 28), mail, city[0], city[1]);
}

static unsigned member_of(uint32_t person)
{
    return person * 7919 % 100000000;
}

/* A third of the members gave another address than the CRM knows. */
static tr_code add_loyalty(tr_buf *out, uint32_t person, tr_err *err)
{
    char mail[96];
    const unsigned points = (unsigned)(number_of(person, POINTS) % 9000);
    mail_of(person, number_of(person, NEW_MAIL) % 3 == 0 ? ".new" : "", mail);
    return tr_buf_format(out, err,
                         "{\"identityMap\":{\"LOYALTYID\":[{\"id\":\"L%08u\",\"primary\":true}],"
                         "\"CRMID\":[{\"id\":\"crm-%06u\"}]},"
                         "\"personalEmail\":{\"address\":\"%s\"},"
                         "\"loyalty\":{\"program\":\"Sole Mates\",\"tier\":\"%s\",\"points\":%u,"
                         "\"joinDate\":\"20%02u-%02u-01T00:00:00Z\"}}\n",
                         member_of(person), person, mail, PICK(tiers, number_of(person, TIER)),
                         points, 15 + (unsigned)(number_of(person, JOINED) % 9),
                         1 + (unsigned)(number_of(person, JOINED) / 9 % 12));
}

/* identity  the inside of an identityMap; who: a number of its own for known people and visitors */
static tr_code add_visits(tr_demo_data *data, uint32_t who, const char *identity, tr_err *err)
{
    const unsigned visits = 1 + (unsigned)(number_of(who, VISITS) % 6);
    for (unsigned i = 0; i < visits; i++) {
        const uint64_t moment = number_of(who, MOMENT + 100 * i);
        const char *page = PICK(pages, number_of(who, PAGE + 100 * i));
        TR_TRY(
            tr_buf_format(&data->web, err,
                          "{\"_id\":\"web-%u-%u\",\"timestamp\":\"2024-%02u-%02uT%02u:%02u:%02uZ\","
                          "\"eventType\":\"web.webpagedetails.pageViews\",\"identityMap\":{%s},"
                          "\"web\":{\"webPageDetails\":{\"name\":\"%s\",\"URL\":\"https://"
                          "shop.example.com/%s\"}}}\n",
                          who, i, 1 + (unsigned)(moment % 12), 1 + (unsigned)(moment / 12 % 28),
                          (unsigned)(moment / 336 % 24), (unsigned)(moment / 8064 % 60),
                          (unsigned)(moment / 483840 % 60), identity, page, page));
        data->web_rows++;
    }
    return TR_OK;
}

static tr_code add_web(tr_demo_data *data, uint32_t people, uint32_t visitors, tr_err *err)
{
    char identity[128];
    for (uint32_t person = 0; person < people; person += 3) {
        (void)snprintf(identity, sizeof identity,
                       "\"CRMID\":[{\"id\":\"crm-%06u\",\"primary\":true}]", person);
        TR_TRY(add_visits(data, person, identity, err));
    }
    for (uint32_t i = 0; i < visitors; i++) {
        (void)snprintf(identity, sizeof identity, "\"ECID\":[{\"id\":\"%038u\",\"primary\":true}]",
                       700000 + i);
        TR_TRY(add_visits(data, people + i, identity, err));
    }
    data->visitors = visitors;
    return TR_OK;
}

tr_code tr_demo_data_make(uint32_t people, uint32_t visitors, tr_demo_data *out, tr_err *err)
{
    (void)snprintf(out->member, sizeof out->member, "L%08u", member_of(people / 5 * 2));
    for (uint32_t person = 0; person < people; person++) {
        if (person < people / 5 * 4) {
            TR_TRY(add_crm(&out->crm, person, err));
            out->crm_rows++;
        }
        if (person >= people / 5 * 2) {
            TR_TRY(add_loyalty(&out->loyalty, person, err));
            out->loyalty_rows++;
        }
    }
    return add_web(out, people, visitors, err);
}

void tr_demo_data_free(tr_demo_data *data)
{
    tr_buf_free(&data->crm);
    tr_buf_free(&data->loyalty);
    tr_buf_free(&data->web);
}
