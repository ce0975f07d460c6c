"""From token ids to vectors: the methods `sgd` and `map`, and the search for similar documents.

`reference` is method sgd in plain NumPy; tests compare the kernels with it.

Public: `Sgd`, `Map`, `DocumentIndex`.
"""
