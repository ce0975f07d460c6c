/* The peak for limits.py: the inner loop of the DBOW kernel over rows that stay in the L1 cache. */

#include "vector.h"

float peak(const float *matrix, const float *vector, int64_t size, int64_t times);

/* Dot products of six rows with a vector, `times` times. Returns their sum, so that no compiler removes the loop. */
float peak(const float *matrix, const float *vector, int64_t size, int64_t times) {
    const float *rows[BLOCK];
    v8 sums[BLOCK];
    for (int k = 0; k < BLOCK; k++) {
        rows[k] = matrix + k * size;
        sums[k] = broadcast(0.0f);
    }
    for (int64_t n = 0; n < times; n++) {
        for (int64_t q = 0; q < size; q += LANES) {
            add_products(sums, load(vector + q), rows, q, BLOCK);
        }
    }
    float sum = 0.0f;
    for (int k = 0; k < BLOCK; k++) {
        sum += lane_sum(sums[k]);
    }
    return sum;
}
