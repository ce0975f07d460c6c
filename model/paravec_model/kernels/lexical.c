/* Computes the shares of documents in the terms of a query, see lexical/index.py. */

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

/* Add what a term gives to the shares of the documents from `begin` to `end`, and move `position` behind them. */
static enum status add_term(const posting_lists *lists, uint32_t term, float floor, float factor, int64_t *position,
                            int64_t begin, int64_t end, float *shares) {
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
        uint32_t document = documents[at];
        /* Documents of a list ascend, unless the file is damaged. */
        if (document < begin) {
            return BAD_TABLE;
        }
        float count = (float)counts[at];
        shares[document] += floor + factor * count / (count + shortest + slope * (float)lengths[document]);
    }
    *position = at;
    return OK;
}

/* Add what the terms of a query give to the shares of the documents from `begin` to `end`.

   `positions`: for each term, the place in its list where the documents from `begin` on begin; on return, those from
   `end` on. `shares`: of all documents. */
int32_t add_shares(const posting_lists *lists, const uint32_t *terms, const float *floors, const float *factors,
                   int64_t *positions, int64_t term_count, int64_t begin, int64_t end, float *shares) {
    if (check_lists(lists) != OK) {
        return BAD_TABLE;
    }
    if (terms == NULL || floors == NULL || factors == NULL || positions == NULL || shares == NULL || begin < 0 ||
        end < begin || end > lists->lengths.length || end > UINT32_MAX || check_size(term_count, 1) != OK) {
        return BAD_RANGE;
    }
    for (int64_t t = 0; t < term_count; t++) {
        if (add_term(lists, terms[t], floors[t], factors[t], &positions[t], begin, end, shares) != OK) {
            return BAD_TABLE;
        }
    }
    return OK;
}
