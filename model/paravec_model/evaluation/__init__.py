"""Measures how good a model is, and whether one may replace another.

Public: `Evaluator` (evaluate), `compare` (compare), and the choice of λ for method map (map_lambda).
"""
