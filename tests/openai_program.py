"""What users of OpenAI's clients run, in an environment that has these: openai, LangChain, LlamaIndex, Haystack.

Arguments: the URL of an Envoy, and its API key. Prints a line of JSON: what each function returns.
"""

import asyncio
import json
import sys
from typing import Any

TEXTS = ["fires burn near Sydney", "the prime minister spoke to reporters", "rain on the coast of Queensland"]
MODEL = "test"


def openai_python(url: str, key: str) -> Any:
    """The package openai: it asks for base64 by itself."""
    from openai import AsyncOpenAI, OpenAI

    async def asynchronous() -> Any:
        async with AsyncOpenAI(base_url=url, api_key=key) as client:
            return (await client.embeddings.create(model=MODEL, input=TEXTS)).data[0].embedding

    with OpenAI(base_url=url, api_key=key) as client:
        answered = client.embeddings.create(model=MODEL, input=TEXTS)
        numbers = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="float")
        return {
            "vectors": [entry.embedding for entry in answered.data],
            "usage": answered.usage.total_tokens,
            "float": numbers.data[0].embedding,
            "asynchronous": asyncio.run(asynchronous()),
            "models": [model.id for model in client.models.list()],
            "model": client.models.retrieve(MODEL).id,
        }


def openai_errors(url: str, key: str) -> Any:
    """The classes and messages of the package's errors."""
    import openai

    def caught(key: str, **fields: Any) -> Any:
        try:
            openai.OpenAI(base_url=url, api_key=key).embeddings.create(**{"model": MODEL, "input": TEXTS} | fields)
        except openai.APIStatusError as error:
            return [type(error).__name__, error.code, str(error)]

    return {
        "model": caught(key, model="text-embedding-3-small"),
        "input": caught(key, input=[]),
        "tokens": caught(key, input=[1, 2]),
        "key": caught("wrong"),
    }


def langchain(url: str, key: str) -> Any:
    """LangChain's OpenAIEmbeddings, which must not make token ids."""
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(model=MODEL, base_url=url, api_key=key, check_embedding_ctx_length=False)
    return {"vectors": embeddings.embed_documents(TEXTS), "query": embeddings.embed_query(TEXTS[0])}


def llama_index(url: str, key: str) -> Any:
    """LlamaIndex's OpenAIEmbedding; `model_name` takes a model that is not OpenAI's."""
    from llama_index.embeddings.openai import OpenAIEmbedding

    embedding = OpenAIEmbedding(model_name=MODEL, api_base=url, api_key=key)
    return {"vectors": embedding.get_text_embedding_batch(TEXTS), "query": embedding.get_query_embedding(TEXTS[0])}


def haystack(url: str, key: str) -> Any:
    """Haystack's OpenAITextEmbedder and OpenAIDocumentEmbedder."""
    from haystack import Document
    from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
    from haystack.utils import Secret

    options: dict[str, Any] = {"api_base_url": url, "api_key": Secret.from_token(key), "model": MODEL}
    documents = OpenAIDocumentEmbedder(**options).run([Document(content=text) for text in TEXTS])["documents"]
    return {
        "vectors": [document.embedding for document in documents],
        "query": OpenAITextEmbedder(**options).run(TEXTS[0])["embedding"],
    }


CLIENTS = (openai_python, openai_errors, langchain, llama_index, haystack)

if __name__ == "__main__":
    print(json.dumps({client.__name__: client(*sys.argv[1:]) for client in CLIENTS}))
