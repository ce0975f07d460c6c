"""How benchmarks.retrieval makes tasks: no model that is measured has learned a query by heart."""

from benchmarks.retrieval import Collection, different, lee, split, titles

from paravec_model.evaluation.tasks import Task
from paravec_model.text.tokenizer import SimpleTokenizer


def test_targets_are_trained_and_queries_are_not() -> None:
    """Nor is a query trained that is also a target, or another document; λ is chosen on no document of a task."""
    task = Task.paired("asks", [(["a"], ["b"]), (["c"], ["d", "e"]), (["d", "e"], ["f"])])
    collection = Collection.without_queries([["g"], ["a"], ["f"], ["g"], ["h"]], [task])
    assert collection.documents == [["g"], ["h"], ["b"], ["f"]]
    assert collection.lambda_documents == [["g"], ["h"]]


def test_a_document_is_in_one_task_or_trained_whole() -> None:
    """What is found in one task may hold what another asks."""
    for size in (7, 293, 15_000):
        *tasks, others = split(range(size), tasks=2)
        assert sorted([number for part in (*tasks, others) for number in part]) == list(range(size))
        assert all(0 < len(part) <= 400 for part in tasks)
        assert len(others) >= size // 2
    assert different(["One two.", "one, two", "two one"], SimpleTokenizer()) == ["one, two", "two one"]


def test_a_text_is_cut_after_its_first_line() -> None:
    """A title without a text below it finds nothing, and a short one may be left out."""
    texts = ["Rain\nfalls on the coast", "Wind", "A strong wind\nblows"]
    task = titles(texts)
    assert (task.queries, task.targets) == (
        (["rain"], ["strong", "wind"]),
        (["falls", "on", "the", "coast"], ["blows"]),
    )
    assert titles(texts, shortest_title=2).queries == (["strong", "wind"],)


def test_stories_of_a_corpus_are_halved_or_trained_whole() -> None:
    """The odd tokens of each second story are trained, its even ones are not."""
    collection = lee()
    task = collection.tasks[0]
    assert isinstance(task, Task)
    assert len(task.targets) == 147
    trained = {tuple(tokens) for tokens in collection.documents}
    assert trained == {*map(tuple, task.targets), *map(tuple, collection.lambda_documents)}
    assert trained.isdisjoint(map(tuple, task.queries))
