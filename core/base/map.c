/* The hash table, and the keyed hash for keys that peers choose. The table knows nothing of its
 * items but where their hash is. */
#include "base/map.h"

#define SLOTS_MIN 8

static uint32_t item_hash(const hkb_map *map, const void *item)
{
    uint32_t hash;
    memcpy(&hash, (const char *)item + map->hash_offset, sizeof(hash));
    return hash;
}

/* The hash is mixed, because some hashes are plain numbers. */
static size_t home(const hkb_map *map, uint32_t hash)
{
    return (size_t)(hash * map->key >> 32) & map->mask;
}

static void put(hkb_map *map, void *item)
{
    size_t slot = home(map, item_hash(map, item));
    while (map->slots[slot]) {
        slot = (slot + 1) & map->mask;
    }
    map->slots[slot] = item;
}

static hakuban_status resize(hkb_map *map, size_t slot_count)
{
    if (slot_count > SIZE_MAX / sizeof(void *)) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    void **slots = hkb_alloc(map->alloc, slot_count * sizeof(void *));
    if (!slots) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    void **old = map->slots;
    size_t old_count = old ? map->mask + 1 : 0;
    map->slots = slots;
    map->mask = slot_count - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i]) {
            put(map, old[i]);
        }
    }
    hkb_free(map->alloc, old, old_count * sizeof(void *));
    return HAKUBAN_OK;
}

void hkb_map_init(hkb_map *map, const hakuban_alloc *alloc, size_t hash_offset,
                  hkb_map_equal_fn equal)
{
    *map = (hkb_map){.alloc = alloc, .hash_offset = hash_offset, .equal = equal};
    hkb_map_set_key(map, 0x9e3779b97f4a7c15u);
}

void hkb_map_set_key(hkb_map *map, uint64_t key)
{
    map->key = key | 1;
}

void hkb_map_done(hkb_map *map)
{
    if (map->slots) {
        hkb_free(map->alloc, map->slots, (map->mask + 1) * sizeof(void *));
    }
    map->slots = NULL;
    map->mask = map->count = 0;
}

void *hkb_map_find(const hkb_map *map, uint32_t hash, const void *key)
{
    if (!map->slots) {
        return NULL;
    }
    void *item;
    for (size_t slot = home(map, hash); (item = map->slots[slot]); slot = (slot + 1) & map->mask) {
        if (item_hash(map, item) == hash && map->equal(item, key)) {
            return item;
        }
    }
    return NULL;
}

hakuban_status hkb_map_insert(hkb_map *map, void *item)
{
    /* At most five of eight slots are used: each probe beyond the first reads another item's
     * memory. */
    size_t slot_count = map->slots ? map->mask + 1 : 0;
    if (map->count >= slot_count / 8 * 5) {
        hakuban_status status = resize(map, slot_count ? slot_count * 2 : SLOTS_MIN);
        if (status < 0) {
            return status;
        }
    }
    put(map, item);
    map->count++;
    return HAKUBAN_OK;
}

void hkb_map_remove(hkb_map *map, void *item)
{
    HKB_ASSERT(map->slots);
    size_t gap = home(map, item_hash(map, item));
    while (map->slots[gap] != item) {
        HKB_ASSERT(map->slots[gap]);
        gap = (gap + 1) & map->mask;
    }
    /* Items behind the gap move back, but never to a slot before their home. So the table needs no
     * marks for deleted items. */
    size_t slot = gap;
    for (;;) {
        slot = (slot + 1) & map->mask;
        void *next = map->slots[slot];
        if (!next) {
            break;
        }
        size_t from_home = (slot - home(map, item_hash(map, next))) & map->mask;
        if (from_home >= ((slot - gap) & map->mask)) {
            map->slots[gap] = next;
            gap = slot;
        }
    }
    map->slots[gap] = NULL;
    map->count--;
    size_t slot_count = map->mask + 1;
    if (!map->count) {
        hkb_map_done(map);
    } else if (slot_count > SLOTS_MIN && map->count < slot_count / 8) {
        (void)resize(map,
                     slot_count / 2); /* without memory for a smaller table the large one stays */
    }
}

static uint64_t reversed(uint64_t value)
{
    uint64_t result = 0;
    for (unsigned i = 0; i < 64; i++, value >>= 1) {
        result = result << 1 | (value & 1);
    }
    return result;
}

/* The next home slot of a scan. Places count from the highest bit of the mask down. When the table
 * grows, one home splits into several that follow each other in this order: homes that were scanned
 * stay scanned, whatever the size of the table at the next step. */
static uint64_t next_place(uint64_t place, uint64_t mask)
{
    place = reversed(reversed(place | ~mask) + 1);
    return place ? place : UINT64_MAX;
}

size_t hkb_map_scan(const hkb_map *map, uint64_t *place, void **ret, size_t room)
{
    size_t count = 0;
    while (*place != UINT64_MAX) {
        if (!map->slots) {
            *place = UINT64_MAX;
            break;
        }
        size_t at = (size_t)*place & map->mask, before = count;
        void *item;
        for (size_t slot = at; (item = map->slots[slot]); slot = (slot + 1) & map->mask) {
            if (home(map, item_hash(map, item)) != at) {
                continue;
            }
            if (count == room && before) {
                return before; /* the next call gives all items of this home */
            }
            if (count < room) {
                ret[count++] = item;
            }
        }
        *place = next_place(*place, map->mask);
        if (count == room) {
            break;
        }
    }
    return count;
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const uint8_t *data, size_t bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++) {
        word |= (uint64_t)data[i] << (8 * i);
    }
    return word;
}

uint64_t hkb_siphash(const uint64_t key[2], const void *data, size_t bytes)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const uint8_t *in = data;
    size_t left = bytes;
    for (; left >= 8; in += 8, left -= 8) {
        uint64_t word = little_endian(in, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)bytes << 56 | little_endian(in, left);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
