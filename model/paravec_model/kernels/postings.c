/* Makes the lists of a lexical index: which documents have which terms, see lexical/builder.py. */

#include <stddef.h>

#include "checks.h"

/* Multipliers of the finalizer of MurmurHash3, and its shift; `pair_hashes` of lexical/terms.py computes the same. */
static const uint64_t MIX_1 = 0xFF51AFD7ED558CCDu, MIX_2 = 0xC4CEB9FE1A85EC53u;
enum { MIX_SHIFT = 33, HASH_BITS = 64 };

static enum status check_tokens(const tokens *of) {
    if (of == NULL || of->ids.length < 0 || (of->ids.data == NULL && of->ids.length > 0) ||
        of->ends.length >= UINT32_MAX || check_offsets(of->ends.data, of->ends.length, of->ids.length) != OK) {
        return BAD_DOCUMENTS;
    }
    return OK;
}

/* The hash of a pair of tokens, from the hashes of both. */
static inline uint64_t pair_hash(uint64_t first, uint64_t second) {
    uint64_t mixed = first ^ (second * MIX_1 + 1);
    mixed = (mixed ^ mixed >> MIX_SHIFT) * MIX_1;
    mixed = (mixed ^ mixed >> MIX_SHIFT) * MIX_2;
    return mixed ^ mixed >> MIX_SHIFT;
}

/* The pairs of tokens that follow each other in documents, of which only those whose hash begins with the `bits` bits of
   `prefix`.

   `hashes`: of each word. `pairs` and `documents`: out, the hash of each such pair and its document, with room for
   `room` of both. `found`: out, their number. */
int32_t hash_pairs(const tokens *of, const uint64_t *hashes, int64_t word_count, int64_t bits, int64_t prefix,
                   uint64_t *pairs, uint32_t *documents, int64_t room, int64_t *found) {
    if (check_tokens(of) != OK) {
        return BAD_DOCUMENTS;
    }
    if (hashes == NULL || pairs == NULL || documents == NULL || found == NULL || bits < 1 || bits >= HASH_BITS) {
        return BAD_RANGE;
    }
    const uint32_t *ids = of->ids.data;
    const int64_t *ends = of->ends.data;
    int64_t count = 0, at = 0;
    for (int64_t n = 1; n < of->ends.length; n++) {
        uint64_t before = 0;
        for (int64_t first = at; at < ends[n]; at++) {
            uint32_t word = ids[at]; /* NOLINT(clang-analyzer-core.NullDereference): no `ends` are past no tokens */
            if ((int64_t)word >= word_count) {
                return BAD_DOCUMENTS;
            }
            uint64_t hash = hashes[word], pair = pair_hash(before, hash);
            if (at > first && pair >> (HASH_BITS - bits) == (uint64_t)prefix) {
                if (count >= room) {
                    return BAD_RANGE;
                }
                pairs[count] = pair;
                documents[count] = (uint32_t)(n - 1);
                count++;
            }
            before = hash;
        }
    }
    *found = count;
    return OK;
}

/* Lists that are being written: that of term t begins at starts[t], has sizes[t] documents so far, and must end before
   starts[t + 1]. last[t] is 1 + the last of them. */
typedef struct {
    int64_t terms;
    const int64_t *starts;
    int64_t *sizes;
    uint32_t *last;
    uint32_t *documents;
    uint8_t *counts;
} lists;

/* Add document `number` - 1 to the list of a term or, if it is the last there, to its count. */
static inline enum status add_posting(const lists *to, uint32_t term, uint32_t number) {
    if ((int64_t)term >= to->terms) {
        return BAD_TABLE;
    }
    int64_t place = to->starts[term] + to->sizes[term];
    if (to->last[term] == number) {
        if (to->counts[place - 1] < UINT8_MAX) {
            to->counts[place - 1]++;
        }
        return OK;
    }
    if (place >= to->starts[term + 1]) {
        return BAD_RANGE;
    }
    to->documents[place] = number - 1;
    to->counts[place] = 1;
    to->last[term] = number;
    to->sizes[term]++;
    return OK;
}

/* List the documents that have each term, ascending, and how often each has it, at most UINT8_MAX times.

   A document has the terms of its words, and those of `pairs` with its number. `starts`: term_count + 1; how often each
   term occurs at most, summed up. `sizes`: out, how many documents have each. `last`: room for a number for each term.
   `documents` and `counts`: out, the lists end to end; room for starts[term_count]. */
int32_t list_documents(const tokens *of, const word_terms *words, const document_terms *pairs, int64_t term_count,
                       const int64_t *starts, int64_t *sizes, uint32_t *last, uint32_t *documents, uint8_t *counts,
                       int64_t room) {
    if (check_tokens(of) != OK) {
        return BAD_DOCUMENTS;
    }
    if (words == NULL || check_offsets(words->starts.data, words->starts.length, words->terms.length) != OK ||
        (words->terms.data == NULL && words->terms.length > 0) || pairs == NULL ||
        pairs->documents.length != pairs->terms.length ||
        (pairs->terms.length > 0 && (pairs->documents.data == NULL || pairs->terms.data == NULL))) {
        return BAD_TABLE;
    }
    if (term_count < 0 || term_count > UINT32_MAX || check_offsets(starts, term_count + 1, room) != OK ||
        (term_count > 0 && (sizes == NULL || last == NULL)) || (room > 0 && (documents == NULL || counts == NULL))) {
        return BAD_RANGE;
    }
    for (int64_t t = 0; t < term_count; t++) {
        last[t] = 0;
        sizes[t] = 0;
    }
    lists to = {term_count, starts, sizes, last, documents, counts};
    int64_t at = 0, pair = 0;
    for (int64_t n = 1; n < of->ends.length; n++) {
        uint32_t number = (uint32_t)n;
        enum status status = OK;
        for (; at < of->ends.data[n]; at++) {
            uint32_t word = of->ids.data[at]; /* NOLINT(clang-analyzer-core.NullDereference): likewise */
            if ((int64_t)word >= words->starts.length - 1) {
                return BAD_DOCUMENTS;
            }
            for (int64_t i = words->starts.data[word]; i < words->starts.data[word + 1] && status == OK; i++) {
                /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): no `starts` are past no terms */
                status = add_posting(&to, words->terms.data[i], number);
            }
        }
        for (; pair < pairs->terms.length && pairs->documents.data[pair] < number && status == OK; pair++) {
            status = add_posting(&to, pairs->terms.data[pair], number);
        }
        if (status != OK) {
            return (int32_t)status;
        }
    }
    /* Close the gaps that terms leave which a document has several times. */
    int64_t end = 0;
    for (int64_t t = 0; t < term_count; t++) {
        for (int64_t i = starts[t]; i < starts[t] + sizes[t]; i++, end++) {
            documents[end] = documents[i];
            counts[end] = counts[i];
        }
    }
    return OK;
}
