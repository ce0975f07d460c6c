"""Converts gensim models, in memory or saved, to artifacts.

Public: `GensimModel` (gensim_model), `load` (gensim_file.load), `write_artifact` (export).
"""
