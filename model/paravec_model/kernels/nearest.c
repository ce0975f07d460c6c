/* Exact search for the nearest vectors: computes every score and keeps the largest in a heap for each query. A score is
   a cosine, to which a lexical part may be added.

   Rows of documents are not padded. The rest of a row behind its last whole SIMD vector is covered by a load of the last
   eight numbers, some of them for the second time; the query's tail is zero there. */

#include <math.h>
#include <stddef.h>

#include "checks.h"
#include "vector.h"

/* Whether the first document ranks after the other: its cosine is less or, of equals, its row is later. */
static int is_farther(float cosine, uint32_t row, float other_cosine, uint32_t other_row) {
    return cosine < other_cosine || (cosine == other_cosine && row > other_row);
}

/* Replace the root of a heap, which is the farthest row in it, and restore the order: the entry at i is not nearer than
   those at 2i + 1 and 2i + 2. */
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

/* All queries are compared with this many documents before the next documents are loaded into the cache. */
enum { DOCUMENTS_PER_BLOCK = 64 };

/* Up to eight queries. `tails` are their last eight numbers, with zeros for those that whole vectors cover. */
typedef struct {
    const float *queries[LANES];
    v8 tails[LANES];
    int64_t whole; /* numbers of a row that whole vectors cover */
    int64_t size;
} query_block;

static void prepare(query_block *block, const float *queries, int64_t size, int count) {
    block->size = size;
    block->whole = size / LANES * LANES;
    for (int k = 0; k < LANES; k++) {
        /* In a block of fewer queries, the first one fills up; its products are not used. */
        block->queries[k] = queries + (k < count ? k : 0) * size;
        float tail[LANES] = {0};
        for (int64_t q = block->whole; q < size; q++) {
            tail[LANES - size + q] = block->queries[k][q];
        }
        block->tails[k] = load(tail);
    }
}

/* The last eight numbers of a row; a shorter row is preceded by zeros. */
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

/* The dot products of a row with `count` queries. The order of sums does not depend on `count`. */
INLINE v8 products(const query_block *block, const float *row, int count) {
    v8 sums[LANES];
    const float *queries[LANES];
    copy_rows(queries, block->queries, LANES);
    for (int k = 0; k < LANES; k++) {
        sums[k] = broadcast(0.0f);
    }
    for (int64_t q = 0; q < block->whole; q += LANES) {
        add_products(sums, load(row + q), queries, q, count);
    }
    if (block->whole < block->size) {
        v8 last = load_last(row, block->size);
        for (int k = 0; k < count; k++) {
            sums[k] += last * block->tails[k];
        }
    }
    return count == 1 ? broadcast(lane_sum(sums[0])) : lane_sums(sums);
}

/* Continue a search over the documents from `begin` to `end`.

   `queries`: vectors of norm 1, or shorter by the weight of what is added. `added`: NULL, or for each query what is added
   to the cosines of the documents from `begin` to `end`. `scores`, `rows`: a heap for each query, of its `top_k` best
   documents so far. The cosine of a document of norm 0 is 0. NaN is not greater than any score, so such documents are
   never found. */
int32_t find_nearest(const document_vectors *documents, int64_t begin, int64_t end, const float *queries,
                     int64_t query_count, const float *added, float *scores, uint32_t *rows, int64_t top_k) {
    if (documents == NULL) {
        return BAD_TABLE;
    }
    const float_matrix vectors = documents->vectors;
    const float *norms = documents->norms.data;
    if (vectors.data == NULL || norms == NULL || vectors.columns < 1 || documents->norms.length != vectors.rows) {
        return BAD_TABLE;
    }
    if (begin < 0 || end < begin || end > vectors.rows || end > UINT32_MAX || top_k < 1 || queries == NULL ||
        scores == NULL || rows == NULL || check_size(query_count, top_k) != OK ||
        check_size(query_count, vectors.columns) != OK) {
        return BAD_RANGE;
    }
    if (added != NULL && check_size(query_count, end - begin) != OK) {
        return BAD_RANGE;
    }
    for (int64_t first = begin; first < end; first += DOCUMENTS_PER_BLOCK) {
        int64_t last = first + DOCUMENTS_PER_BLOCK < end ? first + DOCUMENTS_PER_BLOCK : end;
        for (int64_t query = 0; query < query_count; query += LANES) {
            int count = query_count - query < LANES ? (int)(query_count - query) : LANES;
            query_block block;
            prepare(&block, queries + query * vectors.columns, vectors.columns, count);
            v8 least = broadcast(INFINITY);
            for (int k = 0; k < count; k++) {
                least[k] = scores[(query + k) * top_k];
            }
            for (int64_t row = first; row < last; row++) {
                const float *document = vectors.data + row * vectors.columns;
                v8 dots = count == 1 ? products(&block, document, 1) : products(&block, document, LANES);
                v8 found = broadcast(0.0f);
                if (norms[row] != 0.0f) {
                    found = dots / broadcast(norms[row]);
                }
                if (added != NULL) {
                    for (int k = 0; k < count; k++) {
                        found[k] += added[(query + k) * (end - begin) + row - begin];
                    }
                }
                if (!any_lane(found > least)) {
                    continue;
                }
                for (int k = 0; k < count; k++) {
                    int64_t heap = (query + k) * top_k;
                    if (found[k] > scores[heap]) {
                        replace_farthest(scores + heap, rows + heap, top_k, found[k], (uint32_t)row);
                        least[k] = scores[heap];
                    }
                }
            }
        }
    }
    return OK;
}
