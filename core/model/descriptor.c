/* Descriptors: their texts are brought to canonical form, their tags become a set. A descriptor
 * that is in canonical form already, as that of every native peer, costs one pass and one
 * allocation. */
#include "model/descriptor.h"

#include "json/json.h"

/* A canonical text: at data; or, if data is NULL, at offset in the buffer of converted texts, which
 * still grows. */
struct text {
    const char *data;
    size_t offset, bytes;
};

/* Adds to the error which text is wrong. index 0: the object, else the tag of that number. */
static hakuban_status text_error(hakuban_error *reterr, const hakuban_error *error, size_t index)
{
    if (!index) {
        return hkb_error_at(reterr, error->status, error->offset, error->line, error->column,
                            "object: %s", error->text);
    }
    return hkb_error_at(reterr, error->status, error->offset, error->line, error->column,
                        "tag %zu: %s", index, error->text);
}

static hakuban_status read_text(hakuban_slice json, hkb_buffer *converted, struct text *ret,
                                hakuban_error *reterr)
{
    bool canonical = false;
    *ret = (struct text){.data = json.data, .offset = converted->bytes, .bytes = json.bytes};
    hakuban_status status = hkb_json_check_canonical(json.data, json.bytes, &canonical, reterr);
    if (status >= 0 && !canonical) {
        status = hkb_json_canonical(json.data, json.bytes, converted, reterr);
        ret->data = NULL;
        ret->bytes = converted->bytes - ret->offset;
    }
    if (status >= 0 && ret->bytes > HAKUBAN_DESCRIPTOR_BYTES_MAX) {
        status = HAKUBAN_ERR_LIMIT;
    }
    if (status == HAKUBAN_ERR_LIMIT && ret->bytes > HAKUBAN_DESCRIPTOR_BYTES_MAX) {
        hkb_error_at(reterr, status, 0, 0, 0, "longer than %d bytes", HAKUBAN_DESCRIPTOR_BYTES_MAX);
    }
    return status;
}

static int compare_texts(const struct text *a, const struct text *b)
{
    int order = memcmp(a->data, b->data, hkb_min(a->bytes, b->bytes));
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Sorts the tags and removes duplicates; an insertion sort, because they are few and usually
 * sorted. Returns how many remain. */
static size_t make_set(struct text *texts, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct text text = texts[i];
        size_t place = kept;
        int order = -1;
        while (place && (order = compare_texts(&texts[place - 1], &text)) > 0) {
            place--;
        }
        if (place && order == 0) {
            continue;
        }
        memmove(&texts[place + 1], &texts[place], (kept - place) * sizeof(*texts));
        texts[place] = text;
        kept++;
    }
    return kept;
}

static hakuban_status build(const hakuban_alloc *alloc, const struct text *texts, size_t count,
                            hakuban_descriptor **ret, hakuban_error *reterr)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += texts[i].bytes;
    }
    if (bytes > HAKUBAN_DESCRIPTOR_BYTES_MAX) {
        return hkb_error_at(reterr, HAKUBAN_ERR_LIMIT, 0, 0, 0,
                            "object and tags are longer than %d bytes",
                            HAKUBAN_DESCRIPTOR_BYTES_MAX);
    }
    hakuban_descriptor *made = hkb_alloc_unset(alloc, hkb_descriptor_bytes(bytes + count));
    if (!made) {
        return hkb_error_at(reterr, HAKUBAN_ERR_NO_MEMORY, 0, 0, 0, "out of memory");
    }
    atomic_init(&made->references, 1);
    made->alloc = alloc;
    made->json_bytes = (uint16_t)texts[0].bytes;
    made->text_bytes = (uint16_t)(bytes + count);
    made->tag_count = (uint8_t)(count - 1);
    char *place = made->text;
    for (size_t i = 0; i < count; i++) {
        memcpy(place, texts[i].data, texts[i].bytes);
        place += texts[i].bytes;
        *place++ = '\0';
    }
    *ret = made;
    return HAKUBAN_OK;
}

hakuban_status hkb_descriptor_new(const hakuban_alloc *alloc, hakuban_slice object,
                                  const hakuban_slice *tags, size_t tag_count,
                                  hakuban_descriptor **ret, hakuban_error *reterr)
{
    struct text texts[1 + HAKUBAN_DESCRIPTOR_TAGS_MAX];
    hakuban_error error;
    hkb_buffer converted;
    hakuban_status status = HAKUBAN_OK;
    if (tag_count > HAKUBAN_DESCRIPTOR_TAGS_MAX) {
        return hkb_error_at(reterr, HAKUBAN_ERR_LIMIT, 0, 0, 0, "more than %d tags",
                            HAKUBAN_DESCRIPTOR_TAGS_MAX);
    }
    hkb_buffer_init(&converted, alloc, HKB_COUNT(texts) * HAKUBAN_DESCRIPTOR_BYTES_MAX);
    for (size_t i = 0; i <= tag_count && status >= 0; i++) {
        status = read_text(i ? tags[i - 1] : object, &converted, &texts[i], &error);
        if (status < 0) {
            text_error(reterr, &error, i);
        }
    }
    if (status >= 0) {
        for (size_t i = 0; i <= tag_count; i++) {
            if (!texts[i].data) {
                texts[i].data = (const char *)converted.data + texts[i].offset;
            }
        }
        status = build(alloc, texts, 1 + make_set(texts + 1, tag_count), ret, reterr);
    }
    hkb_buffer_done(&converted);
    return status;
}

hakuban_status hkb_tag_canonical(const hakuban_alloc *alloc, hakuban_slice json, char *out,
                                 size_t *ret_bytes, hakuban_error *reterr)
{
    hkb_buffer converted;
    struct text text;
    hakuban_error error;
    hkb_buffer_init(&converted, alloc, HAKUBAN_DESCRIPTOR_BYTES_MAX);
    hakuban_status status = read_text(json, &converted, &text, &error);
    if (status >= 0) {
        memcpy(out, text.data ? text.data : (const char *)converted.data, text.bytes);
        out[text.bytes] = '\0';
        *ret_bytes = text.bytes;
    } else if (reterr) {
        *reterr = error;
    }
    hkb_buffer_done(&converted);
    return status;
}

hakuban_status hakuban_descriptor_new(const hakuban_alloc *alloc, const char *object_json,
                                      const char *const *tags_json, size_t tag_count,
                                      hakuban_descriptor **ret, hakuban_error *reterr)
{
    hakuban_slice tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    bool missing = !object_json || !ret || (tag_count && !tags_json);
    for (size_t i = 0; !missing && i < hkb_min(tag_count, HKB_COUNT(tags)); i++) {
        missing = !tags_json[i];
        if (!missing) {
            tags[i] = (hakuban_slice){tags_json[i], strlen(tags_json[i])};
        }
    }
    if (missing) {
        return hkb_error_at(reterr, HAKUBAN_ERR_ARGUMENT, 0, 0, 0, "an argument is missing");
    }
    return hkb_descriptor_new(alloc, (hakuban_slice){object_json, strlen(object_json)}, tags,
                              tag_count, ret, reterr);
}

hakuban_descriptor *hakuban_descriptor_ref(hakuban_descriptor *descriptor)
{
    if (descriptor) {
        atomic_fetch_add_explicit(&descriptor->references, 1, memory_order_relaxed);
    }
    return descriptor;
}

hakuban_descriptor *hakuban_descriptor_unref(hakuban_descriptor *descriptor)
{
    if (descriptor &&
        atomic_fetch_sub_explicit(&descriptor->references, 1, memory_order_acq_rel) == 1) {
        hkb_free(descriptor->alloc, descriptor, hkb_descriptor_bytes(descriptor->text_bytes));
    }
    return NULL;
}

const char *hakuban_descriptor_json(const hakuban_descriptor *descriptor)
{
    return descriptor ? descriptor->text : NULL;
}

size_t hakuban_descriptor_tag_count(const hakuban_descriptor *descriptor)
{
    return descriptor ? descriptor->tag_count : 0;
}

const char *hakuban_descriptor_tag(const hakuban_descriptor *descriptor, size_t index)
{
    if (!descriptor || index >= descriptor->tag_count) {
        return NULL;
    }
    const char *tag = hkb_descriptor_tags(descriptor);
    while (index--) {
        tag += strlen(tag) + 1;
    }
    return tag;
}

int hakuban_descriptor_equal(const hakuban_descriptor *a, const hakuban_descriptor *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a == b || (a->text_bytes == b->text_bytes && a->json_bytes == b->json_bytes &&
                      memcmp(a->text, b->text, a->text_bytes) == 0);
}
