/* Method map: inference for DBOW as a convex problem, with one optimum, no random draws and no learning rate.

   The model is fixed. The vector d of a document that makes its words most likely, under a normal prior, maximizes

       sum_i w_i log sigma(s_i v_i.d)  -  N (m.d + 1/2 d.diag(c) d)  -  lambda/2 (N + 1) |d|^2

   There is a term for each word (negative sampling: v_i is its output row, s_i = 1) and for each node on its path
   (hierarchical softmax: s_i = 1 - 2 code). w_i is the count of the word in the document, times the probability that
   sub-sampling keeps it. N is the sum of w_i over the words. The middle part is the contribution of the noise words,
   expanded to second order around 0: log sigma(-x) = -log 2 - x/2 - x^2/8. So m = k/2 mu and c = k/4 Lambda with
   k = `negative`, where mu and C = Q Lambda Q^T are mean and second moment of the output rows under the noise
   distribution. The rows are stored in the basis Q, in which the second moment is diagonal. For a model with a center, m
   and c are those of evaluation/map_center.py, and the caller subtracts the center.

   The solver is the nonlinear conjugate gradient method (Polak and Ribiere's; Nocedal, Wright: Numerical Optimization,
   2006, 5.2), preconditioned by the curvature of the quadratic part, which is diagonal. A step takes two products with
   the rows. The first gives the change of the margins v_i.d along the direction, which is all that the line search needs.
   The second gives the new gradient. About five steps suffice, or a dozen with a hierarchical softmax, for texts of any
   length. */

#include "checks.h"
#include "map_line_search.h"
#include "map_terms.h"
#include "vector.h"
#include "workspace.h"

/* The solver ends when the preconditioned gradient is this short, which bounds the distance to the optimum. */
static const float TOLERANCE = 1e-4f;
/* Only models of huge numbers reach this limit. */
enum { MAX_STEPS = 2000 };

/* Vectors of a row's size, and the terms of a document. */
typedef struct {
    float *vector;
    float *gradient;
    float *preconditioned;    /* gradient / diagonal */
    float *previous_gradient; /* of the last step */
    float *direction;
    float *diagonal; /* curvature of the quadratic part, the preconditioner */
    float *zeros;
    terms terms;
} map_buffers;

static int64_t lay_out(const map_model *model, int64_t longest, char *base, map_buffers *buffers) {
    int64_t used = 0, columns = model->columns;
    int64_t count = longest * (1 + model->output.longest_path) + LANES;
    terms *terms = &buffers->terms;
    float **vectors[] = {&buffers->vector,    &buffers->gradient, &buffers->preconditioned, &buffers->previous_gradient,
                         &buffers->direction, &buffers->diagonal, &buffers->zeros};
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
        *vectors[k] = carve(base, &used, columns, sizeof(float));
    }
    float **numbers[] = {&terms->weights,        &terms->positive_weights, &terms->margins,
                         &terms->margin_changes, &terms->gradients,        &terms->curvatures};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        *numbers[k] = carve(base, &used, count, sizeof(float));
    }
    terms->rows = carve(base, &used, count, sizeof(float *));
    terms->sorted = carve(base, &used, longest, sizeof(uint32_t));
    terms->term_of_node = carve(base, &used, model->output.hs ? model->output.words : 0, sizeof(uint32_t));
    return used;
}

/* The dot products of rows with a vector, eight rows at a time. */
static void products(const float *const *rows, int64_t count, const float *vector, float *result, int64_t size) {
    for (int64_t k = 0; k < count; k += LANES) {
        v8 sums[LANES];
        for (int i = 0; i < LANES; i++) {
            sums[i] = broadcast(0.0f);
        }
        for (int64_t q = 0; q < size; q += LANES) {
            add_products(sums, load(vector + q), rows + k, q, LANES);
        }
        store(result + k, lane_sums(sums));
    }
}

/* gradient += sum of term gradient * row. It begins with the last rows, which `products` has left in the L1 cache. */
static void add_gradients(const terms *terms, int64_t count, float *gradient, int64_t size) {
    for (int64_t k = count - LANES; k >= 0; k -= LANES) {
        v8 each[LANES];
        const float *rows[LANES];
        broadcast_each(each, terms->gradients + k, LANES);
        copy_rows(rows, terms->rows + k, LANES);
        for (int64_t q = 0; q < size; q += LANES) {
            store(gradient + q, load(gradient + q) + weighted_sum(each, rows, q, LANES));
        }
    }
}

/* Solve for one document; the solution is buffers->vector. */
static void solve(const map_model *model, const uint32_t *ids, int64_t length, const map_buffers *buffers) {
    const terms *terms = &buffers->terms;
    int64_t size = model->prior.length;
    float weight, slope = 0.0f, curvature, previous_dot = 1.0f;
    int64_t count = collect_terms(model, ids, length, buffers->zeros, terms, &weight);
    const v8 total_weight = broadcast(weight);
    for (int64_t i = 0; i < count; i += LANES) {
        store(terms->margins + i, broadcast(0.0f));
        store(terms->margin_changes + i, broadcast(0.0f));
    }
    evaluate_terms(terms, count, 0.0f, &slope, &curvature);
    slope = 0.0f;
    for (int64_t q = 0; q < size; q += LANES) {
        store(buffers->vector + q, broadcast(0.0f));
        store(buffers->previous_gradient + q, broadcast(0.0f));
        store(buffers->direction + q, broadcast(0.0f));
        store(buffers->diagonal + q, total_weight * load(model->curvature.data + q) + load(model->prior.data + q));
    }
    for (int step = 0; step < MAX_STEPS; step++) {
        for (int64_t q = 0; q < size; q += LANES) {
            v8 quadratic = load(buffers->diagonal + q) * load(buffers->vector + q);
            store(buffers->gradient + q, -(total_weight * load(model->mean.data + q) + quadratic));
        }
        add_gradients(terms, count, buffers->gradient, size);
        v8 dots = broadcast(0.0f), mixed_dots = broadcast(0.0f), squares = broadcast(0.0f);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 gradient = load(buffers->gradient + q), preconditioned = gradient / load(buffers->diagonal + q);
            store(buffers->preconditioned + q, preconditioned);
            dots += preconditioned * gradient;
            mixed_dots += preconditioned * load(buffers->previous_gradient + q);
            squares += preconditioned * preconditioned;
        }
        /* With NaN in a row this is false, so the vector becomes NaN too: a zero vector would look valid. */
        if (lane_sum(squares) <= TOLERANCE * TOLERANCE) {
            break;
        }
        float dot = lane_sum(dots), beta = (dot - lane_sum(mixed_dots)) / previous_dot;
        beta = beta > 0.0f ? beta : 0.0f;
        /* The slope along the new direction; of the old direction, the line search has left `slope`. It must be positive. */
        slope = dot + beta * slope;
        if (!(slope > 0.0f)) {
            beta = 0.0f;
            slope = dot;
        }
        previous_dot = dot;
        v8 curvatures = broadcast(0.0f);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 direction = load(buffers->preconditioned + q) + broadcast(beta) * load(buffers->direction + q);
            store(buffers->direction + q, direction);
            store(buffers->previous_gradient + q, load(buffers->gradient + q));
            curvatures += load(buffers->diagonal + q) * direction * direction;
        }
        products(terms->rows, count, buffers->direction, terms->margin_changes, size);
        v8 step_length = broadcast(line_search(terms, count, lane_sum(curvatures), &slope));
        for (int64_t i = 0; i < count; i += LANES) {
            store(terms->margins + i, load(terms->margins + i) + step_length * load(terms->margin_changes + i));
        }
        for (int64_t q = 0; q < size; q += LANES) {
            store(buffers->vector + q, load(buffers->vector + q) + step_length * load(buffers->direction + q));
        }
    }
}

/* The solution in the original basis: Q times the vector. */
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
    map_buffers buffers;
    return lay_out(model, longest, NULL, &buffers);
}

int32_t infer_map(const map_model *model, const uint32_t *ids, int64_t id_count, const int64_t *offsets,
                  int64_t offset_count, float *vectors, void *workspace, int64_t workspace_bytes) {
    int64_t longest = 0;
    map_buffers buffers;
    enum status status = check_map_model(model);
    status = status ? status : check_documents(&model->output, ids, id_count, offsets, offset_count, vectors, &longest);
    status = status ? status : check_workspace(workspace, workspace_bytes, lay_out(model, longest, NULL, &buffers));
    if (status != OK) {
        return (int32_t)status;
    }
    lay_out(model, longest, workspace, &buffers);
    for (int64_t q = 0; q < model->columns; q++) {
        buffers.zeros[q] = 0.0f;
    }
    for (int64_t n = 0; n + 1 < offset_count; n++) {
        float *vector = vectors + n * model->columns;
        solve(model, ids + offsets[n], offsets[n + 1] - offsets[n], &buffers);
        if (model->output.negative) {
            rotate_back(model, buffers.vector, vector);
        } else {
            for (int64_t q = 0; q < model->prior.length; q += LANES) {
                store(vector + q, load(buffers.vector + q));
            }
        }
    }
    return OK;
}
