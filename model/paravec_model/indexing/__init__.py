"""Documents that the model was not trained on: embedded, and kept in an artifact as trained documents are.

Public: `new_index`, `changed_index` (index), `Source` (source).
"""
