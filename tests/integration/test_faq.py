"""The example faq_engine: its page and its JSON, with a real paravec server behind it and a real browser before it."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paravec_model.artifact import Artifact

from .. import parity
from ..environments import environment
from ..servers import PATIENCE, Server, running, until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "client/examples"

pytestmark = pytest.mark.slow

WORDS = {
    "unavailable": "There are no answers right now. Please try again in a moment.",
    "unknown": "None of these words is known. Try others, or check the spelling.",
}

QUESTION = "fire burning near Sydney"
FAQ = {
    "title": "News",
    "language": "en",
    "entries": [
        {"question": "Where do the fires burn?", "answer": "Fires are burning in the hills near Sydney.\n\nFirefighters"
         " from all over the state fight them.", "category": "Nature", "url": "https://example.com/fires"},
        {"question": "Who won the cricket test?", "answer": "Australia won the test match against South Africa."},
        {"question": "What did the government decide?", "answer": "The prime minister said the parliament will vote."},
        {"question": "What do the police say?", "answer": "The police arrested two men on charges of murder."},
        {"question": "How is the economy?", "answer": "The reserve bank cut interest rates, and the dollar fell."},
    ],
}  # fmt: skip


class Engine:
    """A running example."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.log = process, ""
        self._listening = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._listening.wait(PATIENCE), self.log
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log)
        assert found, self.log
        self.address = found[1]

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log += line
            if "running on" in line:
                self._listening.set()
        self._listening.set()

    def get(self, path: str, **parameters: str) -> tuple[int, str, Any]:
        """Status, content and headers of an address."""
        address = f"{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    def ask(self, question: str, **parameters: str) -> tuple[int, Any]:
        """Status and JSON of the answer to a question."""
        status, content, _ = self.get("/api/ask", q=question, **parameters)
        return status, json.loads(content)


@pytest.fixture(scope="session")
def place() -> Path:
    """The example's virtual environment."""
    return environment("faq")


@contextmanager
def serving(place: Path, target: str, file: Path, *flags: str) -> Iterator[Engine]:
    """An example of a file, with a server as its paravec."""
    paths = os.pathsep.join(map(str, (ROOT / "client", ROOT / "proto", EXAMPLES)))
    variables = os.environ | {"PYTHONPATH": paths, "PARAVEC_TARGET": target, "PARAVEC_TIMEOUT": "5"}
    command = [str(place / "bin/python"), "-m", "faq_engine", "--faq", str(file), "--listen", "127.0.0.1:0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=variables, text=True) as process:
        try:
            yield Engine(process)
        finally:
            process.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The entries."""
    file = tmp_path / "faq.json"
    file.write_text(json.dumps(FAQ))
    return file


@pytest.fixture
def engine(place: Path, server: Server, file: Path) -> Iterator[Engine]:
    """The example, of these entries."""
    with serving(place, server.target, file) as engine:
        yield engine


def test_a_question_finds_its_answer(engine: Engine, artifact: Artifact) -> None:
    """The nearest entry first; what is near to nothing says so, and what the model does not know."""
    status, answer = engine.ask(QUESTION)
    assert status == 200
    assert answer["understood"]
    assert answer["entries"][0]["question"] == FAQ["entries"][0]["question"]  # type: ignore[index]
    assert 0.1 <= answer["entries"][-1]["score"] <= answer["entries"][0]["score"] <= 1
    assert len(engine.ask(QUESTION, top="1")[1]["entries"]) == 1
    assert answer["entries"][0]["category"] == "Nature"
    assert answer["model"]["digest"] == artifact.manifest.digest
    status, answer = engine.ask("xyzzy plugh")
    assert (status, answer["understood"], answer["entries"]) == (200, False, [])
    assert engine.get("/healthz")[0] == engine.get("/readyz")[0] == 200


def test_a_bad_question_is_a_status_and_a_sentence(engine: Engine) -> None:
    """An empty or long question is a 400 with a plain sentence, in JSON and on the page."""
    for question, name in (("", "missing"), ("fire " * 200, "too_long")):
        status, answer = engine.ask(question)
        assert (status, answer["error"]) == (400, name)
    assert engine.ask(QUESTION, top="0")[1]["error"] == "top"
    status, page, _ = engine.get("/", q="fire " * 200)
    assert status == 400
    assert "500 characters" in page
    assert engine.get("/nothing")[0] == 404


def test_questions_are_escaped_and_neither_cached_nor_logged(engine: Engine) -> None:
    """A question is shown as text, responses forbid inline scripts and caching, and the log never contains it."""
    asked = '"><script>alert("fire")</script>'
    status, page, headers = engine.get("/", q=asked)
    assert status == 200
    assert "<script>alert" not in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers
    for path in ("/static/page.css", "/static/page.js", "/static/icon.svg"):
        assert engine.get(path)[0] == 200
        assert path in page
    assert engine.get("/static/../app.py")[0] == 404
    engine.ask(QUESTION)
    engine.process.send_signal(signal.SIGTERM)
    engine.process.wait(PATIENCE)
    assert "alert" not in engine.log
    assert "Sydney" not in engine.log


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Another model, of smaller vectors."""
    made = tmp_path_factory.mktemp("other") / "other"
    return parity.to_artifact(parity.train(dm=0, epochs=15, vector_size=30), made)


def test_a_question_and_its_entries_use_one_model(place: Path, artifact: Artifact, other: Artifact, file: Path) -> None:
    """While servers of two models answer in turn, each question is compared with entries of the same model, embedded
    once."""
    with running(artifact.path) as one, running(other.path) as two:
        with serving(place, f"ipv4:{one.target},{two.target}", file, "--threshold=-1") as engine:
            models = set()

            def both_answered() -> bool:
                status, answer = engine.ask(QUESTION)
                assert status == 200
                assert len(answer["entries"]) == len(FAQ["entries"])
                models.add(answer["model"]["digest"])
                return len(models) == 2

            until(both_answered)
            assert models == {artifact.manifest.digest, other.manifest.digest}
            embedded = engine.log.count("entries embedded by model")
            for _ in range(10):
                both_answered()
            assert engine.log.count("entries embedded by model") == embedded


def test_it_answers_503_without_paravec_and_recovers(
    place: Path, artifact: Artifact, other: Artifact, file: Path
) -> None:
    """Without paravec it answers 503 with a sentence; when paravec returns with another model, entries are embedded
    anew."""
    with running(artifact.path) as first:
        with serving(place, first.target, file) as engine:
            assert engine.ask(QUESTION)[0] == 200
            first.stop()
            status, answer = engine.ask(QUESTION)
            assert (status, answer["error"]) == (503, "unavailable")
            status, page, _ = engine.get("/", q=QUESTION)
            assert status == 503
            assert WORDS["unavailable"] in page
            # The page stays in reach, to say so.
            assert engine.get("/readyz")[0] == engine.get("/healthz")[0] == 200
            with running(other.path, "--listen", first.target):
                until(lambda: engine.ask(QUESTION)[0] == 200)
                status, answer = engine.ask(QUESTION)
                assert status == 200
                assert answer["entries"][0]["question"] == FAQ["entries"][0]["question"]  # type: ignore[index]
            assert engine.log.count("entries embedded by model") == 2
            assert "Traceback" not in engine.log


def test_a_changed_file_is_reloaded_and_a_damaged_one_ignored(engine: Engine, file: Path) -> None:
    """A changed FAQ file is reloaded without a restart, and a damaged one leaves the entries as they were."""
    fewer = FAQ | {"title": "Old news", "entries": FAQ["entries"][1:]}
    engine.ask(QUESTION)
    file.write_text(json.dumps(fewer))
    until(lambda: "Old news" in engine.get("/", q=QUESTION)[1])
    assert "Where do the fires burn?" not in engine.get("/")[1]
    time.sleep(0.01)
    file.write_text('{"entries": [')
    until(lambda: engine.ask(QUESTION)[0] == 200 and "stay as they were" in engine.log)
    assert "Old news" in engine.get("/")[1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "has no list"),
        ('{"entries": [{"question": "a"}]}', r"entries[0] has no answer"),
        ('{"entries": [{"question": "a", "answer": 1}]}', r"entries[0] must have"),
        ('{"entries": [{"question": "a", "answer": "b", "url": "javascript:x"}]}', "url must begin"),
        ('{"language": "xx", "entries": [{"question": "a", "answer": "b"}]}', "language"),
    ],
)
def test_a_wrong_file_is_one_clear_line(place: Path, tmp_path: Path, content: str, problem: str) -> None:
    """And no start."""
    file = tmp_path / "faq.json"
    file.write_text(content)
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "client", ROOT / "proto", EXAMPLES)))}
    command = [str(place / "bin/python"), "-m", "faq_engine", "--faq", str(file), "--listen", "127.0.0.1:0"]
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert problem in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture(scope="session")
def browser() -> Callable[..., Any]:
    """Runs tests/faq_browser.py, and returns what it saw."""
    if not shutil.which("chromium"):
        pytest.skip("no browser: apt-get install chromium")
    driver = environment("browser")

    def run(*arguments: str | Path) -> Any:
        command = [driver / "bin/python", ROOT / "tests/faq_browser.py", *arguments]
        ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


LABELS = {"en": "Your question", "it": "La tua domanda"}


@pytest.mark.parametrize("language", LABELS)
def test_the_page_works_by_keyboard_at_both_widths(
    browser: Callable[..., Any], place: Path, server: Server, file: Path, tmp_path: Path, language: str
) -> None:
    """In Chromium, with and without scripts, light and dark, the answer, the next entry and the way back work by
    keyboard."""
    file.write_text(json.dumps(FAQ | {"language": language}))
    # All entries are answers, however near: the keyboard is to reach the second.
    with serving(place, server.target, file, "--threshold=-1") as engine:
        until(lambda: engine.get("/readyz")[0] == 200)
        seen = browser("visit", engine.address, QUESTION, tmp_path)
    assert len(seen) == 6
    for name, facts in seen.items():
        assert facts["first"].endswith("Where do the fires burn?"), name
        assert "Firefighters" in facts["answer"], name
        assert "Nature" in facts["answer"], name
        assert facts["open"] == [True, True], name
        assert (facts["field"], facts["back"]) == (QUESTION, ""), name
        assert facts["title"] == f"{QUESTION} · News", name
        assert (facts["language"], facts["label"]) == (language, LABELS[language]), name
        assert facts["said"].startswith("5 "), name
        assert facts["fits"], name
        # AA of WCAG, for text of any size.
        assert facts["contrast"] >= 4.5, name
        assert facts["problems"] == [], name
        assert facts["loads"] == (2 if "no scripts" in name else 1), name


def test_the_page_shows_that_paravec_is_away_and_recovers(
    browser: Callable[..., Any], place: Path, artifact: Artifact, file: Path
) -> None:
    """In Chromium, with and without scripts, the page shows a sentence in place of the browser's own error."""
    with running(artifact.path) as first, serving(place, first.target, file) as engine:
        first.stop()
        assert set(browser("ask", engine.address, QUESTION)) == {WORDS["unavailable"]}
        with running(artifact.path, "--listen", first.target):
            until(lambda: engine.ask(QUESTION)[0] == 200)
            assert all(
                "answer" in said and said != WORDS["unavailable"] for said in browser("ask", engine.address, QUESTION)
            )
            assert set(browser("ask", engine.address, "xyzzy")) == {WORDS["unknown"]}


@pytest.mark.parametrize("language", ["en", "it"])
def test_debians_faq_is_converted_from_its_package(language: str, tmp_path: Path) -> None:
    """The converter finds more than 100 questions with answers in Debian's package."""
    folder = Path("/usr/share/doc/debian/FAQ") / ("it" if language == "it" else ".")
    if not list(folder.glob(f"*.{language}.html")):
        pytest.skip(f"no such pages: apt-get install debian-faq{'-it' if language == 'it' else ''}")
    command = ["python3", "-m", "faq_engine.debian", language, str(tmp_path / "faq.json")]
    subprocess.run(command, cwd=EXAMPLES, check=True, capture_output=True)
    made = json.loads((tmp_path / "faq.json").read_text())
    assert made["language"] == language
    assert len(made["entries"]) > 100
    assert all(entry["question"] and entry["answer"] for entry in made["entries"])
