/* Tables of random draws. The generator is gensim's: the 48-bit linear congruential generator of java.util.Random. */

#include <stddef.h>

#include "checks.h"

static const uint64_t MULTIPLIER = 25214903917u, INCREMENT = 11, LOW_48_BITS = (1ull << 48) - 1;

static uint64_t next_state(uint64_t state) {
    return (state * MULTIPLIER + INCREMENT) & LOW_48_BITS;
}

/* Fill a row for each epoch: `raw` with 32-bit draws, `words` with the noise words for the same draws. */
int32_t fill_draws(const noise *distribution, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *raw,
                   uint32_t *words) {
    if (distribution == NULL) {
        return BAD_TABLE;
    }
    const uint32_t *cum_table = distribution->cum_table.data, *guide = distribution->guide.data;
    int64_t count = distribution->cum_table.length, shift = distribution->shift;
    if (cum_table == NULL || guide == NULL || count < 1 || count > UINT32_MAX || cum_table[count - 1] == 0 ||
        shift < 0 || shift > 31 || distribution->guide.length <= (cum_table[count - 1] - 1) >> shift) {
        return BAD_TABLE;
    }
    if (seeds == NULL || raw == NULL || words == NULL || check_size(epochs, positions) != OK) {
        return BAD_DRAWS;
    }
    uint32_t end = cum_table[count - 1], last = (uint32_t)(count - 1);
    for (int64_t e = 0; e < epochs; e++) {
        uint64_t state = seeds[e];
        for (int64_t p = e * positions; p < (e + 1) * positions; p++) {
            raw[p] = (uint32_t)(state >> 16);
            state = next_state(state);
            uint32_t draw = raw[p] % end, word = guide[draw >> shift];
            word = word < last ? word : last;
            /* Stops at the last word at the latest: draws are below `end`, its entry. */
            while (cum_table[word] < draw) {
                word++;
            }
            words[p] = word;
        }
    }
    return OK;
}

/* Fill a row for each epoch: by how much the window at each position is reduced, 0 to window - 1. */
int32_t fill_windows(int64_t window, const uint64_t *seeds, int64_t epochs, int64_t positions, uint32_t *windows) {
    if (seeds == NULL || windows == NULL || window < 1 || window > UINT32_MAX || check_size(epochs, positions) != OK) {
        return BAD_DRAWS;
    }
    for (int64_t e = 0; e < epochs; e++) {
        uint64_t state = seeds[e];
        for (int64_t p = e * positions; p < (e + 1) * positions; p++) {
            windows[p] = (uint32_t)(state >> 16) % (uint32_t)window;
            state = next_state(state);
        }
    }
    return OK;
}
