/* The hash table that maps words to ids.

   Words are UTF-8, end to end: word n lies in the vocabulary's text from offsets[n] to offsets[n + 1]. The table uses
   open addressing with linear probing. The upper half of a slot is the upper half of the word's hash, its lower half the
   id + 1; an empty slot is 0. The arrays come from an artifact, which may be hostile: every number is checked before it
   is used as an index, and a search ends after MAX_PROBES slots. */

#ifndef PARAVEC_HASH_TABLE_H
#define PARAVEC_HASH_TABLE_H

#include "kernels.h"

#define HASH_BASIS 0xCBF29CE484222325u
#define HASH_PRIME 0x100000001B3u
#define HASH_ID 0xFFFFFFFFu

/* At least half of a table is empty, so its longest run of full slots is a few dozen. */
enum { MAX_PROBES = 1024 };

/* One byte of FNV-1a. */
static inline uint64_t hash_byte(uint64_t hash, uint8_t byte) {
    return (hash ^ byte) * HASH_PRIME;
}

/* Whether a token equals the word with this id. */
static inline int is_word(const vocabulary *words, uint64_t id, const uint8_t *token, int64_t length) {
    int64_t first = words->offsets.data[id], last = words->offsets.data[id + 1];
    if (first < 0 || first > last || last > words->text.length || last - first != length) {
        return 0;
    }
    for (int64_t i = 0; i < length; i++) {
        if (words->text.data[first + i] != token[i]) {
            return 0;
        }
    }
    return 1;
}

/* The id of a token, given its hash; the number of words if the vocabulary lacks it. */
static inline uint64_t find_word(const vocabulary *words, uint64_t hash, const uint8_t *token, int64_t length) {
    uint64_t count = (uint64_t)words->offsets.length - 1, mask = (uint64_t)words->slots.length - 1;
    uint64_t probes = mask < MAX_PROBES ? mask + 1 : MAX_PROBES;
    for (uint64_t step = 0; step < probes; step++) {
        uint64_t slot = words->slots.data[(hash + step) & mask];
        if (slot == 0) {
            break;
        }
        if ((slot ^ hash) >> 32 == 0) {
            uint64_t id = (slot & HASH_ID) - 1;
            if (id < count && is_word(words, id, token, length)) {
                return id;
            }
        }
    }
    return count;
}

#endif
