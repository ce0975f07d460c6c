"""Epochs and min_count that a training does not name depend on the corpus's number of words."""

import pytest

from paravec_model.cli.main import main
from paravec_model.training.defaults import for_corpus
from paravec_model.training.parameters import TrainingParameters


@pytest.mark.parametrize(
    ("words", "epochs", "min_count"),
    [(0, 40, 2), (1_999_999, 40, 2), (2_000_000, 20, 5), (10**10, 20, 5)],
)
def test_the_choice_goes_by_words(words: int, epochs: int, min_count: int) -> None:
    """From two million words on there are fewer epochs and fewer words of the vocabulary, below more, at any size."""
    chosen, _ = for_corpus(TrainingParameters(), 7, words)
    assert (chosen.epochs, chosen.min_count) == (epochs, min_count)


def test_the_line_names_values_reason_and_flags() -> None:
    """It has the sizes that the choice was made by, and how to make another."""
    _, line = for_corpus(TrainingParameters(), 1234, 567_890)
    assert line == (
        "epochs 40, min_count 2: corpus of 1,234 documents with 567,890 words; set --epochs or --min-count to override"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": 3}, "min_count 2: corpus of 10 documents with 100 words; set --min-count to override"),
        ({"min_count": 1}, "epochs 40: corpus of 10 documents with 100 words; set --epochs to override"),
        ({"min_count": 0, "epochs": 1}, ""),
    ],
)
def test_what_is_given_stays(given: dict[str, int], says: str) -> None:
    """Only what is left out is chosen and told; a min_count of 0 is given too, and other parameters stay."""
    chosen, line = for_corpus(TrainingParameters(vector_size=7, **given), 10, 100)  # type: ignore[arg-type]
    assert chosen == TrainingParameters(vector_size=7, **{"epochs": 40, "min_count": 2, **given})  # type: ignore[arg-type]
    assert line == says


def test_help_states_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """`train --help`, and so the reference, has the steps that the rule has."""
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "passes over the corpus (default 40 below 2,000,000 words, else 20)" in text
    assert "drop words that occur less often (default 2 below 2,000,000 words, else 5)" in text
