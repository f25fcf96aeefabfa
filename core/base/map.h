/* A hash table of pointers to items that carry their own 32-bit hash; linear probing, 8 bytes a
 * slot. Where peers choose the keys, the hash must be keyed (hkb_siphash()), or the table
 * (hkb_map_set_key()). Nothing that anybody
 * can see may follow its order. */
#ifndef HKB_BASE_MAP_H
#define HKB_BASE_MAP_H

#include "base/base.h"

typedef bool (*hkb_map_equal_fn)(const void *item, const void *key);

typedef struct hkb_map {
    const hakuban_alloc *alloc;
    void **slots;
    size_t mask; /* slot count - 1; 0: no slots yet */
    size_t count;
    size_t hash_offset; /* of the uint32_t in each item */
    uint64_t key;       /* odd */
    hkb_map_equal_fn equal;
} hkb_map;

void hkb_map_init(hkb_map *map, const hakuban_alloc *alloc, size_t hash_offset,
                  hkb_map_equal_fn equal);
/* Of a table that is empty: a secret one makes places of plain numbers that nobody can foresee. */
void hkb_map_set_key(hkb_map *map, uint64_t key);
void hkb_map_done(hkb_map *map); /* frees the slots, not the items */
void *hkb_map_find(const hkb_map *map, uint32_t hash, const void *key);
/* The item must not be there yet. ERR_NO_MEMORY leaves all as it was. Memory shrinks again as items
 * go. */
hakuban_status hkb_map_insert(hkb_map *map, void *item);
/* The item must be there. Never fails. */
void hkb_map_remove(hkb_map *map, void *item);
/* The next items of a walk that goes on while the table changes: how many, at most room (16 or
 * more). *place is 0 to begin with; it is UINT64_MAX once all were given. An item that is there all
 * the time is given once at least; twice only where the table has shrunk meanwhile. */
size_t hkb_map_scan(const hkb_map *map, uint64_t *place, void **ret, size_t room);

/* SipHash-1-3 of Aumasson and Bernstein. */
uint64_t hkb_siphash(const uint64_t key[2], const void *data, size_t bytes);

#endif
