"""The Prometheus metrics of all workers, made from their shared counters.

This needs neither a model nor a gRPC server, so the supervisor can serve it too.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from paravec_model import __version__
from paravec_model.artifact import Manifest

from ..settings import Settings
from .counters import BUCKETS, CODES, COUNTED_METHODS, DRAINING, SERVING, STARTING, SharedCounters, WorkerCounters

_OPEN_METRICS = "application/openmetrics-text"

# Exported at 0 from the start: rate() misses the first increase of a counter that first appears at 1.
_CODES_AT_ZERO = {
    "OK",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNAVAILABLE",
    "UNAUTHENTICATED",
}

# Gauge, metric, help, and how many units of the gauge make one of the metric.
_IN_FLIGHT = (
    ("calls_in_flight", "paravec_calls_in_flight", "Calls and streams in progress, short calls not counted.", 1),
    ("streams_in_flight", "paravec_streams_in_flight", "Streams in progress.", 1),
    (
        "bytes_in_flight",
        "paravec_message_bytes_in_flight",
        "Bytes of their requests and of responses not sent yet.",
        1,
    ),
    ("work_in_flight", "paravec_work_in_flight_seconds", "Estimated CPU seconds of the calls in progress.", 1e6),
)

# Counter, metric, help.
_TOTALS = (
    ("documents", "paravec_documents", "Documents that vectors were inferred for."),
    ("tokens", "paravec_tokens", "Tokens of these documents, known or unknown."),
    ("unknown_tokens", "paravec_unknown_tokens", "Tokens of these documents that are not in the vocabulary."),
    ("inference_seconds", "paravec_inference_seconds", "Seconds of all threads in the inference kernels."),
    ("restarts", "paravec_worker_restarts", "Workers that ended and were replaced."),
)

_REASONS = {
    "refused_calls": "too_many_calls",
    "refused_streams": "too_many_streams",
    "refused_bytes": "too_many_bytes",
    "refused_work": "too_much_work",
    "refused_waited": "waited_too_long",
    "loading": "loading",
    "draining": "draining",
    "credentials": "credentials",
}

_STATES = {STARTING: "starting", SERVING: "serving", DRAINING: "draining"}
_STOPPED = "stopped"


@dataclass
class ServerInfo:
    """What metrics report besides counters."""

    model: Mapping[str, str]
    """Labels of paravec_model_info; empty until the model is open."""
    limits: Mapping[str, float]
    """Bounds of what one worker has in flight, by metric."""


def in_flight_limits(settings: Settings) -> dict[str, float]:
    """`ServerInfo.limits` of a server with these settings."""
    return {
        "paravec_calls_in_flight": settings.max_concurrent_rpcs,
        "paravec_streams_in_flight": settings.max_streams_in_flight,
        "paravec_message_bytes_in_flight": settings.max_bytes_in_flight,
        "paravec_work_in_flight_seconds": settings.max_work_in_flight,
    }


def model_labels(manifest: Manifest, settings: Settings) -> dict[str, str]:
    """`ServerInfo.model` of a server of this model."""
    method = manifest.defaults.method if settings.method == "model" else settings.method
    names = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    return names | {"algorithm": manifest.algorithm.mode, "method": method}


def metrics_page(counters: SharedCounters, info: ServerInfo) -> Callable[[str], tuple[str, bytes]]:
    """A function that maps the Accept header of a scrape to the content type and the current metrics."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Collector(counters, info))

    def page(accept: str) -> tuple[str, bytes]:
        encode, content_type = choose_encoder(f"{_OPEN_METRICS}; version=1.0.0" if _OPEN_METRICS in accept else "")
        return content_type, encode(registry)

    return page


class _Collector(Collector):
    """Reads the counters at each scrape."""

    def __init__(self, counters: SharedCounters, info: ServerInfo) -> None:
        self._counters, self._info = counters, info

    def collect(self) -> Iterator[Metric]:
        workers = self._counters.workers
        alive = [worker for worker in workers if _is_alive(worker)]
        if self._info.model:
            yield InfoMetricFamily("paravec_model", "The served model.", value=dict(self._info.model))
        versions = {"version": __version__, "python": platform.python_version(), "grpcio": grpc.__version__}
        yield InfoMetricFamily("paravec_build", "Versions of the server.", value=versions)
        yield from _calls(workers)
        for counter, name, text in _TOTALS:
            yield CounterMetricFamily(name, text, value=sum(worker[counter] for worker in workers))
        yield _labelled(
            CounterMetricFamily("paravec_calls_refused", "Calls that were refused.", labels=["reason"]),
            {reason: sum(worker[counter] for worker in workers) for counter, reason in _REASONS.items()},
        )
        for gauge, name, text, unit in _IN_FLIGHT:
            yield GaugeMetricFamily(name, text, value=sum(worker[gauge] for worker in alive) / unit)
            limit = self._info.limits[name] * len(workers)
            yield GaugeMetricFamily(f"{name}_limit", "Calls beyond this are refused.", value=limit)
        states = [_STATES[worker["state"]] for worker in alive] + [_STOPPED] * (len(workers) - len(alive))
        yield _labelled(
            GaugeMetricFamily("paravec_workers", "Worker processes by state.", labels=["state"]),
            {state: states.count(state) for state in (*_STATES.values(), _STOPPED)},
        )
        yield from _processes(workers)


def _calls(workers: Iterable[WorkerCounters]) -> Iterator[Metric]:
    counts = CounterMetricFamily("paravec_calls", "Calls that ended, by gRPC status.", labels=["method", "code"])
    times = HistogramMetricFamily(
        "paravec_call_duration_seconds", "Seconds from a call's headers to its end.", labels=["method"]
    )
    bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
    for method in COUNTED_METHODS:
        codes, buckets, seconds = zip(*(worker.calls(method) for worker in workers), strict=True)
        for code, count in zip(CODES, _sums(codes), strict=True):
            if count or code.name in _CODES_AT_ZERO:
                counts.add_metric([method, code.name], count)
        times.add_metric([method], list(zip(bounds, accumulate(_sums(buckets)), strict=True)), sum(seconds))
    yield counts
    yield times


def _sums(counts: Iterable[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*counts, strict=True)]


def _processes(workers: Iterable[WorkerCounters]) -> Iterator[Metric]:
    """The standard process_* metrics of each worker that is alive."""
    families: dict[str, Metric] = {}
    for number, worker in enumerate(workers):
        for metric in ProcessCollector(pid=partial(int, worker["pid"]), registry=None).collect():
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                family.add_sample(sample.name, sample.labels | {"worker": str(number)}, sample.value)
    yield from families.values()


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _is_alive(worker: WorkerCounters) -> bool:
    return bool(worker["pid"]) and Path(f"/proc/{int(worker['pid'])}").exists()
