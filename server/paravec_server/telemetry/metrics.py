"""What the figures of all workers are called outside: Prometheus' metrics.

It needs neither encoder nor gRPC server, so it runs in a process that only looks after workers, too.
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
from .counters import BUCKETS, CODES, DRAINING, METHODS, SERVING, STARTING, Figures, Row

_OPEN_METRICS = "application/openmetrics-text"

# There from the start, at zero: a counter whose first value is 1 has no rate for that 1.
_CODES_FROM_START = {
    "OK",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNAVAILABLE",
    "UNAUTHENTICATED",
}

# Gauge, metric, what it is, units of the gauge in one of the metric.
_IN_FLIGHT = (
    ("calls_in_flight", "paravec_calls_in_flight", "Calls and streams in progress, short texts not counted.", 1),
    ("bytes_in_flight", "paravec_message_bytes_in_flight", "Bytes of their messages and unsent answers.", 1),
    ("work_in_flight", "paravec_work_in_flight_seconds", "Seconds of one core that they will compute, estimated.", 1e6),
)

# Figure, metric, what it is.
_TOTALS = (
    ("documents", "paravec_documents", "Documents that were inferred."),
    ("tokens", "paravec_tokens", "Tokens of these documents."),
    ("unknown_tokens", "paravec_unknown_tokens", "Those of the tokens that the model does not know."),
    ("inference_seconds", "paravec_inference_seconds", "Seconds in the kernels, of all threads."),
    ("restarts", "paravec_worker_restarts", "Workers started in place of one that ended."),
)

_REASONS = {
    "refused_calls": "too_many_calls",
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
class Facts:
    """What stays the same while a server runs."""

    model: Mapping[str, str]
    """Labels of paravec_model_info; empty until the model is known."""
    limits: Mapping[str, float]
    """How much one worker has in flight at most, by metric."""


def limits_of(settings: Settings) -> dict[str, float]:
    """`Facts.limits` of a server with these settings."""
    return {
        "paravec_calls_in_flight": settings.max_concurrent_rpcs,
        "paravec_message_bytes_in_flight": settings.max_bytes_in_flight,
        "paravec_work_in_flight_seconds": settings.max_work_in_flight,
    }


def labels_of(manifest: Manifest, settings: Settings) -> dict[str, str]:
    """`Facts.model` of a server of this model."""
    method = manifest.defaults.method if settings.method == "model" else settings.method
    names = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    return names | {"algorithm": manifest.algorithm.mode, "method": method}


def metrics_page(figures: Figures, facts: Facts) -> Callable[[str], tuple[str, bytes]]:
    """A function from what a scraper accepts to the content's type and all metrics as they are now."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Collector(figures, facts))

    def page(accepted: str) -> tuple[str, bytes]:
        write, kind = choose_encoder(f"{_OPEN_METRICS}; version=1.0.0" if _OPEN_METRICS in accepted else "")
        return kind, write(registry)

    return page


class _Collector(Collector):
    """All metrics, read anew for each scrape."""

    def __init__(self, figures: Figures, facts: Facts) -> None:
        self._figures, self._facts = figures, facts

    def collect(self) -> Iterator[Metric]:
        rows = self._figures.rows
        alive = [row for row in rows if _lives(row)]
        if self._facts.model:
            yield InfoMetricFamily("paravec_model", "The model that is served.", value=dict(self._facts.model))
        versions = {"version": __version__, "python": platform.python_version(), "grpcio": grpc.__version__}
        yield InfoMetricFamily("paravec_build", "Versions of what serves it.", value=versions)
        yield from _calls(rows)
        for figure, name, text in _TOTALS:
            yield CounterMetricFamily(name, text, value=sum(row[figure] for row in rows))
        yield _labelled(
            CounterMetricFamily("paravec_calls_refused", "Calls that were not taken on.", labels=["reason"]),
            {reason: sum(row[figure] for row in rows) for figure, reason in _REASONS.items()},
        )
        for gauge, name, text, unit in _IN_FLIGHT:
            yield GaugeMetricFamily(name, text, value=sum(row[gauge] for row in alive) / unit)
            limit = self._facts.limits[name] * len(rows)
            yield GaugeMetricFamily(f"{name}_limit", "More than this is refused.", value=limit)
        states = [_STATES[row["state"]] for row in alive] + [_STOPPED] * (len(rows) - len(alive))
        yield _labelled(
            GaugeMetricFamily("paravec_workers", "Processes that serve.", labels=["state"]),
            {state: states.count(state) for state in (*_STATES.values(), _STOPPED)},
        )
        yield from _processes(rows)


def _calls(rows: Iterable[Row]) -> Iterator[Metric]:
    counts = CounterMetricFamily("paravec_calls", "Calls that ended.", labels=["method", "code"])
    times = HistogramMetricFamily(
        "paravec_call_duration_seconds", "From a call's headers to its end.", labels=["method"]
    )
    bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
    for method in METHODS:
        codes, buckets, seconds = zip(*(row.calls(method) for row in rows), strict=True)
        for code, count in zip(CODES, _sums(codes), strict=True):
            if count or code.name in _CODES_FROM_START:
                counts.add_metric([method, code.name], count)
        times.add_metric([method], list(zip(bounds, accumulate(_sums(buckets)), strict=True)), sum(seconds))
    yield counts
    yield times


def _sums(rows: Iterable[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _processes(rows: Iterable[Row]) -> Iterator[Metric]:
    """The usual process_* metrics, of each worker that lives."""
    families: dict[str, Metric] = {}
    for number, row in enumerate(rows):
        for metric in ProcessCollector(pid=partial(int, row["pid"]), registry=None).collect():
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                family.add_sample(sample.name, sample.labels | {"worker": str(number)}, sample.value)
    yield from families.values()


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _lives(row: Row) -> bool:
    return bool(row["pid"]) and Path(f"/proc/{int(row['pid'])}").exists()
