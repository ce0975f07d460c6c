"""The operating system's side: worker processes, signals, sockets, malloc.

Public: `supervise`, `WorkerIdentity`, `on_stop`, `UnixSocket`, `Trimmer`.
"""
