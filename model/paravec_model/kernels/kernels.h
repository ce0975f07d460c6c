/* The interface of the kernels.

   interface.py parses this file, so keep new declarations in the same form. Matrices are stored row by row. Documents
   lie end to end in `ids`, document n from offsets[n] to offsets[n + 1]; texts lie end to end in the same way. The id of
   a word is its row in the matrices.

   Every function checks its arguments first (checks.c) and returns a status. It does not check the numbers inside arrays
   of the model: `Artifact.open` has checked the paths of the Huffman tree, and fill_draws has made the draws. No function
   allocates memory or keeps state between calls. */

#ifndef PARAVEC_KERNELS_H
#define PARAVEC_KERNELS_H

#include <stdint.h>

enum status {
    OK = 0,
    BAD_MODEL = 1,
    BAD_DOCUMENTS = 2,
    BAD_DRAWS = 3,
    BAD_WORKSPACE = 4,
    BAD_TABLE = 5,
    BAD_RANGE = 6
};

/* The result of texts_to_ids. */
enum text_outcome { DONE = 0, NEW_CHARACTER = 100, NEEDS_TOKENIZER = 101, MORE_UNKNOWN = 102 };

/* Entries of the table of character_rules: not filled in yet; the character separates tokens; its meaning depends on the
   characters around. From FIRST_MAPPED on: a token gets the character with code entry - FIRST_MAPPED for it. */
enum character { UNKNOWN = 0, SEPARATOR = 1, CONTEXTUAL = 2, FIRST_MAPPED = 3 };

/* What a form stands for: a stop word, which is no token; a token that the vocabulary lacks. From FIRST_ID on: the token
   with the id code - FIRST_ID. */
enum form { STOP_WORD = 0, NOT_IN_VOCABULARY = 1, FIRST_ID = 2 };

enum architecture { DBOW = 0, DM = 1, DM_CONCAT = 2 };

/* LANES: floats in a SIMD vector; sizes called "padded" are multiples of it. ALIGNMENT: bytes of a cache line, to which
   workspaces are aligned. BLOCK: rows of the output layer that method sgd handles at once, limited by the number of
   registers. */
enum layout { LANES = 8, ALIGNMENT = 64, BLOCK = 6 };

/* Limit for the nodes on a path of the Huffman tree. Trees of real vocabularies have less than a thousandth of it. */
enum limit { MAX_PATH_NODES = 100000 };

/* clang-format off */
typedef struct { const uint8_t *data; int64_t length; } uint8_array;
typedef struct { const uint32_t *data; int64_t length; } uint32_array;
typedef struct { const uint64_t *data; int64_t length; } uint64_array;
typedef struct { const int64_t *data; int64_t length; } int64_array;
typedef struct { const float *data; int64_t length; } float_array;
typedef struct { const uint32_t *data; int64_t rows; int64_t columns; } uint32_matrix;
typedef struct { const float *data; int64_t rows; int64_t columns; } float_matrix;
/* clang-format on */

/* The words of a model and their hash table, see hash_table.h. */
typedef struct {
    uint8_array text;    /* UTF-8, end to end */
    int64_array offsets; /* words + 1 */
    uint64_array slots;  /* the hash table; their number is a power of two */
} vocabulary;

/* A tokenizer as rules for single characters. */
typedef struct {
    uint32_array table; /* an entry for each character of Unicode, see enum character */
    int64_t min_len;    /* tokens of fewer characters are dropped */
    int64_t max_len;    /* tokens of more characters are dropped */
    int64_t not_first;  /* tokens that begin with this character are dropped; -1 if there is none */
} character_rules;

/* The Huffman tree of the hierarchical softmax, and the probabilities of sub-sampling. */
typedef struct {
    int64_t words;
    int64_t negative;        /* noise words for each word; 0 without negative sampling */
    int64_t hs;              /* 1 with hierarchical softmax */
    int64_t sample;          /* 1 with sub-sampling */
    int64_t longest_path;    /* nodes on the longest path */
    int64_array hs_offsets;  /* words + 1; word w's path is from hs_offsets[w] to hs_offsets[w + 1] */
    uint32_array hs_points;  /* nodes of the paths, from the root down */
    uint8_array hs_codes;    /* 0 or 1 for each node of the paths */
    uint32_array sample_int; /* words; the probability, times 2^32 - 1, that a word is kept */
} output_layer;

/* A model for method sgd. A row of the output layer holds one vector of `columns` floats; with DM concat it holds
   1 + 2 window vectors, for the document and for each word of the context. */
typedef struct {
    output_layer output;
    int64_t architecture;
    int64_t columns;      /* floats of a vector, padded to a cache line */
    int64_t used_columns; /* floats of a vector without the zeros behind it, padded */
    int64_t window;
    int64_t mean;              /* 1 for DM mean, 0 for DM sum */
    int64_t null_word;         /* the id for positions of DM concat's window outside the document */
    float_array sigmoid;       /* 1000 values, gensim's EXP_TABLE */
    float_matrix syn1neg;      /* words x (vectors x columns), or empty */
    float_matrix syn1;         /* words x (vectors x columns), or empty */
    float_matrix word_vectors; /* words x columns, or empty */
} sgd_model;

/* A model for method map; map.c explains the symbols. */
typedef struct {
    output_layer output;
    int64_t columns;       /* floats of a vector, padded to a cache line */
    float_matrix syn1neg;  /* words x columns, in the basis Q, or empty */
    float_matrix syn1;     /* words x columns, in the basis Q if there is one, or empty */
    float_array mean;      /* m, padded */
    float_array curvature; /* c, padded */
    float_array prior;     /* lambda, in each element of a vector without the zeros behind it, padded */
    float_matrix basis;    /* Q, columns x columns, or empty */
} map_model;

/* The noise distribution. */
typedef struct {
    uint32_array cum_table; /* cumulative frequency of each word */
    uint32_array guide;     /* for every 2^shift-th draw, the first word whose cumulative frequency is not less */
    int64_t shift;
} noise;

/* Random draws: a row for each epoch, a column for each position. */
typedef struct {
    uint32_matrix raw;     /* 32-bit draws, for sub-sampling */
    uint32_matrix noise;   /* the same draws as noise words */
    uint32_matrix windows; /* by how much each position's window is reduced */
} draws;

/* The vectors of documents to search. */
typedef struct {
    float_matrix vectors;
    float_array norms; /* the L2 norm of each vector */
} document_vectors;

/* The documents that have each term, see lexical/index.py. */
typedef struct {
    int64_array starts;     /* terms + 1; the list of term t is from starts[t] to starts[t + 1] */
    uint32_array documents; /* ascending in each list */
    uint8_array counts;     /* how often each document of a list has the term */
    uint32_array lengths;   /* terms of each document */
    float_array saturation; /* two: a document of length n gets count / (count + first + second * n) of a weight */
} posting_lists;

/* The words of documents, see lexical/builder.py. */
typedef struct {
    uint32_array ids; /* of the words of all documents, end to end */
    int64_array ends; /* documents + 1; 0 and where each document ends */
} tokens;

/* The terms of words. */
typedef struct {
    int64_array starts; /* words + 1; the terms of word w are from starts[w] to starts[w + 1] */
    uint32_array terms; /* the number of each */
} word_terms;

/* Terms in documents. */
typedef struct {
    uint32_array documents; /* ascending */
    uint32_array terms;     /* the number of a term that the document has */
} document_terms;

/* The library exports the functions from here on. */
#pragma GCC visibility push(default)

int32_t fill_draws(const noise *distribution, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *raw,
                   uint32_t *words);
int32_t fill_windows(int64_t window, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *windows);

int32_t fill_hash_table(const vocabulary *words, uint64_t *slots, int64_t slot_count);
int32_t tokens_to_ids(const vocabulary *words, const uint8_t *text, int64_t text_bytes, uint32_t *tokens,
                      int64_t token_count, int64_t *ends, int64_t end_count);
int32_t texts_to_ids(const character_rules *rules, const vocabulary *words, uint8_t *text, int64_t text_bytes,
                     int64_t *ends, int64_t *counts, int64_t text_count, uint32_t *ids, int64_t id_count,
                     int64_t max_tokens, int64_t *unknown, int64_t unknown_count);
int32_t forms_to_ids(const uint32_t *codes, int64_t code_count, const uint32_t *more, int64_t more_count, uint32_t *ids,
                     int64_t id_count, int64_t *ends, int64_t *counts, int64_t text_count, int64_t max_tokens);

/* Bytes of workspace that infer_sgd needs for documents of at most `longest` tokens; 0 for a bad model or length. */
int64_t sgd_workspace_bytes(const sgd_model *model, int64_t longest);
int32_t infer_sgd(const sgd_model *model, const draws *tables, const float *alphas, int64_t epochs, const uint32_t *ids,
                  int64_t id_count, const int64_t *offsets, int64_t offset_count, float *vectors, void *workspace,
                  int64_t workspace_bytes);

/* Likewise for infer_map. */
int64_t map_workspace_bytes(const map_model *model, int64_t longest);
int32_t infer_map(const map_model *model, const uint32_t *ids, int64_t id_count, const int64_t *offsets,
                  int64_t offset_count, float *vectors, void *workspace, int64_t workspace_bytes);

int32_t find_nearest(const document_vectors *documents, int64_t begin, int64_t end, const float *queries,
                     int64_t query_count, float *cosines, uint32_t *rows, int64_t top_k);
int32_t find_among(const document_vectors *documents, const uint32_t *candidates, int64_t count, const float *query,
                   const float *added, const float *limits, float *scores, uint32_t *rows, int64_t top_k);
int32_t add_shares(const posting_lists *lists, const uint32_t *terms, const float *floors, const float *factors,
                   int64_t *positions, int64_t term_count, int64_t begin, int64_t end, float *shares);

int32_t hash_pairs(const tokens *of, const uint64_t *hashes, int64_t word_count, int64_t bits, int64_t prefix,
                   uint64_t *pairs, uint32_t *documents, int64_t room, int64_t *found);
int32_t list_documents(const tokens *of, const word_terms *words, const document_terms *pairs, int64_t term_count,
                       const int64_t *starts, int64_t *sizes, uint32_t *last, uint32_t *documents, uint8_t *counts,
                       int64_t room);

#pragma GCC visibility pop

#endif
