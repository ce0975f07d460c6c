/* The line search of method map, over the margins of the terms. map.c explains the objective. */

#ifndef PARAVEC_MAP_LINE_SEARCH_H
#define PARAVEC_MAP_LINE_SEARCH_H

#include <math.h>

#include "map_terms.h"
#include "vector.h"

/* The line search ends when this part of the slope is left. */
static const float LINE_SEARCH_TOLERANCE = 0.25f;
/* Only models of huge numbers reach this limit. */
enum { MAX_LINE_SEARCH_STEPS = 20 };

/* sigma(x) within 1e-7, in plain arithmetic: the last bits of a library's exp differ between machines.

   2^y = 2^k 2^r, with the Taylor polynomial of 2^r for |r| <= 1/2, and 2^k built from its bits. NaN stays NaN. */
INLINE v8 sigmoid(v8 x) {
    const v8 low = broadcast(-40.0f), high = broadcast(40.0f);
    v8 clipped = select_lanes(x < low, low, x);
    clipped = select_lanes(clipped > high, high, clipped);
    v8 y = clipped * broadcast(-1.4426950408889634f);
    /* To convert NaN to an integer is undefined. */
    v8 number = select_lanes(y == y, y, broadcast(0.0f));
    v8i k = __builtin_convertvector(number + broadcast(64.5f), v8i) - 64;
    v8 r = y - __builtin_convertvector(k, v8);
    v8 p = broadcast(1.3333558e-3f) + r * broadcast(1.5403530e-4f);
    p = broadcast(9.6181291e-3f) + r * p;
    p = broadcast(5.5504109e-2f) + r * p;
    p = broadcast(2.4022651e-1f) + r * p;
    p = broadcast(6.9314718e-1f) + r * p;
    p = broadcast(1.0f) + r * p;
    v8i bits = (k + 127) << 23;
    return broadcast(1.0f) / (broadcast(1.0f) + p * (v8)bits);
}

/* The first and second derivatives of the terms when the margins change by length * margin_changes. `slope` and
   `curvature` are the derivatives of their sum along the direction. */
static void evaluate_terms(const terms *terms, int64_t count, float length, float *slope, float *curvature) {
    v8 gradients = broadcast(0.0f), curvatures = broadcast(0.0f);
    for (int64_t i = 0; i < count; i += LANES) {
        v8 change = load(terms->margin_changes + i), weight = load(terms->weights + i);
        v8 probability = sigmoid(load(terms->margins + i) + broadcast(length) * change);
        v8 term_gradient = load(terms->positive_weights + i) - weight * probability;
        v8 term_curvature = weight * probability * (broadcast(1.0f) - probability);
        store(terms->gradients + i, term_gradient);
        store(terms->curvatures + i, term_curvature);
        gradients += term_gradient * change;
        curvatures += term_curvature * change * change;
    }
    *slope = lane_sum(gradients);
    *curvature = lane_sum(curvatures);
}

/* The length of a step along the direction. `slope`: in, the slope at length 0; out, at the result.
   `quadratic_curvature`: the curvature of the quadratic part along the direction.

   Newton's method, which usually needs one step; bisection where it would leave the interval. */
static float line_search(const terms *terms, int64_t count, float quadratic_curvature, float *slope) {
    v8 gradients = broadcast(0.0f), curvatures = broadcast(0.0f);
    for (int64_t i = 0; i < count; i += LANES) {
        v8 change = load(terms->margin_changes + i);
        gradients += load(terms->gradients + i) * change;
        curvatures += load(terms->curvatures + i) * change * change;
    }
    float first = *slope, quadratic = first - lane_sum(gradients);
    float low = 0.0f, high = INFINITY, length = first / (quadratic_curvature + lane_sum(curvatures));
    for (int n = 0; n < MAX_LINE_SEARCH_STEPS; n++) {
        float curvature;
        evaluate_terms(terms, count, length, slope, &curvature);
        *slope += quadratic - length * quadratic_curvature;
        if (!(fabsf(*slope) > LINE_SEARCH_TOLERANCE * first)) {
            break;
        }
        if (*slope > 0.0f) {
            low = length;
        } else {
            high = length;
        }
        length += *slope / (curvature + quadratic_curvature);
        if (!(low < length && length < high)) {
            length = 0.5f * (low + high);
        }
    }
    return length;
}

#endif
