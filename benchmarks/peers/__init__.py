"""The services that ours is measured beside: gensim's infer_vector behind other servers, a file each.

Each runs in a virtual environment of its own, with what requirements/bench-*.lock names, and reads the file of the
model from BENCH_MODEL.
"""
