"""What becomes of callers that ask little, beside greedy ones; a part of overload.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .bystanders import modest
from .contended import Contended

BATCH = 256
"""Documents in each call of a greedy connection."""

SOME = 20
"""Documents in each call of the larger of the modest callers."""


@dataclass(frozen=True)
class Greed:
    """What greedy callers do."""

    connections: Sequence[int]
    batches: int
    """That each connection has in flight, all the time."""
    texts: dict[int, list[str]]
    """`BATCH` texts each, by their tokens."""


def measure_fairness(server: Contended, greed: Greed, small: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each kind of greed; the modest callers ask for the first of the small texts, and for `SOME` of them."""
    rows = []
    for tokens, texts in greed.texts.items():
        alone = BATCH * server.peak(texts)
        for connections in greed.connections:
            single, some = modest(small[:1]), modest(small[:SOME])
            load = server.flood(texts).closed(connections, greed.batches, server.timing.total)
            figures = server.measure(load, (single, some))
            asked = len(single.seconds) + SOME * len(some.seconds)
            documents = BATCH * figures["goodput"] + asked / server.timing.measured
            facts = {"server": server.service.key, "tokens": tokens, "connections": connections}
            facts |= {"batches": greed.batches, "alone": alone, "documents": documents, "of_alone": documents / alone}
            rows.append(facts | figures | {"single": single.figures(), "some": some.figures()})
            print(fairness_line(rows[-1]), file=sys.stderr)
    return rows


def fairness_table(rows: Sequence[dict[str, Any]]) -> str:
    """The same for people."""
    lines = [
        f"greedy: connections with batches of {BATCH} documents, each made anew once answered",
        f"{'server':12} {'greedy':>6} {'tokens':>6} {'documents/s':>11} {'of peak':>8}"
        f"  {'one text: answered, lost, p50, p99':34}  {SOME} documents: answered, lost, p50, p99",
    ]
    return "\n".join([*lines, *map(fairness_line, rows)])


def fairness_line(row: dict[str, Any]) -> str:
    """What became of modest callers beside one kind of greed."""
    return (
        f"{row['server']:12} {row['connections']:6} {row['tokens']:6} {row['documents']:11.0f} {row['of_alone']:8.0%}"
        f"  {told(row['single']):34}  {told(row['some'])}"
    )


def told(caller: dict[str, Any]) -> str:
    """What became of a caller: answered, lost, and p50 and p99 of the answers."""
    times = [f"{ms(caller[name])} ms" for name in ("p50", "p99")]
    return f"{caller['answered']}, {sum(caller['failed'].values())}, {', '.join(times)}"


def ms(seconds: float | None) -> str:
    """Milliseconds, or a dash if there is nothing to tell."""
    return "-" if seconds is None else f"{1000 * seconds:.0f}" if seconds >= 0.01 else f"{1000 * seconds:.1f}"
