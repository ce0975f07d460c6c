"""How benchmarks.faq judges the example faq_engine."""

from pathlib import Path

import numpy as np
from benchmarks.faq import EXAMPLES, Questions, questions, row
from faq_engine.faq import read


def test_the_questions_belong_to_the_entries() -> None:
    """Each question names an entry of the file; there are hard ones, and 30 off the subject."""
    file = Path(EXAMPLES) / "faq_engine/faqs/office-en.jsonl"
    entries = read(file)
    given = questions(file.with_suffix(".questions.json"), entries)
    assert {entries[n].question for n in given.right} == {entry.question for entry in entries}
    assert len(given.asked) == len(set(given.asked)) == 78
    assert given.hard.sum() == 26
    assert len(given.unrelated) == 30


def test_a_row_counts_what_is_above_the_threshold() -> None:
    """One in ten of the questions off the subject is answered, and only a right entry with a larger score is shown."""
    related = np.array([[0.9, 0.1], [0.2, 0.3], [0.4, 0.4]])
    given = Questions(["a", "b", "c"], np.array([0, 1, 0]), np.array([False, True, False]), [f"{n}" for n in range(10)])
    unrelated = np.array([[n / 10, 0] for n in range(10)])
    # Of equal entries none is first. The threshold is 0.8: 0.9 is above it, as one of ten others is.
    assert row("x", given, related, unrelated) == "| x | 1 + 1 | 2 + 1 | 1 + 0 | 1 |"
    assert row("x", given, related, unrelated, 0.3) == "| x | 1 + 1 | 2 + 1 | 1 + 1 | 7 |"
