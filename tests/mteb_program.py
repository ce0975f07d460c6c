"""What users of MTEB run, in an environment that has it. With sentence-transformers, and so torch, MTEB evaluates too.

Arguments: the target of a server, and the directory of its artifact. Prints a line of JSON.
"""

import importlib.util
import json
import sys
from typing import Any

TEXTS = ["fires burn near Sydney", "the prime minister spoke to reporters", "rain on the coast of Queensland"]


def encode(**source: Any) -> dict[str, Any]:
    """What an evaluation asks an encoder for, in batches as MTEB makes them."""
    from mteb.models import EncoderProtocol

    from paravec_client.integrations.mteb import ParavecEncoder

    encoder = ParavecEncoder(**source)
    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    # Validates what was given without validation.
    meta = type(meta).model_validate(meta.model_dump())
    vectors = encoder.encode(
        [{"text": TEXTS[:2]}, {"text": TEXTS[2:]}],
        task_metadata=None,
        hf_split="test",
        hf_subset="default",
        prompt_type=None,
        batch_size=2,
        show_progress_bar=False,
    )
    return {"vectors": vectors.tolist(), "name": meta.name, "revision": meta.revision, "size": meta.embed_dim}


def evaluate(target: str) -> dict[str, float]:
    """The main scores of two tasks of our own: similar sentences, and a search for each text itself."""
    import mteb
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    from paravec_client.integrations.mteb import ParavecEncoder

    def describe(name: str, kind: Any, score: str) -> TaskMetadata:
        return TaskMetadata(
            dataset={"path": name, "revision": "1"},
            name=name,
            description=name,
            type=kind,
            eval_langs=["eng-Latn"],
            main_score=score,
        )

    class Pairs(AbsTaskSTS):
        metadata = describe("ParavecPairs", "STS", "cosine_spearman")

        def load_data(self, *_: Any, **__: Any) -> None:
            columns = {"sentence1": TEXTS, "sentence2": [TEXTS[0], TEXTS[2], TEXTS[1]], "score": [5.0, 0.0, 0.0]}
            self.dataset = {"default": {"test": Dataset.from_dict(columns)}}
            self.data_loaded = True

    class Search(AbsTaskRetrieval):
        metadata = describe("ParavecSearch", "Retrieval", "ndcg_at_10")

        def load_data(self, *_: Any, **__: Any) -> None:
            ids = [str(i) for i in range(len(TEXTS))]
            texts = Dataset.from_dict({"id": ids, "text": TEXTS})
            relevant = {i: {i: 1} for i in ids}
            split = RetrievalSplitData(corpus=texts, queries=texts, relevant_docs=relevant, top_ranked=None)
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    encoder = ParavecEncoder(target)
    results = mteb.evaluate(encoder, [Pairs(), Search()], cache=None, show_progress_bar=False)
    return {result.task_name: result.get_score() for result in results.task_results}


if __name__ == "__main__":
    target, artifact = sys.argv[1:]
    made: dict[str, Any] = {"server": encode(target=target), "process": encode(artifact=artifact)}
    made["scores"] = evaluate(target) if importlib.util.find_spec("sentence_transformers") else None
    print(json.dumps(made))
