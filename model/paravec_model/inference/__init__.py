"""From token ids to vectors: the methods `sgd` and `map`, and the search for similar documents.

`reference` is the same in plain NumPy, which tests compare the kernels to.

Public: `Sgd`, `Map`, `DocumentIndex`.
"""
