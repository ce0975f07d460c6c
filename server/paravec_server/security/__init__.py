"""TLS certificates and bearer tokens, from files that are reloaded when they change.

Public: `server_credentials`, `BearerTokens`.
"""
