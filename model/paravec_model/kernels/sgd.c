/* Method sgd: gensim's inference by stochastic gradient descent, one loop for all architectures.

   Each document's vector passes through the epochs of the draws. Each word that sub-sampling keeps makes a step, whose
   targets are the nodes on its path in the Huffman tree, the word itself and its noise words, or both. Rows are padded
   with zeros, which stay zero. */

#include "checks.h"
#include "sgd_step.h"
#include "workspace.h"

/* Buffers in the workspace, for documents of at most `longest` tokens. */
typedef struct {
    float *vector;              /* columns: the document's vector */
    float *context;             /* columns: the hidden layer of DM */
    float *zeros;               /* a row */
    float *errors;              /* width */
    float *labels;              /* width; with hierarchical softmax longest x width */
    const float **context_rows; /* rows of the words in the context */
    const float **targets;      /* as many as labels */
    uint32_t *kept;             /* longest: ids that sub-sampling keeps */
    uint32_t *positions;        /* longest: position of each in the document */
    int32_t *path_lengths;      /* longest */
    int64_t width;              /* maximum of targets for one word */
} sgd_buffers;

static int64_t row_size(const sgd_model *model) {
    return model->columns * (model->architecture == DM_CONCAT ? 1 + 2 * model->window : 1);
}

/* Place the buffers in a workspace. Returns the bytes they need. */
static int64_t lay_out(const sgd_model *model, int64_t longest, char *base, sgd_buffers *buffers) {
    int64_t used = 0, window = model->architecture == DBOW ? 0 : model->window;
    buffers->width = model->output.negative + 1 + model->output.longest_path + BLOCK;
    int64_t targets = (model->output.hs ? longest : 1) * buffers->width + BLOCK;
    buffers->vector = carve(base, &used, model->columns, sizeof(float));
    buffers->context = carve(base, &used, model->columns, sizeof(float));
    buffers->zeros = carve(base, &used, row_size(model), sizeof(float));
    buffers->errors = carve(base, &used, buffers->width, sizeof(float));
    buffers->labels = carve(base, &used, targets, sizeof(float));
    buffers->context_rows = carve(base, &used, 2 * window + BLOCK, sizeof(float *));
    buffers->targets = carve(base, &used, targets, sizeof(float *));
    buffers->kept = carve(base, &used, longest, sizeof(uint32_t));
    buffers->positions = carve(base, &used, longest, sizeof(uint32_t));
    buffers->path_lengths = carve(base, &used, longest, sizeof(int32_t));
    return used;
}

/* Fill the targets of each word of a document with the nodes on its path, and their labels. The targets behind them are
   for the word itself, with label 1, and its noise words, with label 0. */
static void find_paths(const sgd_model *model, const uint32_t *ids, int64_t length, const sgd_buffers *buffers) {
    const output_layer *output = &model->output;
    for (int64_t i = 0; i < length; i++) {
        const float **targets = buffers->targets + i * buffers->width;
        float *labels = buffers->labels + i * buffers->width;
        int64_t first = output->hs_offsets.data[ids[i]], count = output->hs_offsets.data[ids[i] + 1] - first;
        for (int64_t j = 0; j < count; j++) {
            targets[j] = model->syn1.data + model->syn1.columns * output->hs_points.data[first + j];
            labels[j] = 1.0f - (float)output->hs_codes.data[first + j];
        }
        for (int64_t j = count; j < buffers->width; j++) {
            labels[j] = 0.0f;
        }
        labels[count] = 1.0f;
        buffers->path_lengths[i] = (int32_t)count;
    }
}

/* Sub-sample a document. Returns the number of words kept. */
static int64_t subsample(const output_layer *output, const uint32_t *ids, int64_t length, const uint32_t *raw,
                         const sgd_buffers *buffers) {
    int64_t count = 0;
    for (int64_t i = 0; i < length; i++) {
        buffers->kept[count] = ids[i];
        buffers->positions[count] = (uint32_t)i;
        count += !output->sample || output->sample_int.data[ids[i]] >= raw[i];
    }
    return count;
}

/* Fill `targets` with the word and its noise words, except those equal to the word. Returns their number. */
INLINE int64_t sample_targets(const sgd_model *model, uint32_t word, const uint32_t *noise, const float **targets) {
    const float *rows = model->syn1neg.data;
    int64_t columns = model->syn1neg.columns, count = 1;
    targets[0] = rows + columns * word;
    for (int64_t k = 0; k < model->output.negative; k++) {
        targets[count] = rows + columns * noise[k];
        count += noise[k] != word;
    }
    return count;
}

/* Find the rows of the words within `reach` of position i. Returns their number. */
INLINE int64_t find_context(const sgd_model *model, const uint32_t *kept, int64_t kept_count, int64_t i, int64_t reach,
                            const float **context_rows) {
    const float *rows = model->word_vectors.data;
    int64_t begin = i - reach > 0 ? i - reach : 0, end = i + reach + 1 < kept_count ? i + reach + 1 : kept_count,
            count = 0;
    for (int64_t m = begin; m < end; m++) {
        context_rows[count] = rows + model->columns * kept[m];
        count += m != i;
    }
    return count;
}

/* Find the rows of the window around position i, with the null word outside of the document. */
INLINE void fill_window(const sgd_model *model, const uint32_t *kept, int64_t kept_count, int64_t i,
                        const float **window_rows) {
    const float *rows = model->word_vectors.data;
    int64_t columns = model->columns, window = model->window;
    for (int64_t s = 0; s < window; s++) {
        int64_t before = i - window + s, after = i + 1 + s;
        window_rows[s] = rows + columns * (before >= 0 ? kept[before] : model->null_word);
        window_rows[window + s] = rows + columns * (after < kept_count ? kept[after] : model->null_word);
    }
}

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
