/* Checks of the arguments of kernels. Each returns OK or the status to return. */

#ifndef PARAVEC_CHECKS_H
#define PARAVEC_CHECKS_H

#include "kernels.h"

/* Checks that ids are below the number of words, that their paths lie in the tree, and that offsets never fall. Sets
   `longest` to the tokens of the longest document. */
enum status check_documents(const output_layer *output, const uint32_t *ids, int64_t id_count, const int64_t *offsets,
                            int64_t offset_count, const float *vectors, int64_t *longest);
enum status check_sgd_model(const sgd_model *model);
enum status check_map_model(const map_model *model);
/* Fewer than 2^31 tokens: then sizes of workspaces cannot overflow. */
enum status check_longest(int64_t longest);
enum status check_draws(const sgd_model *model, const draws *tables, int64_t epochs, int64_t longest);
enum status check_workspace(const void *workspace, int64_t bytes, int64_t needed);
enum status check_vocabulary(const vocabulary *words);
enum status check_character_rules(const character_rules *rules);
/* A matrix whose size in bytes cannot overflow. */
enum status check_size(int64_t rows, int64_t columns);
/* Offsets that begin at 0, never fall and end at `end`. */
enum status check_offsets(const int64_t *offsets, int64_t count, int64_t end);

#endif
