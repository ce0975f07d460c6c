"""Performs the protocol's programs with gRPC: channels, credentials, proxies, forks, and a runner for each client.

Public to this package: `SyncRunner` (sync_runner), `AsyncRunner` (async_runner).
"""
