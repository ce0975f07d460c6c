/* SIMD vectors of eight floats. The compiler keeps the order of sums as written, and fuses a product and its sum where the
   CPU can (-ffp-contract=fast). */

#ifndef PARAVEC_VECTOR_H
#define PARAVEC_VECTOR_H

#include "kernels.h"

#define INLINE static inline __attribute__((always_inline))

typedef float v8 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t v8i __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE v8 load(const float *at) {
    return *(const v8 *)at;
}

INLINE void store(float *at, v8 value) {
    *(v8 *)at = value;
}

INLINE v8 broadcast(float value) {
    return (v8){value, value, value, value, value, value, value, value};
}

/* For each lane, `first` where the condition holds, else `second`. */
INLINE v8 select_lanes(v8i condition, v8 first, v8 second) {
    return (v8)((condition & (v8i)first) | (~condition & (v8i)second));
}

/* Whether a condition holds in at least one lane. */
INLINE int any_lane(v8i condition) {
    typedef int64_t v4l __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
    v4l pairs = (v4l)condition;
    return (pairs[0] | pairs[1] | pairs[2] | pairs[3]) != 0;
}

/* A vector of lanes picked from two vectors by number; those of the second count from LANES. */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (v8i){__VA_ARGS__})
#endif

/* The sum of the lanes: the upper half is added to the lower half until one number is left. */
INLINE float lane_sum(v8 value) {
    v8 four = value + SHUFFLE(value, value, 4, 5, 6, 7, 0, 1, 2, 3);
    v8 two = four + SHUFFLE(four, four, 2, 3, 0, 1, 6, 7, 4, 5);
    return two[0] + two[1];
}

/* `lane_sum` of each of eight values, to the same bits, in a third of the instructions. */
INLINE v8 lane_sums(const v8 *values) {
    v8 pairs[4];
    for (int k = 0; k < 4; k++) {
        v8 a = values[k], b = values[k + 4];
        pairs[k] = SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
    /* Now the lower half of pairs[k] belongs to value k, the upper half to value k + 4. */
    v8 a =
        SHUFFLE(pairs[0], pairs[2], 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(pairs[0], pairs[2], 2, 3, 10, 11, 6, 7, 14, 15);
    v8 b =
        SHUFFLE(pairs[1], pairs[3], 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(pairs[1], pairs[3], 2, 3, 10, 11, 6, 7, 14, 15);
    return SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}

/* Add to each of `count` sums the product of a value with its row at `column`. */
INLINE void add_products(v8 *sums, v8 value, const float *const *rows, int64_t column, int count) {
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        sums[k] += value * load(rows[k] + column);
    }
}

/* The sum of weights times rows at `column`. Two halves of the rows are summed apart, which shortens the chain. */
INLINE v8 weighted_sum(const v8 *weights, const float *const *rows, int64_t column, int count) {
    int half = (count + 1) / 2;
    v8 first = weights[0] * load(rows[0] + column), second = weights[half] * load(rows[half] + column);
#pragma GCC unroll 8
    for (int k = 1; k < half; k++) {
        first += weights[k] * load(rows[k] + column);
    }
#pragma GCC unroll 8
    for (int k = half + 1; k < count; k++) {
        second += weights[k] * load(rows[k] + column);
    }
    return first + second;
}

/* Copy addresses of rows into a local array, so that the compiler keeps them in registers: it cannot know that a store of
   floats does not change `from`. */
INLINE void copy_rows(const float **to, const float *const *from, int count) {
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        to[k] = from[k];
    }
}

/* `broadcast` of each of `count` numbers. */
INLINE void broadcast_each(v8 *each, const float *numbers, int count) {
#pragma GCC unroll 8
    for (int k = 0; k < count; k++) {
        each[k] = broadcast(numbers[k]);
    }
}

#endif
