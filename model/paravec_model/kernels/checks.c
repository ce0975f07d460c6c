/* Checks of arguments, see checks.h. */

#include "checks.h"

#include <stddef.h>

enum {
    SIGMOID_POINTS = 1000,
    CODE_POINTS = 0x110000,
    MAX_PARAMETER = 100000,
    MAX_COLUMNS = 200000,
    MAX_ITEM_BYTES = 8
};

static int is_matrix(float_matrix matrix, int64_t rows, int64_t columns) {
    return matrix.data != NULL && matrix.rows == rows && matrix.columns == columns;
}

static int is_padded(int64_t size) {
    return size > 0 && size % LANES == 0;
}

static enum status check_output_layer(const output_layer *output) {
    if (output->words < 1 || output->words > UINT32_MAX || output->negative < 0 || output->negative > MAX_PARAMETER) {
        return BAD_MODEL;
    }
    if (output->longest_path < 0 || output->longest_path > MAX_PATH_NODES || (!output->hs && output->longest_path)) {
        return BAD_MODEL;
    }
    if (output->hs && (output->hs_offsets.data == NULL || output->hs_offsets.length != output->words + 1)) {
        return BAD_MODEL;
    }
    if (output->hs && output->hs_points.length != output->hs_codes.length) {
        return BAD_MODEL;
    }
    if (output->sample && (output->sample_int.data == NULL || output->sample_int.length != output->words)) {
        return BAD_MODEL;
    }
    return OK;
}

enum status check_sgd_model(const sgd_model *model) {
    if (model == NULL) {
        return BAD_MODEL;
    }
    const output_layer *output = &model->output;
    if (check_output_layer(output) != OK) {
        return BAD_MODEL;
    }
    int64_t columns = model->columns, used = model->used_columns;
    if (!is_padded(columns) || !is_padded(used) || used > columns || columns > MAX_COLUMNS) {
        return BAD_MODEL;
    }
    if (model->architecture < DBOW || model->architecture > DM_CONCAT || model->window < 1 ||
        model->window > MAX_PARAMETER) {
        return BAD_MODEL;
    }
    int64_t row = model->architecture == DM_CONCAT ? (1 + 2 * model->window) * columns : columns;
    if (output->negative && !is_matrix(model->syn1neg, output->words, row)) {
        return BAD_MODEL;
    }
    if (output->hs && !is_matrix(model->syn1, output->words, row)) {
        return BAD_MODEL;
    }
    if (model->architecture != DBOW && !is_matrix(model->word_vectors, output->words, columns)) {
        return BAD_MODEL;
    }
    if (model->null_word < 0 || model->null_word >= output->words) {
        return BAD_MODEL;
    }
    return model->sigmoid.data != NULL && model->sigmoid.length == SIGMOID_POINTS ? OK : BAD_MODEL;
}

enum status check_map_model(const map_model *model) {
    if (model == NULL) {
        return BAD_MODEL;
    }
    const output_layer *output = &model->output;
    int64_t columns = model->columns, size = model->prior.length;
    if (check_output_layer(output) != OK || !is_padded(columns) || !is_padded(size) || size > columns) {
        return BAD_MODEL;
    }
    if (model->prior.data == NULL || model->mean.data == NULL || model->mean.length != columns) {
        return BAD_MODEL;
    }
    if (model->curvature.data == NULL || model->curvature.length != columns) {
        return BAD_MODEL;
    }
    if (output->negative &&
        !(is_matrix(model->syn1neg, output->words, columns) && is_matrix(model->basis, columns, columns))) {
        return BAD_MODEL;
    }
    return !output->hs || is_matrix(model->syn1, output->words, columns) ? OK : BAD_MODEL;
}

enum status check_offsets(const int64_t *offsets, int64_t count, int64_t end) {
    if (offsets == NULL || count < 1 || offsets[0] != 0 || offsets[count - 1] > end) {
        return BAD_DOCUMENTS;
    }
    for (int64_t n = 1; n < count; n++) {
        if (offsets[n] < offsets[n - 1]) {
            return BAD_DOCUMENTS;
        }
    }
    return OK;
}

/* `offsets` may be a part of a call's and need not begin at 0. */
enum status check_documents(const output_layer *output, const uint32_t *ids, int64_t id_count, const int64_t *offsets,
                            int64_t offset_count, const float *vectors, int64_t *longest) {
    if (ids == NULL || offsets == NULL || offset_count < 1 || vectors == NULL) {
        return BAD_DOCUMENTS;
    }
    int64_t first = offsets[0], last = offsets[0], most = 0;
    if (first < 0) {
        return BAD_DOCUMENTS;
    }
    for (int64_t n = 1; n < offset_count; n++) {
        if (offsets[n] < last) {
            return BAD_DOCUMENTS;
        }
        most = offsets[n] - last > most ? offsets[n] - last : most;
        last = offsets[n];
    }
    if (last > id_count || check_longest(most) != OK) {
        return BAD_DOCUMENTS;
    }
    const int64_t *paths = output->hs_offsets.data;
    for (int64_t i = first; i < last; i++) {
        if (ids[i] >= output->words) {
            return BAD_DOCUMENTS;
        }
        if (output->hs) {
            int64_t begin = paths[ids[i]], end = paths[ids[i] + 1];
            if (begin < 0 || end < begin || end - begin > output->longest_path || end > output->hs_points.length) {
                return BAD_MODEL;
            }
        }
    }
    *longest = most;
    return OK;
}

enum status check_longest(int64_t longest) {
    return longest >= 0 && longest <= INT32_MAX ? OK : BAD_DOCUMENTS;
}

enum status check_size(int64_t rows, int64_t columns) {
    int fits = rows >= 0 && columns >= 0 && (rows == 0 || columns <= INT64_MAX / MAX_ITEM_BYTES / rows);
    return fits ? OK : BAD_RANGE;
}

enum status check_draws(const sgd_model *model, const draws *tables, int64_t epochs, int64_t longest) {
    const output_layer *output = &model->output;
    int64_t positions = longest * (output->negative + 1);
    if (tables == NULL || epochs < 0 || tables->raw.rows < epochs || tables->noise.rows < epochs ||
        tables->windows.rows < epochs) {
        return BAD_DRAWS;
    }
    if (output->sample && (tables->raw.data == NULL || tables->raw.columns < longest)) {
        return BAD_DRAWS;
    }
    if (output->negative && (tables->noise.data == NULL || tables->noise.columns < positions)) {
        return BAD_DRAWS;
    }
    if (model->architecture == DM && (tables->windows.data == NULL || tables->windows.columns < longest)) {
        return BAD_DRAWS;
    }
    return OK;
}

enum status check_workspace(const void *workspace, int64_t bytes, int64_t needed) {
    return workspace != NULL && (uintptr_t)workspace % ALIGNMENT == 0 && bytes >= needed ? OK : BAD_WORKSPACE;
}

enum status check_vocabulary(const vocabulary *words) {
    if (words == NULL) {
        return BAD_TABLE;
    }
    int64_t slots = words->slots.length;
    int whole = words->slots.data != NULL && slots > 0 && (slots & (slots - 1)) == 0;
    whole = whole && words->offsets.data != NULL && words->offsets.length >= 1 && words->text.data != NULL;
    return whole ? OK : BAD_TABLE;
}

enum status check_character_rules(const character_rules *rules) {
    return rules != NULL && rules->table.data != NULL && rules->table.length == CODE_POINTS ? OK : BAD_TABLE;
}
