"""The services that paravec-server is compared with: gensim's infer_vector in other servers, one file each.

Each runs in its own virtual environment, made from requirements/bench-*.lock, and loads the model file BENCH_MODEL.
"""
