/* A step of gensim's stochastic gradient descent for one word: compute the errors of its targets, then update the vector.

   Targets are rows of the output layer. They are handled in blocks of six, limited by the number of registers. The first
   block has three where that needs less padding. Blocks are padded with a row of zeros. */

#ifndef PARAVEC_SGD_STEP_H
#define PARAVEC_SGD_STEP_H

#include "vector.h"

enum { HALF_BLOCK = BLOCK / 2 };

/* gensim's table of sigma: it covers -6 to 6, with 83 points for a unit. */
#define SIGMOID_LIMIT 6.0f
#define SIGMOID_SCALE 83.0f

/* Targets whose errors are not yet added to the vector. */
typedef struct {
    const float *rows[BLOCK];
    float errors[BLOCK];
} pending_update;

/* The state of a step. The hidden layer is the vector; with a context, the context and the vector; for DM concat, the
   vector and the rows of the window's words beside it. */
typedef struct {
    float *vector;
    float *context; /* for DM: in, the sum of the context's rows; then the hidden layer */
    float scale;    /* factor of the hidden layer's sum */
    const float **window_rows;
    int64_t window_row_count;
    int64_t size; /* floats of one vector */
    const float *zeros;
    const float *sigmoid;
    float *errors; /* one for each target */
} layer;

/* alpha (label - sigma(dot)); 0 outside of the range of gensim's table.

   The rounding is gensim's: dot + 6 drops most of the bits in which sums of different order differ. */
INLINE float error_of(float dot, float label, float alpha, const float *sigmoid) {
    if (__builtin_fabsf(dot) < SIGMOID_LIMIT) {
        return (label - sigmoid[(uint32_t)(int32_t)((dot + SIGMOID_LIMIT) * SIGMOID_SCALE)]) * alpha;
    }
    return 0.0f;
}

INLINE void errors_of(const v8 *sums, const float *labels, float alpha, const float *sigmoid, float *errors,
                      int count) {
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        errors[k] = error_of(lane_sum(sums[k]), labels[k], alpha, sigmoid);
    }
}

/* Add to each row's sum the products of a vector with the row from `column` on. */
INLINE void add_dots(v8 *sums, const float *vector, const float *const *rows, int64_t column, int64_t size, int count) {
    for (int64_t q = 0; q < size; q += LANES) {
        add_products(sums, load(vector + q), rows, column + q, count);
    }
}

/* For DM concat, add to each row's sum the products of the window's words with their parts of the row. */
INLINE void add_window_dots(v8 *sums, const layer *hidden, const float *const *rows, int is_concat, int count) {
    if (is_concat) {
        for (int64_t s = 0; s < hidden->window_row_count; s++) {
            add_dots(sums, hidden->window_rows[s], rows, (s + 1) * hidden->size, hidden->size, count);
        }
    }
}

/* vector += sum of error * row. The sum is computed first, so the vector is rounded once. */
INLINE void add_weighted_rows(float *vector, const float *const *rows, const float *errors, int64_t size, int count) {
    v8 each[BLOCK];
    const float *at[BLOCK];
    broadcast_each(each, errors, count);
    copy_rows(at, rows, count);
    for (int64_t q = 0; q < size; q += LANES) {
        store(vector + q, load(vector + q) + weighted_sum(each, at, q, count));
    }
}

/* Apply the pending update to the vector and compute its dot products with the next targets, in one pass: so the loads
   of both overlap. */
INLINE void apply_pending_and_dot(v8 *sums, const layer *hidden, const pending_update *pending,
                                  const float *const *rows, int has_context, int is_concat, int count) {
    v8 each[BLOCK];
    broadcast_each(each, pending->errors, BLOCK);
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        sums[k] = broadcast(0.0f);
    }
    for (int64_t q = 0; q < hidden->size; q += LANES) {
        v8 value = load(hidden->vector + q) + weighted_sum(each, pending->rows, q, BLOCK);
        store(hidden->vector + q, value);
        if (has_context) {
            value = (load(hidden->context + q) + value) * broadcast(hidden->scale);
            store(hidden->context + q, value);
        }
        add_products(sums, value, rows, q, count);
    }
    add_window_dots(sums, hidden, rows, is_concat, count);
}

/* A step for the targets of one word: computes all errors at the same vector, then updates it. The update by the last six
   targets stays pending, to be applied in the next step's pass over the vector.

   `targets` and `labels` have room for two more than `count`. */
INLINE void take_step(const layer *hidden, pending_update *pending, const float **targets, int64_t count,
                      const float *labels, float alpha, int has_context, int is_concat) {
    const float *at = has_context ? hidden->context : hidden->vector;
    targets[count] = targets[count + 1] = hidden->zeros;
    v8 sums[BLOCK];
    const float *rows[BLOCK];
    float first_errors[BLOCK] = {0};
    int odd = (int)((count + 2) / 3 % 2);
    int64_t begin = odd ? HALF_BLOCK : BLOCK;
    if (odd) {
        copy_rows(rows, targets, HALF_BLOCK);
        rows[3] = rows[4] = rows[5] = hidden->zeros;
        apply_pending_and_dot(sums, hidden, pending, rows, has_context, is_concat, HALF_BLOCK);
        errors_of(sums, labels, alpha, hidden->sigmoid, first_errors, HALF_BLOCK);
    } else {
        copy_rows(rows, targets, BLOCK);
        apply_pending_and_dot(sums, hidden, pending, rows, has_context, is_concat, BLOCK);
        errors_of(sums, labels, alpha, hidden->sigmoid, first_errors, BLOCK);
    }
    if (count <= begin) {
        copy_rows(pending->rows, rows, BLOCK);
        for (int k = 0; k < BLOCK; k++) {
            pending->errors[k] = first_errors[k];
        }
        return;
    }
    for (int64_t k = begin; k < count; k += BLOCK) {
        copy_rows(rows, targets + k, BLOCK);
        for (int s = 0; s < BLOCK; s++) {
            sums[s] = broadcast(0.0f);
        }
        add_dots(sums, at, rows, 0, hidden->size, BLOCK);
        add_window_dots(sums, hidden, rows, is_concat, BLOCK);
        errors_of(sums, labels + k, alpha, hidden->sigmoid, hidden->errors + k, BLOCK);
    }
    if (odd) {
        add_weighted_rows(hidden->vector, targets, first_errors, hidden->size, HALF_BLOCK);
    } else {
        add_weighted_rows(hidden->vector, targets, first_errors, hidden->size, BLOCK);
    }
    int64_t k = begin;
    for (; k + BLOCK < count; k += BLOCK) {
        add_weighted_rows(hidden->vector, targets + k, hidden->errors + k, hidden->size, BLOCK);
    }
    copy_rows(pending->rows, targets + k, BLOCK);
    for (int s = 0; s < BLOCK; s++) {
        pending->errors[s] = hidden->errors[k + s];
    }
}

#endif
