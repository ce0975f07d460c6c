"""Corpora: files of documents, read one document at a time.

Public: `LinesCorpus`, `JsonlCorpus`, `CsvCorpus`, `FolderCorpus`, `named_corpus`, `Record` (formats), `ContentDigest`,
`Reservoir` (streaming).
"""
