/* The hash table that finds the rows of words.

   Words and tokens are bytes of UTF-8, end to end; word r lies in the vocabulary's text from offsets[r] to
   offsets[r + 1]. The slots are an open table with linear probing: the upper half of a slot is that of the word's hash,
   its lower half the row + 1; 0 is an empty slot. The arrays are an artifact's and may hold anything, so none of their
   numbers is followed unchecked, and a search ends after some thousand slots: a word that lies further off is not
   found. */

#ifndef PARAVEC_HASH_TABLE_H
#define PARAVEC_HASH_TABLE_H

#include "kernels.h"

#define HASH_BASIS 0xCBF29CE484222325u
#define HASH_PRIME 0x100000001B3u
#define HASH_ROW 0xFFFFFFFFu

/* The longest run of slots without an empty one is some dozens long, a table being half empty at least. */
enum { LONGEST_SEARCH = 1024 };

/* FNV-1a, one byte further. */
static inline uint64_t hash_byte(uint64_t hash, uint8_t byte) {
    return (hash ^ byte) * HASH_PRIME;
}

/* Whether a token is the word of a row. */
static inline int is_word(const vocabulary *words, uint64_t row, const uint8_t *token, int64_t length) {
    int64_t first = words->offsets.data[row], last = words->offsets.data[row + 1];
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

/* The row of a token of this hash; as many as there are words if it is none. */
static inline uint64_t find_word(const vocabulary *words, uint64_t hash, const uint8_t *token, int64_t length) {
    uint64_t count = (uint64_t)words->offsets.length - 1, mask = (uint64_t)words->slots.length - 1;
    uint64_t search = mask < LONGEST_SEARCH ? mask + 1 : LONGEST_SEARCH;
    for (uint64_t step = 0; step < search; step++) {
        uint64_t slot = words->slots.data[(hash + step) & mask];
        if (slot == 0) {
            break;
        }
        if ((slot ^ hash) >> 32 == 0) {
            uint64_t row = (slot & HASH_ROW) - 1;
            if (row < count && is_word(words, row, token, length)) {
                return row;
            }
        }
    }
    return count;
}

#endif
