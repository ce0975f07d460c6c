"""The command paravec-model.

Public: `main` (main).
"""
