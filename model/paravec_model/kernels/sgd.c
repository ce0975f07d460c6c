/* gensim's inference by stochastic gradient descent: one loop for all architectures.

   The vector of each document moves through the epochs that the draws cover. A word that sub-sampling keeps asks for a
   step: of the nodes above it in the Huffman tree, of itself and its noise words, or both. Rows are padded with zeros,
   which stay zero. */

#include "checks.h"
#include "sgd_step.h"
#include "workspace.h"

/* The parts of a workspace, for documents of at most so many tokens. */
typedef struct {
    float *vector;         /* a part of a row: the vector as it moves */
    float *context;        /* a part of a row: the hidden layer of DM */
    float *zeros;          /* a row */
    float *errors;         /* width */
    float *labels;         /* width, or with a tree longest x width */
    const float **around;  /* rows of the words around a position */
    const float **targets; /* as many as labels */
    uint32_t *kept;        /* longest: words that sub-sampling kept */
    uint32_t *positions;   /* longest: where each stood */
    int32_t *path_lengths; /* longest */
    int64_t width;         /* room for the targets of one word */
} sgd_workspace;

static int64_t row_size(const sgd_model *model) {
    return model->columns * (model->architecture == DM_CONCAT ? 1 + 2 * model->window : 1);
}

/* Cut a workspace into its parts; how many bytes that takes. */
static int64_t lay_out(const sgd_model *model, int64_t longest, char *base, sgd_workspace *room) {
    int64_t used = 0, window = model->architecture == DBOW ? 0 : model->window;
    room->width = model->output.negative + 1 + model->output.longest_path + BLOCK;
    int64_t targets = (model->output.hs ? longest : 1) * room->width + BLOCK;
    room->vector = take(base, &used, model->columns, sizeof(float));
    room->context = take(base, &used, model->columns, sizeof(float));
    room->zeros = take(base, &used, row_size(model), sizeof(float));
    room->errors = take(base, &used, room->width, sizeof(float));
    room->labels = take(base, &used, targets, sizeof(float));
    room->around = take(base, &used, 2 * window + BLOCK, sizeof(float *));
    room->targets = take(base, &used, targets, sizeof(float *));
    room->kept = take(base, &used, longest, sizeof(uint32_t));
    room->positions = take(base, &used, longest, sizeof(uint32_t));
    room->path_lengths = take(base, &used, longest, sizeof(int32_t));
    return used;
}

/* For each word of a document, the tree nodes above it and what each should say, in the word's part of the targets;
   how many there are. Behind those comes room for the word itself and its noise, which should say 1 and 0. */
static void find_paths(const sgd_model *model, const uint32_t *words, int64_t length, const sgd_workspace *room) {
    const output_layer *output = &model->output;
    for (int64_t i = 0; i < length; i++) {
        const float **targets = room->targets + i * room->width;
        float *labels = room->labels + i * room->width;
        int64_t first = output->hs_offsets.data[words[i]], count = output->hs_offsets.data[words[i] + 1] - first;
        for (int64_t j = 0; j < count; j++) {
            targets[j] = model->syn1.data + model->syn1.columns * output->hs_points.data[first + j];
            labels[j] = 1.0f - (float)output->hs_codes.data[first + j];
        }
        for (int64_t j = count; j < room->width; j++) {
            labels[j] = 0.0f;
        }
        labels[count] = 1.0f;
        room->path_lengths[i] = (int32_t)count;
    }
}

/* Sub-sample a document; how many words are left. */
static int64_t keep(const output_layer *output, const uint32_t *words, int64_t length, const uint32_t *raw,
                    const sgd_workspace *room) {
    int64_t count = 0;
    for (int64_t i = 0; i < length; i++) {
        room->kept[count] = words[i];
        room->positions[count] = (uint32_t)i;
        count += !output->sample || output->sample_int.data[words[i]] >= raw[i];
    }
    return count;
}

/* The word and its noise words, less those that are the word itself; how many. */
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

/* The words around position i, as many as there are within reach on each side; how many. */
INLINE int64_t find_context(const sgd_model *model, const uint32_t *kept, int64_t left, int64_t i, int64_t reach,
                            const float **around) {
    const float *rows = model->word_vectors.data;
    int64_t begin = i - reach > 0 ? i - reach : 0, end = i + reach + 1 < left ? i + reach + 1 : left, count = 0;
    for (int64_t m = begin; m < end; m++) {
        around[count] = rows + model->columns * kept[m];
        count += m != i;
    }
    return count;
}

/* The words around position i, with the null word where there is none. */
INLINE void fill_window(const sgd_model *model, const uint32_t *kept, int64_t left, int64_t i, const float **slots) {
    const float *rows = model->word_vectors.data;
    int64_t columns = model->columns, window = model->window;
    for (int64_t s = 0; s < window; s++) {
        int64_t before = i - window + s, after = i + 1 + s;
        slots[s] = rows + columns * (before >= 0 ? kept[before] : model->null_word);
        slots[window + s] = rows + columns * (after < left ? kept[after] : model->null_word);
    }
}

/* context = the sum of so many rows, rounded in their order. The rows are filled up with zeros to a multiple of BLOCK. */
INLINE void add_up(float *context, const float **rows, int64_t count, const float *zeros, int64_t size) {
    for (int k = 0; k < BLOCK; k++) {
        rows[count + k] = zeros;
    }
    for (int64_t k = 0; k == 0 || k < count; k += BLOCK) {
        const float *six[BLOCK];
        copy_rows(six, rows + k, BLOCK);
        for (int64_t q = 0; q < size; q += LANES) {
            v8 sum = k ? load(context + q) : spread(0.0f);
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

/* What all documents of a call share. */
typedef struct {
    const sgd_model *model;
    const draws *tables;
    const float *alphas;
    int64_t epochs;
    sgd_workspace room;
} sgd_call;

/* One document through all epochs. Architecture and `hs` are constants where this is called, so that what belongs to the
   others is left out: it would take registers that the innermost loops need. */
INLINE void infer(const sgd_call *call, const uint32_t *words, int64_t length, float *vector,
                  enum architecture architecture, int hs) {
    const sgd_model *model = call->model;
    const draws *tables = call->tables;
    const sgd_workspace *room = &call->room;
    const int contextual = architecture == DM, slotted = architecture == DM_CONCAT;
    const output_layer *output = &model->output;
    layer hidden = {
        .vector = room->vector,
        .context = room->context,
        .share = 1.0f,
        .slots = room->around,
        .slot_count = 2 * model->window,
        .size = slotted ? model->columns : model->used_columns,
        .zeros = room->zeros,
        .sigmoid = model->sigmoid.data,
        .errors = room->errors,
    };
    move last = {{room->zeros, room->zeros, room->zeros, room->zeros, room->zeros, room->zeros}, {0}};
    copy(hidden.vector, vector, hidden.size);
    if (hs) {
        find_paths(model, words, length, room);
    }
    for (int64_t e = 0; e < call->epochs; e++) {
        float alpha = call->alphas[e];
        const uint32_t *noise = tables->noise.data + e * tables->noise.columns;
        noise += output->sample ? length : 0;
        int64_t left = keep(output, words, length, tables->raw.data + e * tables->raw.columns, room);
        for (int64_t i = 0; i < left; i++) {
            if (slotted) {
                fill_window(model, room->kept, left, i, room->around);
            }
            if (contextual) {
                int64_t reach = model->window - tables->windows.data[e * tables->windows.columns + i];
                int64_t around = find_context(model, room->kept, left, i, reach, room->around);
                add_up(hidden.context, room->around, around, room->zeros, hidden.size);
                /* gensim takes the mean of what goes in but not of the update; of a sum, it is the reverse. */
                float share = 1.0f / (float)(around + 1);
                hidden.share = model->mean ? share : 1.0f;
                alpha = model->mean ? call->alphas[e] : call->alphas[e] * share;
            }
            int64_t count = 0;
            const float **targets = room->targets;
            const float *labels = room->labels;
            if (hs) {
                int64_t position = room->positions[i];
                count = room->path_lengths[position];
                targets += position * room->width;
                labels += position * room->width;
                if (!contextual && !slotted) {
                    /* Here the nodes' step comes before the word's; else both are taken at one place. */
                    if (count) {
                        descend(&hidden, &last, targets, count, labels, alpha, contextual, slotted);
                    }
                    targets += count;
                    labels += count;
                    count = 0;
                }
            }
            if (output->negative) {
                count += sample_targets(model, room->kept[i], noise, targets + count);
                noise += output->negative;
            }
            if (count) {
                descend(&hidden, &last, targets, count, labels, alpha, contextual, slotted);
            }
        }
    }
    move_by(hidden.vector, last.rows, last.errors, hidden.size, BLOCK);
    copy(vector, hidden.vector, hidden.size);
}

typedef void variant(const sgd_call *call, const uint32_t *words, int64_t length, float *vector);

static void infer_dbow(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DBOW, 0);
}

static void infer_dbow_hs(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DBOW, 1);
}

static void infer_dm(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DM, 0);
}

static void infer_dm_hs(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DM, 1);
}

static void infer_dm_concat(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DM_CONCAT, 0);
}

static void infer_dm_concat_hs(const sgd_call *call, const uint32_t *words, int64_t length, float *vector) {
    infer(call, words, length, vector, DM_CONCAT, 1);
}

/* By architecture, without and with hierarchical softmax. */
static variant *const VARIANTS[][2] = {
    {infer_dbow, infer_dbow_hs}, {infer_dm, infer_dm_hs}, {infer_dm_concat, infer_dm_concat_hs}};

int64_t sgd_workspace_bytes(const sgd_model *model, int64_t longest) {
    if (check_sgd_model(model) != OK || check_longest(longest) != OK) {
        return 0;
    }
    sgd_workspace room;
    return lay_out(model, longest, NULL, &room);
}

int32_t infer_sgd(const sgd_model *model, const draws *tables, const float *alphas, int64_t epochs,
                  const uint32_t *words, int64_t word_count, const int64_t *offsets, int64_t offset_count,
                  float *vectors, void *workspace, int64_t workspace_bytes) {
    int64_t longest = 0;
    sgd_call call = {.model = model, .tables = tables, .alphas = alphas, .epochs = epochs};
    enum status status = check_sgd_model(model);
    status =
        status ? status : check_documents(&model->output, words, word_count, offsets, offset_count, vectors, &longest);
    status = status ? status : check_draws(model, tables, epochs, longest);
    status = (status || alphas != NULL) ? status : BAD_DRAWS;
    status = status ? status : check_workspace(workspace, workspace_bytes, lay_out(model, longest, NULL, &call.room));
    if (status != OK) {
        return (int32_t)status;
    }
    lay_out(model, longest, workspace, &call.room);
    for (int64_t q = 0; q < row_size(model); q++) {
        call.room.zeros[q] = 0.0f;
    }
    call.room.labels[0] = 1.0f;
    for (int64_t q = 1; q < call.room.width; q++) {
        call.room.labels[q] = 0.0f;
    }
    variant *infer_document = VARIANTS[model->architecture][model->output.hs != 0];
    for (int64_t n = 0; n + 1 < offset_count; n++) {
        infer_document(&call, words + offsets[n], offsets[n + 1] - offsets[n], vectors + n * model->columns);
    }
    return OK;
}
