/* The terms of a document in the objective of method map: one for each row of the output layer, with its weight.

   Words are sorted and equal words become one term. Nodes of the tree are numbered in the order in which the paths of the
   sorted words reach them. So the order of a document's words makes no difference, not even to rounding. */

#ifndef PARAVEC_MAP_TERMS_H
#define PARAVEC_MAP_TERMS_H

#include "kernels.h"

/* Arrays with an element for each term, padded with terms of weight 0. */
typedef struct {
    const float **rows;
    float *weights;          /* w: count of the term in the document, times the probability of sub-sampling */
    float *positive_weights; /* the part of w with s = 1, see map.c */
    float *margins;          /* v.d: the term's row times the vector */
    float *margin_changes;   /* the term's row times the direction */
    float *gradients;        /* first derivative by the margin */
    float *curvatures;       /* second derivative by the margin, negated */
    uint32_t *sorted;        /* the document's ids, sorted */
    uint32_t *term_of_node;  /* index of the node's term; not cleared between documents */
} terms;

/* Fill `rows`, `weights` and `positive_weights`. Returns the number of terms, padded. Sets `total_weight` to the sum of
   the words' weights. */
int64_t collect_terms(const map_model *model, const uint32_t *ids, int64_t length, const float *zeros,
                      const terms *terms, float *total_weight);

#endif
