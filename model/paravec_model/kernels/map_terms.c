/* Collects the terms of a document, see map_terms.h. */

#include "map_terms.h"

/* Shell sort, which needs no memory. */
static void sort(uint32_t *ids, int64_t length) {
    int64_t gap = 1;
    while (gap * 3 < length) {
        gap = gap * 3 + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (int64_t i = gap; i < length; i++) {
            uint32_t word = ids[i];
            int64_t j = i;
            for (; j >= gap && ids[j - gap] > word; j -= gap) {
                ids[j] = ids[j - gap];
            }
            ids[j] = word;
        }
    }
}

/* Add the nodes of a word's path to the terms. Returns the new number of terms. */
static int64_t add_path(const map_model *model, uint32_t word, float weight, int64_t count, const terms *terms) {
    const output_layer *output = &model->output;
    const uint32_t *points = output->hs_points.data;
    const uint8_t *codes = output->hs_codes.data;
    const float *nodes = model->syn1.data;
    int64_t j = output->hs_offsets.data[word], end = output->hs_offsets.data[word + 1];
    /* The first nodes may be terms already, from paths of earlier words; below the first new node, all are new. A stale
       entry of term_of_node is past `count` or is the index of another row. */
    for (; j < end; j++) {
        int64_t term = terms->term_of_node[points[j]];
        if (term >= count || terms->rows[term] != nodes + model->columns * points[j]) {
            break;
        }
        terms->weights[term] += weight;
        terms->positive_weights[term] += codes[j] ? 0.0f : weight;
    }
    for (; j < end; j++) {
        terms->term_of_node[points[j]] = (uint32_t)count;
        terms->rows[count] = nodes + model->columns * points[j];
        terms->weights[count] = weight;
        terms->positive_weights[count] = codes[j] ? 0.0f : weight;
        count++;
    }
    return count;
}

int64_t collect_terms(const map_model *model, const uint32_t *ids, int64_t length, const float *zeros,
                      const terms *terms, float *total_weight) {
    const output_layer *output = &model->output;
    for (int64_t i = 0; i < length; i++) {
        terms->sorted[i] = ids[i];
    }
    sort(terms->sorted, length);
    int64_t count = 0;
    *total_weight = 0.0f;
    for (int64_t i = 0; i < length;) {
        uint32_t word = terms->sorted[i];
        float weight = 0.0f;
        for (; i < length && terms->sorted[i] == word; i++) {
            weight += 1.0f;
        }
        if (output->sample) {
            weight *= (float)output->sample_int.data[word] * 0x1p-32f;
        }
        *total_weight += weight;
        if (output->negative) {
            terms->rows[count] = model->syn1neg.data + model->columns * word;
            terms->weights[count] = terms->positive_weights[count] = weight;
            count++;
        }
        if (output->hs) {
            count = add_path(model, word, weight, count, terms);
        }
    }
    for (; count % LANES; count++) {
        terms->rows[count] = zeros;
        terms->weights[count] = terms->positive_weights[count] = 0.0f;
    }
    return count;
}
