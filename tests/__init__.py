"""Tests of paravec: `unit` of one module each, `integration` with real processes, `deploy` of images and manifests."""

import os

# xdist runs a process for each core. In each, threads of OpenBLAS would spin while they wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
