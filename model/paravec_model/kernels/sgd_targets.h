/* What a step of method sgd works on, found from the ids of a document: the words that sub-sampling keeps, their targets
   and their context. */

#ifndef PARAVEC_SGD_TARGETS_H
#define PARAVEC_SGD_TARGETS_H

#include "vector.h"
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

#endif
