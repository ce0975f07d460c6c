"""Worker processes, signals, the listening address and malloc.

Public: `supervise`, `WorkerIdentity`, `identity_from_environment`, `on_stop`, `Listener`, `MallocTrimmer`.
"""
