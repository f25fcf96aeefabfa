/* The hash table, and the keyed hash for keys that peers choose. The table knows nothing of its
 * items but where their hash is. It grows by dividing one of its parts at a time (extendible
 * hashing of Fagin, Nievergelt, Pippenger and Strong): no call moves more items than a part has,
 * and none needs more memory than another part and the directory of all parts. */
#include "base/map.h"

#define SLOTS_MIN ((size_t)8)
#define SLOTS_LOG_MAX 10u
#define SLOTS_MAX ((size_t)1 << SLOTS_LOG_MAX) /* a part with fewer slots is the only one */
#define DEPTH_MAX (32u - SLOTS_LOG_MAX)
/* With fewer items for each entry a larger directory would not help: they have too few hashes. */
#define ENTRY_ITEMS_MIN 16u

/* -- Places -- */

/* An item's place is its hash, mixed, because some hashes are plain numbers. The upper bits tell
 * the part, the lowest ones the home slot. */
static uint64_t place_of_hash(const hkb_map *map, uint32_t hash)
{
    return (uint32_t)(hash * map->key >> 32);
}

static uint32_t hash_of(const hkb_map *map, const void *item)
{
    uint32_t hash;
    memcpy(&hash, (const char *)item + map->hash_offset, sizeof(hash));
    return hash;
}

static uint64_t place_of(const hkb_map *map, const void *item)
{
    return place_of_hash(map, hash_of(map, item));
}

static size_t home(const hkb_map *map, uint64_t place)
{
    return (size_t)place & map->mask;
}

static size_t entry_of(const hkb_map *map, uint64_t place)
{
    return (size_t)(place >> map->entry_shift);
}

/* -- Parts -- */

static size_t part_bytes(size_t slots)
{
    return sizeof(hkb_map_part) + slots * sizeof(void *);
}

static hkb_map_part *part_new(hkb_map *map, size_t slots)
{
    hkb_map_part *part = hkb_alloc(map->alloc, part_bytes(slots));
    map->bytes += part ? part_bytes(slots) : 0;
    return part;
}

static void part_free(hkb_map *map, hkb_map_part *part, size_t slots)
{
    map->bytes -= part_bytes(slots);
    hkb_free(map->alloc, part, part_bytes(slots));
}

static void put(const hkb_map *map, hkb_map_part *part, void *item)
{
    size_t slot = home(map, place_of(map, item));
    while (part->slots[slot]) {
        slot = (slot + 1) & map->mask;
    }
    part->slots[slot] = item;
    part->count++;
}

static void put_all(const hkb_map *map, hkb_map_part *part, const hkb_map_part *from, size_t slots)
{
    for (size_t i = 0; i < slots; i++) {
        if (from->slots[i]) {
            put(map, part, from->slots[i]);
        }
    }
}

/* Gives the only part another number of slots. */
static hakuban_status resize(hkb_map *map, size_t slots)
{
    hkb_map_part *old = map->only, *part = part_new(map, slots);
    size_t old_slots = map->mask + 1;
    if (!part) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    map->only = part;
    map->mask = slots - 1;
    if (old) {
        put_all(map, part, old, old_slots);
        part_free(map, old, old_slots);
    }
    return HAKUBAN_OK;
}

/* -- The directory -- */

static size_t entry_count(const hkb_map *map)
{
    return (size_t)1 << map->depth;
}

/* Makes the directory twice or half as long. No item moves. */
static hakuban_status set_depth(hkb_map *map, unsigned depth)
{
    hkb_map_part **entries = &map->only, **old = map->parts;
    size_t count = (size_t)1 << depth, bytes = count * sizeof(hkb_map_part *);
    size_t old_bytes = entry_count(map) * sizeof(hkb_map_part *);
    if (depth) {
        entries = hkb_alloc_unset(map->alloc, bytes);
        if (!entries) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        map->bytes += bytes;
    }
    map->deepest = 0;
    for (size_t i = 0; i < count; i++) {
        entries[i] = old[depth > map->depth ? i / 2 : i * 2];
        map->deepest += entries[i]->depth == depth;
    }
    if (map->depth) {
        map->bytes -= old_bytes;
        hkb_free(map->alloc, old, old_bytes);
    }
    map->parts = entries;
    map->depth = depth;
    map->entry_shift = 32 - depth;
    return HAKUBAN_OK;
}

/* All entries of the part that has this one. */
static size_t entries_of(const hkb_map *map, size_t entry, size_t *ret_begin)
{
    size_t count = entry_count(map) >> map->parts[entry]->depth;
    *ret_begin = entry & ~(count - 1);
    return count;
}

static void set_entries(const hkb_map *map, size_t begin, size_t count, hkb_map_part *part)
{
    for (size_t i = begin; i < begin + count; i++) {
        map->parts[i] = part;
    }
}

static bool can_divide(const hkb_map *map, const hkb_map_part *part)
{
    return part->depth < map->depth ||
           (map->depth < DEPTH_MAX && map->count / ENTRY_ITEMS_MIN >= 2 * entry_count(map));
}

/* A new part takes the second half of the part's places. */
static hakuban_status divide(hkb_map *map, uint64_t place)
{
    hkb_map_part *part = map->parts[entry_of(map, place)], *second = part_new(map, SLOTS_MAX);
    if (!second) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (part->depth == map->depth && set_depth(map, map->depth + 1u) < 0) {
        part_free(map, second, SLOTS_MAX);
        return HAKUBAN_ERR_NO_MEMORY;
    }
    size_t begin, count = entries_of(map, entry_of(map, place), &begin), at = 0;
    set_entries(map, begin + count / 2, count / 2, second);
    second->depth = ++part->depth;
    map->deepest += part->depth == map->depth ? 2 : 0;
    /* All items are put anew, in the order of the slots behind an empty slot: so each finds a slot
     * that is not behind the slot that it had, and those behind it are still found. */
    while (part->slots[at]) {
        at++;
    }
    for (size_t i = 1; i < SLOTS_MAX; i++) {
        void **slot = &part->slots[(at + i) & map->mask], *item = *slot;
        if (item) {
            *slot = NULL;
            part->count--;
            put(map, map->parts[entry_of(map, place_of(map, item))], item);
        }
    }
    return HAKUBAN_OK;
}

/* Undoes divide(), where few items are left. false: there are too many. */
static bool join(hkb_map *map, uint64_t place)
{
    hkb_map_part *part = map->parts[entry_of(map, place)];
    size_t begin, count = entries_of(map, entry_of(map, place), &begin);
    if (part->depth == 0 || part->count > SLOTS_MAX / 8) {
        return false;
    }
    hkb_map_part *other = map->parts[begin ^ count];
    if (other->depth != part->depth || part->count + other->count > SLOTS_MAX / 4) {
        return false;
    }
    put_all(map, part, other, SLOTS_MAX);
    set_entries(map, begin ^ count, count, part);
    part_free(map, other, SLOTS_MAX);
    map->deepest -= part->depth == map->depth ? 2 : 0;
    part->depth--;
    while (map->deepest == 0 && map->depth && set_depth(map, map->depth - 1u) >= 0)
        ; /* without memory for a shorter directory the long one stays */
    return true;
}

/* -- The table -- */

void hkb_map_init(hkb_map *map, const hakuban_alloc *alloc, size_t hash_offset,
                  hkb_map_equal_fn equal)
{
    *map = (hkb_map){.alloc = alloc,
                     .parts = &map->only,
                     .hash_offset = (uint32_t)hash_offset,
                     .equal = equal,
                     .entry_shift = 32};
    hkb_map_set_key(map, 0x9e3779b97f4a7c15u);
}

void hkb_map_set_key(hkb_map *map, uint64_t key)
{
    map->key = key | 1;
}

void hkb_map_done(hkb_map *map)
{
    size_t count = map->only ? entry_count(map) : 0;
    for (size_t i = 0; i < count;) {
        hkb_map_part *part = map->parts[i];
        i += count >> part->depth;
        part_free(map, part, map->mask + 1);
    }
    if (map->depth) {
        hkb_free(map->alloc, map->parts, count * sizeof(hkb_map_part *));
    }
    map->parts = &map->only;
    map->only = NULL;
    map->count = map->bytes = 0;
    map->mask = map->deepest = 0;
    map->depth = 0;
    map->entry_shift = 32;
}

void *hkb_map_find(const hkb_map *map, uint32_t hash, const void *key)
{
    uint64_t place = place_of_hash(map, hash);
    const hkb_map_part *part = map->parts[entry_of(map, place)];
    if (!part) {
        return NULL;
    }
    void *item;
    for (size_t slot = home(map, place); (item = part->slots[slot]);
         slot = (slot + 1) & map->mask) {
        if (hash_of(map, item) == hash && map->equal(item, key)) {
            return item;
        }
    }
    return NULL;
}

/* At most five of eight slots are used: each probe beyond the first reads another item's memory.
 * Only a crowd of items with the same hash uses more. */
static hakuban_status make_room(hkb_map *map, uint64_t place)
{
    for (;;) {
        const hkb_map_part *part = map->parts[entry_of(map, place)];
        hakuban_status status;
        if (!part) {
            status = resize(map, SLOTS_MIN);
        } else if (part->count < (map->mask + 1) / 8 * 5) {
            return HAKUBAN_OK;
        } else if (map->mask + 1 < SLOTS_MAX) {
            status = resize(map, (map->mask + 1) * 2);
        } else if (can_divide(map, part)) {
            status = divide(map, place);
        } else {
            return part->count < map->mask ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
        }
        if (status < 0) {
            return status;
        }
    }
}

hakuban_status hkb_map_insert(hkb_map *map, void *item)
{
    uint64_t place = place_of(map, item);
    hakuban_status status = make_room(map, place);
    if (status >= 0) {
        put(map, map->parts[entry_of(map, place)], item);
        map->count++;
    }
    return status;
}

void hkb_map_remove(hkb_map *map, void *item)
{
    HKB_ASSERT(map->count);
    uint64_t place = place_of(map, item);
    hkb_map_part *part = map->parts[entry_of(map, place)];
    size_t gap = home(map, place);
    while (part->slots[gap] != item) {
        HKB_ASSERT(part->slots[gap]);
        gap = (gap + 1) & map->mask;
    }
    /* Items behind the gap move back, but never to a slot before their home. So the table needs no
     * marks for deleted items. */
    size_t slot = gap;
    for (;;) {
        slot = (slot + 1) & map->mask;
        void *next = part->slots[slot];
        if (!next) {
            break;
        }
        size_t from_home = (slot - home(map, place_of(map, next))) & map->mask;
        if (from_home >= ((slot - gap) & map->mask)) {
            part->slots[gap] = next;
            gap = slot;
        }
    }
    part->slots[gap] = NULL;
    part->count--;
    map->count--;
    if (!map->count) {
        hkb_map_done(map);
        return;
    }
    while (join(map, place))
        ;
    if (map->mask + 1 > SLOTS_MIN && map->count < (map->mask + 1) / 8 && map->depth == 0) {
        /* Without memory for a smaller part the large one stays. */
        (void)resize(map, (map->mask + 1) / 2);
    }
}

static uint64_t reversed(uint64_t slot)
{
    uint64_t result = 0;
    for (unsigned i = 0; i < SLOTS_LOG_MAX; i++, slot >>= 1) {
        result = result << 1 | (slot & 1);
    }
    return result;
}

/* A scan goes through the places in the order of these numbers: slot after slot, and at each slot
 * part after part. The slots' numbers have the lowest bit first. So the places of a slot and a part
 * follow each other, however many slots and parts there are, and the numbers below the place in the
 * scan stay scanned when the table grows or shrinks. */
static uint64_t number_of(uint64_t place)
{
    return reversed(place % SLOTS_MAX) << DEPTH_MAX | place >> SLOTS_LOG_MAX;
}

static uint64_t numbered(uint64_t number)
{
    return (number << SLOTS_LOG_MAX & UINT32_MAX) | reversed(number >> DEPTH_MAX);
}

size_t hkb_map_scan(const hkb_map *map, uint64_t *place, void **ret, size_t room)
{
    size_t count = 0;
    while (count < room && *place != UINT64_MAX) {
        const hkb_map_part *part = map->parts[entry_of(map, numbered(*place))];
        if (!part) {
            *place = UINT64_MAX;
            break;
        }
        uint64_t begin = *place, span = ((uint64_t)1 << map->entry_shift) / (map->mask + 1);
        uint64_t end = (begin | (span - 1)) + 1;
        size_t before = count;
        void *item;
        for (size_t slot = home(map, numbered(begin)); (item = part->slots[slot]);
             slot = (slot + 1) & map->mask) {
            uint64_t number = number_of(place_of(map, item));
            if (number < begin || number >= end) {
                continue;
            }
            if (count == room && before) {
                return before; /* the next call gives all items of these places */
            }
            if (count < room) {
                ret[count++] = item;
            }
        }
        *place = end > UINT32_MAX ? UINT64_MAX : end;
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
