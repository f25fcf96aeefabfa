/* States as values: one allocation each, with counted references. Knows no links and no objects. */
#include "model/state.h"

#include "json/json.h"

/* A state that shares the data of another one shares its format as well. */
static size_t block_bytes_of(size_t version_count, size_t format_bytes, size_t data_bytes)
{
    return sizeof(hakuban_state) + version_count * sizeof(int64_t) + format_bytes + data_bytes;
}

static hakuban_state *allocate(const hakuban_alloc *alloc, size_t version_count,
                               size_t format_bytes, size_t data_bytes)
{
    size_t block_bytes = block_bytes_of(version_count, format_bytes, data_bytes);
    hakuban_state *state = hkb_alloc_unset(alloc, block_bytes);
    if (!state) {
        return NULL;
    }
    memset(state, 0, sizeof(*state));
    atomic_init(&state->references, 1);
    state->alloc = alloc;
    state->version_count = (uint8_t)version_count;
    return state;
}

hakuban_status hkb_state_new(const hakuban_alloc *alloc, const int64_t *version,
                             size_t version_count, const char *format, size_t format_count,
                             size_t format_bytes, size_t data_bytes, hakuban_state **ret,
                             uint8_t **ret_data)
{
    if (version_count > HAKUBAN_VERSION_ELEMENTS_MAX || format_count > HAKUBAN_FORMAT_NAMES_MAX ||
        format_bytes > HAKUBAN_FORMAT_BYTES_MAX || data_bytes > HAKUBAN_STATE_BYTES_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    hakuban_state *state = allocate(alloc, version_count, format_bytes, data_bytes);
    if (!state) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    char *names = (char *)(state->version + version_count);
    uint8_t *data = (uint8_t *)names + format_bytes;
    if (version_count) {
        memcpy(state->version, version, version_count * sizeof(int64_t));
    }
    if (format_bytes) {
        memcpy(names, format, format_bytes);
    }
    state->format_count = (uint8_t)format_count;
    state->format_bytes = (uint8_t)format_bytes;
    state->data = data;
    state->data_bytes = data_bytes;
    *ret = state;
    *ret_data = data;
    return HAKUBAN_OK;
}

hakuban_status hkb_state_with_version(const hakuban_alloc *alloc, hakuban_state *state,
                                      const hkb_version *version, hakuban_state **ret)
{
    hakuban_state *copy = allocate(alloc, version->count, 0, 0);
    if (!copy) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    memcpy(copy->version, version->elements, version->count * sizeof(int64_t));
    copy->format_count = state->format_count;
    copy->format_bytes = state->format_bytes;
    copy->data = state->data;
    copy->data_bytes = state->data_bytes;
    copy->has_check = state->has_check;
    copy->check = state->check;
    /* The owner is always the state that contains the data, so that owners form no chain. */
    copy->data_owner = hakuban_state_ref(state->data_owner ? state->data_owner : state);
    *ret = copy;
    return HAKUBAN_OK;
}

hkb_version hkb_state_version(const hakuban_state *state)
{
    hkb_version version = {.count = state->version_count};
    memcpy(version.elements, state->version, version.count * sizeof(int64_t));
    return version;
}

bool hkb_state_same_content(const hakuban_state *a, const hakuban_state *b)
{
    if (!hkb_state_same_format(a, b) || a->data_bytes != b->data_bytes) {
        return false;
    }
    if (a->data == b->data) {
        return true;
    }
    if (a->has_check && b->has_check && a->check != b->check) {
        return false;
    }
    return memcmp(a->data, b->data, a->data_bytes) == 0;
}

bool hkb_format_valid(const char *format, size_t format_count, size_t format_bytes)
{
    if (format_count > HAKUBAN_FORMAT_NAMES_MAX || format_bytes > HAKUBAN_FORMAT_BYTES_MAX ||
        (format_bytes && format[format_bytes - 1] != '\0')) {
        return false;
    }
    size_t names = 0;
    for (size_t i = 0; i < format_bytes; i++) {
        names += format[i] == '\0';
    }
    return names == format_count && hkb_utf8_valid(format, format_bytes);
}

/* Joins the names of the formats. */
static hakuban_status join_names(const hakuban_state_parts *parts,
                                 char names[HAKUBAN_FORMAT_BYTES_MAX], size_t *ret_bytes)
{
    size_t used = 0;
    if (parts->format_count > HAKUBAN_FORMAT_NAMES_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    if (parts->format_count && !parts->format) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    for (size_t i = 0; i < parts->format_count; i++) {
        if (!parts->format[i]) {
            return HAKUBAN_ERR_ARGUMENT;
        }
        size_t bytes = strlen(parts->format[i]) + 1;
        if (bytes > HAKUBAN_FORMAT_BYTES_MAX - used) {
            return HAKUBAN_ERR_LIMIT;
        }
        memcpy(names + used, parts->format[i], bytes);
        used += bytes;
    }
    if (!hkb_utf8_valid(names, used)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    *ret_bytes = used;
    return HAKUBAN_OK;
}

static hakuban_status new_of_parts(const hakuban_alloc *alloc, const hakuban_state_parts *parts,
                                   hakuban_state **ret)
{
    if ((parts->data_bytes && !parts->data) || !parts->version != !parts->version_count) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    char names[HAKUBAN_FORMAT_BYTES_MAX];
    size_t names_bytes;
    hakuban_status status = join_names(parts, names, &names_bytes);
    if (status < 0) {
        return status;
    }
    uint8_t *data;
    status = hkb_state_new(alloc, parts->version, parts->version_count, names, parts->format_count,
                           names_bytes, parts->data_bytes, ret, &data);
    if (status >= 0 && parts->data_bytes) {
        memcpy(data, parts->data, parts->data_bytes);
    }
    return status;
}

hakuban_status hakuban_state_new_sized(const hakuban_alloc *alloc, const hakuban_state_parts *parts,
                                       size_t parts_bytes, hakuban_state **ret)
{
    hakuban_state_parts wanted;
    if (!parts || !ret) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return hkb_sized_read(&wanted, sizeof(wanted), parts, parts_bytes)
               ? new_of_parts(alloc, &wanted, ret)
               : HAKUBAN_ERR_UNSUPPORTED;
}

hakuban_status hakuban_state_new_json(const char *json, hakuban_state **ret, hakuban_error *reterr)
{
    static const char *const format[] = {"JSON"};
    if (!json || !ret) {
        return hkb_error_at(reterr, HAKUBAN_ERR_ARGUMENT, 0, 0, 0, "an argument is missing");
    }
    size_t bytes = strlen(json);
    hakuban_status status = hkb_json_check(json, bytes, reterr);
    if (status < 0) {
        return status;
    }
    status = hakuban_state_new(
        NULL,
        &(hakuban_state_parts){
            .data = json, .data_bytes = bytes, .format = format, .format_count = HKB_COUNT(format)},
        ret);
    if (status < 0) {
        hkb_error_at(reterr, status, 0, 0, 0, "%s", hakuban_status_text(status));
    }
    return status;
}

hakuban_status hakuban_state_new_error(const char *text, hakuban_state **ret)
{
    static const char *const format[] = {HAKUBAN_FORMAT_ERROR};
    if (!text || !ret || !hkb_utf8_valid(text, strlen(text))) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return hakuban_state_new(NULL,
                             &(hakuban_state_parts){.data = text,
                                                    .data_bytes = strlen(text),
                                                    .format = format,
                                                    .format_count = HKB_COUNT(format)},
                             ret);
}

int hakuban_state_is_error(const hakuban_state *state)
{
    return state && state->format_count == 1 &&
           strcmp(hkb_state_format(state), HAKUBAN_FORMAT_ERROR) == 0;
}

hakuban_state *hakuban_state_ref(hakuban_state *state)
{
    if (state) {
        atomic_fetch_add_explicit(&state->references, 1, memory_order_relaxed);
    }
    return state;
}

hakuban_state *hakuban_state_unref(hakuban_state *state)
{
    /* The owner of data has no owner itself, so the loop runs twice at most. */
    while (state && atomic_fetch_sub_explicit(&state->references, 1, memory_order_acq_rel) == 1) {
        hakuban_state *owner = state->data_owner;
        hkb_free(state->alloc, state,
                 state->data_owner ? block_bytes_of(state->version_count, 0, 0)
                                   : block_bytes_of(state->version_count, state->format_bytes,
                                                    state->data_bytes));
        state = owner;
    }
    return NULL;
}

hakuban_slice hakuban_state_data(const hakuban_state *state)
{
    return state ? (hakuban_slice){state->data, state->data_bytes} : (hakuban_slice){NULL, 0};
}

const int64_t *hakuban_state_version(const hakuban_state *state, size_t *ret_count)
{
    if (ret_count) {
        *ret_count = state ? state->version_count : 0;
    }
    return state ? state->version : NULL;
}

size_t hakuban_state_format_count(const hakuban_state *state)
{
    return state ? state->format_count : 0;
}

const char *hakuban_state_format(const hakuban_state *state, size_t index)
{
    if (!state || index >= state->format_count) {
        return NULL;
    }
    const char *name = hkb_state_format(state);
    while (index--) {
        name += strlen(name) + 1;
    }
    return name;
}
