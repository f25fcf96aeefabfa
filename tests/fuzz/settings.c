/* What users type: URLs and their parameters are understood or refused in words. The input is the
 * text. */
#include <stdlib.h>

#include "link/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_words(hakuban_status status, const hakuban_error *error)
{
    HKB_ASSERT(status < 0 && error->status == status);
    HKB_ASSERT(memchr(error->text, 0, sizeof(error->text)) && error->text[0]);
}

static void check_settings(const hkb_link_settings *settings)
{
    HKB_ASSERT(memchr(settings->name, 0, sizeof(settings->name)));
    HKB_ASSERT(settings->window_bytes >= HKB_WINDOW_BYTES_MIN &&
               settings->window_bytes <= HKB_WINDOW_BYTES_MAX);
    HKB_ASSERT(settings->keep_alive_ns >= 1000000);
    HKB_ASSERT(settings->load_limit.count <= HKB_LOAD_POINTS_MAX);
    uint64_t now_ns = 0;
    for (unsigned i = 0; i < 10 && now_ns != UINT64_MAX; i++) {
        double limit = hkb_load_limit_at(&settings->load_limit, now_ns);
        uint64_t next_ns = hkb_load_limit_when(&settings->load_limit, limit + 1, now_ns);
        HKB_ASSERT(limit >= 0 && next_ns > now_ns);
        now_ns = next_ns;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static hkb_registry registry;
    static hkb_link_settings settings;
    hakuban_error error;
    hakuban_url *url = NULL;
    char *text = malloc(bytes + 1);
    if (!text) {
        abort();
    }
    if (bytes) {
        memcpy(text, data, bytes);
    }
    text[bytes] = 0;
    if (!registry.alloc) {
        hkb_registry_init(&registry, hakuban_alloc_default());
        HKB_ASSERT(hkb_registry_add_builtin(&registry) == HAKUBAN_OK);
    }
    memset(&error, 0xa5, sizeof(error));
    hakuban_status status = hkb_url_parse(hakuban_alloc_default(), text, &url, &error);
    if (status == HAKUBAN_OK) {
        memset(&error, 0xa5, sizeof(error));
        status = hkb_link_settings_read(url, &registry, &settings, &error);
        if (status == HAKUBAN_OK) {
            check_settings(&settings);
        } else {
            check_words(status, &error);
        }
    } else {
        check_words(status, &error);
        HKB_ASSERT(error.offset <= bytes);
    }
    hkb_url_free(hakuban_alloc_default(), url);
    free(text);
    return 0;
}
