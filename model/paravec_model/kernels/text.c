/* Text to the rows of known words. */

#include <stddef.h>

#include "checks.h"
#include "hash_table.h"

/* Fill a hash table, which has more slots than there are words. */
int32_t fill_slots(const vocabulary *words, uint64_t *slots, int64_t slot_count) {
    if (words == NULL) {
        return BAD_TABLE;
    }
    const int64_t *offsets = words->offsets.data;
    int64_t count = words->offsets.length - 1;
    if (slots == NULL || words->text.data == NULL || slot_count <= count || (slot_count & (slot_count - 1)) != 0 ||
        count > (int64_t)HASH_ROW - 1 || check_offsets(offsets, words->offsets.length, words->text.length) != OK) {
        return BAD_TABLE;
    }
    uint64_t mask = (uint64_t)slot_count - 1;
    for (int64_t slot = 0; slot < slot_count; slot++) {
        slots[slot] = 0;
    }
    for (int64_t row = 0; row < count; row++) {
        uint64_t hash = HASH_BASIS;
        for (int64_t i = offsets[row]; i < offsets[row + 1]; i++) {
            hash = hash_byte(hash, words->text.data[i]);
        }
        uint64_t slot = hash & mask;
        while (slots[slot] != 0) {
            slot = (slot + 1) & mask;
        }
        slots[slot] = (hash & ~(uint64_t)HASH_ROW) | ((uint64_t)row + 1);
    }
    return OK;
}

/* Whether a byte is not the first of its character. */
static int continues(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* Find the rows of the documents' tokens, whose UTF-8 is `text`. The answer overwrites the question.

   `tokens`: the length of each token in characters; then the rows of the known ones. `ends`: 0 and where each
   document's tokens end; then where its known ones do. */
int32_t look_up(const vocabulary *words, const uint8_t *text, int64_t text_bytes, uint32_t *tokens, int64_t token_count,
                int64_t *ends, int64_t end_count) {
    if (check_vocabulary(words) != OK) {
        return BAD_TABLE;
    }
    /* An array without items may have no address. */
    if (text_bytes < 0 || token_count < 0 || (text == NULL && text_bytes > 0) || (tokens == NULL && token_count > 0) ||
        check_offsets(ends, end_count, token_count) != OK) {
        return BAD_DOCUMENTS;
    }
    uint64_t count = (uint64_t)words->offsets.length - 1;
    int64_t end = 0, first = 0, known = 0;
    for (int64_t n = 1; n < end_count; n++) {
        for (int64_t i = first; i < ends[n]; i++) {
            uint32_t left = tokens[i]; /* NOLINT(clang-analyzer-core.NullDereference): no `ends` are past no tokens */
            int64_t begin = end;
            uint64_t hash = HASH_BASIS;
            while (end < text_bytes && (left > 0 || continues(text[end]))) {
                left -= !continues(text[end]);
                hash = hash_byte(hash, text[end]);
                end++;
            }
            uint64_t row = find_word(words, hash, text + begin, end - begin);
            if (row < count) {
                tokens[known] = (uint32_t)row;
                known++;
            }
        }
        first = ends[n];
        ends[n] = known;
    }
    return OK;
}

/* Bytes of the character that begins with this one. */
static inline int64_t character_length(uint8_t byte) {
    if (byte < 0x80) {
        return 1;
    }
    if (byte < 0xE0) {
        return 2;
    }
    return byte < 0xF0 ? 3 : 4;
}

/* The character of so many bytes. */
static inline uint32_t decode(const uint8_t *at, int64_t length) {
    uint32_t code = length > 1 ? at[0] & (0x7Fu >> length) : at[0];
    for (int64_t i = 1; i < length; i++) {
        code = code << 6 | (at[i] & 0x3Fu);
    }
    return code;
}

/* Write a character above 0x7F; how many bytes it has, or 0 if there is no room for so many. */
static inline int64_t encode(uint32_t code, uint8_t *at, int64_t room) {
    if (code < 0x800) {
        if (room < 2) {
            return 0;
        }
        at[0] = (uint8_t)(0xC0 | code >> 6);
        at[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    int64_t length = code < 0x10000 ? 3 : 4;
    uint32_t shift = code < 0x10000 ? 12 : 18;
    if (room < length) {
        return 0;
    }
    at[0] = (uint8_t)((code < 0x10000 ? 0xE0 : 0xF0) | code >> shift);
    for (int64_t i = 1; i < length; i++) {
        shift -= 6;
        at[i] = (uint8_t)(0x80 | (code >> shift & 0x3F));
    }
    return length;
}

/* Cut texts into tokens, and find the rows of the known words among the first `most` tokens of each.

   `text` is the texts' UTF-8 and is written over: a token of changed characters lies where it was read, as none may
   be longer than those it stands for. `ends`: 0 and where each text ends; then where its `rows` end. `counts`: all tokens
   of each. NEW_CHARACTER or NEEDS_TOKENIZER if a character is not known or depends on its neighbours; then nothing
   that was written holds. */
int32_t read_texts(const characters *tokenizer, const vocabulary *words, uint8_t *text, int64_t text_bytes,
                   int64_t *ends, int64_t *counts, int64_t text_count, uint32_t *rows, int64_t row_count,
                   int64_t most) {
    if (check_vocabulary(words) != OK || check_characters(tokenizer) != OK) {
        return BAD_TABLE;
    }
    if (text_bytes < 0 || text_count < 0 || text_count == INT64_MAX || row_count < 0 ||
        (text == NULL && text_bytes > 0) || (counts == NULL && text_count > 0) || (rows == NULL && row_count > 0) ||
        check_offsets(ends, text_count + 1, text_bytes) != OK) {
        return BAD_DOCUMENTS;
    }
    uint64_t word_count = (uint64_t)words->offsets.length - 1;
    int64_t known = 0, end = 0;
    for (int64_t n = 0; n < text_count; n++) {
        int64_t at = end, count = 0, length = 0, begin = at, write = at;
        uint32_t first = 0;
        uint64_t hash = HASH_BASIS;
        end = ends[n + 1];
        for (;;) {
            uint32_t entry = GAP;
            int64_t size = 0;
            if (at < end) {
                size = character_length(text[at]); /* NOLINT(clang-analyzer-core.NullDereference): likewise */
                uint32_t character = size <= end - at ? decode(text + at, size) : UINT32_MAX;
                if (character >= tokenizer->table.length) {
                    return BAD_DOCUMENTS;
                }
                entry = tokenizer->table.data[character];
                at += size;
                if (entry == UNKNOWN || entry == DEPENDS) {
                    return entry == UNKNOWN ? NEW_CHARACTER : NEEDS_TOKENIZER;
                }
            }
            if (entry != GAP) {
                uint32_t symbol = entry - FIRST_SYMBOL;
                if (length == 0) {
                    begin = write = at - size;
                    first = symbol;
                    hash = HASH_BASIS;
                }
                length++;
                if (symbol < 0x80) {
                    text[write] = (uint8_t)symbol;
                    hash = hash_byte(hash, (uint8_t)symbol);
                    write++;
                } else {
                    int64_t left = encode(symbol, text + write, at - write);
                    if (left == 0) {
                        return BAD_TABLE;
                    }
                    for (; left > 0; left--) {
                        hash = hash_byte(hash, text[write]);
                        write++;
                    }
                }
                continue;
            }
            if (length > 0 && tokenizer->min_len <= length && length <= tokenizer->max_len &&
                first != tokenizer->not_first) {
                count++;
                if (count <= most) {
                    uint64_t row = find_word(words, hash, text + begin, write - begin);
                    if (row < word_count) {
                        if (known >= row_count) {
                            return BAD_DOCUMENTS;
                        }
                        rows[known] = (uint32_t)row;
                        known++;
                    }
                }
            }
            length = 0;
            /* An end is a gap. */
            if (at >= end) {
                break;
            }
        }
        counts[n] = count;
        ends[n + 1] = known;
    }
    return OK;
}
