"""Training with gensim, which is imported only when training starts.

Public: `train` (train), `TrainingParameters` (parameters).
"""
