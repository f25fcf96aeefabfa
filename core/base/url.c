/* Parses URLs and the values of their parameters: durations, sizes, load limits. Opens no
 * connection, looks up no name, and does not know which parameters exist. */
#include "base/url.h"

#include <math.h>

#define URL_BYTES_MAX 4096
#define URL_PARAMS_MAX 64

struct url_block {
    size_t block_bytes;
    hakuban_url url;
    hakuban_url_param params[];
};

/* The places of the parts in the text. */
struct url_places {
    size_t scheme_end, authority, authority_end, host, host_end, path, path_end, text_end;
    size_t param_count;
    uint16_t port;
    bool has_port;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static hakuban_status url_error(hakuban_error *reterr, size_t offset, const char *text)
{
    return hkb_error_at(reterr, HAKUBAN_ERR_URL, offset, 0, 0, "%s", text);
}

static hakuban_status find_scheme(const char *text, struct url_places *places,
                                  hakuban_error *reterr)
{
    size_t end = 0;
    for (char c; (c = text[end]); end++) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (end == 0 || !(is_digit(c) || c == '+' || c == '-' || c == '.'))) {
            break;
        }
    }
    if (end == 0 || strncmp(text + end, "://", 3) != 0) {
        return url_error(reterr, end, "expected scheme://, as in tcp://127.0.0.1:3001");
    }
    places->scheme_end = end;
    places->authority = end + 3;
    return HAKUBAN_OK;
}

static hakuban_status find_port(const char *text, size_t begin, struct url_places *places,
                                hakuban_error *reterr)
{
    unsigned port = 0;
    if (begin == places->authority_end) {
        return url_error(reterr, begin, "expected a port number after ':'");
    }
    for (size_t i = begin; i < places->authority_end; i++) {
        if (text[i] == ':') {
            return url_error(reterr, places->authority,
                             "an IPv6 address needs brackets, as in [::1]:3001");
        }
        if (!is_digit(text[i])) {
            return url_error(reterr, i, "a port is a number");
        }
        port = port * 10 + (unsigned)(text[i] - '0');
        if (port > UINT16_MAX) {
            return url_error(reterr, begin, "a port is at most 65535");
        }
    }
    places->port = (uint16_t)port;
    places->has_port = true;
    return HAKUBAN_OK;
}

static hakuban_status find_host(const char *text, struct url_places *places, hakuban_error *reterr)
{
    size_t begin = places->authority, end = places->authority_end;
    for (size_t i = begin; i < end; i++) {
        if (text[i] == ' ') {
            return url_error(reterr, i, "a space in an address");
        }
    }
    size_t after;
    places->host = begin;
    if (begin < end && text[begin] == '[') {
        const char *bracket = memchr(text + begin, ']', end - begin);
        if (!bracket) {
            return url_error(reterr, begin, "'[' without ']'");
        }
        places->host = begin + 1;
        places->host_end = (size_t)(bracket - text);
        after = places->host_end + 1;
        if (after < end && text[after] != ':') {
            return url_error(reterr, after, "expected ':' and a port after ']'");
        }
    } else {
        const char *colon = end > begin ? memchr(text + begin, ':', end - begin) : NULL;
        after = places->host_end = colon ? (size_t)(colon - text) : end;
    }
    return after < end ? find_port(text, after + 1, places, reterr) : HAKUBAN_OK;
}

static hakuban_status check_params(const char *text, struct url_places *places,
                                   hakuban_error *reterr)
{
    size_t begin = places->path_end;
    while (begin < places->text_end) {
        begin++;
        size_t end = begin + strcspn(text + begin, ",");
        if (end > begin) {
            const char *equals = memchr(text + begin, '=', end - begin);
            if (!equals || equals == text + begin) {
                return url_error(reterr, begin, "a parameter is key=value");
            }
            if (++places->param_count > URL_PARAMS_MAX) {
                return url_error(reterr, begin, "too many parameters");
            }
        }
        begin = end;
    }
    return HAKUBAN_OK;
}

static hakuban_status find_places(const char *text, struct url_places *places,
                                  hakuban_error *reterr)
{
    for (; text[places->text_end]; places->text_end++) {
        unsigned char c = (unsigned char)text[places->text_end];
        if (c < 0x20 || c == 0x7f) {
            return url_error(reterr, places->text_end, "a control character");
        }
        if (places->text_end >= URL_BYTES_MAX) {
            return url_error(reterr, URL_BYTES_MAX, "longer than 4096 bytes");
        }
    }
    hakuban_status status = find_scheme(text, places, reterr);
    if (status < 0) {
        return status;
    }
    places->authority_end = places->path =
        places->authority + strcspn(text + places->authority, "/#");
    places->path_end = places->path + strcspn(text + places->path, "#");
    status = find_host(text, places, reterr);
    return status >= 0 ? check_params(text, places, reterr) : status;
}

/* Copies text[begin .. end) to *room with a terminating zero and moves *room behind it. */
static const char *keep(char **room, const char *text, size_t begin, size_t end)
{
    char *copy = *room;
    memcpy(copy, text + begin, end - begin);
    copy[end - begin] = '\0';
    *room = copy + (end - begin) + 1;
    return copy;
}

static hakuban_status split_params(struct url_block *block, char **room, const char *text,
                                   size_t begin, size_t text_end, hakuban_error *reterr)
{
    while (begin < text_end) {
        begin++;
        size_t end = begin + strcspn(text + begin, ",");
        if (end > begin) {
            size_t equals = begin + strcspn(text + begin, "=");
            hakuban_url_param *param = &block->params[block->url.param_count];
            param->key = keep(room, text, begin, equals);
            param->value = keep(room, text, equals + 1, end);
            if (hakuban_url_get(&block->url, param->key)) {
                return url_error(reterr, begin, "this parameter was given before");
            }
            block->url.param_count++;
        }
        begin = end;
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_url_parse(const hakuban_alloc *alloc, const char *text, hakuban_url **ret,
                             hakuban_error *reterr)
{
    struct url_places at = {0};
    hakuban_status status = find_places(text, &at, reterr);
    if (status < 0) {
        return status;
    }
    /* The block holds the whole text, and each part with a terminating zero: authority and host
     * overlap. */
    size_t block_bytes = sizeof(struct url_block) + at.param_count * sizeof(hakuban_url_param) +
                         3 * (at.text_end + 1) + 8 + 2 * at.param_count;
    struct url_block *block = hkb_alloc(alloc, block_bytes);
    if (!block) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    char *room = (char *)&block->params[at.param_count];
    hakuban_url *url = &block->url;
    block->block_bytes = block_bytes;
    url->text = keep(&room, text, 0, at.text_end);
    char *scheme = room;
    url->scheme = keep(&room, text, 0, at.scheme_end);
    for (char *c = scheme; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    url->authority = keep(&room, text, at.authority, at.authority_end);
    url->host = keep(&room, text, at.host, at.host_end);
    url->path = keep(&room, text, at.path, at.path_end);
    url->port = at.port;
    url->has_port = at.has_port;
    url->params = block->params;
    status = split_params(block, &room, text, at.path_end, at.text_end, reterr);
    if (status < 0) {
        hkb_free(alloc, block, block_bytes);
        return status;
    }
    *ret = url;
    return HAKUBAN_OK;
}

hakuban_url *hkb_url_free(const hakuban_alloc *alloc, hakuban_url *url)
{
    if (url) {
        struct url_block *block = HKB_CONTAINER(url, struct url_block, url);
        hkb_free(alloc, block, block->block_bytes);
    }
    return NULL;
}

const char *hakuban_url_get(const hakuban_url *url, const char *key)
{
    if (!url || !key) {
        return NULL;
    }
    for (size_t i = 0; i < url->param_count; i++) {
        if (strcmp(url->params[i].key, key) == 0) {
            return url->params[i].value;
        }
    }
    return NULL;
}

/* A duration that is being parsed: a sum of products of numbers with units. */
struct duration_text {
    const char *text;
    size_t length, offset;
    hakuban_error *reterr;
};

static hakuban_status duration_error(struct duration_text *in, const char *text)
{
    return hkb_error_at(in->reterr, HAKUBAN_ERR_PARSE, in->offset, 0, 0, "%s", text);
}

static void skip_spaces(struct duration_text *in)
{
    while (in->offset < in->length && in->text[in->offset] == ' ') {
        in->offset++;
    }
}

static bool parse_digits(const char *text, size_t length, size_t *offset, uint64_t *ret)
{
    uint64_t value = 0;
    for (; *offset < length && is_digit(text[*offset]); ++*offset) {
        unsigned digit = (unsigned)(text[*offset] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Nanoseconds in a unit, in letters of any case; 0: there is no such unit. */
static uint64_t unit_ns(const char *name, size_t bytes)
{
    static const uint64_t second = 1000000000, day = 86400 * second;
    const struct {
        const char *names; /* each name has a space on both sides */
        uint64_t ns;
    } units[] = {
        {" ns nsec nanos nanosecond nanoseconds ", 1},
        {" us \xc2\xb5s usec micros microsecond microseconds ", 1000},
        {" ms msec millis millisecond milliseconds ", 1000000},
        {" s sec secs second seconds ", second},
        {" m min mins minute minutes ", 60 * second},
        {" h hr hrs hour hours ", 3600 * second},
        {" d day days ", day},
        {" w week weeks ", 7 * day},
        {" mon month months ", 30 * day},
        {" y yr year years ", 365 * day},
    };
    for (size_t i = 0; i < HKB_COUNT(units); i++) {
        const char *word = units[i].names + 1;
        while (*word) {
            size_t word_bytes = strcspn(word, " ");
            size_t same = 0;
            while (same < word_bytes && same < bytes && word[same] == lower(name[same])) {
                same++;
            }
            if (same == word_bytes && same == bytes) {
                return units[i].ns;
            }
            word += word_bytes + 1;
        }
    }
    return 0;
}

/* One factor: "1m30s", or a number without a unit (*ret_bare). */
static hakuban_status parse_factor(struct duration_text *in, uint64_t *ret, bool *ret_bare)
{
    uint64_t total = 0;
    size_t pieces = 0;
    bool bare = false;
    skip_spaces(in);
    if (in->offset == in->length || !is_digit(in->text[in->offset])) {
        return duration_error(in, "expected a whole number, as in 20s");
    }
    while (in->offset < in->length && is_digit(in->text[in->offset])) {
        uint64_t number, unit = 1;
        if (bare) {
            return duration_error(in, "expected a unit between two numbers");
        }
        if (!parse_digits(in->text, in->length, &in->offset, &number)) {
            return duration_error(in, "the number is too large");
        }
        skip_spaces(in);
        size_t begin = in->offset;
        while (in->offset < in->length && !is_digit(in->text[in->offset]) &&
               !strchr(" +*.-", in->text[in->offset])) {
            in->offset++;
        }
        bare = in->offset == begin;
        if (!bare) {
            unit = unit_ns(in->text + begin, in->offset - begin);
        } else if (pieces) {
            unit = unit_ns("s", 1);
        }
        if (!unit) {
            in->offset = begin;
            return duration_error(in, "unknown unit (y mon w d h m s ms us ns)");
        }
        if (number > (UINT64_MAX - total) / unit) {
            return duration_error(in, "the duration is too long");
        }
        total += number * unit;
        pieces++;
        skip_spaces(in);
    }
    *ret = total;
    *ret_bare = bare && pieces == 1;
    return HAKUBAN_OK;
}

/* Factors joined by '*', of which one at most has a unit. */
static hakuban_status parse_product(struct duration_text *in, uint64_t *ret)
{
    uint64_t product = 1;
    bool all_bare = true;
    for (;;) {
        uint64_t factor = 0;
        bool bare = false;
        hakuban_status status = parse_factor(in, &factor, &bare);
        if (status < 0) {
            return status;
        }
        if (!bare && !all_bare) {
            return duration_error(in, "a duration times a duration");
        }
        all_bare = all_bare && bare;
        if (factor && product > UINT64_MAX / factor) {
            return duration_error(in, "the duration is too long");
        }
        product *= factor;
        if (in->offset == in->length || in->text[in->offset] != '*') {
            break;
        }
        in->offset++;
    }
    uint64_t unit = all_bare ? unit_ns("s", 1) : 1;
    if (product > UINT64_MAX / unit) {
        return duration_error(in, "the duration is too long");
    }
    *ret = product * unit;
    return HAKUBAN_OK;
}

static hakuban_status parse_duration(const char *text, size_t length, uint64_t *ret_ns,
                                     hakuban_error *reterr)
{
    struct duration_text in = {.text = text, .length = length, .reterr = reterr};
    uint64_t sum = 0;
    for (;;) {
        uint64_t term = 0;
        hakuban_status status = parse_product(&in, &term);
        if (status < 0) {
            return status;
        }
        if (term > UINT64_MAX - sum) {
            return duration_error(&in, "the duration is too long");
        }
        sum += term;
        if (in.offset == in.length) {
            break;
        }
        if (in.text[in.offset] == '.') {
            return duration_error(&in, "whole numbers only: 1s500ms instead of 1.5s");
        }
        if (in.text[in.offset] != '+') {
            return duration_error(&in, "expected '+', '*' or the end");
        }
        in.offset++;
    }
    *ret_ns = sum;
    return HAKUBAN_OK;
}

hakuban_status hkb_duration_parse(const char *text, uint64_t *ret_ns, hakuban_error *reterr)
{
    return parse_duration(text, strlen(text), ret_ns, reterr);
}

hakuban_status hkb_size_parse(const char *text, uint64_t *ret_bytes, hakuban_error *reterr)
{
    size_t length = strlen(text), offset = 0;
    uint64_t value;
    if (!is_digit(text[0])) {
        return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, 0, 0, 0, "expected a size, as in 256k");
    }
    if (!parse_digits(text, length, &offset, &value)) {
        return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, 0, 0, 0, "the size is too large");
    }
    static const char units[] = "kMGT";
    unsigned shift = 0;
    if (offset < length) {
        const char *unit = strchr(units, text[offset] == 'K' ? 'k' : text[offset]);
        if (!unit || offset + 1 < length) {
            return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, offset, 0, 0,
                                "unknown unit (k, M, G or T)");
        }
        shift = 10 * ((unsigned)(unit - units) + 1);
    }
    if (value > UINT64_MAX >> shift) {
        return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, 0, 0, 0, "the size is too large");
    }
    *ret_bytes = value << shift;
    return HAKUBAN_OK;
}

hakuban_status hkb_load_limit_add(hkb_load_limit *limit, hkb_load_point point)
{
    size_t count = limit->count ? limit->count : 1;
    if (count == HKB_LOAD_POINTS_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    if (!limit->count) {
        limit->points[0] = (hkb_load_point){0, 0};
    }
    size_t place = count;
    for (; place > 1; place--) {
        hkb_load_point before = limit->points[place - 1];
        if (before.after_ns < point.after_ns ||
            (before.after_ns == point.after_ns && before.limit <= point.limit)) {
            break;
        }
        limit->points[place] = before;
    }
    limit->points[place] = point;
    limit->count = count + 1;
    return HAKUBAN_OK;
}

static hakuban_status parse_load_point(const char *text, size_t begin, size_t end,
                                       hkb_load_point *ret, hakuban_error *reterr)
{
    size_t limit_at = end;
    hkb_load_point point = {0, 0};
    while (limit_at > begin && text[limit_at - 1] != ':') {
        limit_at--;
    }
    if (limit_at > begin) {
        hakuban_error error;
        if (parse_duration(text + begin, limit_at - 1 - begin, &point.after_ns, &error) < 0) {
            return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, begin + error.offset, 0, 0, "%s",
                                error.text);
        }
    }
    uint64_t value;
    size_t offset = limit_at;
    if (offset == end || !parse_digits(text, end, &offset, &value) || offset != end ||
        value > UINT32_MAX) {
        return hkb_error_at(reterr, HAKUBAN_ERR_PARSE, limit_at, 0, 0,
                            "a limit is a whole number up to 4294967295");
    }
    point.limit = (uint32_t)value;
    *ret = point;
    return HAKUBAN_OK;
}

hakuban_status hkb_load_limit_parse(const char *text, hkb_load_limit *ret, hakuban_error *reterr)
{
    hkb_load_limit limit = {.count = 0};
    size_t begin = 0;
    while (text[0]) {
        size_t end = begin + strcspn(text + begin, "-");
        hkb_load_point point;
        hakuban_status status = parse_load_point(text, begin, end, &point, reterr);
        if (status < 0) {
            return status;
        }
        if (hkb_load_limit_add(&limit, point) < 0) {
            return hkb_error_at(reterr, HAKUBAN_ERR_LIMIT, begin, 0, 0, "more than %d points",
                                HKB_LOAD_POINTS_MAX - 1);
        }
        if (!text[end]) {
            break;
        }
        begin = end + 1;
    }
    *ret = limit;
    return HAKUBAN_OK;
}

static double limit_between(const hkb_load_point *from, const hkb_load_point *to,
                            uint64_t elapsed_ns)
{
    double part = (double)(elapsed_ns - from->after_ns) / (double)(to->after_ns - from->after_ns);
    return from->limit + ((double)to->limit - from->limit) * part;
}

double hkb_load_limit_at(const hkb_load_limit *limit, uint64_t elapsed_ns)
{
    if (!limit->count) {
        return (double)INFINITY;
    }
    size_t i = 0;
    while (i + 1 < limit->count && limit->points[i + 1].after_ns <= elapsed_ns) {
        i++;
    }
    const hkb_load_point *from = &limit->points[i];
    return i + 1 == limit->count ? from->limit : limit_between(from, from + 1, elapsed_ns);
}

uint64_t hkb_load_limit_when(const hkb_load_limit *limit, double load, uint64_t elapsed_ns)
{
    for (size_t i = 0; i + 1 < limit->count; i++) {
        const hkb_load_point *from = &limit->points[i], *to = from + 1;
        if (to->after_ns <= elapsed_ns) {
            continue;
        }
        if (from->after_ns > elapsed_ns && from->limit >= load) {
            return from->after_ns; /* a step */
        }
        if (to->limit >= load && from->limit >= load) {
            return elapsed_ns + 1; /* the limit is not below load */
        }
        if (to->limit >= load) {
            uint64_t span_ns = to->after_ns - from->after_ns;
            double part = (load - from->limit) / ((double)to->limit - from->limit);
            double after_ns = part * (double)span_ns;
            uint64_t ns = after_ns <= 0                 ? 0
                          : after_ns >= (double)span_ns ? span_ns
                                                        : (uint64_t)after_ns;
            ns += from->after_ns + ((double)ns < after_ns); /* rounded up */
            return ns > elapsed_ns ? ns : elapsed_ns + 1;
        }
    }
    return UINT64_MAX;
}
