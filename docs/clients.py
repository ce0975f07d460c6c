"""Clients that others wrote, and the tests that run each against a real server: the rows of reference/clients.md."""

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_INTEGRATION = "tests/integration"
_OPENAI = f"{_INTEGRATION}/test_openai.py::test_clients_of_openai_work"
_OWN = f"{_INTEGRATION}/test_integrations.py::test_a_library_uses_the_models_vectors"


class Client(NamedTuple):
    """A row of the table."""

    name: str
    speaks: str
    package: str
    """Its package, whose version the lock has; "" if the machine brings it."""
    lock: str
    """The file that locks the package, from the repository's root."""
    how: str
    """`unchanged`, or what the user sets or imports."""
    test: str
    """The test that runs it."""


CLIENTS = (
    Client("grpcio", "gRPC", "grpcio", "requirements/dev.lock", "unchanged",
           f"{_INTEGRATION}/test_embedding.py::test_embed_returns_the_encoders_vectors"),
    Client("grpc-js (Node)", "gRPC", "@grpc/grpc-js", "client/examples/node/package-lock.json", "unchanged",
           f"{_INTEGRATION}/test_languages.py::test_the_node_example_embeds"),
    Client("grpc-go", "gRPC", "", "", "unchanged", "tests/languages/run_go.py::test_the_go_example_embeds"),
    Client("tritonclient, KServe", "Open Inference Protocol", "tritonclient", "requirements/oip.lock", "unchanged",
           f"{_INTEGRATION}/test_tritonclient.py::test_tritonclient_gets_the_vectors_of_embed"),
    Client("curl", "HTTP and JSON", "", "", "unchanged",
           f"{_INTEGRATION}/test_http.py::test_the_documented_commands_work"),
    Client("openai (Python)", "OpenAI", "openai", "requirements/adapters.lock", "unchanged: `base_url`", _OPENAI),
    Client("openai (Node)", "OpenAI", "openai", "tests/openai_node/package-lock.json", "unchanged: `baseURL`",
           f"{_INTEGRATION}/test_openai.py::test_openai_for_node_works"),
    Client("LangChain, `OpenAIEmbeddings`", "OpenAI", "langchain-openai", "requirements/adapters.lock",
           "`check_embedding_ctx_length=False`", _OPENAI),
    Client("LlamaIndex, `OpenAIEmbedding`", "OpenAI", "llama-index-embeddings-openai", "requirements/adapters.lock",
           "`model_name` in place of `model`", _OPENAI),
    Client("Haystack, `OpenAITextEmbedder`, `OpenAIDocumentEmbedder`", "OpenAI", "haystack-ai",
           "requirements/adapters.lock", "unchanged: `api_base_url`", _OPENAI),
    Client("scikit-learn", "our client", "scikit-learn", "requirements/adapters.lock", "our module", _OWN),
    Client("LangChain", "our client", "langchain-core", "requirements/adapters.lock", "our module", _OWN),
    Client("LlamaIndex", "our client", "llama-index-core", "requirements/adapters.lock", "our module", _OWN),
    Client("Haystack", "our client", "haystack-ai", "requirements/adapters.lock", "our module", _OWN),
    Client("MTEB", "our client", "mteb-core", "requirements/mteb.lock", "our module",
           "tests/languages/run_mteb.py::test_mteb_gets_the_models_vectors"),
    Client("Qdrant", "exported vectors", "qdrant-client", "requirements/adapters.lock", "unchanged",
           f"{_INTEGRATION}/test_integrations.py::test_a_vector_database_finds_what_the_model_finds"),
)  # fmt: skip


def version(client: Client) -> str:
    """The version of a client that its test runs, as locked; `the machine's` without a lock."""
    if not client.lock:
        return "the machine's"
    text = (ROOT / client.lock).read_text()
    if client.lock.endswith(".json"):
        return str(json.loads(text)["packages"][f"node_modules/{client.package}"]["version"])
    found = re.search(rf"^{re.escape(client.package)}(?:\[.*\])?==(\S+)", text, re.MULTILINE)
    if not found:
        raise ValueError(f"{client.lock} does not lock {client.package}")
    return found[1]
