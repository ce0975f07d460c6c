"""What both clients do, without I/O: which call comes next, what its response means, when to retry.

Public to this package: `CallPrograms` (programs), `open_stream` (stream), the steps and methods (calls).
"""
