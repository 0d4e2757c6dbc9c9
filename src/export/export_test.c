/* SPDX-License-Identifier: Apache-2.0 */
/* export_test.c - request bodies, the columns they ask for, and row types as JSON: what needs no
 * catalog. */
#include "export/export_internal.h"

#include "base/test.h"

#define DEST "\"destination\":{\"datasetId\":\"64b0c0ffee0000000000a001\"}"
#define SCHEMA "\"schema\":{\"name\":\"_xdm.context.profile\"}"

/* The code of a body that is `more` beside a destination and a schema; the text goes to err. */
static tr_code read_with(const char *more, tr_export_request *out, tr_err *err)
{
    char text[1024];
    json_t *body = NULL;
    (void)snprintf(text, sizeof text, "{%s%s" DEST "," SCHEMA "}", more,
                   more[0] == '\0' ? "" : ",");
    CHECK(tr_json_parse(tr_str_of(text), &body, NULL) == TR_OK);
    const tr_code code = tr_export_request_read(body, out, err);
    json_decref(body);
    return code;
}

static void a_minimal_request_asks_for_everything(void)
{
    tr_export_request request;
    CHECK(read_with("", &request, NULL) == TR_OK);
    CHECK(strcmp(request.dataset, "64b0c0ffee0000000000a001") == 0);
    CHECK(request.fields.len == 0 && !request.with_events && !request.with_event_only);
    CHECK(request.policy_id == NULL && request.policy_version == 0);
    CHECK(request.updated_after_us == TR_TIME_NONE && request.event_after_us == TR_TIME_NONE &&
          request.event_before_us == TR_TIME_NONE);
}

static void null_and_empty_members_count_as_absent(void)
{
    tr_export_request request;
    CHECK(read_with("\"fields\":null,\"mergePolicy\":null,\"filter\":{\"segments\":[],"
                    "\"segmentQualificationTime\":{},\"emptyProfiles\":null},\"additionalFields\":{"
                    "},"
                    "\"evaluationInfo\":{\"segmentation\":false}",
                    &request, NULL) == TR_OK);
    CHECK(!request.with_events);
    CHECK(read_with("\"additionalFields\":{\"eventList\":{}}", &request, NULL) == TR_OK);
    CHECK(request.with_events && request.event_fields.len == 0);
}

static void times_are_read_with_their_zone(void)
{
    tr_export_request request;
    CHECK(read_with("\"filter\":{\"fromIngestTimestamp\":\"2024-04-30T22:00:00+02:00\"},"
                    "\"additionalFields\":{\"eventList\":{\"filter\":{\"fromIngestTimestamp\":"
                    "\"1970-01-01T00:00:01Z\",\"toIngestTimestamp\":\"1970-01-01T00:00:02.5Z\"}}}",
                    &request, NULL) == TR_OK);
    CHECK(request.updated_after_us == INT64_C(1714507200000000));
    CHECK(request.event_after_us == 1000000 && request.event_before_us == 2500000);
}

static void every_refusal_names_its_member(void)
{
    static const char *const cases[][2] = {
        {"\"fields\":[\"a\"]", "fields must be a string"},
        {"\"mergePolicy\":\"x\"", "mergePolicy must be an object"},
        {"\"mergePolicy\":{}", "mergePolicy.id is required"},
        {"\"mergePolicy\":{\"id\":7}", "mergePolicy.id must be a string"},
        {"\"mergePolicy\":{\"id\":\"x\",\"version\":\"1\"}", "mergePolicy.version must be an "
                                                             "integer"},
        {"\"mergePolicy\":{\"id\":\"x\",\"version\":0}", "mergePolicy.version must be 1"},
        {"\"filter\":[]", "filter must be an object"},
        {"\"filter\":{\"segments\":{}}", "filter.segments must be an array"},
        {"\"filter\":{\"segmentQualificationTime\":{\"startTime\":\"2024-05-01T00:00:00Z\"}}",
         "filter.segmentQualificationTime needs filter.segments"},
        {"\"filter\":{\"segments\":[{\"segmentId\":\"a\"}],\"segmentQualificationTime\":"
         "{\"startTime\":\"2024-05-02T00:00:00Z\",\"endTime\":\"2024-05-01T00:00:00Z\"}}",
         "filter.segmentQualificationTime: startTime is after endTime"},
        {"\"filter\":{\"fromIngestTimestamp\":\"yesterday\"}", "filter.fromIngestTimestamp is "
                                                               "\"yesterday\""},
        {"\"filter\":{\"fromIngestTimestamp\":\"2024-05-01T00:00:00\"}", "filter."
                                                                         "fromIngestTimestamp is"},
        {"\"filter\":{\"fromIngestTimestamp\":1714507200}", "filter.fromIngestTimestamp must be a "
                                                            "string"},
        {"\"filter\":{\"emptyProfiles\":\"true\"}", "filter.emptyProfiles must be true or false"},
        {"\"additionalFields\":[]", "additionalFields must be an object"},
        {"\"additionalFields\":{\"eventList\":[]}", "additionalFields.eventList must be an object"},
        {"\"additionalFields\":{\"eventList\":{\"fields\":1}}", "additionalFields.eventList.fields "
                                                                "must be"},
        {"\"additionalFields\":{\"eventList\":{\"filter\":1}}", "additionalFields.eventList.filter "
                                                                "must be"},
        {"\"additionalFields\":{\"eventList\":{\"filter\":{\"toIngestTimestamp\":\"x\"}}}",
         "additionalFields.eventList.filter.toIngestTimestamp is \"x\""},
        {"\"evaluationInfo\":{\"segmentation\":1}", "evaluationInfo.segmentation must be true or "
                                                    "false"}};
    tr_export_request request;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_err err = {0};
        CHECK(read_with(cases[i][0], &request, &err) == TR_INVALID);
        if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0)
            printf("%s: %s\n", cases[i][0], err.text);
        CHECK(strncmp(err.text, cases[i][1], strlen(cases[i][1])) == 0);
    }
}

static void destination_and_schema_are_required(void)
{
    static const char *const cases[][2] = {
        {"[]", "the request body must be a JSON object"},
        {"{" SCHEMA "}", "destination.datasetId is required"},
        {"{\"destination\":{}," SCHEMA "}", "destination.datasetId is required"},
        {"{\"destination\":{\"datasetId\":5}," SCHEMA "}", "destination.datasetId must be a "
                                                           "string"},
        {"{\"destination\":{\"datasetId\":\"zz\"}," SCHEMA "}", "destination.datasetId is \"zz\""},
        {"{\"destination\":{\"datasetId\":\"64b0c0ffee0000000000a001\",\"dataSetId\":\"x\"}," SCHEMA
         "}",
         "destination.datasetId and destination.dataSetId differ"},
        {"{\"destination\":{\"datasetId\":\"64b0c0ffee0000000000a001\",\"segmentPerBatch\":\"no\"}"
         "," SCHEMA "}",
         "destination.segmentPerBatch must be true or false"},
        {"{" DEST "}", "schema.name is required"},
        {"{" DEST ",\"schema\":\"p\"}", "schema must be an object"},
        {"{" DEST ",\"schema\":{\"name\":\"_xdm.context.account\"}}", "schema.name is"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_export_request request;
        tr_err err = {0};
        json_t *body = NULL;
        CHECK(tr_json_parse(tr_str_of(cases[i][0]), &body, NULL) == TR_OK);
        CHECK(tr_export_request_read(body, &request, &err) == TR_INVALID);
        CHECK(strncmp(err.text, cases[i][1], strlen(cases[i][1])) == 0);
        json_decref(body);
    }
}

static void the_capital_spelling_of_a_dataset_id_is_read_too(void)
{
    tr_export_request request;
    json_t *body = NULL;
    const char *text = "{\"destination\":{\"dataSetId\":\"64b0c0ffee0000000000a001\"}," SCHEMA "}";
    CHECK(tr_json_parse(tr_str_of(text), &body, NULL) == TR_OK);
    CHECK(tr_export_request_read(body, &request, NULL) == TR_OK);
    CHECK(strcmp(request.dataset, "64b0c0ffee0000000000a001") == 0);
    json_decref(body);
}

#define TEXT(name) "{\"k\":\"string\",\"n\":\"" name "\"}"
static const char union_type[] =
    "{\"k\":\"object\",\"n\":\"\",\"c\":["
    "{\"k\":\"map\",\"n\":\"identityMap\",\"c\":[{\"k\":\"array\",\"n\":\"value\",\"c\":[{\"k\":"
    "\"object\","
    "\"n\":\"element\",\"c\":[" TEXT(
        "id") ",{\"k\":\"boolean\",\"n\":\"primary\"}]}]}]},"
              "{\"k\":\"map\",\"n\":\"labels\",\"c\":[{\"k\":\"object\",\"n\":\"value\",\"c\":"
              "[" TEXT("a") "," TEXT(
                  "b") "]}]},"
                       "{\"k\":\"object\",\"n\":\"person\",\"c\":[{\"k\":\"int\",\"n\":"
                       "\"birthYear\"},{\"k\":\"object\",\"n\":"
                       "\"name\",\"c\":[" TEXT("firstName") "," TEXT(
                           "lastName") "]}]},"
                                       "{\"k\":\"array\",\"n\":\"timeSeriesEvents\",\"c\":[{\"k\":"
                                       "\"object\",\"n\":\"element\",\"c\":[" TEXT("_id") "," TEXT(
                                           "eventType") ",{\"k\":\"timestamp\",\"n\":\"timestamp\"}"
                                                        "]}]},"
                                                        "{\"k\":\"array\",\"n\":\"visits\",\"c\":[{"
                                                        "\"k\":\"object\",\"n\":\"element\",\"c\":"
                                                        "[" TEXT("at") "," TEXT("url") "]}]}]}";

/* The dotted leaves of a pruned union, comma-separated; or the error's text. */
static void leaves_of(const char *fields, bool with_events, const char *event_fields, char *out,
                      size_t size)
{
    const tr_export_request request = {.fields = tr_str_of(fields),
                                       .with_events = with_events,
                                       .event_fields = tr_str_of(event_fields)};
    tr_arena arena = {0};
    tr_type *root = NULL, *pruned = NULL;
    tr_shape shape;
    tr_err err = {0};
    json_t *json = NULL;
    size_t used = 0;
    CHECK(tr_json_parse(tr_str_of(union_type), &json, NULL) == TR_OK);
    CHECK(tr_type_of_json(json, &arena, &root, NULL) == TR_OK);
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    (void)snprintf(out, size, "%s", "");
    if (tr_export_output(root, &request, &arena, &pruned, &err) != TR_OK) {
        (void)snprintf(out, size, "%s", err.text);
    } else {
        CHECK(tr_shape_make(&arena, pruned, &shape, NULL) == TR_OK);
        for (uint32_t i = 0; i < shape.leaf_count; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%.*s", i == 0 ? "" : ",",
                                     TR_STR_ARG(shape.leaves[i].path));
    }
    json_decref(json);
    tr_arena_free(&arena);
}

#define MAP                                                                                        \
    "identityMap.key_value.key,identityMap.key_value.value.list.element.id,"                       \
    "identityMap.key_value.value.list.element.primary"
#define EVENT "timeSeriesEvents.list.element."

static void fields_choose_leaves_subtrees_and_what_is_in_arrays_and_maps(void)
{
    static const struct {
        const char *fields;
        const char *leaves;
    } cases[] = {{"person.name.firstName", "person.name.firstName"},
                 {" person.name , visits.url ", "person.name.firstName,person.name.lastName,visits."
                                                "list.element.url"},
                 {"person", "person.birthYear,person.name.firstName,person.name.lastName"},
                 {"person.birthYear,person", "person.birthYear,person.name.firstName,person.name."
                                             "lastName"},
                 {"identityMap", MAP},
                 {"identities", MAP},
                 {"identities.id", MAP},
                 {"identityMap.id", MAP},
                 {"labels.a", "labels.key_value.key,labels.key_value.value.a"},
                 {"labels.*.b", "labels.key_value.key,labels.key_value.value.b"},
                 {"person.birthYear,timeSeriesEvents", "person.birthYear"},
                 {"nobody", "fields: \"nobody\" is not a field of the profile union schema"},
                 {"person.birthYear.x", "fields: \"person.birthYear.x\" is not a field of the "
                                        "profile union schema"},
                 {"person.", "fields: \"person.\" is not a field of the profile union schema"},
                 {"timeSeriesEvents", "fields: only timeSeriesEvents is selected, which needs "
                                      "additionalFields.eventList"}};
    char leaves[1024];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        leaves_of(cases[i].fields, false, "", leaves, sizeof leaves);
        if (strcmp(leaves, cases[i].leaves) != 0)
            printf("%s: %s\n", cases[i].fields, leaves);
        CHECK(strcmp(leaves, cases[i].leaves) == 0);
    }
}

static void blank_fields_are_everything_but_events(void)
{
    char all[1024], blank[1024], with[1024];
    leaves_of("", false, "", all, sizeof all);
    leaves_of(" , ", false, "", blank, sizeof blank);
    leaves_of("", true, "", with, sizeof with);
    CHECK(strcmp(all, blank) == 0);
    CHECK(strstr(all, "visits") != NULL && strstr(all, "timeSeriesEvents") == NULL);
    CHECK(strstr(with, EVENT "_id," EVENT "eventType," EVENT "timestamp") != NULL);
}

static void event_fields_prune_events_alone(void)
{
    char leaves[1024];
    leaves_of("person.birthYear", true, "_id, timestamp", leaves, sizeof leaves);
    CHECK(strcmp(leaves, "person.birthYear," EVENT "_id," EVENT "timestamp") == 0);
    leaves_of("person.birthYear,timeSeriesEvents.eventType", true, "_id", leaves, sizeof leaves);
    CHECK(strcmp(leaves, "person.birthYear," EVENT "_id") == 0);
    leaves_of("timeSeriesEvents", true, "", leaves, sizeof leaves);
    CHECK(strcmp(leaves, EVENT "_id," EVENT "eventType," EVENT "timestamp") == 0);
    leaves_of("", true, "person", leaves, sizeof leaves);
    CHECK(strcmp(leaves, "additionalFields.eventList.fields: \"person\" is not a field of the "
                         "event schema") == 0);
}

static void a_row_type_survives_json(void)
{
    tr_arena arena = {0};
    tr_type *root = NULL, *again = NULL;
    json_t *json = NULL;
    CHECK(tr_json_parse(tr_str_of(union_type), &json, NULL) == TR_OK);
    CHECK(tr_type_of_json(json, &arena, &root, NULL) == TR_OK);
    json_t *copy = tr_type_to_json(root);
    CHECK(json_equal(json, copy));
    CHECK(tr_type_of_json(copy, &arena, &again, NULL) == TR_OK && tr_type_equal(root, again));
    json_decref(copy);
    (void)json_object_set_new(json, "k", json_string("what"));
    CHECK(tr_type_of_json(json, &arena, &again, NULL) == TR_CORRUPT);
    json_decref(json);
    tr_arena_free(&arena);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_minimal_request_asks_for_everything);
    RUN(null_and_empty_members_count_as_absent);
    RUN(times_are_read_with_their_zone);
    RUN(every_refusal_names_its_member);
    RUN(destination_and_schema_are_required);
    RUN(the_capital_spelling_of_a_dataset_id_is_read_too);
    RUN(fields_choose_leaves_subtrees_and_what_is_in_arrays_and_maps);
    RUN(blank_fields_are_everything_but_events);
    RUN(event_fields_prune_events_alone);
    RUN(a_row_type_survives_json);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
