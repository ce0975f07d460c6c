"""What paravec-model prints: the tables of a manifest, an evaluation, a comparison."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..artifact import Manifest
from ..text.tokenizer import tokenizer_to_dict

if TYPE_CHECKING:
    from ..evaluation.compare import Comparison
    from ..evaluation.evaluate import Coverage, Figure


def manifest_table(manifest: Manifest) -> str:
    """Every part of a manifest, the files with their sizes."""
    top = ("name", "version", "digest", "created", "tool", "vocabulary_size", "doctag_count")
    sections: dict[str, dict[str, Any]] = {
        "model": {field: getattr(manifest, field) for field in top},
        "algorithm": asdict(manifest.algorithm),
        "defaults": asdict(manifest.defaults),
        "tokenizer": tokenizer_to_dict(manifest.tokenizer),
        "training": manifest.training,
        "files": {name: f"{entry.size:>15,} bytes" for name, entry in sorted(manifest.files.items())},
    }
    width = max(len(name) for section in sections.values() for name in section)
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:<{width}}  {_shown(value)}" for name, value in section.items())]
    return "\n".join(lines) + "\n"


def evaluation_table(manifest: Manifest, covered: "Coverage", figures: "Sequence[Figure]") -> str:
    """A line for each measure, a column for each method."""
    methods = list(figures[0].methods) if figures else []
    rows = [("task", "n", "measure", *methods)]
    for figure in figures:
        estimates = [figure.methods[method] for method in methods]
        rows.append((figure.task, str(estimates[0].count), figure.measure, *map(str, estimates)))
    lines = [_name(manifest)]
    if covered:
        lines.append(f"tokens that the vocabulary does not know: {covered.unknown_tokens}")
        lines.append(f"documents of which it knows none: {covered.unknown_documents}")
    return "\n".join([*lines, "", *_aligned(rows)]) + "\n"


def comparison_table(comparison: "Comparison") -> str:
    """What differs, the figures, and the verdict as last line."""
    parameters = [(f"  {name}", *map(_shown, pair)) for name, pair in comparison.parameters.items()]
    figures = [(f"  {name}", str(estimate)) for name, estimate in comparison.figures.items()]
    words = ", ".join(f"{name} {count:,}" for name, count in comparison.words.items())
    return "\n".join(
        [
            f"A: {_name(comparison.a)}",
            f"B: {_name(comparison.b)}",
            f"words: {words}",
            *_aligned([("parameters that differ", "A", "B"), *parameters]),
            *_aligned([(f"on {comparison.documents} documents", ""), *figures]),
            comparison.verdict,
            "",
        ]
    )


def _name(manifest: Manifest) -> str:
    return f"{manifest.name} {manifest.version} {manifest.digest}"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
