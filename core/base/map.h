/* A hash table of pointers to items that carry their own 32-bit hash; linear probing, 8 bytes a
 * slot. It grows and shrinks by a part of 1,024 slots at a time, so that no call takes long,
 * however many items there are. Where peers choose the keys, the hash must be keyed
 * (hkb_siphash()), or the table (hkb_map_set_key()). No output that a peer or a user can see may
 * depend on the table's order. */
#ifndef HKB_BASE_MAP_H
#define HKB_BASE_MAP_H

#include "base/base.h"

typedef bool (*hkb_map_equal_fn)(const void *item, const void *key);

typedef struct hkb_map_part {
    uint32_t count;
    uint32_t depth; /* how many bits its items' places have in common */
    void *slots[];
} hkb_map_part;

/* Must stay where it is: parts may point to only. */
typedef struct hkb_map {
    const hakuban_alloc *alloc;
    hkb_map_part *
        *parts;         /* the directory: a part has one entry, or several that follow each other */
    hkb_map_part *only; /* the directory while there is one part at most */
    size_t count;
    size_t bytes; /* of its memory */
    uint64_t key; /* odd */
    hkb_map_equal_fn equal;
    size_t mask;          /* slots in each part - 1 */
    uint32_t hash_offset; /* where the uint32_t is in each item */
    uint32_t depth;       /* the directory has 2 ^ depth entries */
    uint32_t entry_shift; /* 32 - depth */
    uint32_t deepest;     /* parts with the depth of the directory */
} hkb_map;

void hkb_map_init(hkb_map *map, const hakuban_alloc *alloc, size_t hash_offset,
                  hkb_map_equal_fn equal);
/* Sets the key of an empty table. With a secret key no peer can foresee the slots of plain numbers.
 */
void hkb_map_set_key(hkb_map *map, uint64_t key);
void hkb_map_done(hkb_map *map); /* frees the slots, not the items */
void *hkb_map_find(const hkb_map *map, uint32_t hash, const void *key);
/* The item must not be in the table yet. ERR_NO_MEMORY changes nothing. The table shrinks again
 * when items are removed. */
hakuban_status hkb_map_insert(hkb_map *map, void *item);
/* The item must be in the table. Never fails. */
void hkb_map_remove(hkb_map *map, void *item);
/* Gives the next items of a scan, during which the table may change between the calls. Returns how
 * many, at most room (16 or more). *place is 0 at the beginning and UINT64_MAX once all items were
 * given. An item that is in the table all the time is given exactly once. */
size_t hkb_map_scan(const hkb_map *map, uint64_t *place, void **ret, size_t room);

/* SipHash-1-3 of Aumasson and Bernstein. */
uint64_t hkb_siphash(const uint64_t key[2], const void *data, size_t bytes);

#endif
