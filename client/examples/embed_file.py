"""Embeds each line of a file on the server in PARAVEC_TARGET: python embed_file.py texts.txt vectors.npy"""

import sys

from numpy.lib.format import write_array_header_1_0

from paravec_client import ClientConfig, EmbeddingClient

texts, vectors = sys.argv[1:]
with EmbeddingClient(config=ClientConfig.from_environment()) as client, open(texts, encoding="utf-8") as lines:
    shape = (sum(1 for _ in lines), client.model().vector_size)
    lines.seek(0)
    with open(vectors, "wb") as out:
        write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for embedding in client.embed_stream(lines):
            out.write(embedding.vector.data)
