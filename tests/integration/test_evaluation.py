"""`paravec-model evaluate` on real models."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.corpus.formats import named_corpus
from paravec_model.encoder import Encoder
from paravec_model.evaluation.baselines import baselines
from paravec_model.evaluation.evaluate import Evaluator, coverage
from paravec_model.evaluation.metrics import score_rankings
from paravec_model.evaluation.tasks import short_halves
from paravec_model.options import InferenceOptions

from .. import parity

Capture = pytest.CaptureFixture[str]

STORIES = [text for _, text in named_corpus("lee")]


def evaluated(artifact: Artifact, folder: Path, *flags: str | Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the command writes as JSON: (task, measure) -> method -> estimate."""
    file = folder / "figures.json"
    assert main(["evaluate", str(artifact.path), *map(str, flags), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["model"]["digest"] == artifact.manifest.digest
    return {(figure["task"], figure["measure"]): figure["methods"] for figure in found["figures"]}


def write_jsonl(file: Path, texts: dict[str, str]) -> Path:
    """Texts by their ids, as JSON lines."""
    file.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()))
    return file


def test_a_corpus_alone_is_evaluated_with_both_methods(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """From a corpus alone, halves, pieces, tags and stability are measured for both methods and printed as a table."""
    figures = evaluated(artifact, tmp_path, "--corpus", "lee")
    assert all(list(methods) == ["sgd", "map"] for methods in figures.values())
    for task in ("half finds half", "text finds its trained tag"):
        for estimate in figures[task, "MRR"].values():
            assert 0.8 < estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
    pieces, seeds = figures["six tokens find the rest", "recall@10"], "same text, other seed (3 seeds)"
    assert pieces["map"]["value"] > 0.8
    assert figures[seeds, "cosine"]["sgd"]["value"] == pytest.approx(0.99, abs=0.01)
    assert figures[seeds, "cosine"]["map"]["value"] == pytest.approx(1)
    assert figures[seeds, "overlap@10"]["map"]["value"] == 1
    shown = capsys.readouterr().out
    assert shown.startswith(f"test 1 {artifact.manifest.digest}\n")
    recall = figures["half finds half", "recall@1"]["sgd"]
    assert f"{recall['value']:.3f} [{recall['low']:.3f}, {recall['high']:.3f}]" in shown


def test_baselines_are_measured_beside_the_model(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """With --baselines, BM25 and tf-idf have columns, a dash where they can do nothing; the model's figures stay."""
    flags = ("--corpus", "lee", "--at-most", "60", "--seeds", "2")
    alone, beside = evaluated(artifact, tmp_path, *flags), evaluated(artifact, tmp_path, *flags, "--baselines")
    for measure, methods in alone.items():
        assert {name: beside[measure][name] for name in methods} == methods
    halves = beside["half finds half", "MRR"]
    assert all(0.5 < halves[name]["value"] <= 1 for name in ("BM25", "tf-idf"))
    assert list(beside["text finds its trained tag", "MRR"]) == ["sgd", "map"]
    shown = [line for line in capsys.readouterr().out.splitlines() if "trained tag" in line]
    assert all(line.endswith("–") for line in shown[-4:])


def test_tfidf_is_correlated_with_scores_and_bm25_is_not(artifact: Artifact, tmp_path: Path) -> None:
    """Scores of BM25 grow with the query, so that those of different pairs cannot be compared."""
    file = tmp_path / "pairs.tsv"
    stories = [story.strip() for story in STORIES[:30]]
    pairs = [f"{story}\t{story if n % 2 else stories[n - 1]}\t{n % 2}" for n, story in enumerate(stories)]
    file.write_text("\n".join(pairs) + "\n")
    found = evaluated(artifact, tmp_path, "--pairs", file, "--baselines")["pairs that people scored", "Spearman's ρ"]
    assert found["tf-idf"]["value"] > 0.8
    assert "BM25" not in found


def test_a_query_without_words_in_common_finds_nothing() -> None:
    """Where all scores are 0, no target is nearest, as with a zero vector."""
    queries, targets = [["fox"], ["unheard"], []], [["red", "fox"], ["blue", "sea"], ["old", "tree"]]
    for baseline in baselines()[:2]:
        found = score_rankings(baseline.scores(queries, targets), [{n: 1.0} for n in range(3)])
        assert [int(ranking.positions[0]) for ranking in found] == [1, 3, 3], baseline.name


def test_missing_libraries_are_named_in_one_line(
    artifact: Artifact, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without paravec[evaluation], --baselines says how to install it; without the flag nothing is needed."""
    monkeypatch.setitem(sys.modules, "bm25s", None)
    flags = [str(artifact.path), "--corpus", "lee", "--at-most", "40", "--seeds", "2"]
    assert main(["evaluate", *flags, "--baselines"]) == 1
    error = capsys.readouterr().err
    assert error == "paravec-model: baselines need bm25s: pip install 'paravec[evaluation]'\n"
    assert main(["evaluate", *flags]) == 0


def test_short_texts_are_halves_of_a_beginning() -> None:
    """Of the first twelve tokens of documents that have six or more."""
    task = short_halves([[f"{length}-{n}" for n in range(length)] for length in (5, 6, 40)])
    assert [*map(len, task.queries), *map(len, task.targets)] == [3, 6, 3, 6]


def test_results_are_reproducible(artifact: Artifact, tmp_path: Path) -> None:
    """Two runs give the same numbers, as every random choice is seeded."""
    flags = ("--corpus", "lee", "--at-most", "60", "--seeds", "2")
    assert evaluated(artifact, tmp_path, *flags) == evaluated(artifact, tmp_path, *flags)


def test_at_most_bounds_the_documents(artifact: Artifact, tmp_path: Path) -> None:
    """So many are drawn from all over the corpus; one of Lee's stories that is there twice counts once."""
    figures = evaluated(artifact, tmp_path, "--corpus", "lee", "--at-most", "60")
    assert figures["text finds its trained tag", "MRR"]["sgd"]["count"] == 59


def test_a_model_without_map_has_one_column(tmp_path: Path) -> None:
    """DM is inferred by sgd alone; an artifact without doctags has no tags to find."""
    artifact = parity.to_artifact(parity.train(vector_size=10, epochs=2, dm=1), tmp_path / "model")
    figures = evaluated(artifact, tmp_path, "--corpus", "lee", "--at-most", "50")
    assert {tuple(methods) for methods in figures.values()} == {("sgd",)}
    assert not any(task == "text finds its trained tag" for task, _ in figures)


def test_unknown_tokens_are_counted(encoder: Encoder) -> None:
    """Two of four tokens, one of two documents."""
    covered = coverage(encoder, ["australia government", "xyzzy plugh"])
    assert (covered.unknown_tokens.value, covered.unknown_documents.value) == (0.5, 0.5)


def test_pairs_are_retrieved_among_all(artifact: Artifact, tmp_path: Path) -> None:
    """With --pairs, the beginning of each story retrieves the whole story among all."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{story[:300].strip()}\t{story.strip()}\n" for story in STORIES[:50]))
    figures = evaluated(artifact, tmp_path, "--pairs", file)
    assert {task for task, _ in figures} == {"left finds right"}
    assert figures["left finds right", "recall@10"]["map"]["value"] > 0.9


def test_scored_pairs_are_correlated_with_cosines(artifact: Artifact, encoder: Encoder, tmp_path: Path) -> None:
    """Spearman's ρ is scipy's, of the cosines that the encoder gives."""
    stories, scores = [story.strip() for story in STORIES[:40]], [float(n % 7) for n in range(39)]
    file = tmp_path / "pairs.tsv"
    pairs = zip(stories, stories[1:], scores, strict=False)
    file.write_text("\n".join(f"{left}\t{right}\t{score}" for left, right, score in pairs) + "\n")
    vectors = encoder.encode([encoder.tokenize(story) for story in stories], InferenceOptions(method="map")).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = evaluated(artifact, tmp_path, "--pairs", file)["pairs that people scored", "Spearman's ρ"]["map"]
    assert found["value"] == pytest.approx(spearmanr((unit[:-1] * unit[1:]).sum(axis=1), scores).statistic, abs=1e-6)
    assert found["low"] <= found["value"] <= found["high"]


def test_relevance_judgements_are_measured(artifact: Artifact, tmp_path: Path) -> None:
    """Queries retrieve the documents judged relevant; a query without a relevant document is left out."""
    documents = write_jsonl(tmp_path / "documents.jsonl", {f"d{n}": story for n, story in enumerate(STORIES)})
    queries = write_jsonl(tmp_path / "queries.jsonl", {f"q{n}": STORIES[n][:300] for n in range(30)})
    judgements = tmp_path / "qrels.txt"
    lines = [f"q{n} 0 d{n} 2\nq{n} 0 d{n + 1} 0\n" for n in range(29)]
    judgements.write_text("".join(lines) + "\nq29 0 d3 0\n")
    flags = ("--queries", queries, "--documents", documents, "--judgements", judgements)
    figures = evaluated(artifact, tmp_path, *flags)
    found = figures["query finds relevant", "nDCG@10"]["map"]
    assert found["value"] > 0.8
    assert found["count"] == 29


@pytest.mark.parametrize(
    ("judgements", "says"),
    [
        ("q0 d0 1", "qrels.txt, line 1: has 3 columns, needs 4: query-id iteration document-id grade"),
        ("q0 0 d0 1\nq0 0 d9 1", "qrels.txt, line 2: "),
        ("q9 0 d0 1", "queries.jsonl has no id 'q9'"),
        ("q0 0 d0 good", "qrels.txt, line 1: 'good' is not a number"),
        ("q0 0 d0 0", "finds no document relevant to any query"),
        ("\n", "qrels.txt: is empty"),
    ],
)
def test_judgements_that_cannot_be_used_are_one_line(
    judgements: str, says: str, artifact: Artifact, tmp_path: Path, capsys: Capture
) -> None:
    """The line names the file, its line, and what it should be."""
    paths = [write_jsonl(tmp_path / f"{name}.jsonl", {f"{name[0]}0": "a story"}) for name in ("queries", "documents")]
    (tmp_path / "qrels.txt").write_text(judgements)
    flags = ("--queries", paths[0], "--documents", paths[1], "--judgements", tmp_path / "qrels.txt")
    assert main(["evaluate", str(artifact.path), *map(str, flags)]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ("uno\tdue\nuno", "line 2: has 1 columns"),
        ("uno\tdue\t1\nuno\tdue", "line 2: has 2 columns"),
        ("uno\tdue\tnan", "line 1: 'nan' is not a number"),
        ("", "is empty"),
        (None, "No such file"),
    ],
)
def test_pairs_that_cannot_be_used_are_one_line(
    pairs: str | None, says: str, artifact: Artifact, tmp_path: Path, capsys: Capture
) -> None:
    """As for judgements."""
    if pairs is not None:
        (tmp_path / "pairs.tsv").write_text(pairs)
    assert main(["evaluate", str(artifact.path), "--pairs", str(tmp_path / "pairs.tsv")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"paravec-model: {tmp_path / 'pairs.tsv'}")
    assert says in said
    assert said.count("\n") == 1


def test_a_duplicate_id_is_an_error(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """A corpus with an id twice is refused, since a judgement could mean either document."""
    file = tmp_path / "texts.jsonl"
    file.write_text('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n')
    flags = ("--queries", file, "--documents", file, "--judgements", file)
    assert main(["evaluate", str(artifact.path), *map(str, flags)]) == 1
    assert "has the same id twice" in capsys.readouterr().err


def test_tasks_that_a_tiny_corpus_cannot_support_are_left_out(encoder: Encoder) -> None:
    """With few and short documents, what cannot be measured is left out and the command succeeds."""
    assert list(Evaluator(encoder).documents([(["x"], "australia"), (["y"], "")], seeds=2)) == []


def test_an_unwritable_json_output_is_one_line(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """When --json cannot be written, the table is still printed and one line names the file."""
    (tmp_path / "pairs.tsv").write_text("australia government\tthe government of australia\n")
    flags = ("--pairs", tmp_path / "pairs.tsv", "--json", tmp_path / "gone" / "figures.json")
    assert main(["evaluate", str(artifact.path), *map(str, flags)]) == 1
    captured = capsys.readouterr()
    assert "left finds right" in captured.out
    assert captured.err.startswith(
        f"paravec-model: {tmp_path / 'gone' / 'figures.json'}: cannot be written: No such file"
    )
