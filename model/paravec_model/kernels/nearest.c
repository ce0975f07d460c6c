/* The search for the nearest of many vectors: every cosine is computed, the largest are kept in heaps.

   Documents' rows are not padded. The numbers that are left behind the last whole vector are taken with those before
   them, as the last eight of the row, where the query has zeros for what was counted already. */

#include <math.h>
#include <stddef.h>

#include "checks.h"
#include "vector.h"

/* Whether the first of two goes after the second: its cosine is less, or it comes later among equals. */
static int is_farther(float cosine, uint32_t row, float other_cosine, uint32_t other_row) {
    return cosine < other_cosine || (cosine == other_cosine && row > other_row);
}

/* Put a row into a heap in place of the farthest there, which lies at 0: what lies at i is no nearer than what lies at
   2i + 1 and 2i + 2. */
static void replace_farthest(float *cosines, uint32_t *rows, int64_t size, float cosine, uint32_t row) {
    int64_t at = 0;
    for (int64_t child = 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && is_farther(cosines[child + 1], rows[child + 1], cosines[child], rows[child])) {
            child++;
        }
        if (!is_farther(cosines[child], rows[child], cosine, row)) {
            break;
        }
        cosines[at] = cosines[child];
        rows[at] = rows[child];
        at = child;
    }
    cosines[at] = cosine;
    rows[at] = row;
}

/* Documents that all queries meet before the next ones come into the cache. */
enum { DOCUMENTS = 64 };

/* Up to eight queries, and of each the last eight numbers, zero where they belong to a whole vector before. */
typedef struct {
    const float *units[LANES];
    v8 tails[LANES];
    int64_t whole; /* numbers of a row in whole vectors */
    int64_t size;
} query_block;

static void prepare(query_block *block, const float *units, int64_t size, int count) {
    block->size = size;
    block->whole = size / LANES * LANES;
    for (int k = 0; k < LANES; k++) {
        /* A query too few is one of those that are there; its products are not looked at. */
        block->units[k] = units + (k < count ? k : 0) * size;
        float tail[LANES] = {0};
        for (int64_t q = block->whole; q < size; q++) {
            tail[LANES - size + q] = block->units[k][q];
        }
        block->tails[k] = load(tail);
    }
}

/* The last eight numbers of a row; of a shorter row, all of it behind zeros. */
INLINE v8 load_last(const float *row, int64_t size) {
    if (size >= LANES) {
        return load(row + size - LANES);
    }
    float padded[LANES] = {0};
    for (int64_t q = 0; q < size; q++) {
        padded[LANES - size + q] = row[q];
    }
    return load(padded);
}

/* The products of a row with so many queries; in one order of sums, however many there are. */
INLINE v8 products(const query_block *block, const float *row, int count) {
    v8 sums[LANES];
    const float *units[LANES];
    copy_rows(units, block->units, LANES);
    for (int k = 0; k < LANES; k++) {
        sums[k] = spread(0.0f);
    }
    for (int64_t q = 0; q < block->whole; q += LANES) {
        add_products(sums, load(row + q), units, q, count);
    }
    if (block->whole < block->size) {
        v8 last = load_last(row, block->size);
        for (int k = 0; k < count; k++) {
            sums[k] += last * block->tails[k];
        }
    }
    return count == 1 ? spread(total(sums[0])) : totals(sums);
}

/* Go on with a search, over the documents from `begin` to `end`.

   `units`: queries of length 1. `cosines`, `rows`: the heap of each, of the `top_k` that are nearest so far. A document
   of length 0 has the cosine 0. A cosine that is NaN is not greater than any. */
int32_t find_nearest(const candidates *documents, int64_t begin, int64_t end, const float *units, int64_t queries,
                     float *cosines, uint32_t *rows, int64_t top_k) {
    if (documents == NULL) {
        return BAD_TABLE;
    }
    const float_matrix vectors = documents->vectors;
    const float *norms = documents->norms.data;
    if (vectors.data == NULL || norms == NULL || vectors.columns < 1 || documents->norms.length != vectors.rows) {
        return BAD_TABLE;
    }
    if (begin < 0 || end < begin || end > vectors.rows || end > UINT32_MAX || top_k < 1 || units == NULL ||
        cosines == NULL || rows == NULL || check_size(queries, top_k) != OK ||
        check_size(queries, vectors.columns) != OK) {
        return BAD_RANGE;
    }
    for (int64_t first = begin; first < end; first += DOCUMENTS) {
        int64_t last = first + DOCUMENTS < end ? first + DOCUMENTS : end;
        for (int64_t query = 0; query < queries; query += LANES) {
            int count = queries - query < LANES ? (int)(queries - query) : LANES;
            query_block block;
            prepare(&block, units + query * vectors.columns, vectors.columns, count);
            v8 least = spread(INFINITY);
            for (int k = 0; k < count; k++) {
                least[k] = cosines[(query + k) * top_k];
            }
            for (int64_t row = first; row < last; row++) {
                const float *document = vectors.data + row * vectors.columns;
                v8 dots = count == 1 ? products(&block, document, 1) : products(&block, document, LANES);
                v8 found = spread(0.0f);
                if (norms[row] != 0.0f) {
                    found = dots / spread(norms[row]);
                }
                if (!any(found > least)) {
                    continue;
                }
                for (int k = 0; k < count; k++) {
                    int64_t heap = (query + k) * top_k;
                    if (found[k] > cosines[heap]) {
                        replace_farthest(cosines + heap, rows + heap, top_k, found[k], (uint32_t)row);
                        least[k] = cosines[heap];
                    }
                }
            }
        }
    }
    return OK;
}
