"""Writes what the example's model is trained on: LibreOffice's help pages and the entries of an FAQ, as JSONL.

python client/examples/faq_texts.py en-us client/examples/faq_engine/faqs/office-en.jsonl texts.jsonl
"""

import json
import sys
from pathlib import Path

from faq_engine.faq import FaqError, read
from libreoffice_help import HelpError, pages


def main() -> int:
    """Write the file; returns the exit status."""
    if len(sys.argv) != 4:
        print("usage: python faq_texts.py LANGUAGE FAQ FILE", file=sys.stderr)
        return 2
    language, faq, path = sys.argv[1:]
    try:
        texts = [text for _, text in pages(language)]
        texts += [f"{entry.question}\n{entry.answer}" for entry in read(Path(faq))]
        Path(path).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="ascii")
    except (FaqError, HelpError, OSError) as error:
        print(f"faq_texts: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {len(texts)} texts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
