/* Computes the lexical part of the scores of documents, see lexical/index.py. */

#include <stddef.h>

#include "checks.h"

static enum status check_lists(const posting_lists *lists) {
    if (lists == NULL || lists->starts.data == NULL || lists->documents.length != lists->counts.length ||
        (lists->documents.length > 0 && (lists->documents.data == NULL || lists->counts.data == NULL)) ||
        (lists->lengths.length > 0 && lists->lengths.data == NULL) || lists->saturation.data == NULL ||
        lists->saturation.length != 2) {
        return BAD_TABLE;
    }
    return OK;
}

/* Add what a term gives to the scores of the documents from `begin` to `end`, and move `position` behind them. */
static enum status add_term(const posting_lists *lists, uint32_t term, float factor, int64_t *position, int64_t begin,
                            int64_t end, float *scores) {
    if ((int64_t)term >= lists->starts.length - 1) {
        return BAD_TABLE;
    }
    int64_t first = lists->starts.data[term], last = lists->starts.data[term + 1], at = *position;
    if (first < 0 || at < first || at > last || last > lists->documents.length) {
        return BAD_TABLE;
    }
    const uint32_t *documents = lists->documents.data, *lengths = lists->lengths.data;
    const uint8_t *counts = lists->counts.data;
    float shortest = lists->saturation.data[0], slope = lists->saturation.data[1];
    for (; at < last && documents[at] < end; at++) {
        /* Documents of a list ascend, unless the file is damaged. */
        if (documents[at] < begin) {
            return BAD_TABLE;
        }
        float count = (float)counts[at];
        scores[documents[at] - begin] += factor * count / (count + shortest + slope * (float)lengths[documents[at]]);
    }
    *position = at;
    return OK;
}

/* The cube of the sum of what the terms of a query give to each of the documents from `begin` to `end`.

   The terms of query q are those from ends[q - 1] to ends[q]. `positions`: for each term, the place in its list where
   the documents from `begin` on begin; on return, those from `end` on. `scores`: a row of zeros for each query, of the
   documents from `begin` on. */
int32_t lexical_scores(const posting_lists *lists, const uint32_t *terms, const float *factors, int64_t *positions,
                       int64_t term_count, const int64_t *ends, int64_t query_count, int64_t begin, int64_t end,
                       float *scores) {
    if (check_lists(lists) != OK) {
        return BAD_TABLE;
    }
    if (terms == NULL || factors == NULL || positions == NULL || ends == NULL || scores == NULL || begin < 0 ||
        end < begin || end > lists->lengths.length || end > UINT32_MAX || check_size(term_count, 1) != OK ||
        query_count < 0 || check_size(query_count, end - begin) != OK) {
        return BAD_RANGE;
    }
    int64_t t = 0;
    for (int64_t q = 0; q < query_count; q++) {
        if (ends[q] < t || ends[q] > term_count) {
            return BAD_RANGE;
        }
        float *row = scores + q * (end - begin);
        int has_terms = t < ends[q];
        for (; t < ends[q]; t++) {
            if (add_term(lists, terms[t], factors[t], &positions[t], begin, end, row) != OK) {
                return BAD_TABLE;
            }
        }
        for (int64_t i = 0; has_terms && i < end - begin; i++) {
            row[i] *= row[i] * row[i];
        }
    }
    return OK;
}
