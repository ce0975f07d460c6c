"""Measures modest clients that compete with greedy ones; part of overload.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .bystanders import modest
from .contended import OverloadedServer

BATCH = 256
"""Documents per call of a greedy connection."""

_ROUNDS = 10
"""Calls of each greedy connection in a measurement at least. Their calls end together, so a few of them are no rate."""

SOME = 20
"""Documents per call of the larger modest client."""


@dataclass(frozen=True)
class GreedyLoad:
    """The load of greedy clients."""

    connections: Sequence[int]
    batches: int
    """Calls that each connection keeps in progress."""
    texts: dict[int, list[str]]
    """`BATCH` texts by tokens per text."""


def measure_fairness(server: OverloadedServer, greed: GreedyLoad, small: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each greedy load. One modest client sends the first of the small texts, the other `SOME` of them."""
    rows = []
    for tokens, texts in greed.texts.items():
        peak = server.peak(texts)
        alone = BATCH * peak
        for connections in greed.connections:
            rounds = _ROUNDS * connections * greed.batches / max(peak, 1.0)
            timing = replace(server.timing, measured=max(server.timing.measured, rounds))
            single, some = modest(small[:1]), modest(small[:SOME])
            load = server.flood(texts).closed(connections, greed.batches, timing.total)
            measured = replace(server, timing=timing).measure(load, (single, some))
            asked = len(single.seconds) + SOME * len(some.seconds)
            documents = BATCH * measured["goodput"] + asked / timing.measured
            facts = {"server": server.service.key, "tokens": tokens, "connections": connections}
            facts |= {
                "batches": greed.batches,
                "alone": alone,
                "documents": documents,
                "of_alone": documents / alone if alone else 0.0,
            }
            rows.append(facts | measured | {"single": single.results(), "some": some.results()})
            print(fairness_line(rows[-1]), file=sys.stderr)
    return rows


def fairness_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a text table."""
    lines = [
        f"greedy: connections that send batches of {BATCH} documents, one after the other",
        f"{'server':12} {'greedy':>6} {'tokens':>6} {'documents/s':>11} {'of peak':>8}"
        f"  {'one text: answered, lost, p50, p99':34}  {SOME} documents: answered, lost, p50, p99",
    ]
    return "\n".join([*lines, *map(fairness_line, rows)])


def fairness_line(row: dict[str, Any]) -> str:
    """One row of the table."""
    return (
        f"{row['server']:12} {row['connections']:6} {row['tokens']:6} {row['documents']:11.0f} {row['of_alone']:8.0%}"
        f"  {outcome(row['single']):34}  {outcome(row['some'])}"
    )


def outcome(caller: dict[str, Any]) -> str:
    """A client's calls: answered, lost, and p50 and p99 of the answered."""
    times = [f"{ms(caller[name])} ms" for name in ("p50", "p99")]
    return f"{caller['answered']}, {sum(caller['failed'].values())}, {', '.join(times)}"


def ms(seconds: float | None) -> str:
    """Milliseconds, or a dash for None."""
    return "-" if seconds is None else f"{1000 * seconds:.0f}" if seconds >= 0.01 else f"{1000 * seconds:.1f}"
