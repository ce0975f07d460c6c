"""What people see of texts and vectors."""

from ..files.outcomes import Outcome

HEADER = f"{'known/tokens':>12}  {'length':>7}  text and vector"
"""Above the rows."""


def row(outcome: Outcome) -> str:
    """The beginnings of a document and its vector, or why it has none."""
    document, embedding = outcome.record.document, outcome.embedding
    text = shown(" ".join(map(str, document)) if isinstance(document, list) else str(document), 40)
    if embedding is None:
        return f"{'-':>12}  {'-':>7}  {text:<40}  {outcome.problem}"
    counts = f"{embedding.known_token_count}/{embedding.token_count}"
    length = float((embedding.vector**2).sum() ** 0.5)
    vector = " ".join(f"{x:+.3f}" for x in embedding.vector[:6]) + (" ..." if len(embedding.vector) > 6 else "")
    return f"{counts:>12}  {length:7.3f}  {text:<40}  {vector}"


def shown(text: str, width: int) -> str:
    """The beginning of a text, with nothing in it that a terminal would act on."""
    short = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else " " for c in short)
