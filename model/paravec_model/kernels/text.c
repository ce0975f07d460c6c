/* Texts and tokens to token ids. */

#include <stddef.h>

#include "checks.h"
#include "hash_table.h"

/* Fill a hash table that has more slots than there are words. */
int32_t fill_hash_table(const vocabulary *words, uint64_t *slots, int64_t slot_count) {
    if (words == NULL) {
        return BAD_TABLE;
    }
    const int64_t *offsets = words->offsets.data;
    int64_t count = words->offsets.length - 1;
    if (slots == NULL || words->text.data == NULL || slot_count <= count || (slot_count & (slot_count - 1)) != 0 ||
        count > (int64_t)HASH_ID - 1 || check_offsets(offsets, words->offsets.length, words->text.length) != OK) {
        return BAD_TABLE;
    }
    uint64_t mask = (uint64_t)slot_count - 1;
    for (int64_t slot = 0; slot < slot_count; slot++) {
        slots[slot] = 0;
    }
    for (int64_t id = 0; id < count; id++) {
        uint64_t hash = HASH_BASIS;
        for (int64_t i = offsets[id]; i < offsets[id + 1]; i++) {
            hash = hash_byte(hash, words->text.data[i]);
        }
        uint64_t slot = hash & mask;
        while (slots[slot] != 0) {
            slot = (slot + 1) & mask;
        }
        slots[slot] = (hash & ~(uint64_t)HASH_ID) | ((uint64_t)id + 1);
    }
    return OK;
}

/* Whether this byte of UTF-8 is not the first of its character. */
static int continues(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* Look up the tokens of documents. `text` holds the tokens as UTF-8, end to end.

   The results overwrite the inputs. `tokens`: in, the characters of each token; out, the ids of the known tokens.
   `ends`: in, 0 and where each document's tokens end; out, where its ids end. */
int32_t tokens_to_ids(const vocabulary *words, const uint8_t *text, int64_t text_bytes, uint32_t *tokens,
                      int64_t token_count, int64_t *ends, int64_t end_count) {
    if (check_vocabulary(words) != OK) {
        return BAD_TABLE;
    }
    /* The address of an empty array may be NULL. */
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
            uint64_t id = find_word(words, hash, text + begin, end - begin);
            if (id < count) {
                tokens[known] = (uint32_t)id;
                known++;
            }
        }
        first = ends[n];
        ends[n] = known;
    }
    return OK;
}

/* Bytes of the character that begins with this byte. */
static inline int64_t character_length(uint8_t byte) {
    if (byte < 0x80) {
        return 1;
    }
    if (byte < 0xE0) {
        return 2;
    }
    return byte < 0xF0 ? 3 : 4;
}

/* The code of a character of `length` bytes. */
static inline uint32_t decode(const uint8_t *at, int64_t length) {
    uint32_t code = length > 1 ? at[0] & (0x7Fu >> length) : at[0];
    for (int64_t i = 1; i < length; i++) {
        code = code << 6 | (at[i] & 0x3Fu);
    }
    return code;
}

/* Write a character above 0x7F. Returns its bytes, or 0 if it needs more than `room` bytes. */
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

/* Tokenize texts, and look up the first `max_tokens` tokens of each.

   `text` holds the texts as UTF-8, end to end. It is overwritten: a mapped token is written over the characters it comes
   from, and must not be longer. `ends`: in, 0 and where each text ends; out, where its `ids` end. `counts`: out, all
   tokens of each text. Returns NEW_CHARACTER or NEEDS_TOKENIZER for a character whose entry is UNKNOWN or CONTEXTUAL; the
   arrays are then undefined.

   `unknown`: NULL, or room for where the unknown tokens lie in `text`: out, where each begins and ends, and zeros after
   the last. The n-th of them then gets the id of the last word + 1 + n. Returns MORE_UNKNOWN if there is too little
   room. */
int32_t texts_to_ids(const character_rules *rules, const vocabulary *words, uint8_t *text, int64_t text_bytes,
                     int64_t *ends, int64_t *counts, int64_t text_count, uint32_t *ids, int64_t id_count,
                     int64_t max_tokens, int64_t *unknown, int64_t unknown_count) {
    if (check_vocabulary(words) != OK || check_character_rules(rules) != OK) {
        return BAD_TABLE;
    }
    if (text_bytes < 0 || text_count < 0 || text_count == INT64_MAX || id_count < 0 || unknown_count < 0 ||
        (text == NULL && text_bytes > 0) || (counts == NULL && text_count > 0) || (ids == NULL && id_count > 0) ||
        check_offsets(ends, text_count + 1, text_bytes) != OK) {
        return BAD_DOCUMENTS;
    }
    uint64_t word_count = (uint64_t)words->offsets.length - 1;
    int64_t known = 0, end = 0, missed = 0;
    for (int64_t n = 0; n < text_count; n++) {
        int64_t at = end, count = 0, length = 0, begin = at, write = at;
        uint32_t first = 0;
        uint64_t hash = HASH_BASIS;
        end = ends[n + 1];
        for (;;) {
            uint32_t entry = SEPARATOR;
            int64_t size = 0;
            if (at < end) {
                size = character_length(text[at]); /* NOLINT(clang-analyzer-core.NullDereference): likewise */
                uint32_t character = size <= end - at ? decode(text + at, size) : UINT32_MAX;
                if (character >= rules->table.length) {
                    return BAD_DOCUMENTS;
                }
                entry = rules->table.data[character];
                at += size;
                if (entry == UNKNOWN || entry == CONTEXTUAL) {
                    return entry == UNKNOWN ? NEW_CHARACTER : NEEDS_TOKENIZER;
                }
            }
            if (entry != SEPARATOR) {
                uint32_t mapped = entry - FIRST_MAPPED;
                if (length == 0) {
                    begin = write = at - size;
                    first = mapped;
                    hash = HASH_BASIS;
                }
                length++;
                if (mapped < 0x80) {
                    text[write] = (uint8_t)mapped;
                    hash = hash_byte(hash, (uint8_t)mapped);
                    write++;
                } else {
                    int64_t left = encode(mapped, text + write, at - write);
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
            if (length > 0 && rules->min_len <= length && length <= rules->max_len && first != rules->not_first) {
                count++;
                if (count <= max_tokens) {
                    uint64_t id = find_word(words, hash, text + begin, write - begin);
                    if (id >= word_count && unknown != NULL) {
                        if (missed >= unknown_count / 2) {
                            return MORE_UNKNOWN;
                        }
                        id = word_count + (uint64_t)missed;
                        unknown[2 * missed] = begin;
                        unknown[2 * missed + 1] = write;
                        missed++;
                    }
                    if (id < word_count || unknown != NULL) {
                        if (known >= id_count) {
                            return BAD_DOCUMENTS;
                        }
                        ids[known] = (uint32_t)id;
                        known++;
                    }
                }
            }
            length = 0;
            /* The end of a text ends a token too. */
            if (at >= end) {
                break;
            }
        }
        counts[n] = count;
        ends[n + 1] = known;
    }
    for (int64_t i = 2 * missed; unknown != NULL && i < unknown_count; i++) {
        unknown[i] = 0;
    }
    return DONE;
}

/* Turn the numbers of forms into ids: drop stop words, and keep the first `max_tokens` other tokens that the vocabulary
   has. A number is an index into `codes` and, after these, `more`; enum form says what the codes mean.

   `ids`: in, the forms of texts; out, the ids. `ends`: in, 0 and where each text's forms end; out, where its ids end.
   `counts`: out, all tokens of each text. */
int32_t forms_to_ids(const uint32_t *codes, int64_t code_count, const uint32_t *more, int64_t more_count, uint32_t *ids,
                     int64_t id_count, int64_t *ends, int64_t *counts, int64_t text_count, int64_t max_tokens) {
    if (code_count < 0 || more_count < 0 || (codes == NULL && code_count > 0) || (more == NULL && more_count > 0)) {
        return BAD_TABLE;
    }
    if (id_count < 0 || text_count < 0 || text_count == INT64_MAX || (ids == NULL && id_count > 0) ||
        (counts == NULL && text_count > 0) || check_offsets(ends, text_count + 1, id_count) != OK) {
        return BAD_DOCUMENTS;
    }
    int64_t known = 0, end = 0;
    for (int64_t n = 0; n < text_count; n++) {
        int64_t at = end, count = 0;
        end = ends[n + 1];
        for (; at < end; at++) {
            int64_t form = ids[at]; /* NOLINT(clang-analyzer-core.NullDereference): likewise */
            if (form >= code_count && form - code_count >= more_count) {
                return BAD_DOCUMENTS;
            }
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): no form is an index into an empty array */
            uint32_t code = form < code_count ? codes[form] : more[form - code_count];
            count += code != STOP_WORD;
            if (code >= FIRST_ID && count <= max_tokens) {
                ids[known] = code - FIRST_ID;
                known++;
            }
        }
        counts[n] = count;
        ends[n + 1] = known;
    }
    return OK;
}
