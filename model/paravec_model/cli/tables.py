"""The tables that paravec-model prints: a manifest, an evaluation, a comparison."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..artifact import Manifest
from ..text.tokenizer import tokenizer_to_dict

if TYPE_CHECKING:
    from ..evaluation.compare import Comparison
    from ..evaluation.evaluate import Coverage, Measurement


def manifest_table(manifest: Manifest) -> str:
    """All parts of a manifest; the files with their sizes in bytes."""
    model_fields = ("name", "version", "digest", "created", "tool", "vocabulary_size", "doctag_count")
    method_map = {
        "lambda": manifest.map_lambda,
        "sample": manifest.algorithm.sample if manifest.map_sample is None else manifest.map_sample,
        "centered": bool(manifest.map_centered),
    }
    sections: dict[str, dict[str, Any]] = {
        "model": {field: getattr(manifest, field) for field in model_fields}
        | {"lexical_index": bool(manifest.lexical_index)},
        "algorithm": asdict(manifest.algorithm),
        "defaults": asdict(manifest.defaults),
        **({} if manifest.map_lambda is None else {"map": method_map}),
        "tokenizer": _tokenizer(manifest),
        "training": manifest.training,
        **({"index": asdict(manifest.index)} if manifest.index else {}),
        "files": {name: f"{entry.size:>15,} bytes" for name, entry in sorted(manifest.files.items())},
    }
    width = max(len(name) for section in sections.values() for name in section)
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:<{width}}  {_shown(value)}" for name, value in section.items())]
    return "\n".join(lines) + "\n"


def _tokenizer(manifest: Manifest) -> dict[str, Any]:
    """The tokenizer, with the number of its stop words in place of them."""
    declared = tokenizer_to_dict(manifest.tokenizer)
    return declared | {name: f"{len(value)} words" for name, value in declared.items() if isinstance(value, list)}


def evaluation_table(manifest: Manifest, covered: "Coverage", measurements: "Sequence[Measurement]") -> str:
    """A line for each measure, a column for each method and baseline; a dash where it cannot do the task."""
    methods = list(dict.fromkeys(method for measurement in measurements for method in measurement.methods))
    rows = [("task", "n", "measure", *methods)]
    for measurement in measurements:
        count = next(iter(measurement.methods.values())).count
        estimates = (str(measurement.methods.get(method, "–")) for method in methods)
        rows.append((measurement.task, str(count), measurement.measure, *estimates))
    lines = [
        _name(manifest),
        f"tokens that the vocabulary does not know: {covered.unknown_tokens}",
        f"documents of which it knows none: {covered.unknown_documents}",
    ]
    return "\n".join([*lines, "", *_aligned(rows)]) + "\n"


def comparison_table(comparison: "Comparison") -> str:
    """The differences, the figures, and the verdict in the last line."""
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
