"""Measures how good a model is, and whether one may replace another.

Public: `Evaluator` (evaluate), what it measures beside the model (baselines), `compare` (compare), and the choice of λ
for method map (map_lambda).
"""
