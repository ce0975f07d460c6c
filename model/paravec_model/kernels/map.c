/* Inference as the convex problem that it is for DBOW (method map): one optimum, no draws, no learning rate.

   While the model stays as it is, the document's vector d that makes its words most likely, under a normal prior, is
   where

       sum_i w_i log sigma(s_i v_i.d)  -  N (m.d + 1/2 d.diag(c) d)  -  lambda/2 (N + 1) |d|^2

   is largest. There is a term for each word (negative sampling: v_i its output row, s_i = 1) and for each node on its
   path (hierarchical softmax: s_i = 1 - 2 code); w_i is how often the document has it, times the probability that
   sub-sampling keeps the word; N is the sum of that over the words. The middle part is what noise words contribute,
   expanded to second order around 0: log sigma(-x) = -log 2 - x/2 - x^2/8, so m = k/2 mu and c = k/4 Lambda with
   k = `negative`, where mu and C = Q Lambda Q^T are mean and second moment of the output rows under the noise
   distribution. Rows lie rotated by Q, which makes it diagonal.

   It is solved by conjugate gradients (Polak and Ribiere's; Nocedal, Wright: Numerical Optimization, 2006, 5.2), in
   units of the curvature that all terms but the first have, which is diagonal. As each row is one term, a step takes
   two products with the rows: how the direction changes the terms' margins v_i.d, by which alone its length is found,
   and the new slope. Five steps do, or a dozen with a hierarchical softmax, for texts of any length. */

#include <math.h>

#include "checks.h"
#include "map_terms.h"
#include "vector.h"
#include "workspace.h"

/* Here the optimum is near enough: it is no farther than the slope is long, in units of the least curvature. */
static const float NEAR = 1e-4f;
/* What may be left of the slope along a direction when its length is found. */
static const float SLOPE_LEFT = 0.25f;
/* Never reached, but by a model of enormous numbers. */
enum { MAX_STEPS = 2000, MAX_LENGTHS = 20 };

/* Vectors of `size` floats, and the terms of a document. */
typedef struct {
    float *vector;
    float *slope;
    float *scaled; /* slope / precision */
    float *before; /* the last slope */
    float *direction;
    float *precision; /* curvature of all terms but the first */
    float *zeros;
    terms terms;
} map_workspace;

static int64_t lay_out(const map_model *model, int64_t longest, char *base, map_workspace *room) {
    int64_t used = 0, columns = model->columns;
    int64_t count = longest * (1 + model->output.longest_path) + LANES;
    terms *terms = &room->terms;
    float **vectors[] = {&room->vector,    &room->slope,     &room->scaled, &room->before,
                         &room->direction, &room->precision, &room->zeros};
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
        *vectors[k] = take(base, &used, columns, sizeof(float));
    }
    float **numbers[] = {&terms->weights, &terms->yes,   &terms->margins,
                         &terms->changes, &terms->pulls, &terms->curvatures};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        *numbers[k] = take(base, &used, count, sizeof(float));
    }
    terms->rows = take(base, &used, count, sizeof(float *));
    terms->sorted = take(base, &used, longest, sizeof(uint32_t));
    terms->term_of_node = take(base, &used, model->output.hs ? model->output.words : 0, sizeof(uint32_t));
    return used;
}

/* sigma(x) within 1e-7, of plain arithmetic: a library's exp has other last bits on other machines.

   2^y = 2^k 2^r, with the Taylor polynomial of 2^r for |r| <= 1/2, and 2^k made of its bits. NaN stays NaN. */
INLINE v8 sigmoid(v8 x) {
    const v8 low = spread(-40.0f), high = spread(40.0f);
    v8 clipped = choose(x < low, low, x);
    clipped = choose(clipped > high, high, clipped);
    v8 y = clipped * spread(-1.4426950408889634f);
    /* What becomes an integer must be a number. */
    v8 number = choose(y == y, y, spread(0.0f));
    v8i k = __builtin_convertvector(number + spread(64.5f), v8i) - 64;
    v8 r = y - __builtin_convertvector(k, v8);
    v8 p = spread(1.3333558e-3f) + r * spread(1.5403530e-4f);
    p = spread(9.6181291e-3f) + r * p;
    p = spread(5.5504109e-2f) + r * p;
    p = spread(2.4022651e-1f) + r * p;
    p = spread(6.9314718e-1f) + r * p;
    p = spread(1.0f) + r * p;
    v8i bits = (k + 127) << 23;
    return spread(1.0f) / (spread(1.0f) + p * (v8)bits);
}

/* The products of rows with a vector, eight rows at a time. */
static void products(const float *const *rows, int64_t count, const float *vector, float *result, int64_t size) {
    for (int64_t k = 0; k < count; k += LANES) {
        v8 sums[LANES];
        for (int i = 0; i < LANES; i++) {
            sums[i] = spread(0.0f);
        }
        for (int64_t q = 0; q < size; q += LANES) {
            add_products(sums, load(vector + q), rows + k, q, LANES);
        }
        store(result + k, totals(sums));
    }
}

/* slope += sum of pull * row. From the last row on: those that `products` had last are still in the first cache. */
static void pull(const terms *terms, int64_t count, float *slope, int64_t size) {
    for (int64_t k = count - LANES; k >= 0; k -= LANES) {
        v8 each[LANES];
        const float *rows[LANES];
        spread_each(each, terms->pulls + k, LANES);
        copy_rows(rows, terms->rows + k, LANES);
        for (int64_t q = 0; q < size; q += LANES) {
            store(slope + q, load(slope + q) + weighted(each, rows, q, LANES));
        }
    }
}

/* What the terms pull when the margins have changed by length * changes, and their curvature; the sums of both along
   the way. */
static void respond(const terms *terms, int64_t count, float length, float *along, float *bend) {
    v8 pulled = spread(0.0f), bent = spread(0.0f);
    for (int64_t i = 0; i < count; i += LANES) {
        v8 change = load(terms->changes + i), weight = load(terms->weights + i);
        v8 share = sigmoid(load(terms->margins + i) + spread(length) * change);
        v8 pull = load(terms->yes + i) - weight * share;
        v8 curvature = weight * share * (spread(1.0f) - share);
        store(terms->pulls + i, pull);
        store(terms->curvatures + i, curvature);
        pulled += pull * change;
        bent += curvature * change * change;
    }
    *along = total(pulled);
    *bend = total(bent);
}

/* How far to go in a direction. `along` is the slope along it here, and then there; `bend` how the quadratic part bends.

   By Newton's method, which needs one step as a rule; where it would leave what is known to hold the answer, halfway. */
static float find_length(const terms *terms, int64_t count, float bend, float *along) {
    v8 pulled = spread(0.0f), bent = spread(0.0f);
    for (int64_t i = 0; i < count; i += LANES) {
        v8 change = load(terms->changes + i);
        pulled += load(terms->pulls + i) * change;
        bent += load(terms->curvatures + i) * change * change;
    }
    float first = *along, quadratic = first - total(pulled);
    float low = 0.0f, high = INFINITY, length = first / (bend + total(bent));
    for (int n = 0; n < MAX_LENGTHS; n++) {
        float curvature;
        respond(terms, count, length, along, &curvature);
        *along += quadratic - length * bend;
        if (!(fabsf(*along) > SLOPE_LEFT * first)) {
            break;
        }
        if (*along > 0.0f) {
            low = length;
        } else {
            high = length;
        }
        length += *along / (curvature + bend);
        if (!(low < length && length < high)) {
            length = 0.5f * (low + high);
        }
    }
    return length;
}

/* Solve for one document. */
static void solve(const map_model *model, const uint32_t *words, int64_t length, const map_workspace *room) {
    const terms *terms = &room->terms;
    int64_t size = model->prior.length;
    float weight, along = 0.0f, bend, square = 1.0f;
    int64_t count = collect_terms(model, words, length, room->zeros, terms, &weight);
    const v8 total_weight = spread(weight);
    for (int64_t i = 0; i < count; i += LANES) {
        store(terms->margins + i, spread(0.0f));
        store(terms->changes + i, spread(0.0f));
    }
    respond(terms, count, 0.0f, &along, &bend);
    along = 0.0f;
    for (int64_t q = 0; q < size; q += LANES) {
        store(room->vector + q, spread(0.0f));
        store(room->before + q, spread(0.0f));
        store(room->direction + q, spread(0.0f));
        store(room->precision + q, total_weight * load(model->curvature.data + q) + load(model->prior.data + q));
    }
    for (int step = 0; step < MAX_STEPS; step++) {
        for (int64_t q = 0; q < size; q += LANES) {
            v8 quadratic = load(room->precision + q) * load(room->vector + q);
            store(room->slope + q, -(total_weight * load(model->mean.data + q) + quadratic));
        }
        pull(terms, count, room->slope, size);
        v8 nows = spread(0.0f), mixes = spread(0.0f), fars = spread(0.0f);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 slope = load(room->slope + q), scaled = slope / load(room->precision + q);
            store(room->scaled + q, scaled);
            nows += scaled * slope;
            mixes += scaled * load(room->before + q);
            fars += scaled * scaled;
        }
        /* Where a row holds NaN it goes on, so that the vector does as well: zero would look like an answer. */
        if (total(fars) <= NEAR * NEAR) {
            break;
        }
        float now = total(nows), turn = (now - total(mixes)) / square;
        turn = turn > 0.0f ? turn : 0.0f;
        /* The slope along the direction: of its old part, what the last length left. It must lead up. */
        along = now + turn * along;
        if (!(along > 0.0f)) {
            turn = 0.0f;
            along = now;
        }
        square = now;
        v8 bends = spread(0.0f);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 direction = load(room->scaled + q) + spread(turn) * load(room->direction + q);
            store(room->direction + q, direction);
            store(room->before + q, load(room->slope + q));
            bends += load(room->precision + q) * direction * direction;
        }
        products(terms->rows, count, room->direction, terms->changes, size);
        v8 far = spread(find_length(terms, count, total(bends), &along));
        for (int64_t i = 0; i < count; i += LANES) {
            store(terms->margins + i, load(terms->margins + i) + far * load(terms->changes + i));
        }
        for (int64_t q = 0; q < size; q += LANES) {
            store(room->vector + q, load(room->vector + q) + far * load(room->direction + q));
        }
    }
}

/* The solution in the basis of the model: Q times the vector. */
static void rotate_back(const map_model *model, const float *solution, float *vector) {
    const float *rows[LANES];
    for (int64_t q = 0; q < model->prior.length; q += LANES) {
        for (int k = 0; k < LANES; k++) {
            rows[k] = model->basis.data + (q + k) * model->columns;
        }
        products(rows, LANES, solution, vector + q, model->prior.length);
    }
}

int64_t map_workspace_bytes(const map_model *model, int64_t longest) {
    if (check_map_model(model) != OK || check_longest(longest) != OK) {
        return 0;
    }
    map_workspace room;
    return lay_out(model, longest, NULL, &room);
}

int32_t infer_map(const map_model *model, const uint32_t *words, int64_t word_count, const int64_t *offsets,
                  int64_t offset_count, float *vectors, void *workspace, int64_t workspace_bytes) {
    int64_t longest = 0;
    map_workspace room;
    enum status status = check_map_model(model);
    status =
        status ? status : check_documents(&model->output, words, word_count, offsets, offset_count, vectors, &longest);
    status = status ? status : check_workspace(workspace, workspace_bytes, lay_out(model, longest, NULL, &room));
    if (status != OK) {
        return (int32_t)status;
    }
    lay_out(model, longest, workspace, &room);
    for (int64_t q = 0; q < model->columns; q++) {
        room.zeros[q] = 0.0f;
    }
    for (int64_t n = 0; n + 1 < offset_count; n++) {
        float *vector = vectors + n * model->columns;
        solve(model, words + offsets[n], offsets[n + 1] - offsets[n], &room);
        if (model->output.negative) {
            rotate_back(model, room.vector, vector);
        } else {
            for (int64_t q = 0; q < model->prior.length; q += LANES) {
                store(vector + q, load(room.vector + q));
            }
        }
    }
    return OK;
}
