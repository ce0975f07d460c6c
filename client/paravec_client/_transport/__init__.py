"""Channels: how calls reach a server. Credentials, proxies, and forks of the process.

Public to this package: `Connection` (connection), `FORKS` (forks).
"""
