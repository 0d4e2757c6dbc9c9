/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - the body of POST /export/jobs, checked whole before a job exists. Every refusal
 * names the member at fault. null counts as absent; members that are not known are ignored.
 */
#include "export/export_internal.h"

static tr_str text_of(const json_t *value)
{
    return value == NULL
               ? (tr_str){0}
               : (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)};
}

static tr_code instant(const json_t *object, const char *where, const char *key, int64_t *out,
                       tr_err *err)
{
    const json_t *value = NULL;
    tr_err why = {0};
    int64_t us = TR_TIME_NONE;
    TR_TRY(tr_want_member(object, where, key, TR_WANT_STRING, &value, err));
    if (value != NULL && tr_time_parse(text_of(value), true, &us, &why) != TR_OK)
        return TR_FAIL(err, TR_INVALID,
                       "%s%s is \"%.60s\": expected an RFC 3339 date-time with a zone, "
                       "such as 2024-05-01T00:00:00Z",
                       where, key, json_string_value(value));
    *out = us;
    return TR_OK;
}

static tr_code read_policy(const json_t *body, tr_export_request *out, tr_err *err)
{
    const json_t *policy = NULL, *id = NULL, *version = NULL;
    TR_TRY(tr_want_member(body, "", "mergePolicy", TR_WANT_OBJECT, &policy, err));
    TR_TRY(tr_want_member(policy, "mergePolicy.", "id", TR_WANT_STRING, &id, err));
    TR_TRY(tr_want_member(policy, "mergePolicy.", "version", TR_WANT_INTEGER, &version, err));
    if (version != NULL && json_integer_value(version) < 1)
        return TR_FAIL(err, TR_INVALID, "mergePolicy.version must be 1 or more");
    if (policy != NULL && text_of(id).len == 0)
        return TR_FAIL(err, TR_INVALID, "mergePolicy.id is required with mergePolicy");
    out->policy_id = json_string_value(id);
    out->policy_version = version == NULL ? 0 : json_integer_value(version);
    return TR_OK;
}

static tr_code read_segments(const json_t *filter, tr_export_request *out, tr_err *err)
{
    static const char where[] = "filter.segmentQualificationTime.";
    const json_t *segments = NULL, *times = NULL;
    TR_TRY(tr_want_member(filter, "filter.", "segments", TR_WANT_ARRAY, &segments, err));
    TR_TRY(
        tr_want_member(filter, "filter.", "segmentQualificationTime", TR_WANT_OBJECT, &times, err));
    TR_TRY(instant(times, where, "startTime", &out->qualified_from_us, err));
    TR_TRY(instant(times, where, "endTime", &out->qualified_until_us, err));
    out->segments = json_array_size(segments) > 0 ? segments : NULL;
    if (json_array_size(segments) > TR_EXPORT_SEGMENTS_MAX)
        return TR_FAIL(err, TR_INVALID, "filter.segments has %zu entries, at most %d are read",
                       json_array_size(segments), TR_EXPORT_SEGMENTS_MAX);
    const bool has_bound =
        out->qualified_from_us != TR_TIME_NONE || out->qualified_until_us != TR_TIME_NONE;
    if (has_bound && out->segments == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "filter.segmentQualificationTime needs filter.segments: it is the time of a "
                       "membership");
    if (out->qualified_from_us != TR_TIME_NONE && out->qualified_until_us != TR_TIME_NONE &&
        out->qualified_from_us > out->qualified_until_us)
        return TR_FAIL(err, TR_INVALID,
                       "filter.segmentQualificationTime: startTime is after endTime");
    return TR_OK;
}

static tr_code read_filter(const json_t *body, tr_export_request *out, tr_err *err)
{
    const json_t *filter = NULL, *empty = NULL;
    TR_TRY(tr_want_member(body, "", "filter", TR_WANT_OBJECT, &filter, err));
    TR_TRY(read_segments(filter, out, err));
    TR_TRY(instant(filter, "filter.", "fromIngestTimestamp", &out->updated_after_us, err));
    TR_TRY(tr_want_member(filter, "filter.", "emptyProfiles", TR_WANT_BOOLEAN, &empty, err));
    out->with_event_only = json_is_true(empty);
    return TR_OK;
}

static tr_code read_events(const json_t *body, tr_export_request *out, tr_err *err)
{
    static const char where[] = "additionalFields.eventList.filter.";
    const json_t *more = NULL, *events = NULL, *fields = NULL, *filter = NULL;
    TR_TRY(tr_want_member(body, "", "additionalFields", TR_WANT_OBJECT, &more, err));
    TR_TRY(tr_want_member(more, "additionalFields.", "eventList", TR_WANT_OBJECT, &events, err));
    TR_TRY(tr_want_member(events, "additionalFields.eventList.", "fields", TR_WANT_STRING, &fields,
                          err));
    TR_TRY(tr_want_member(events, "additionalFields.eventList.", "filter", TR_WANT_OBJECT, &filter,
                          err));
    TR_TRY(instant(filter, where, "fromIngestTimestamp", &out->event_after_us, err));
    TR_TRY(instant(filter, where, "toIngestTimestamp", &out->event_before_us, err));
    out->with_events = events != NULL;
    out->event_fields = text_of(fields);
    return TR_OK;
}

static tr_code read_destination(const json_t *body, tr_export_request *out, tr_err *err)
{
    const json_t *destination = NULL, *small = NULL, *capital = NULL, *per_batch = NULL;
    TR_TRY(tr_want_member(body, "", "destination", TR_WANT_OBJECT, &destination, err));
    TR_TRY(tr_want_member(destination, "destination.", "datasetId", TR_WANT_STRING, &small, err));
    TR_TRY(tr_want_member(destination, "destination.", "dataSetId", TR_WANT_STRING, &capital, err));
    TR_TRY(tr_want_member(destination, "destination.", "segmentPerBatch", TR_WANT_BOOLEAN,
                          &per_batch, err));
    /* Without segments there is nothing to split a batch by: true then means false. */
    out->is_per_segment = json_is_true(per_batch) && out->segments != NULL;
    const json_t *given = small != NULL ? small : capital;
    const tr_str id = text_of(given);
    if (given == NULL)
        return TR_FAIL(err, TR_INVALID, "destination.datasetId is required");
    if (capital != NULL && !json_equal(given, capital))
        return TR_FAIL(err, TR_INVALID, "destination.datasetId and destination.dataSetId differ");
    if (!tr_is_hex(id, 24))
        return TR_FAIL(err, TR_INVALID,
                       "destination.datasetId is \"%.60s\": expected 24 hex digits",
                       json_string_value(given));
    (void)snprintf(out->dataset, sizeof out->dataset, "%.*s", TR_STR_ARG(id));
    return TR_OK;
}

static tr_code check_schema(const json_t *body, tr_err *err)
{
    const json_t *schema = NULL, *name = NULL;
    TR_TRY(tr_want_member(body, "", "schema", TR_WANT_OBJECT, &schema, err));
    TR_TRY(tr_want_member(schema, "schema.", "name", TR_WANT_STRING, &name, err));
    if (name == NULL)
        return TR_FAIL(err, TR_INVALID, "schema.name is required: " TR_POLICY_SCHEMA);
    if (strcmp(json_string_value(name), TR_POLICY_SCHEMA) != 0)
        return TR_FAIL(err, TR_INVALID, "schema.name is \"%.80s\": expected " TR_POLICY_SCHEMA,
                       json_string_value(name));
    return TR_OK;
}

static tr_code read_evaluation(const json_t *body, tr_export_request *out, tr_err *err)
{
    const json_t *evaluation = NULL, *segmentation = NULL;
    TR_TRY(tr_want_member(body, "", "evaluationInfo", TR_WANT_OBJECT, &evaluation, err));
    TR_TRY(tr_want_member(evaluation, "evaluationInfo.", "segmentation", TR_WANT_BOOLEAN,
                          &segmentation, err));
    out->is_evaluated = json_is_true(segmentation) && out->segments != NULL;
    return TR_OK;
}

tr_code tr_export_request_read(const json_t *body, tr_export_request *out, tr_err *err)
{
    tr_export_request request = {.updated_after_us = TR_TIME_NONE};
    const json_t *fields = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_member(body, "", "fields", TR_WANT_STRING, &fields, err));
    request.fields = text_of(fields);
    TR_TRY(read_policy(body, &request, err));
    TR_TRY(read_filter(body, &request, err));
    TR_TRY(read_events(body, &request, err));
    TR_TRY(read_destination(body, &request, err));
    TR_TRY(check_schema(body, err));
    TR_TRY(read_evaluation(body, &request, err));
    *out = request;
    return TR_OK;
}
