/* Prints a hash of what each kernel makes of a model of random numbers, which are the same on every machine. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

enum { WORDS = 500, SIZE = 100, COLUMNS = 112, USED = 104, WINDOW = 3, EPOCHS = 10, TOKENS = 60, DOCUMENTS = 6 };
enum { NEGATIVE = 5, POSITIONS = TOKENS * (1 + NEGATIVE), PATH = 12, SHIFT = 20, GUIDE = 2048, CANDIDATES = 5000 };

static uint32_t next(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* So many numbers from -scale / 2 to scale / 2. */
static float *numbers(int64_t count, float scale) {
    float *made = malloc((size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        made[i] = ((float)(next() >> 8) * 0x1p-24f - 0.5f) * scale;
    }
    return made;
}

static float_matrix matrix(int64_t rows, int64_t columns) {
    return (float_matrix){numbers(rows * columns, 0.5f), rows, columns};
}

static void show(const char *name, int32_t status, const void *made, size_t bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ ((const unsigned char *)made)[i]) * 1099511628211u;
    }
    printf("%s %" PRId32 " %016" PRIx64 "\n", name, status, hash);
}

static output_layer make_output(int hs) {
    static int64_t offsets[WORDS + 1];
    static uint32_t points[WORDS * PATH], keep[WORDS];
    static uint8_t codes[WORDS * PATH];
    int64_t count = 0;
    for (int w = 0; w < WORDS; w++) {
        keep[w] = next() | 0x80000000u;
        for (uint32_t left = PATH / 2 + next() % (PATH / 2); left > 0; left--, count++) {
            points[count] = next() % WORDS;
            codes[count] = next() & 1;
        }
        offsets[w + 1] = count;
    }
    return (output_layer){WORDS, hs ? 0 : NEGATIVE, hs, 1, hs ? PATH : 0, {offsets, WORDS + 1}, {points, count},
                          {codes, count}, {keep, WORDS}};
}

static draws make_draws(void) {
    static uint32_t cum_table[WORDS], guide[GUIDE], raw[EPOCHS * POSITIONS], words[EPOCHS * POSITIONS];
    static uint32_t windows[EPOCHS * TOKENS];
    uint64_t seeds[EPOCHS];
    uint32_t end = 0, word = 0;
    for (int w = 0; w < WORDS; w++) {
        cum_table[w] = end += w + 1 < WORDS ? next() % 4000000 : INT32_MAX - end;
    }
    for (uint32_t i = 0; i < GUIDE; i++) {
        while (cum_table[word] < i << SHIFT) {
            word++;
        }
        guide[i] = word;
    }
    for (int e = 0; e < EPOCHS; e++) {
        seeds[e] = (uint64_t)next() << 16 | (next() & 0xFFFF);
    }
    noise distribution = {{cum_table, WORDS}, {guide, GUIDE}, SHIFT};
    int32_t status = fill_draws(&distribution, seeds, EPOCHS, POSITIONS, raw, words);
    show("draws", status, words, sizeof words);
    show("windows", fill_windows(WINDOW, seeds, EPOCHS, TOKENS, windows), windows, sizeof windows);
    return (draws){{raw, EPOCHS, POSITIONS}, {words, EPOCHS, POSITIONS}, {windows, EPOCHS, TOKENS}};
}

int main(void) {
    static const char *const names[] = {"dbow", "dm", "dm concat"};
    uint32_t words[DOCUMENTS * TOKENS];
    int64_t offsets[DOCUMENTS + 1] = {0};
    float alphas[EPOCHS], *vectors = numbers(DOCUMENTS * COLUMNS, 0.01f);
    draws tables = make_draws();
    for (int i = 0; i < DOCUMENTS * TOKENS; i++) {
        words[i] = next() % WORDS;
        offsets[i / TOKENS + 1] = i + 1;
    }
    for (int e = 0; e < EPOCHS; e++) {
        alphas[e] = 0x1p-5f - 0x1p-9f * (float)e; /* exact, so that no compiler rounds it otherwise */
    }
    for (int hs = 0; hs < 2; hs++) {
        output_layer output = make_output(hs);
        for (int kind = DBOW; kind <= DM_CONCAT; kind++) {
            int64_t row = COLUMNS * (kind == DM_CONCAT ? 1 + 2 * WINDOW : 1);
            sgd_model model = {output, kind, COLUMNS, USED, WINDOW, 1, 0, {numbers(1000, 1.0f), 1000},
                               matrix(WORDS, row), matrix(WORDS, row), matrix(WORDS, COLUMNS)};
            int64_t bytes = sgd_workspace_bytes(&model, TOKENS);
            int32_t status = infer_sgd(&model, &tables, alphas, EPOCHS, words, DOCUMENTS * TOKENS, offsets,
                                       DOCUMENTS + 1, vectors, aligned_alloc(ALIGNMENT, (size_t)bytes), bytes);
            show(names[kind], status, vectors, DOCUMENTS * COLUMNS * sizeof(float));
        }
        float prior[USED], curvature[COLUMNS];
        for (int q = 0; q < COLUMNS; q++) {
            curvature[q] = 0x1p-3f + 0x1p-10f * (float)q;
            prior[q % USED] = 0.1f;
        }
        map_model model = {output, COLUMNS, matrix(WORDS, COLUMNS), matrix(WORDS, COLUMNS),
                           {numbers(COLUMNS, 0.1f), COLUMNS}, {curvature, COLUMNS}, {prior, USED},
                           matrix(COLUMNS, COLUMNS)};
        int64_t bytes = map_workspace_bytes(&model, TOKENS);
        int32_t status = infer_map(&model, words, DOCUMENTS * TOKENS, offsets, DOCUMENTS + 1, vectors,
                                   aligned_alloc(ALIGNMENT, (size_t)bytes), bytes);
        show("map", status, vectors, DOCUMENTS * COLUMNS * sizeof(float));
    }
    float cosines[10] = {-2, -2, -2, -2, -2, -2, -2, -2, -2, -2}, norms[CANDIDATES];
    uint32_t rows[10] = {0};
    for (int i = 0; i < CANDIDATES; i++) {
        norms[i] = 1.0f + (float)(next() % 128) * 0x1p-7f;
    }
    document_vectors documents = {matrix(CANDIDATES, SIZE), {norms, CANDIDATES}};
    const float *queries = numbers(2 * SIZE, 1.0f), limits[2] = {0.7f, 4.0f};
    int32_t status = find_nearest(&documents, 0, CANDIDATES, queries, 2, cosines, rows, 5);
    show("nearest", status, cosines, sizeof cosines);
    /* Every document has both terms. */
    int64_t starts[3] = {0, CANDIDATES, 2 * CANDIDATES}, positions[2] = {0, CANDIDATES};
    uint32_t listed[2 * CANDIDATES], lengths[CANDIDATES], terms[2] = {0, 1};
    uint8_t counts[2 * CANDIDATES];
    float shares[CANDIDATES] = {0}, scores[5] = {-2, -2, -2, -2, -2}, *floors = numbers(2, 0.1f);
    const float *factors = numbers(2, 0.4f);
    for (int i = 0; i < 2 * CANDIDATES; i++) {
        listed[i] = (uint32_t)(i % CANDIDATES);
        counts[i] = (uint8_t)(1 + next() % 9);
        lengths[i % CANDIDATES] = 1 + next() % 200;
    }
    posting_lists lists = {{starts, 3}, {listed, 2 * CANDIDATES}, {counts, 2 * CANDIDATES},
                           {lengths, CANDIDATES}, {(float[]){0.375f, 0.0123f}, 2}};
    status = add_shares(&lists, terms, floors, factors, positions, 2, 0, CANDIDATES, shares);
    show("shares", status, shares, sizeof shares);
    status = find_among(&documents, listed, CANDIDATES, queries, shares, limits, scores, rows, 5);
    show("among", status, scores, sizeof scores);
    return 0;
}
