/* Exact search for the nearest vectors: computes every cosine and keeps the largest in a heap for each query. Where
   something is added to the cosines, the documents that this may bring into the heap are looked at once more.

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

static enum status check_search(const document_vectors *documents, int64_t begin, int64_t end, const float *queries,
                                int64_t query_count, const float *scores, const uint32_t *rows, int64_t top_k) {
    if (documents == NULL) {
        return BAD_TABLE;
    }
    const float_matrix vectors = documents->vectors;
    if (vectors.data == NULL || documents->norms.data == NULL || vectors.columns < 1 ||
        documents->norms.length != vectors.rows) {
        return BAD_TABLE;
    }
    if (begin < 0 || end < begin || end > vectors.rows || end > UINT32_MAX || top_k < 1 || queries == NULL ||
        scores == NULL || rows == NULL || check_size(query_count, top_k) != OK ||
        check_size(query_count, vectors.columns) != OK) {
        return BAD_RANGE;
    }
    return OK;
}

/* Continue a search over the documents from `begin` to `end`.

   `queries`: vectors of norm 1. `cosines`, `rows`: a heap for each query, of its `top_k` nearest documents so far. The
   cosine of a document of norm 0 is 0. NaN is not greater than any cosine, so such documents are never found. */
int32_t find_nearest(const document_vectors *documents, int64_t begin, int64_t end, const float *queries,
                     int64_t query_count, float *cosines, uint32_t *rows, int64_t top_k) {
    enum status status = check_search(documents, begin, end, queries, query_count, cosines, rows, top_k);
    if (status != OK) {
        return (int32_t)status;
    }
    const float_matrix vectors = documents->vectors;
    const float *norms = documents->norms.data;
    for (int64_t first = begin; first < end; first += DOCUMENTS_PER_BLOCK) {
        int64_t last = first + DOCUMENTS_PER_BLOCK < end ? first + DOCUMENTS_PER_BLOCK : end;
        for (int64_t query = 0; query < query_count; query += LANES) {
            int count = query_count - query < LANES ? (int)(query_count - query) : LANES;
            query_block block;
            prepare(&block, queries + query * vectors.columns, vectors.columns, count);
            v8 least = broadcast(INFINITY);
            for (int k = 0; k < count; k++) {
                least[k] = cosines[(query + k) * top_k];
            }
            for (int64_t row = first; row < last; row++) {
                const float *document = vectors.data + row * vectors.columns;
                v8 dots = count == 1 ? products(&block, document, 1) : products(&block, document, LANES);
                v8 found = broadcast(0.0f);
                if (norms[row] != 0.0f) {
                    found = dots / broadcast(norms[row]);
                }
                if (!any_lane(found > least)) {
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

/* Continue a search by scores among `count` candidates, which are rows of documents in any order.

   A score is a cosine times limits[0], and what is `added` for the document, of all documents. limits[1]: no candidate
   gets more by its cosine, so that those which cannot enter the heap cost no product. */
int32_t find_among(const document_vectors *documents, const uint32_t *candidates, int64_t count, const float *query,
                   const float *added, const float *limits, float *scores, uint32_t *rows, int64_t top_k) {
    enum status status = check_search(documents, 0, 0, query, 1, scores, rows, top_k);
    if (status != OK) {
        return (int32_t)status;
    }
    if (candidates == NULL || added == NULL || limits == NULL || check_size(count, 1) != OK) {
        return BAD_RANGE;
    }
    const float_matrix vectors = documents->vectors;
    const float *norms = documents->norms.data;
    query_block block;
    prepare(&block, query, vectors.columns, 1);
    for (int64_t i = 0; i < count; i++) {
        uint32_t row = candidates[i];
        if (row >= vectors.rows) {
            return BAD_RANGE;
        }
        if (added[row] + limits[1] < scores[0]) {
            continue;
        }
        float cosine = 0.0f;
        if (norms[row] != 0.0f) {
            cosine = products(&block, vectors.data + row * vectors.columns, 1)[0] / norms[row];
        }
        float score = limits[0] * cosine + added[row];
        if (is_farther(scores[0], rows[0], score, row)) {
            replace_farthest(scores, rows, top_k, score, row);
        }
    }
    return OK;
}
