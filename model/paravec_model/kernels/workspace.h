/* A workspace is memory of the caller, from which a kernel takes its buffers. */

#ifndef PARAVEC_WORKSPACE_H
#define PARAVEC_WORKSPACE_H

#include <stddef.h>

#include "kernels.h"

/* The next buffer of a workspace. It begins at a cache line, because a load across two lines takes twice as long. With
   base NULL, only adds its bytes to `used`. */
static inline void *carve(char *base, int64_t *used, int64_t count, size_t size) {
    void *part = base == NULL ? NULL : base + *used;
    *used += (count * (int64_t)size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return part;
}

#endif
