/* A type of your own: a C struct with a nested array, written and read by one pair of functions.
 * They know no format: the same two serve JSON, MessagePack and whatever else is registered. Build:
 * cc custom-type.c -lhakuban */
#include <hakuban/hakuban.h>
#include <hakuban/plugin/registry.h>

#include <stdio.h>
#include <string.h>

#define SAMPLES_MAX 16

typedef struct sensor {
    char name[32];
    double limit;
    size_t sample_count;
    int64_t samples[SAMPLES_MAX];
} sensor;

/* -- The type -- */

static hakuban_status sensor_write(hakuban_writer *writer, const sensor *from)
{
    hakuban_write_map(writer, 3);
    hakuban_write_string(writer, "name");
    hakuban_write_string(writer, from->name);
    hakuban_write_string(writer, "limit");
    hakuban_write_double(writer, from->limit);
    hakuban_write_string(writer, "samples");
    hakuban_write_array(writer, (uint32_t)from->sample_count);
    for (size_t i = 0; i < from->sample_count; i++) {
        hakuban_write_int(writer, from->samples[i]);
    }
    hakuban_write_end(writer);
    hakuban_write_end(writer);
    return hakuban_writer_status(writer); /* the first thing that went wrong, if any */
}

static hakuban_status samples_read(hakuban_reader *reader, sensor *to)
{
    uint32_t count; /* unknown in JSON: read until the end */
    hakuban_status status = hakuban_read_array(reader, &count);
    to->sample_count = 0;
    while (status >= 0 && !hakuban_read_at_end(reader)) {
        if (to->sample_count == SAMPLES_MAX) {
            return hakuban_reader_fail(reader, HAKUBAN_ERR_LIMIT, "more than %d samples",
                                       SAMPLES_MAX);
        }
        status = hakuban_read_int(reader, &to->samples[to->sample_count++]);
    }
    return status >= 0 ? hakuban_read_end(reader) : status;
}

static hakuban_status name_read(hakuban_reader *reader, sensor *to)
{
    hakuban_slice text;
    hakuban_status status = hakuban_read_text(reader, &text);
    if (status < 0) {
        return status;
    }
    if (text.bytes >= sizeof(to->name)) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_LIMIT, "the name is too long");
    }
    memcpy(to->name, text.data, text.bytes);
    to->name[text.bytes] = 0;
    return HAKUBAN_OK;
}

static int is(hakuban_slice key, const char *name)
{
    return key.bytes == strlen(name) && memcmp(key.data, name, key.bytes) == 0;
}

static hakuban_status sensor_read(hakuban_reader *reader, sensor *to)
{
    uint32_t count;
    hakuban_slice key;
    hakuban_status status = hakuban_read_map(reader, &count);
    memset(to, 0, sizeof(*to));
    while (status >= 0 && !hakuban_read_at_end(reader)) {
        status = hakuban_read_text(reader, &key);
        if (status < 0) {
            break;
        }
        if (is(key, "name")) {
            status = name_read(reader, to);
        } else if (is(key, "limit")) {
            status = hakuban_read_double(reader, &to->limit);
        } else if (is(key, "samples")) {
            status = samples_read(reader, to);
        } else {
            status = hakuban_read_skip(reader); /* of a later release */
        }
    }
    return status >= 0 ? hakuban_read_end(reader) : status;
}

/* -- There and back, in every format that was built in -- */

static int there_and_back(hakuban_exchange *exchange, const char *format)
{
    const hakuban_serializer_ops *serializer = hakuban_exchange_serializer(exchange, format);
    const sensor before = {"boiler", 90.5, 4, {71, 72, 74, -3}};
    sensor after;
    hakuban_writer writer;
    hakuban_reader reader;
    if (!serializer) {
        printf("%-8s not built in\n", format);
        return 1;
    }
    hakuban_writer_init(&writer, serializer, NULL, 4096);
    int well = sensor_write(&writer, &before) >= 0;
    hakuban_reader_init(&reader, serializer, NULL, writer.data, writer.bytes, 1000);
    if (well && sensor_read(&reader, &after) < 0) {
        fprintf(stderr, "custom-type: %s: %s\n", format, reader.error.text);
        well = 0;
    }
    well = well && strcmp(before.name, after.name) == 0 && before.limit <= after.limit &&
           before.limit >= after.limit && after.sample_count == 4 &&
           memcmp(before.samples, after.samples, 4 * sizeof(before.samples[0])) == 0;
    printf("%-8s %zu bytes, %s\n", format, writer.bytes,
           well ? "the same again" : "something else");
    hakuban_reader_done(&reader);
    hakuban_writer_done(&writer);
    return well;
}

int main(void)
{
    hakuban_exchange *exchange = NULL;
    if (hakuban_exchange_new(NULL, &exchange) < 0) {
        fprintf(stderr, "custom-type: no exchange\n");
        return 1;
    }
    int well = there_and_back(exchange, "json") & there_and_back(exchange, "msgpack");
    hakuban_exchange_free(exchange);
    return well ? 0 : 1;
}
