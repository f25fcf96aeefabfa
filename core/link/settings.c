/* The parameters of a link in its URL's fragment, as one table. An unknown key is an error. */
#include "link/link.h"

#include "json/json.h"

#define MS 1000000ull
#define DAY (86400000 * MS)
#define LONG_NS_MAX (36500 * DAY) /* some users write this for "never" */

static hakuban_status keyed(hakuban_error *reterr, const char *key, const char *value,
                            const hakuban_error *cause)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "parameter %s=%s: %s", key, value,
                             cause->text);
}

static hakuban_status read_duration(const hakuban_url_param *param, uint64_t min_ns,
                                    uint64_t max_ns, uint64_t *ret_ns, hakuban_error *reterr)
{
    hakuban_error cause;
    uint64_t value;
    if (hkb_duration_parse(param->value, &value, &cause) < 0) {
        return keyed(reterr, param->key, param->value, &cause);
    }
    if (value < min_ns || value > max_ns) {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL, "parameter %s=%s: must be from %llu ms to %llu ms", param->key,
            param->value, (unsigned long long)(min_ns / MS), (unsigned long long)(max_ns / MS));
    }
    *ret_ns = value;
    return HAKUBAN_OK;
}

static hakuban_status read_window(const hakuban_url_param *param, uint64_t *ret_bytes,
                                  hakuban_error *reterr)
{
    hakuban_error cause;
    uint64_t value;
    if (hkb_size_parse(param->value, &value, &cause) < 0) {
        return keyed(reterr, param->key, param->value, &cause);
    }
    if (value < HKB_WINDOW_BYTES_MIN || value > HKB_WINDOW_BYTES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "parameter %s=%s: must be from %u to %u bytes", param->key,
                                 param->value, HKB_WINDOW_BYTES_MIN, HKB_WINDOW_BYTES_MAX);
    }
    *ret_bytes = value;
    return HAKUBAN_OK;
}

static hakuban_status read_codec(const hakuban_url_param *param, bool known, char *out,
                                 hakuban_error *reterr)
{
    static const struct {
        const char *key, *value, *option;
    } options[] = {{"serializer", "json", "HAKUBAN_SERIALIZER_JSON"},
                   {"serializer", "msgpack", "HAKUBAN_SERIALIZER_MSGPACK"},
                   {"compressor", "zstd", "HAKUBAN_COMPRESSOR_ZSTD"}};
    if (known) {
        memcpy(out, param->value, strlen(param->value) + 1);
        return HAKUBAN_OK;
    }
    for (size_t i = 0; i < HKB_COUNT(options); i++) {
        if (strcmp(param->key, options[i].key) == 0 &&
            strcmp(param->value, options[i].value) == 0) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                                     "parameter %s=%s: it was not built in (%s)", param->key,
                                     param->value, options[i].option);
        }
    }
    return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                             "parameter %s=%s: there is no %s of that name; it was not built in",
                             param->key, param->value, param->key);
}

static hakuban_status read_param(const hakuban_url_param *param, const hkb_registry *registry,
                                 hkb_link_settings *settings, hakuban_error *reterr)
{
    const char *key = param->key, *value = param->value;
    size_t bytes = strlen(value);
    if (strcmp(key, "name") == 0) {
        if (bytes > HKB_NAME_BYTES_MAX) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                     "parameter name: longer than %d bytes", HKB_NAME_BYTES_MAX);
        }
        if (!hkb_utf8_valid(value, bytes)) { /* the other side could not read such a hello */
            return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "parameter name: not UTF-8");
        }
        memcpy(settings->name, value, bytes + 1);
        return HAKUBAN_OK;
    }
    if (strcmp(key, "timeout") == 0) {
        return read_duration(param, 10 * MS, LONG_NS_MAX, &settings->timeout_ns, reterr);
    }
    if (strcmp(key, "keep-alive") == 0) {
        hakuban_status status =
            read_duration(param, 10 * MS, LONG_NS_MAX, &settings->keep_alive_ns, reterr);
        /* Peers take more than a day as a day, so something must be sent that often. */
        settings->keep_alive_given = true;
        if (status >= 0 && settings->keep_alive_ns > DAY) {
            settings->keep_alive_ns = DAY;
        }
        return status;
    }
    if (strcmp(key, "grace") == 0) {
        return read_duration(param, 0, 3600000 * MS, &settings->grace_ns, reterr);
    }
    if (strcmp(key, "window") == 0) {
        return read_window(param, &settings->window_bytes, reterr);
    }
    if (strcmp(key, "load-limit") == 0) {
        hakuban_error cause;
        return hkb_load_limit_parse(value, &settings->load_limit, &cause) >= 0
                   ? HAKUBAN_OK
                   : keyed(reterr, key, value, &cause);
    }
    if (strcmp(key, "preload") == 0) { /* the tag is checked where it is used */
        if (bytes > HKB_PRELOAD_BYTES_MAX) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                     "parameter preload: longer than %d bytes",
                                     HKB_PRELOAD_BYTES_MAX);
        }
        memcpy(settings->preload, value, bytes + 1);
        return HAKUBAN_OK;
    }
    if (strcmp(key, "serializer") == 0) {
        return read_codec(param, hkb_registry_serializer(registry, value, bytes) != NULL,
                          settings->serializer, reterr);
    }
    if (strcmp(key, "compressor") == 0) {
        return read_codec(param, hkb_registry_compressor(registry, value, bytes) != NULL,
                          settings->compressor, reterr);
    }
    if (strcmp(key, "nodelay") == 0) { /* a parameter of the transport */
        if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
            return HAKUBAN_OK;
        }
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "parameter nodelay=%s: must be true or false", value);
    }
    if (strcmp(key, "dialect") == 0) { /* also the transport's */
        if (strcmp(value, "native") == 0 || strcmp(value, "rust") == 0) {
            return HAKUBAN_OK;
        }
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "parameter dialect=%s: must be native or rust", value);
    }
    if (strcmp(key, "origin") == 0 ||
        strcmp(key, "page") == 0 || /* also the transport's: for browsers, */
        strcmp(key, "mode") == 0 || strcmp(key, "group") == 0 || /* for the files of sockets, */
        strcmp(key, "cert") == 0 || strcmp(key, "key") == 0 ||   /* and for TLS */
        strcmp(key, "ca") == 0 || strcmp(key, "verify") == 0 || strcmp(key, "server-name") == 0) {
        return HAKUBAN_OK;
    }
    return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                             "there is no parameter \"%s\"; known are name, timeout, keep-alive, "
                             "nodelay, load-limit, preload, serializer, compressor, grace, window, "
                             "dialect, origin, page, mode, group, cert, key, ca, verify and "
                             "server-name",
                             key);
}

hakuban_status hkb_link_settings_read(const hakuban_url *url, const hkb_registry *registry,
                                      hkb_link_settings *ret, hakuban_error *reterr)
{
    hkb_link_settings settings = {
        .name = "hakuban",
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .grace_ns = HKB_GRACE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = HAKUBAN_STATE_BYTES_MAX,
        .features = HKB_FEATURE_HAVE,
    };
    for (size_t i = 0; i < url->param_count; i++) {
        hakuban_status status = read_param(&url->params[i], registry, &settings, reterr);
        if (status < 0) {
            return status;
        }
    }
    *ret = settings;
    return HAKUBAN_OK;
}
