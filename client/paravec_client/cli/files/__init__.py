"""Reads documents from files and writes vectors to files. An interrupted run can be resumed.

Public to this package: `Source` and `text_records` (inputs), `embed_records` (outcomes), `write` (write).
"""
