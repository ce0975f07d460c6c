/* A workspace is memory of the caller that a kernel cuts into parts. */

#ifndef PARAVEC_WORKSPACE_H
#define PARAVEC_WORKSPACE_H

#include <stddef.h>

#include "kernels.h"

/* The next part of a workspace, which begins with a line of the cache: what straddles two lines takes twice as long.
   Without a base this only adds up the bytes. */
static inline void *take(char *base, int64_t *used, int64_t count, size_t size) {
    void *part = base == NULL ? NULL : base + *used;
    *used += (count * (int64_t)size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return part;
}

#endif
