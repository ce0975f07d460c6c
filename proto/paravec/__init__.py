"""The wire contract of paravec; `paravec.v1` holds the messages and the service."""
