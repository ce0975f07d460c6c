/* A step of stochastic gradient descent, as gensim takes it: the targets of a word say how wrong they are, and the
   vector moves.

   Targets are rows of the output layer. They are taken six at a time, as many as a CPU has registers for; but the
   first three alone where that comes nearer to how many there are. What is missing is filled up with a row of zeros. */

#ifndef PARAVEC_SGD_STEP_H
#define PARAVEC_SGD_STEP_H

#include "vector.h"

enum { HALF_BLOCK = BLOCK / 2 };

/* Constants of gensim's table of the logistic function: its range, and its points for a unit of the argument. */
#define SIGMOID_LIMIT 6.0f
#define SIGMOID_SCALE 83.0f

/* Targets by which the vector has yet to move, and their errors. */
typedef struct {
    const float *rows[BLOCK];
    float errors[BLOCK];
} move;

/* What a step works on. The hidden layer is the vector; with a context, that and the vector; with slots, the vector
   and the words of the slots beside it. */
typedef struct {
    float *vector;
    float *context; /* the sum of the words around, which becomes the hidden layer; or NULL */
    float share;    /* of the hidden layer's sum */
    const float **slots;
    int64_t slot_count;
    int64_t size; /* floats of a part of a row */
    const float *zeros;
    const float *sigmoid;
    float *errors; /* room for as many as there are targets */
} layer;

/* alpha (label - sigma(dot)), and nothing where gensim's table of sigma ends.

   Rounded as gensim's C is: dot + 6 drops most of the bits in which two sums of the same products differ. */
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
        errors[k] = error_of(total(sums[k]), labels[k], alpha, sigmoid);
    }
}

/* To each row's sum, the products of a vector with the row from `column` on. */
INLINE void add_dots(v8 *sums, const float *vector, const float *const *rows, int64_t column, int64_t size, int count) {
    for (int64_t q = 0; q < size; q += LANES) {
        add_products(sums, load(vector + q), rows, column + q, count);
    }
}

/* To each row's sum, the products of the words in the slots with their parts of the row. */
INLINE void add_slot_dots(v8 *sums, const layer *hidden, const float *const *rows, int slotted, int count) {
    if (slotted) {
        for (int64_t s = 0; s < hidden->slot_count; s++) {
            add_dots(sums, hidden->slots[s], rows, (s + 1) * hidden->size, hidden->size, count);
        }
    }
}

/* vector += sum of error * row; summed first, and so rounded into the vector once. */
INLINE void move_by(float *vector, const float *const *rows, const float *errors, int64_t size, int count) {
    v8 each[BLOCK];
    const float *at[BLOCK];
    spread_each(each, errors, count);
    copy_rows(at, rows, count);
    for (int64_t q = 0; q < size; q += LANES) {
        store(vector + q, load(vector + q) + weighted(each, at, q, count));
    }
}

/* The vector moves by the last targets, and the dots with the next ones are taken, in one pass: so neither waits for
   the loads of the other. */
INLINE void move_and_dots(v8 *sums, const layer *hidden, const move *last, const float *const *rows, int contextual,
                          int slotted, int count) {
    v8 each[BLOCK];
    spread_each(each, last->errors, BLOCK);
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        sums[k] = spread(0.0f);
    }
    for (int64_t q = 0; q < hidden->size; q += LANES) {
        v8 value = load(hidden->vector + q) + weighted(each, last->rows, q, BLOCK);
        store(hidden->vector + q, value);
        if (contextual) {
            value = (load(hidden->context + q) + value) * spread(hidden->share);
            store(hidden->context + q, value);
        }
        add_products(sums, value, rows, q, count);
    }
    add_slot_dots(sums, hidden, rows, slotted, count);
}

/* The step that a word's targets ask for: all errors are taken at one place, then the vector moves. By the last six
   targets, which are left in `last`, it moves in the pass over the next word's first.

   `targets` and `labels` have room for two more than `count`. */
INLINE void descend(const layer *hidden, move *last, const float **targets, int64_t count, const float *labels,
                    float alpha, int contextual, int slotted) {
    const float *at = contextual ? hidden->context : hidden->vector;
    targets[count] = targets[count + 1] = hidden->zeros;
    v8 sums[BLOCK];
    const float *rows[BLOCK];
    float first_errors[BLOCK] = {0};
    int odd = (int)((count + 2) / 3 % 2);
    int64_t begin = odd ? HALF_BLOCK : BLOCK;
    if (odd) {
        copy_rows(rows, targets, HALF_BLOCK);
        rows[3] = rows[4] = rows[5] = hidden->zeros;
        move_and_dots(sums, hidden, last, rows, contextual, slotted, HALF_BLOCK);
        errors_of(sums, labels, alpha, hidden->sigmoid, first_errors, HALF_BLOCK);
    } else {
        copy_rows(rows, targets, BLOCK);
        move_and_dots(sums, hidden, last, rows, contextual, slotted, BLOCK);
        errors_of(sums, labels, alpha, hidden->sigmoid, first_errors, BLOCK);
    }
    if (count <= begin) {
        copy_rows(last->rows, rows, BLOCK);
        for (int k = 0; k < BLOCK; k++) {
            last->errors[k] = first_errors[k];
        }
        return;
    }
    for (int64_t k = begin; k < count; k += BLOCK) {
        copy_rows(rows, targets + k, BLOCK);
        for (int s = 0; s < BLOCK; s++) {
            sums[s] = spread(0.0f);
        }
        add_dots(sums, at, rows, 0, hidden->size, BLOCK);
        add_slot_dots(sums, hidden, rows, slotted, BLOCK);
        errors_of(sums, labels + k, alpha, hidden->sigmoid, hidden->errors + k, BLOCK);
    }
    if (odd) {
        move_by(hidden->vector, targets, first_errors, hidden->size, HALF_BLOCK);
    } else {
        move_by(hidden->vector, targets, first_errors, hidden->size, BLOCK);
    }
    int64_t k = begin;
    for (; k + BLOCK < count; k += BLOCK) {
        move_by(hidden->vector, targets + k, hidden->errors + k, hidden->size, BLOCK);
    }
    copy_rows(last->rows, targets + k, BLOCK);
    for (int s = 0; s < BLOCK; s++) {
        last->errors[s] = hidden->errors[k + s];
    }
}

#endif
