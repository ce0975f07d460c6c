/* Checks of what a function of the interface is given. Each returns OK, or what is wrong. */

#ifndef PARAVEC_CHECKS_H
#define PARAVEC_CHECKS_H

#include "kernels.h"

/* Documents as they come in: words below the model's count, whose paths lie in the tree, in documents of at most
   `longest` tokens, which is found here. */
enum status check_documents(const output_layer *output, const uint32_t *words, int64_t word_count,
                            const int64_t *offsets, int64_t offset_count, const float *vectors, int64_t *longest);
enum status check_sgd_model(const sgd_model *model);
enum status check_map_model(const map_model *model);
/* Fewer than 2^31 tokens, by which sizes of workspaces stay far below 2^63. */
enum status check_longest(int64_t longest);
enum status check_draws(const sgd_model *model, const draws *tables, int64_t epochs, int64_t longest);
enum status check_workspace(const void *workspace, int64_t bytes, int64_t needed);
enum status check_vocabulary(const vocabulary *words);
enum status check_characters(const characters *tokenizer);
/* A matrix whose bytes can be counted. */
enum status check_size(int64_t rows, int64_t columns);
/* Offsets that begin at 0, never fall and end at `end`. */
enum status check_offsets(const int64_t *offsets, int64_t count, int64_t end);

#endif
