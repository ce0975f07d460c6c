/* The terms of a document, see map_terms.h. */

#include "map_terms.h"

/* Shell's sort, which takes no room. */
static void sort(uint32_t *words, int64_t length) {
    int64_t gap = 1;
    while (gap * 3 < length) {
        gap = gap * 3 + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (int64_t i = gap; i < length; i++) {
            uint32_t word = words[i];
            int64_t j = i;
            for (; j >= gap && words[j - gap] > word; j -= gap) {
                words[j] = words[j - gap];
            }
            words[j] = word;
        }
    }
}

/* Add a word's path to the terms; how many terms there are then. */
static int64_t add_path(const map_model *model, uint32_t word, float weight, int64_t count, const terms *found) {
    const output_layer *output = &model->output;
    const uint32_t *points = output->hs_points.data;
    const uint8_t *codes = output->hs_codes.data;
    const float *nodes = model->syn1.data;
    int64_t j = output->hs_offsets.data[word], end = output->hs_offsets.data[word + 1];
    /* Down from the root as far as the paths of words before went; from where they did not, none went further. A stale
       entry of term_of_node is past `count` or belongs to another row. */
    for (; j < end; j++) {
        int64_t term = found->term_of_node[points[j]];
        if (term >= count || found->rows[term] != nodes + model->columns * points[j]) {
            break;
        }
        found->weights[term] += weight;
        found->yes[term] += codes[j] ? 0.0f : weight;
    }
    for (; j < end; j++) {
        found->term_of_node[points[j]] = (uint32_t)count;
        found->rows[count] = nodes + model->columns * points[j];
        found->weights[count] = weight;
        found->yes[count] = codes[j] ? 0.0f : weight;
        count++;
    }
    return count;
}

int64_t collect_terms(const map_model *model, const uint32_t *words, int64_t length, const float *zeros,
                      const terms *found, float *total) {
    const output_layer *output = &model->output;
    for (int64_t i = 0; i < length; i++) {
        found->sorted[i] = words[i];
    }
    sort(found->sorted, length);
    int64_t count = 0;
    *total = 0.0f;
    for (int64_t i = 0; i < length;) {
        uint32_t word = found->sorted[i];
        float weight = 0.0f;
        for (; i < length && found->sorted[i] == word; i++) {
            weight += 1.0f;
        }
        if (output->sample) {
            weight *= (float)output->sample_int.data[word] * 0x1p-32f;
        }
        *total += weight;
        if (output->negative) {
            found->rows[count] = model->syn1neg.data + model->columns * word;
            found->weights[count] = found->yes[count] = weight;
            count++;
        }
        if (output->hs) {
            count = add_path(model, word, weight, count, found);
        }
    }
    for (; count % LANES; count++) {
        found->rows[count] = zeros;
        found->weights[count] = found->yes[count] = 0.0f;
    }
    return count;
}
