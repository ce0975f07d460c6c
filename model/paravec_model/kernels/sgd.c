/* Method sgd: gensim's inference by stochastic gradient descent, one loop for all architectures.

   Each document's vector passes through the epochs of the draws. Each word that sub-sampling keeps makes a step, whose
   targets are the nodes on its path in the Huffman tree, the word itself and its noise words, or both. Rows are padded
   with zeros, which stay zero. */

#include "checks.h"
#include "sgd_step.h"
#include "sgd_targets.h"

/* context = the sum of rows, rounded in their order. `rows` has room for BLOCK more, which become rows of zeros. */
INLINE void sum_rows(float *context, const float **rows, int64_t count, const float *zeros, int64_t size) {
    for (int k = 0; k < BLOCK; k++) {
        rows[count + k] = zeros;
    }
    for (int64_t k = 0; k == 0 || k < count; k += BLOCK) {
        const float *six[BLOCK];
        copy_rows(six, rows + k, BLOCK);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 sum = k ? load(context + q) : broadcast(0.0f);
            sum = sum + load(six[0] + q) + load(six[1] + q) + load(six[2] + q);
            store(context + q, sum + load(six[3] + q) + load(six[4] + q) + load(six[5] + q));
        }
    }
}

INLINE void copy(float *to, const float *from, int64_t size) {
    for (int64_t q = 0; q < size; q += LANES) {
        store(to + q, load(from + q));
    }
}

/* The arguments that all documents of a call share. */
typedef struct {
    const sgd_model *model;
    const draws *tables;
    const float *alphas;
    int64_t epochs;
    sgd_buffers buffers;
} sgd_call;

/* Infer one document. Callers pass constants for `architecture` and `hs`, so that the compiler drops the code of other
   variants, which would take registers that the inner loops need. */
INLINE void infer(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector,
                  enum architecture architecture, int hs) {
    const sgd_model *model = call->model;
    const draws *tables = call->tables;
    const sgd_buffers *buffers = &call->buffers;
    const int has_context = architecture == DM, is_concat = architecture == DM_CONCAT;
    const output_layer *output = &model->output;
    layer hidden = {
        .vector = buffers->vector,
        .context = buffers->context,
        .scale = 1.0f,
        .window_rows = buffers->context_rows,
        .window_row_count = 2 * model->window,
        .size = is_concat ? model->columns : model->used_columns,
        .zeros = buffers->zeros,
        .sigmoid = model->sigmoid.data,
        .errors = buffers->errors,
    };
    pending_update pending = {
        {buffers->zeros, buffers->zeros, buffers->zeros, buffers->zeros, buffers->zeros, buffers->zeros}, {0}};
    copy(hidden.vector, vector, hidden.size);
    if (hs) {
        find_paths(model, ids, length, buffers);
    }
    for (int64_t e = 0; e < call->epochs; e++) {
        float alpha = call->alphas[e];
        const uint32_t *noise = tables->noise.data + e * tables->noise.columns;
        noise += output->sample ? length : 0;
        int64_t kept_count = subsample(output, ids, length, tables->raw.data + e * tables->raw.columns, buffers);
        for (int64_t i = 0; i < kept_count; i++) {
            if (is_concat) {
                fill_window(model, buffers->kept, kept_count, i, buffers->context_rows);
            }
            if (has_context) {
                int64_t reach = model->window - tables->windows.data[e * tables->windows.columns + i];
                int64_t context_count = find_context(model, buffers->kept, kept_count, i, reach, buffers->context_rows);
                sum_rows(hidden.context, buffers->context_rows, context_count, buffers->zeros, hidden.size);
                /* For the mean, gensim scales the hidden layer but not the update; for the sum, it scales the update. */
                float scale = 1.0f / (float)(context_count + 1);
                hidden.scale = model->mean ? scale : 1.0f;
                alpha = model->mean ? call->alphas[e] : call->alphas[e] * scale;
            }
            int64_t count = 0;
            const float **targets = buffers->targets;
            const float *labels = buffers->labels;
            if (hs) {
                int64_t position = buffers->positions[i];
                count = buffers->path_lengths[position];
                targets += position * buffers->width;
                labels += position * buffers->width;
                if (!has_context && !is_concat) {
                    /* DBOW takes a step for the nodes first; the others take one step for nodes and words. */
                    if (count) {
                        take_step(&hidden, &pending, targets, count, labels, alpha, has_context, is_concat);
                    }
                    targets += count;
                    labels += count;
                    count = 0;
                }
            }
            if (output->negative) {
                count += sample_targets(model, buffers->kept[i], noise, targets + count);
                noise += output->negative;
            }
            if (count) {
                take_step(&hidden, &pending, targets, count, labels, alpha, has_context, is_concat);
            }
        }
    }
    add_weighted_rows(hidden.vector, pending.rows, pending.errors, hidden.size, BLOCK);
    copy(vector, hidden.vector, hidden.size);
}

typedef void variant(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector);

static void infer_dbow(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DBOW, 0);
}

static void infer_dbow_hs(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DBOW, 1);
}

static void infer_dm(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DM, 0);
}

static void infer_dm_hs(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DM, 1);
}

static void infer_dm_concat(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DM_CONCAT, 0);
}

static void infer_dm_concat_hs(const sgd_call *call, const uint32_t *ids, int64_t length, float *vector) {
    infer(call, ids, length, vector, DM_CONCAT, 1);
}

/* By architecture; without and with hierarchical softmax. */
static variant *const VARIANTS[][2] = {
    {infer_dbow, infer_dbow_hs}, {infer_dm, infer_dm_hs}, {infer_dm_concat, infer_dm_concat_hs}};

int64_t sgd_workspace_bytes(const sgd_model *model, int64_t longest) {
    if (check_sgd_model(model) != OK || check_longest(longest) != OK) {
        return 0;
    }
    sgd_buffers buffers;
    return lay_out(model, longest, NULL, &buffers);
}

int32_t infer_sgd(const sgd_model *model, const draws *tables, const float *alphas, int64_t epochs, const uint32_t *ids,
                  int64_t id_count, const int64_t *offsets, int64_t offset_count, float *vectors, void *workspace,
                  int64_t workspace_bytes) {
    int64_t longest = 0;
    sgd_call call = {.model = model, .tables = tables, .alphas = alphas, .epochs = epochs};
    enum status status = check_sgd_model(model);
    status = status ? status : check_documents(&model->output, ids, id_count, offsets, offset_count, vectors, &longest);
    status = status ? status : check_draws(model, tables, epochs, longest);
    status = (status || alphas != NULL) ? status : BAD_DRAWS;
    status =
        status ? status : check_workspace(workspace, workspace_bytes, lay_out(model, longest, NULL, &call.buffers));
    if (status != OK) {
        return (int32_t)status;
    }
    lay_out(model, longest, workspace, &call.buffers);
    for (int64_t q = 0; q < row_size(model); q++) {
        call.buffers.zeros[q] = 0.0f;
    }
    call.buffers.labels[0] = 1.0f;
    for (int64_t q = 1; q < call.buffers.width; q++) {
        call.buffers.labels[q] = 0.0f;
    }
    variant *infer_document = VARIANTS[model->architecture][model->output.hs != 0];
    for (int64_t n = 0; n + 1 < offset_count; n++) {
        infer_document(&call, ids + offsets[n], offsets[n + 1] - offsets[n], vectors + n * model->columns);
    }
    return OK;
}
