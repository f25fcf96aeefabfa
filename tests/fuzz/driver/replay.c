/* main() for fuzz targets where there is no libFuzzer: gives a target each file of its corpus, then
 * a few thousand inputs made from them by small damage. Always the same inputs, so that a failure
 * can be had again. Knows no target. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FILES_MAX = 4096, FILE_BYTES_MAX = 1 << 20, MUTATIONS = 5000, MUTATION_BYTES_MAX = 1 << 16 };

static struct {
    uint8_t *data;
    size_t bytes;
} seeds[FILES_MAX];
static size_t seed_count;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static size_t random_below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit == 0 ? 0 : (size_t)(random_state % limit);
}

/* The target gets memory of exactly the input's size, so that a sanitizer sees one byte too many.
 */
static void give(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    if (copy == NULL) {
        exit(2);
    }
    if (bytes > 0) {
        memcpy(copy, data, bytes);
    }
    (void)LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

static void load(const char *folder, const char *name)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof(path) || seed_count == FILES_MAX) {
        return;
    }
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_BYTES_MAX);
    if (file == NULL || data == NULL) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    seeds[seed_count].bytes = fread(data, 1, FILE_BYTES_MAX, file);
    (void)fclose(file);
    uint8_t *shrunk = realloc(data, seeds[seed_count].bytes + 1);
    seeds[seed_count++].data = shrunk == NULL ? data : shrunk;
}

static size_t mutate(uint8_t *data, size_t bytes)
{
    static const uint8_t edges[] = {0, 1, 0x20, '"', '0', '[', '{', 0x7f, 0x80, 0xc0, 0xfe, 0xff};
    for (size_t changes = 1 + random_below(6); changes > 0; changes--) {
        size_t at = random_below(bytes + 1);
        size_t length = 1 + random_below(16);
        switch (random_below(6)) {
        case 0: /* one bit */
            if (at < bytes) {
                data[at] ^= (uint8_t)(1u << random_below(8));
            }
            break;
        case 1: /* one byte that is on an edge */
            if (at < bytes) {
                data[at] = edges[random_below(sizeof(edges))];
            }
            break;
        case 2: /* cut off */
            if (random_below(4) == 0) {
                bytes = at;
            }
            break;
        case 3: /* take out */
            if (at + length < bytes) {
                memmove(data + at, data + at + length, bytes - at - length);
                bytes -= length;
            }
            break;
        case 4: /* put in */
            if (bytes + length <= MUTATION_BYTES_MAX) {
                memmove(data + at + length, data + at, bytes - at);
                for (size_t i = 0; i < length; i++) {
                    data[at + i] = (uint8_t)random_below(256);
                }
                bytes += length;
            }
            break;
        default: /* repeat a piece further on */
            if (at + length < bytes) {
                size_t to = random_below(bytes - length);
                memmove(data + to, data + at, length);
            }
            break;
        }
    }
    return bytes;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        const struct dirent *entry;
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            if (entry->d_name[0] != '.') {
                load(argv[i], entry->d_name);
            }
        }
        if (folder != NULL) {
            (void)closedir(folder);
        }
    }
    give(NULL, 0);
    for (size_t i = 0; i < seed_count; i++) {
        give(seeds[i].data, seeds[i].bytes);
    }
    static uint8_t buffer[MUTATION_BYTES_MAX];
    for (size_t i = 0; i < MUTATIONS; i++) {
        size_t bytes = 0;
        if (seed_count > 0) {
            size_t seed = random_below(seed_count);
            bytes = seeds[seed].bytes < sizeof(buffer) ? seeds[seed].bytes : sizeof(buffer);
            memcpy(buffer, seeds[seed].data, bytes);
        }
        give(buffer, mutate(buffer, bytes));
    }
    (void)printf("%zu files, %d mutations\n", seed_count, (int)MUTATIONS);
    for (size_t i = 0; i < seed_count; i++) {
        free(seeds[i].data);
    }
    return 0;
}
