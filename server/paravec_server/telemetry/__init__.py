"""Logs, counters, Prometheus metrics, traces, and the HTTP port for probes.

Public: `event` (logs), `SharedCounters` and `WorkerCounters` (counters), `serve_operations` (operations), `Tracing`.
"""
