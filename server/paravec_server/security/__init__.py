"""TLS certificates and bearer tokens, from files that are read again when they change.

Public: `server_credentials`, `Tokens`.
"""
