"""Loads Doc2Vec models that gensim 0.12 to 4 saved, without running code of their pickles.

Public: `load`.
"""
