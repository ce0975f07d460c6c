"""What both clients do, without I/O: which call comes next, what its answer means, when to retry.

Public to this package: `Core` and its programs (programs), `Stream` (stream).
"""
