/* The terms of a document in the objective of method map: each row of the output layer once, with how often it should
   say yes and no. Words are sorted and equal ones made one; nodes are numbered as the words' paths lead to them. So the
   order of a document's words makes no difference, not even to the rounding. */

#ifndef PARAVEC_MAP_TERMS_H
#define PARAVEC_MAP_TERMS_H

#include "kernels.h"

/* Arrays with a number for each term, padded with terms that say nothing. */
typedef struct {
    const float **rows;
    float *weights;         /* w: how often the document has the term, less what sub-sampling takes */
    float *yes;             /* how much of that should say yes */
    float *margins;         /* the term's row times the vector */
    float *changes;         /* the term's row times the direction */
    float *pulls;           /* derivative by the margin */
    float *curvatures;      /* second derivative by the margin, negated */
    uint32_t *sorted;       /* room for the document's words */
    uint32_t *term_of_node; /* for each node of the tree its term; not cleared between documents */
} terms;

/* Fill rows, weights and yes; how many terms there are, padded. `total` is what the words weigh in all. */
int64_t collect_terms(const map_model *model, const uint32_t *words, int64_t length, const float *zeros,
                      const terms *found, float *total);

#endif
