"""What users of scikit-learn, LangChain, LlamaIndex, Haystack and Qdrant run, in an environment that has these.

Arguments: the target of a server, the directory of its artifact, and a .npy exported from it. Prints a line of JSON.
"""

import asyncio
import json
import pickle
import sys
from pathlib import Path
from typing import Any

TEXTS = ["fires burn near Sydney", "the prime minister spoke to reporters", "rain on the coast of Queensland"] * 6
LABELS = ["fire", "politics", "weather"] * 6
QUERY = "fires burn near Sydney"


def with_sklearn(**source: Any) -> dict[str, Any]:
    """A pipeline that is cloned, fitted, pickled, and searched for the best parameters."""
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from paravec_client.integrations.sklearn import Doc2VecTransformer

    transformer = Doc2VecTransformer(**source)
    pipeline = clone(make_pipeline(transformer, LogisticRegression()))
    fitted = pickle.loads(pickle.dumps(pipeline.fit(TEXTS, LABELS)))
    search = GridSearchCV(pipeline, {"doc2vectransformer__normalize": [True, False]}, cv=2).fit(TEXTS, LABELS)
    return {
        "vectors": transformer.fit_transform(TEXTS[:2]).tolist(),
        "score": fitted.score(TEXTS, LABELS),
        "names": list(transformer.get_feature_names_out())[:2],
        "searched": search.best_score_,
        "tokens": transformer.transform([text.lower().split() for text in TEXTS[:2]]).shape,
    }


def with_langchain(**source: Any) -> dict[str, Any]:
    """A vector store, and the asynchronous method."""
    from langchain_core.vectorstores import InMemoryVectorStore

    from paravec_client.integrations.langchain import ParavecEmbeddings

    embeddings = ParavecEmbeddings(**source)
    store = InMemoryVectorStore.from_texts(TEXTS[:3], embeddings)
    return {
        "vectors": embeddings.embed_documents(TEXTS[:2]),
        "found": store.similarity_search(QUERY, k=1)[0].page_content,
        "asynchronous": asyncio.run(embeddings.aembed_query(TEXTS[0])),
    }


def with_llama_index(**source: Any) -> dict[str, Any]:
    """An index of documents, and its retriever."""
    from llama_index.core import Document, VectorStoreIndex

    from paravec_client.integrations.llama_index import ParavecEmbedding

    model = ParavecEmbedding(**source)
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS[:3]], embed_model=model)
    found = index.as_retriever(similarity_top_k=1).retrieve(QUERY)
    return {
        "vectors": model.get_text_embedding_batch(TEXTS[:2]),
        "found": found[0].get_content(),
        "asynchronous": asyncio.run(model.aget_query_embedding(TEXTS[0])),
        "saved": model.to_dict()["class_name"],
    }


def with_haystack(**source: Any) -> dict[str, Any]:
    """A pipeline that is saved and loaded again, before it answers."""
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from paravec_client.integrations.haystack import ParavecDocumentEmbedder, ParavecTextEmbedder

    store = InMemoryDocumentStore()
    documents = ParavecDocumentEmbedder(**source).run(documents=[Document(content=text) for text in TEXTS[:3]])
    store.write_documents(documents["documents"])
    pipeline = Pipeline()
    pipeline.add_component("embedder", ParavecTextEmbedder(**source))
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["paravec_client.integrations.haystack"])
    loaded.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    loaded.connect("embedder.embedding", "retriever.query_embedding")
    answer = loaded.run({"embedder": {"text": QUERY}})
    return {
        "vectors": [document.embedding for document in documents["documents"][:2]],
        "found": answer["retriever"]["documents"][0].content,
    }


def with_qdrant(exported: str) -> dict[str, Any]:
    """Exported vectors in a database that runs in this process, searched for one of them."""
    import numpy as np
    from qdrant_client import QdrantClient, models

    vectors = np.load(exported)
    tags = json.loads(Path(exported).with_suffix(".tags.json").read_text())
    database = QdrantClient(":memory:")
    database.create_collection(
        "documents",
        vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE),
    )
    points = [
        models.PointStruct(id=i, vector=vector.tolist(), payload={"tag": tag})
        for i, (tag, vector) in enumerate(zip(tags, vectors, strict=True))
    ]
    database.upsert("documents", points)
    found = database.query_points("documents", query=vectors[7].tolist(), limit=3).points
    return {"tags": [point.payload["tag"] for point in found], "cosines": [point.score for point in found]}


if __name__ == "__main__":
    target, artifact, exported = sys.argv[1:]
    libraries = {
        "sklearn": with_sklearn,
        "langchain": with_langchain,
        "llama_index": with_llama_index,
        "haystack": with_haystack,
    }
    sources: dict[str, dict[str, Any]] = {"server": {"target": target}, "process": {"artifact": artifact}}
    made = {name: {kind: run(**source) for kind, source in sources.items()} for name, run in libraries.items()}
    print(json.dumps(made | {"qdrant": with_qdrant(exported)}))
