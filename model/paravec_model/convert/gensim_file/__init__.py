"""Reads what gensim 0.12 to 4 saved, without running any code that a pickle holds.

Public: `load`.
"""
