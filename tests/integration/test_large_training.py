"""Training that takes long: Ctrl-C keeps what is learned, and memory does not grow with the corpus."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact, verify
from paravec_model.cli.interrupt import Interrupt
from paravec_model.corpus.formats import Document, named_corpus
from paravec_model.encoder import Encoder
from paravec_model.errors import CorpusError, StoppedError
from paravec_model.text.tokenizer import SimpleTokenizer
from paravec_model.training.parameters import TrainingParameters
from paravec_model.training.train import train

SMALL = TrainingParameters(vector_size=8, epochs=3, min_count=2)

# Sends itself SIGINT where `stop` is asked for the given time, then runs the command.
INTERRUPTED = """
import os, signal, sys
from paravec_model.cli import interrupt
from paravec_model.cli.main import main
asked, when = 0, [int(n) for n in sys.argv[1].split(",")]
def call(self):
    global asked
    asked += 1
    if asked in when:
        os.kill(os.getpid(), signal.SIGINT)
    return self._received
interrupt.Interrupt.__call__ = call
sys.exit(main(sys.argv[2:]))
"""

# Trains on documents made as they are read, and prints the most memory that it had, in KiB. Not ru_maxrss, which no
# exec resets: it would be this process's.
MEASURED = r"""
import pathlib, random, re, sys
from paravec_model.training.parameters import TrainingParameters
from paravec_model.text.tokenizer import WhitespaceTokenizer
from paravec_model.training.train import train
count = int(sys.argv[1])
random = random.Random(1)
words = [f"word{n}" for n in range(5000)]
documents = (([n % 50], " ".join(random.choices(words, k=100))) for n in range(count))
train(documents, WhitespaceTokenizer(), TrainingParameters(vector_size=8, epochs=1))
print(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


def interrupted(output: Path, when: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """A training of Lee's 300 stories that gets SIGINT at these questions whether to stop."""
    flags = ("--corpus", "lee", "--vector-size", "8", "--epochs", "10", "--min-count", "2", "--doctags", *flags)
    command = [sys.executable, "-c", INTERRUPTED, when, "train", *flags, "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_interrupted_training_keeps_what_is_learned(tmp_path: Path) -> None:
    """The artifact is sound and says how far it came; the status is that of an interrupted command."""
    ran = interrupted(tmp_path / "model", "1500")
    assert ran.returncode == 130
    assert ran.stderr.startswith("paravec-model: warning: stopped after 3.0 of 10 epochs; what is learned so far is k")
    assert ran.stderr.count("\n") == 1
    assert verify(tmp_path / "model") == []
    artifact = Artifact.open(tmp_path / "model")
    assert artifact.manifest.training["stopped_after_epochs"] == pytest.approx(3, abs=0.05)
    assert artifact.manifest.training["corpus_count"] == artifact.manifest.doctag_count == 300
    assert Encoder(artifact).encode([["australia"]]).vectors.any()


def test_a_second_interrupt_leaves_no_artifact(tmp_path: Path) -> None:
    """A second Ctrl-C ends with one line and no output."""
    ran = interrupted(tmp_path / "model", "1500,1501")
    assert (ran.returncode, ran.stderr) == (130, "paravec-model: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_the_corpus_is_read_leaves_nothing(tmp_path: Path) -> None:
    """Nothing is learned yet, so nothing is kept."""
    ran = interrupted(tmp_path / "model", "100")
    assert ran.returncode == 130
    assert ran.stderr == ("paravec-model: interrupted: the corpus was still being read, so nothing is learned yet\n")
    assert not list(tmp_path.iterdir())


def test_a_program_may_stop_training() -> None:
    """By a function that says when. While the corpus is read, its words are counted and before the first document of
    the first epoch there is nothing to keep."""
    asked = iter(range(10**6))
    trained = train(named_corpus("lee"), SimpleTokenizer(), SMALL, stop=lambda: next(asked) >= 1050)
    assert trained.stopped
    assert trained.facts["stopped_after_epochs"] == 1.5
    for when in (100, 400, 600):
        asked = iter(range(10**6))
        with pytest.raises(StoppedError, match="nothing is learned yet"):
            train(named_corpus("lee"), SimpleTokenizer(), SMALL, stop=lambda: next(asked) >= when)  # noqa: B023


def test_a_complete_training_is_not_marked_as_stopped() -> None:
    """The manifest of a complete training has no mark of an interruption."""
    trained = train(named_corpus("lee"), SimpleTokenizer(), SMALL)
    assert not trained.stopped
    assert "stopped_after_epochs" not in trained.facts


def test_a_generator_is_a_valid_corpus() -> None:
    """A generator trains the same model as a list, as the corpus is read once."""

    def documents() -> Iterator[Document]:
        yield from named_corpus("lee")

    once, whole = (train(corpus, SimpleTokenizer(), SMALL) for corpus in (documents(), named_corpus("lee")))
    assert (once.model.dv.vectors == whole.model.dv.vectors).all()
    assert once.facts["corpus_sha256"] == whole.facts["corpus_sha256"]
    with pytest.raises(CorpusError, match="document 1: must be"):
        train(["uno due tre"], SimpleTokenizer(), SMALL)  # type: ignore[list-item]


def test_documents_without_a_tag_of_their_own_are_a_warning(tmp_path: Path) -> None:
    """Documents that share all their tags are counted in one warning."""
    file, flags = tmp_path / "corpus.jsonl", ("--field", "text", "--tag-field", "tag", "--min-count", "1")
    texts = enumerate(text for _, text in named_corpus("lee"))
    records = [{"text": text, "tag": "" if number % 2 else number} for number, text in texts]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    command = [sys.executable, "-m", "paravec_model.cli", "train", "--jsonl", str(file), *flags, "--epochs", "1"]
    ran = subprocess.run([*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert ran.stderr.startswith("paravec-model: warning: 149 of 300 documents have only tags that earlier ones have")
    assert ran.stderr.count("\n") == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus() -> None:
    """Twenty times the documents, 30 MB more of text, take next to no more memory: only words and tags are held."""

    def most(count: int) -> int:
        ran = subprocess.run([sys.executable, "-c", MEASURED, str(count)], capture_output=True, text=True, check=True)
        return int(ran.stdout)

    assert most(40_000) - most(2_000) < 5_000


def test_the_interrupt_handler_is_for_the_main_thread_and_is_restored() -> None:
    """In another thread no handler is installed, and after use the old SIGINT handler is back."""
    before = signal.getsignal(signal.SIGINT)
    asked: list[bool] = []

    def elsewhere() -> None:
        with Interrupt() as stop:
            asked.append(stop())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with Interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        asked.append(stop())
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == [False, True]
    assert signal.getsignal(signal.SIGINT) is before
