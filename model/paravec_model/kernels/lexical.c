/* Adds the lexical part to the scores of documents, see lexical/index.py. */

#include <stddef.h>

#include "checks.h"

/* Add what the terms of a query give to the scores of the documents from `begin` to `end`.

   `positions`: for each term, the place in its list where the documents from `begin` on begin; on return, those from
   `end` on. `scores`: of the documents from `begin` on. */
int32_t add_shares(const posting_lists *lists, const uint32_t *terms, const float *factors, int64_t *positions,
                   int64_t term_count, int64_t begin, int64_t end, float *scores) {
    if (lists == NULL || lists->starts.data == NULL || lists->documents.length != lists->shares.length ||
        (lists->documents.length > 0 && (lists->documents.data == NULL || lists->shares.data == NULL))) {
        return BAD_TABLE;
    }
    if (terms == NULL || factors == NULL || positions == NULL || scores == NULL || begin < 0 || end < begin ||
        end > UINT32_MAX || check_size(term_count, 1) != OK) {
        return BAD_RANGE;
    }
    for (int64_t t = 0; t < term_count; t++) {
        if ((int64_t)terms[t] >= lists->starts.length - 1) {
            return BAD_TABLE;
        }
        int64_t first = lists->starts.data[terms[t]], last = lists->starts.data[terms[t] + 1];
        int64_t at = positions[t];
        if (first < 0 || at < first || at > last || last > lists->documents.length) {
            return BAD_TABLE;
        }
        for (; at < last && lists->documents.data[at] < end; at++) {
            /* Documents of a list ascend, unless the file is damaged. */
            if (lists->documents.data[at] < begin) {
                return BAD_TABLE;
            }
            scores[lists->documents.data[at] - begin] += factors[t] * (float)lists->shares.data[at];
        }
        positions[t] = at;
    }
    return OK;
}
