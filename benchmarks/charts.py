"""Draws the figures of serving.py and growth.py as SVG, each beside its JSON.

    python benchmarks/environments.py requirements/charts.lock build/charts
    build/charts/bin/python benchmarks/charts.py build/bench/serving.json build/bench/growth.json

It needs matplotlib alone, which has an environment of its own. The same figures give the same bytes.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, NullLocator

mpl.rcParams |= {
    "axes.spines.right": False,
    "axes.spines.top": False,
    # The one that matplotlib brings and lays out with; a viewer may take another.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.frameon": False,
    # Text stays text, and ids do not change from run to run.
    "svg.fonttype": "none",
    "svg.hashsalt": "paravec",
    # A background of its own: a page may be dark.
    "savefig.facecolor": "white",
}

# Of Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS, _GREY = {"sgd": "#0072b2", "map": "#d55e00"}, "#9aa0a6"


def draw_serving(figures: dict[str, Any]) -> Any:
    """Medians of each service with the lowest and the highest round, ours in colour; the ratio to Flask behind.

    The empty handler has no bar of documents: its figure would dwarf the others'.
    """
    chart, panels = plt.subplots(2, figsize=(8, 5.2), layout="constrained")
    tokens = figures["tokens"]
    titles = {
        "calls": f"calls per second, one text of {tokens} tokens each (to Flask's)",
        "documents": "documents per second in batches (to Flask's with one text a call)",
    }
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        rates = {
            row["name"]: sorted(row[f"{name}_per_second"])
            for row in figures["services"]
            if name == "calls" or row["key"] != "empty"
        }
        ratios = {row["name"]: row["times_flask"].get(name) for row in figures["services"]}
        names = sorted(rates, key=lambda name: statistics.median(rates[name]))
        medians = [statistics.median(rates[name]) for name in names]
        lows = [median - rates[name][0] for name, median in zip(names, medians, strict=True)]
        highs = [rates[name][-1] - median for name, median in zip(names, medians, strict=True)]
        colours = [_COLOURS["sgd"] if name.startswith("paravec") else _GREY for name in names]
        bars = panel.barh(names, medians, xerr=[lows, highs], color=colours, error_kw={"elinewidth": 1, "capsize": 2})
        notes = [f" ({ratios[name]:.1f}×)" if ratios[name] else "" for name in names]
        labels = [f"{median:,.0f}{note}" for median, note in zip(medians, notes, strict=True)]
        panel.bar_label(bars, labels, padding=6)
        panel.set_title(title, loc="left", fontsize=10, fontweight="bold")
        panel.margins(x=0.2)
        panel.xaxis.set_visible(False)
        panel.spines["bottom"].set_visible(False)
    chart.suptitle("Doc2Vec served from one core", fontweight="bold")
    chart.supxlabel(figures["heading"], fontsize=7.5)
    return chart


def draw_growth(figures: dict[str, Any]) -> Any:
    """A panel for each thing that grows, a line for each method, all axes logarithmic."""
    columns = min(3, len(figures["titles"]))
    panels_down = -(-len(figures["titles"]) // columns)
    size = 3 * columns, 3 * panels_down
    chart, panels = plt.subplots(panels_down, columns, figsize=size, sharey=True, layout="constrained", squeeze=False)
    rows = figures["rows"]
    for panel, (along, title) in zip(panels.flat, figures["titles"].items(), strict=True):
        for method, colour in _COLOURS.items():
            some = [row for row in rows if (row["along"], row["method"]) == (along, method)]
            medians = [statistics.median(row["documents_per_second"]) for row in some]
            if some:
                panel.loglog([row["at"] for row in some], medians, "o-", markersize=4, color=colour, label=method)
        sizes = sorted({row["at"] for row in rows if row["along"] == along})
        panel.set_xticks(sizes)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(axis="y", color="#dadce0")
        panel.set_xlabel(title)
    panels[0, 0].legend()
    chart.suptitle("How the cost of a document grows", fontweight="bold")
    chart.supylabel("documents per second")
    chart.supxlabel(figures["heading"], fontsize=7.5)
    return chart


_CHARTS = {"serving": draw_serving, "growth": draw_growth}


def main(paths: list[str]) -> None:
    """Draw each file of figures, which its name says the kind of."""
    for path in map(Path, paths):
        if path.stem not in _CHARTS:
            raise SystemExit(f"charts.py: {path} is neither {' nor '.join(f'{name}.json' for name in _CHARTS)}")
        chart = _CHARTS[path.stem](json.loads(path.read_text()))
        chart.savefig(path.with_suffix(".svg"), metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))


if __name__ == "__main__":
    main(sys.argv[1:])
