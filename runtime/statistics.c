/* Names and texts of statistics objects. docs/introspection.md describes them for users. */
#include "runtime/statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "model/descriptor.h"
#include "json/json.h"

#define STATISTICS_TAG "{\"statistics\":"

static hakuban_status put(hkb_buffer *out, const char *format, ...) HAKUBAN_PRINTF(2, 3);
static hakuban_status put(hkb_buffer *out, const char *format, ...)
{
    char text[512]; /* what is of any length is not put through here */
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    HKB_ASSERT(bytes >= 0 && (size_t)bytes < sizeof(text));
    return hkb_buffer_append(out, text, (size_t)bytes);
}

static hakuban_status put_text(hkb_buffer *out, const char *text)
{
    return hkb_buffer_append(out, text, strlen(text));
}

/* ,"key":"text" */
static hakuban_status put_string(hkb_buffer *out, const char *key, const char *text)
{
    hakuban_status status = put(out, ",\"%s\":", key);
    return status < 0 ? status : hkb_json_put_string(out, text, strlen(text));
}

/* ,"key":1.5 of a value from 0, rounded to what is of interest; infinity: null. */
static hakuban_status put_real(hkb_buffer *out, const char *key, double value)
{
    char text[32] = "null";
    if (value < 1e12) {
        value = (double)(uint64_t)(value * 1e6 + 0.5) / 1e6;
    }
    size_t bytes = isfinite(value) ? hkb_json_put_double(text, value) : 4;
    hakuban_status status = put(out, ",\"%s\":", key);
    return status < 0 ? status : hkb_buffer_append(out, text, bytes);
}

static const char *truth(int value)
{
    return value ? "true" : "false";
}

/* -- Names -- */

hakuban_status hkb_subject_put(const hkb_subject *subject, hkb_buffer *out)
{
    if (subject->kind == HKB_SUBJECT_EXCHANGE) {
        return put_text(out, "\"exchange\"");
    }
    if (subject->kind == HKB_SUBJECT_SUBJECTS) {
        return put_text(out, "\"subjects\"");
    }
    if (subject->kind == HKB_SUBJECT_LINK) {
        return put(out, "{\"%s\":%" PRIu64 "}", subject->upstream ? "upstream" : "downstream",
                   subject->number);
    }
    hakuban_status status = put_text(out, "{\"object\":");
    if (status >= 0) {
        status = put_text(out, hakuban_descriptor_json(subject->object));
    }
    if (status >= 0) {
        status = put_text(out, ",\"tags\":[");
    }
    for (size_t i = 0; status >= 0 && i < hakuban_descriptor_tag_count(subject->object); i++) {
        status = put_text(out, i ? "," : "");
        if (status >= 0) {
            status = put_text(out, hakuban_descriptor_tag(subject->object, i));
        }
    }
    return status < 0 ? status : put_text(out, "]}");
}

/* The next lexeme must be of kind and, if text is given, spelled so. */
static bool take(hkb_json_scanner *scanner, hkb_json_kind kind, const char *text)
{
    hkb_json_lexeme lexeme;
    if (hkb_json_lex(scanner, &lexeme, NULL) < 0 || lexeme.kind != kind) {
        return false;
    }
    return !text || (lexeme.end - lexeme.begin == strlen(text) &&
                     memcmp(scanner->text + lexeme.begin, text, strlen(text)) == 0);
}

/* The next whole value. */
static bool take_value(hkb_json_scanner *scanner, hakuban_slice *ret)
{
    hkb_json_lexeme lexeme;
    size_t depth = 0, begin = 0;
    bool first = true;
    do {
        if (hkb_json_lex(scanner, &lexeme, NULL) < 0 || lexeme.kind == HKB_JSON_END) {
            return false;
        }
        if (first) {
            begin = lexeme.begin;
        }
        first = false;
        if (lexeme.kind == HKB_JSON_ARRAY || lexeme.kind == HKB_JSON_OBJECT) {
            depth++;
        } else if (lexeme.kind == HKB_JSON_ARRAY_END || lexeme.kind == HKB_JSON_OBJECT_END) {
            depth -= depth > 0;
        }
    } while (depth > 0);
    *ret = (hakuban_slice){scanner->text + begin, lexeme.end - begin};
    return true;
}

static hakuban_status read_object(const hakuban_alloc *alloc, hkb_json_scanner *scanner,
                                  hkb_subject *ret)
{
    hakuban_slice object, tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    size_t count = 0;
    if (!take_value(scanner, &object) || !take(scanner, HKB_JSON_COMMA, NULL) ||
        !take(scanner, HKB_JSON_STRING, "\"tags\"") || !take(scanner, HKB_JSON_COLON, NULL) ||
        !take(scanner, HKB_JSON_ARRAY, NULL)) {
        return HAKUBAN_ERR_PARSE;
    }
    hkb_json_scanner behind = *scanner;
    if (!take(&behind, HKB_JSON_ARRAY_END, NULL)) {
        do {
            if (count == HKB_COUNT(tags) || !take_value(scanner, &tags[count])) {
                return HAKUBAN_ERR_PARSE;
            }
            count++;
            behind = *scanner;
        } while (take(scanner, HKB_JSON_COMMA, NULL));
        if (!take(&behind, HKB_JSON_ARRAY_END, NULL)) {
            return HAKUBAN_ERR_PARSE;
        }
    }
    if (!take(&behind, HKB_JSON_OBJECT_END, NULL)) {
        return HAKUBAN_ERR_PARSE;
    }
    ret->kind = HKB_SUBJECT_OBJECT;
    return hkb_descriptor_new(alloc, object, tags, count, &ret->object, NULL);
}

hakuban_status hkb_subject_read(const hakuban_alloc *alloc, const char *json, hkb_subject *ret)
{
    hkb_json_scanner scanner = {.text = json, .bytes = strlen(json)};
    hkb_json_lexeme key, number;
    hkb_subject subject = {.kind = HKB_SUBJECT_LINK};
    if (strcmp(json, "\"exchange\"") == 0 || strcmp(json, "\"subjects\"") == 0) {
        subject.kind = json[1] == 'e' ? HKB_SUBJECT_EXCHANGE : HKB_SUBJECT_SUBJECTS;
        *ret = subject;
        return HAKUBAN_OK;
    }
    if (!take(&scanner, HKB_JSON_OBJECT, NULL) || hkb_json_lex(&scanner, &key, NULL) < 0 ||
        key.kind != HKB_JSON_STRING || !take(&scanner, HKB_JSON_COLON, NULL)) {
        return HAKUBAN_ERR_PARSE;
    }
    hakuban_slice word = {json + key.begin, key.end - key.begin};
    if (word.bytes == 8 && memcmp(word.data, "\"object\"", 8) == 0) {
        hakuban_status status = read_object(alloc, &scanner, &subject);
        if (status >= 0) {
            *ret = subject;
        }
        return status;
    }
    subject.upstream = word.bytes == 10 && memcmp(word.data, "\"upstream\"", 10) == 0;
    if (!subject.upstream && (word.bytes != 12 || memcmp(word.data, "\"downstream\"", 12) != 0)) {
        return HAKUBAN_ERR_PARSE;
    }
    if (hkb_json_lex(&scanner, &number, NULL) < 0 || number.kind != HKB_JSON_INT ||
        number.sint < 0 || !take(&scanner, HKB_JSON_OBJECT_END, NULL)) {
        return HAKUBAN_ERR_PARSE;
    }
    subject.number = (uint64_t)number.sint;
    *ret = subject;
    return HAKUBAN_OK;
}

bool hkb_is_statistics(const hakuban_descriptor *object)
{
    const char *tag = hkb_descriptor_tags(object);
    for (size_t i = 0; i < object->tag_count; i++, tag += strlen(tag) + 1) {
        if (strncmp(tag, STATISTICS_TAG, sizeof(STATISTICS_TAG) - 1) == 0) {
            return true;
        }
    }
    return false;
}

/* -- Texts -- */

static const char *phase_name(hakuban_link_phase phase)
{
    switch (phase) {
    case HAKUBAN_LINK_HELLO:
        return "hello";
    case HAKUBAN_LINK_OPEN:
        return "open";
    case HAKUBAN_LINK_LEAVING:
        return "leaving";
    case HAKUBAN_LINK_ENDED:
        return "ended";
    case HAKUBAN_LINK_AWAY:
        return "away";
    }
    return "";
}

hakuban_status hkb_statistics_exchange(hkb_buffer *out, const char *name, int64_t wall_ms,
                                       const hakuban_exchange_stats *stats)
{
    hakuban_status status = put(out, "{\"time_ms\":%" PRId64, wall_ms);
    if (status >= 0) {
        status = put_string(out, "name", name);
    }
    if (status >= 0) {
        status = put(out,
                     ",\"objects\":%" PRIu64 ",\"tags\":%" PRIu64 ",\"contracts\":%" PRIu64
                     ",\"links\":%" PRIu64 ",\"states_in\":%" PRIu64 ",\"states_out\":%" PRIu64,
                     stats->objects, stats->tags, stats->contracts, stats->links, stats->states_in,
                     stats->states_out);
    }
    if (status >= 0) {
        status = put(out,
                     ",\"state_bytes_in\":%" PRIu64 ",\"state_bytes_out\":%" PRIu64
                     ",\"wire_bytes_in\":%" PRIu64 ",\"wire_bytes_out\":%" PRIu64
                     ",\"deltas_made\":%" PRIu64 ",\"deltas_shared\":%" PRIu64
                     ",\"memory_bytes\":%" PRIu64 ",\"memory_bytes_max\":%" PRIu64 "}",
                     stats->state_bytes_in, stats->state_bytes_out, stats->wire_bytes_in,
                     stats->wire_bytes_out, stats->deltas_made, stats->deltas_shared,
                     stats->memory_bytes, stats->memory_bytes_max);
    }
    return status;
}

hakuban_status hkb_statistics_subjects(hkb_buffer *out, const hkb_subject_counts *counts)
{
    return put(out,
               "{\"links\":%" PRIu64 ",\"objects\":%" PRIu64 ",\"published\":%" PRIu64
               ",\"left_out\":%" PRIu64 "}",
               counts->links, counts->objects, counts->published, counts->left_out);
}

hakuban_status hkb_statistics_link(hkb_buffer *out, int64_t wall_ms, const hakuban_link_info *info,
                                   size_t *ret_facts)
{
    size_t begin = out->bytes;
    hakuban_status status = put(out, "{\"exists\":true,\"phase\":\"%s\"", phase_name(info->phase));
    if (status >= 0) {
        status = put_string(out, "name", info->name);
    }
    if (status >= 0) {
        status = put_string(out, "own_name", info->own_name);
    }
    if (status >= 0 && info->address[0]) {
        status = put_string(out, "address", info->address);
    }
    if (status >= 0 && info->principal_kind[0]) {
        status = put_string(out, "principal_kind", info->principal_kind);
    }
    if (status >= 0 && info->principal[0]) {
        status = put_string(out, "principal", info->principal);
    }
    if (status >= 0) {
        status = put_string(out, "serializer", info->serializer);
    }
    if (status >= 0) {
        status = put_string(out, "compressor", info->compressor);
    }
    if (status >= 0 && !info->upstream) {
        status = put_real(out, "load", info->load);
    }
    if (status >= 0 && !info->upstream) {
        status = put_real(out, "load_limit", info->load_limit);
    }
    if (status >= 0) {
        status = put(out,
                     ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"memory_bytes\":%" PRIu64
                     ",\"sending_bytes\":%" PRIu64,
                     info->bytes_in, info->bytes_out, info->memory_bytes, info->sending_bytes);
    }
    *ret_facts = out->bytes - begin;
    if (status >= 0) {
        status =
            put(out, ",\"since_ms\":%" PRId64 "}", wall_ms - (int64_t)(info->age_ns / 1000000));
    }
    return status;
}

static hakuban_status put_state(hkb_buffer *out, const hakuban_state *state)
{
    size_t count = 0;
    const int64_t *version = hakuban_state_version(state, &count);
    hakuban_status status =
        put(out, ",\"bytes\":%zu,\"format\":[", hakuban_state_data(state).bytes);
    for (size_t i = 0; status >= 0 && i < hakuban_state_format_count(state); i++) {
        const char *name = hakuban_state_format(state, i);
        status = put_text(out, i ? "," : "");
        if (status >= 0) {
            status = hkb_json_put_string(out, name, strlen(name));
        }
    }
    if (status >= 0) {
        status = put_text(out, "],\"version\":[");
    }
    for (size_t i = 0; status >= 0 && i < count; i++) {
        status = put(out, "%s%" PRId64, i ? "," : "", version[i]);
    }
    return status < 0 ? status : put_text(out, "]");
}

static hakuban_status put_exposer(hkb_buffer *out, const hakuban_object_info *info)
{
    if (info->exposer == HAKUBAN_EXPOSER_NONE) {
        return put_text(out, ",\"exposer\":null");
    }
    if (info->exposer == HAKUBAN_EXPOSER_LOCAL) {
        return put(out, ",\"exposer\":{\"kind\":\"local\",\"by_tag\":%s}",
                   truth(info->exposer_by_tag));
    }
    hakuban_status status =
        put(out, ",\"exposer\":{\"kind\":\"%s\",\"link\":%" PRIu64,
            info->exposer == HAKUBAN_EXPOSER_UPSTREAM ? "upstream" : "downstream",
            info->exposer_number);
    if (status >= 0) {
        status = put_string(out, "name", info->exposer_name);
    }
    if (status >= 0 && info->exposer == HAKUBAN_EXPOSER_DOWNSTREAM) {
        status = put_real(out, "cost", info->cost);
    }
    return status < 0 ? status : put_text(out, "}");
}

hakuban_status hkb_statistics_object(hkb_buffer *out, int64_t wall_ms,
                                     const hakuban_object_info *info, size_t *ret_facts)
{
    size_t begin = out->bytes;
    hakuban_status status =
        put(out, "{\"exists\":true,\"needed\":%s,\"freshness\":\"%s\",\"source\":\"%s\"",
            truth(info->needed), hakuban_freshness_text(info->freshness),
            hakuban_source_text(info->source));
    if (status >= 0) {
        status = put_exposer(out, info);
    }
    if (status >= 0) {
        status = put(out, ",\"handing_over\":%s", truth(info->handing_over));
    }
    if (status >= 0) {
        status = put(out, ",\"offers\":{\"local\":%u,\"downstreams\":%u}",
                     info->exposers + info->tag_exposers, info->link_exposers);
    }
    if (status >= 0) {
        status = put(out, ",\"observers\":{\"local\":%u,\"downstreams\":%u,\"upstream\":%s}",
                     info->observers + info->tag_observers, info->link_observers,
                     truth(info->upstream_sink));
    }
    if (status >= 0 && info->state) {
        status = put_state(out, info->state);
    }
    *ret_facts = out->bytes - begin;
    if (status >= 0 && info->freshness == HAKUBAN_STALE) {
        status =
            put(out, ",\"stale_since_ms\":%" PRId64, wall_ms - (int64_t)(info->age_ns / 1000000));
    }
    return status < 0 ? status : put_text(out, "}");
}
