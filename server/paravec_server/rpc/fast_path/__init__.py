"""Unary calls straight from gRPC's completion queue, without the layers of grpcio's server.

Only `completion_queue` uses names of grpcio that are not public. `self_test` checks at the start that they still work.

Public: `FastPath`, `is_supported`, `fast_path_works`.
"""
