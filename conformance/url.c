/* See url.h. Less strict than the library, which has its own tests: here URLs come from the person
 * that runs the checks. */
#include "url.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 512, PARAMS_MAX = 16 };

typedef struct parts {
    hakuban_url url; /* first: it is what is handed out */
    hakuban_url_param params[PARAMS_MAX];
    char text[TEXT_BYTES_MAX], scheme[TEXT_BYTES_MAX], authority[TEXT_BYTES_MAX];
    char host[TEXT_BYTES_MAX], path[TEXT_BYTES_MAX], rest[TEXT_BYTES_MAX];
} parts;

/* "[::1]:3001", "host:3001", "host". */
static void split_authority(parts *made)
{
    char *colon, *begin = made->host;
    memcpy(made->host, made->authority, sizeof(made->host));
    if (begin[0] == '[') {
        size_t bytes = strcspn(begin, "]");
        colon = begin[bytes] ? strchr(begin + bytes, ':') : NULL;
        begin[bytes] = '\0';
        begin++;
    } else {
        colon = strchr(begin, ':');
    }
    if (colon) {
        *colon = '\0';
        made->url.port = (uint16_t)strtoul(colon + 1, NULL, 10);
        made->url.has_port = 1;
    }
    made->url.host = begin;
}

/* key=value,key=value */
static int split_params(parts *made)
{
    for (char *key = made->rest; *key;) {
        char *end = key + strcspn(key, ","), *value = memchr(key, '=', (size_t)(end - key));
        char *next = *end ? end + 1 : end;
        if (!value || made->url.param_count == PARAMS_MAX) {
            return 0;
        }
        *end = *value = '\0';
        made->params[made->url.param_count++] = (hakuban_url_param){key, value + 1};
        key = next;
    }
    return 1;
}

hakuban_status hkb_check_url_parse(const char *text, hakuban_url **ret, hakuban_error *reterr)
{
    const char *authority = strstr(text, "://");
    if (!authority || strlen(text) >= TEXT_BYTES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "expected scheme:// and less than %d bytes", TEXT_BYTES_MAX);
    }
    parts *made = calloc(1, sizeof(*made));
    if (!made) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    memcpy(made->text, text, strlen(text) + 1);
    memcpy(made->scheme, text, (size_t)(authority - text));
    authority += 3;
    const char *path = authority + strcspn(authority, "/#"), *rest = path + strcspn(path, "#");
    memcpy(made->authority, authority, (size_t)(path - authority));
    memcpy(made->path, path, (size_t)(rest - path));
    rest += *rest == '#';
    memcpy(made->rest, rest, strlen(rest) + 1);
    made->url.text = made->text;
    made->url.scheme = made->scheme;
    made->url.authority = made->authority;
    made->url.path = made->path;
    made->url.params = made->params;
    split_authority(made);
    if (!split_params(made)) {
        free(made);
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "a parameter is key=value");
    }
    *ret = &made->url;
    return HAKUBAN_OK;
}

void hkb_check_url_free(hakuban_url *url)
{
    free(url);
}
