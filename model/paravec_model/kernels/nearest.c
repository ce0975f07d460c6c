/* The search for the nearest of many vectors: every cosine is computed, the largest are kept in heaps. */

#include <stddef.h>

#include "checks.h"
#include "vector.h"

/* Sums that a product of two vectors is taken in, so that one addition need not wait for the last. */
enum { SUMS = 4, STEP = SUMS * LANES };

/* The product of two vectors, in one order of sums for each size. */
INLINE float product(const float *a, const float *b, int64_t size) {
    v8 sums[SUMS] = {spread(0.0f), spread(0.0f), spread(0.0f), spread(0.0f)};
    int64_t q = 0;
    for (; q + STEP <= size; q += STEP) {
        for (int64_t k = 0; k < SUMS; k++) {
            sums[k] += load(a + q + k * LANES) * load(b + q + k * LANES);
        }
    }
    for (; q + LANES <= size; q += LANES) {
        sums[0] += load(a + q) * load(b + q);
    }
    if (q < size) {
        float left_a[LANES] = {0}, left_b[LANES] = {0};
        for (int64_t k = 0; k < size - q; k++) {
            left_a[k] = a[q + k];
            left_b[k] = b[q + k];
        }
        sums[1] += load(left_a) * load(left_b);
    }
    return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

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
    for (int64_t row = begin; row < end; row++) {
        float norm = norms[row];
        for (int64_t query = 0; query < queries; query++) {
            float dot = product(vectors.data + row * vectors.columns, units + query * vectors.columns, vectors.columns);
            float cosine = norm != 0.0f ? dot / norm : 0.0f;
            if (cosine > cosines[query * top_k]) {
                replace_farthest(cosines + query * top_k, rows + query * top_k, top_k, cosine, (uint32_t)row);
            }
        }
    }
    return OK;
}
