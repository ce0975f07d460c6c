"""Training on a script without spaces is a warning, as the tokenizers find no words in it."""

import logging
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.text.scripts import warn_if_unspaced
from paravec_model.text.tokenizer import RegexTokenizer, SimpleTokenizer, Tokenizer, WhitespaceTokenizer

CHINESE = "今天的天气很好我们一起去公园散步吧"
JAPANESE = "きょうはとてもいいてんきなのでこうえんへいきましょう"
THAI = "วันนี้อากาศดีมากเราไปเดินเล่นที่สวนกันเถอะ"
SIMPLE, SPACES = SimpleTokenizer(), WhitespaceTokenizer()


@pytest.mark.parametrize(
    ("text", "tokenizer", "script"),
    [
        (CHINESE, SIMPLE, "Han"),
        (JAPANESE, SIMPLE, "Hiragana"),
        ("コンピュータープログラム", SIMPLE, "Katakana"),
        (THAI, SIMPLE, "Thai"),
        (CHINESE, SPACES, "Han"),
        (" ".join(CHINESE), SIMPLE, "Han"),
        (" ".join(CHINESE), SPACES, None),
        (CHINESE, RegexTokenizer(r"\w"), None),
        ("Il nome di 北京 è Pechino, e vuol dire capitale del nord.", SIMPLE, None),
        ("오늘은 날씨가 아주 좋습니다", SIMPLE, None),
        ("", SIMPLE, None),
    ],
)
def test_a_script_without_spaces_is_named(
    text: str, tokenizer: Tokenizer, script: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to do, and nothing of the texts; where words stand apart, or the tokenizer knows better, nothing."""
    with caplog.at_level(logging.WARNING):
        warn_if_unspaced([text] * 5, tokenizer)
    assert len(caplog.messages) == (script is not None)
    for message in caplog.messages:
        assert message.startswith(f"the texts are in {script}, which has no spaces between words")
        assert "--tokenizer whitespace" in message
        assert message.isascii()


def test_training_and_evaluation_warn(artifact: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each meets the texts that it is given."""
    texts = tmp_path / "texts"
    lines = [f"{CHINESE[n:]},{CHINESE[:n]},{CHINESE[n : n + 4]}" for n in range(len(CHINESE))]
    texts.write_text("\n".join(lines * 3), encoding="utf-8")
    flags = ["--min-count", "1", "--vector-size", "4", "--epochs", "1"]
    assert main(["train", "--lines", str(texts), "--output", str(tmp_path / "model"), *flags]) == 0
    assert sum("are in Han" in message for message in caplog.messages) == 1
    caplog.clear()
    assert main(["evaluate", str(artifact.path), "--lines", str(texts)]) == 0
    assert sum("are in Han" in message for message in caplog.messages) == 1
