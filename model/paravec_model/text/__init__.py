"""From text to token ids: tokenizers and the vocabulary.

Public: `Tokenizer` and its kinds (tokenizer), `Vocabulary` (vocabulary), `TokenIdReader` and `TokenIds` (token_ids).
"""
