/* The interface of the kernels: the one description of what they take.

   interface.py reads the structures, constants and functions from this file; keep a declaration in the form of its
   neighbours. Matrices hold their rows one after the other. Documents lie end to end in `words`, document n from
   offsets[n] to offsets[n + 1]; texts lie end to end in the same way.

   Every function checks its arguments first (checks.c) and returns OK, or what is wrong with them. What it does not
   check are numbers inside a model's arrays that are followed: paths of the Huffman tree are checked when an artifact
   is opened, and draws were made by fill_draws. Nothing here allocates, and nothing keeps state between two calls. */

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

/* How read_texts ended. */
enum reading { READ = 0, NEW_CHARACTER = 100, NEEDS_TOKENIZER = 101 };

/* What a table of characters says of one: nothing yet; it is in no token; that depends on its neighbours; or, from
   FIRST_SYMBOL on, that character number entry - FIRST_SYMBOL stands for it in a token. */
enum character { UNKNOWN = 0, GAP = 1, DEPENDS = 2, FIRST_SYMBOL = 3 };

enum architecture { DBOW = 0, DM = 1, DM_CONCAT = 2 };

/* LANES floats make a vector of the CPU; sizes that say "padded" are multiples of it. Addresses of workspaces are
   multiples of ALIGNMENT bytes, a line of the cache. Method sgd takes BLOCK rows of the output layer together, as many
   as a CPU has registers for. */
enum layout { LANES = 8, ALIGNMENT = 64, BLOCK = 6 };

/* Nodes above a word of the Huffman tree, at most: no count of words makes a tree of a thousandth of it. */
enum limit { MOST_NODES = 100000 };

/* clang-format off */
typedef struct { const uint8_t *data; int64_t length; } uint8_array;
typedef struct { const uint32_t *data; int64_t length; } uint32_array;
typedef struct { const uint64_t *data; int64_t length; } uint64_array;
typedef struct { const int64_t *data; int64_t length; } int64_array;
typedef struct { const float *data; int64_t length; } float_array;
typedef struct { const uint32_t *data; int64_t rows; int64_t columns; } uint32_matrix;
typedef struct { const float *data; int64_t rows; int64_t columns; } float_matrix;
/* clang-format on */

/* The words of a model and the hash table that finds their rows, see hash_table.h. */
typedef struct {
    uint8_array text;    /* UTF-8, end to end */
    int64_array offsets; /* words + 1 */
    uint64_array slots;  /* a power of two */
} vocabulary;

/* A tokenizer that looks at one character after the other. */
typedef struct {
    uint32_array table; /* for each character of Unicode, see enum character */
    int64_t min_len;    /* tokens of fewer characters are dropped */
    int64_t max_len;    /* tokens of more characters are dropped */
    int64_t not_first;  /* tokens that begin with this character are dropped; -1 if there is none */
} characters;

/* The Huffman tree of hierarchical softmax, and how likely sub-sampling keeps a word. */
typedef struct {
    int64_t words;
    int64_t negative;        /* noise words for each word; 0 without negative sampling */
    int64_t hs;              /* 1 with hierarchical softmax */
    int64_t sample;          /* 1 with sub-sampling */
    int64_t longest_path;    /* nodes above a word, at most */
    int64_array hs_offsets;  /* words + 1; word w's path is from hs_offsets[w] to hs_offsets[w + 1] */
    uint32_array hs_points;  /* nodes of the paths, from the root down */
    uint8_array hs_codes;    /* 0 or 1 for each */
    uint32_array sample_int; /* words; of 2^32 - 1 */
} output_layer;

/* A model as method sgd uses it. A row of the output layer has `slots` parts of `columns` floats: one, or with
   DM concat one for the document and one for each of 2 window words around. */
typedef struct {
    output_layer output;
    int64_t architecture;
    int64_t columns;      /* floats of a vector, padded to a line of the cache */
    int64_t used_columns; /* of these, floats that can differ from zero, padded */
    int64_t window;
    int64_t mean;              /* 1 for the mean of the context, 0 for its sum */
    int64_t null_word;         /* stands where DM concat has no word */
    float_array sigmoid;       /* 1000 values, gensim's EXP_TABLE */
    float_matrix syn1neg;      /* words x (slots x columns), or empty */
    float_matrix syn1;         /* words x (slots x columns), or empty */
    float_matrix word_vectors; /* words x columns, or empty */
} sgd_model;

/* A model as method map uses it, see map.c for the symbols. */
typedef struct {
    output_layer output;
    int64_t columns;       /* floats of a vector, padded to a line of the cache */
    float_matrix syn1neg;  /* words x columns, in the basis Q, or empty */
    float_matrix syn1;     /* words x columns, in the basis Q if there is one, or empty */
    float_array mean;      /* m, padded */
    float_array curvature; /* c, padded */
    float_array prior;     /* lambda, padded; as many floats as can differ from zero */
    float_matrix basis;    /* Q, columns x columns, or empty */
} map_model;

/* The noise distribution. */
typedef struct {
    uint32_array cum_table; /* words by cumulative frequency */
    uint32_array guide;     /* the first word at or after every 2^shift-th draw */
    int64_t shift;
} noise;

/* Draws of some epochs, a row for each epoch and a column for each position. */
typedef struct {
    uint32_matrix raw;     /* 32-bit draws, for sub-sampling */
    uint32_matrix noise;   /* the same draws as noise words */
    uint32_matrix windows; /* by how much each position's window is reduced */
} draws;

/* Vectors to search, and the length of each. */
typedef struct {
    float_matrix vectors;
    float_array norms;
} candidates;

/* What follows can be called from outside of the library. */
#pragma GCC visibility push(default)

int32_t fill_draws(const noise *distribution, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *raw,
                   uint32_t *words);
int32_t fill_windows(int64_t window, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *windows);

int32_t fill_slots(const vocabulary *words, uint64_t *slots, int64_t slot_count);
int32_t look_up(const vocabulary *words, const uint8_t *text, int64_t text_bytes, uint32_t *tokens, int64_t token_count,
                int64_t *ends, int64_t end_count);
int32_t read_texts(const characters *tokenizer, const vocabulary *words, uint8_t *text, int64_t text_bytes,
                   int64_t *ends, int64_t *counts, int64_t text_count, uint32_t *rows, int64_t row_count, int64_t most);

/* What infer_sgd needs for documents of at most `longest` tokens; 0 if it refuses these or the model. */
int64_t sgd_workspace_bytes(const sgd_model *model, int64_t longest);
int32_t infer_sgd(const sgd_model *model, const draws *tables, const float *alphas, int64_t epochs,
                  const uint32_t *words, int64_t word_count, const int64_t *offsets, int64_t offset_count,
                  float *vectors, void *workspace, int64_t workspace_bytes);

/* The same for infer_map. */
int64_t map_workspace_bytes(const map_model *model, int64_t longest);
int32_t infer_map(const map_model *model, const uint32_t *words, int64_t word_count, const int64_t *offsets,
                  int64_t offset_count, float *vectors, void *workspace, int64_t workspace_bytes);

int32_t find_nearest(const candidates *documents, int64_t begin, int64_t end, const float *units, int64_t queries,
                     float *cosines, uint32_t *rows, int64_t top_k);

#pragma GCC visibility pop

#endif
