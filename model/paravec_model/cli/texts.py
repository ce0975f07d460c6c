"""What `--help` of paravec-model says: a text for each command, and for each parameter of training."""

from ..training.defaults import RULE

# Name -> line in the list of commands, description, text after the flags.
COMMANDS = {
    "train": (
        "train a model on a corpus",
        "Train a model with gensim and write its artifact.",
        """\
Of the defaults, DBOW and 5 noise words follow Lau and Baldwin's evaluation (2016); --epochs and --min-count depend on
the corpus, and a line says what was chosen; the rest are gensim's. docs/how-to/train-a-model.md says why.
Ctrl-C ends training and keeps the model learned so far; pressed again, it drops the model.

examples:
  paravec-model train --corpus lee --output models/lee
  paravec-model train --jsonl reviews.jsonl --field text --tag-field id --output models/reviews
""",
    ),
    "convert": (
        "convert a model that gensim saved",
        "Convert a Doc2Vec model that gensim saved, without running code of its pickle.",
        """\
A gensim file does not record how its training cut text into tokens. Name the same tokenizer here, or the model will not
know the tokens of texts. The default is that of gensim.utils.simple_preprocess.

examples:
  paravec-model convert doc2vec.model models/news --model-version 2
  paravec-model convert doc2vec.model models/news --tokenizer regex --pattern '[a-z0-9]+' --lowercase
""",
    ),
    "index": (
        "make other documents searchable with a model",
        "Embed documents that a model was not trained on, and write an artifact of the model with these documents.",
        """\
A document with several fields gets the mean of their unit vectors, by their weights; its words count alike in all
fields. A document without a word that the model knows is found by its words only, and never with --no-lexical.
--remove takes an id as it is written, a text or a number.

examples:
  paravec-model index models/help --jsonl faq.jsonl --id-field id --field question --field answer --output models/faq
  paravec-model index models/faq --add new.jsonl --remove 17 a-3 --output models/faq-2 --model-version 2
""",
    ),
    "inspect": (
        "show an artifact's manifest",
        "Show name, version, digest, parameters and files of an artifact.",
        "examples:\n  paravec-model inspect models/lee\n  paravec-model inspect models/lee --json | jq -r .digest\n",
    ),
    "verify": (
        "check an artifact's hashes",
        "Read the whole artifact and check its hashes; exit with status 1 if one is wrong.",
        "examples:\n  paravec-model verify models/lee\n  paravec-model verify models/lee --key signer.pub\n",
    ),
    "export": (
        "write the training documents' vectors for other programs",
        "Write the tags and vectors of an artifact's training documents as word2vec text, .npy or Parquet.",
        """\
A .npy file has no tags; they are written beside it, to OUTPUT with the suffix .tags.json.

examples:
  paravec-model export models/lee lee.parquet
  paravec-model export models/lee lee.npy --normalize    # and lee.tags.json; for inner products
  paravec-model export models/lee lee.txt                # gensim: KeyedVectors.load_word2vec_format("lee.txt")
""",
    ),
    "package": (
        "package an artifact for a registry",
        "Write an artifact as an OCI image layout by the specification CNCF ModelPack, which skopeo and oras push.",
        """\
A file model.sig beside the artifact's files, its signature, is packaged too.

example:
  paravec-model package models/lee lee-oci --license Apache-2.0
  skopeo copy oci:lee-oci docker://registry.example.com/models/lee:1
""",
    ),
    "evaluate": (
        "measure how good a model is",
        "Measure how well a model's vectors find related texts, for each method, with 95 % confidence intervals.",
        """\
A corpus needs no labels. Take texts that the model was not trained on: parts of texts that it was trained on find each
other far better than the texts that users will send.
For your own labels use --pairs, or --queries with --documents and --judgements.

examples:
  paravec-model evaluate models/lee --corpus lee --json lee.json
  paravec-model evaluate models/lee --corpus lee --baselines
  paravec-model evaluate models/faq --pairs questions.tsv
  paravec-model evaluate models/faq --queries queries.jsonl --documents answers.jsonl --judgements qrels.txt
""",
    ),
    "compare": (
        "check whether one model may replace another",
        "Check whether model B may replace model A, on a corpus or on the doctags that both artifacts hold.",
        """\
exit status: 0 B may replace A, 3 it may not, 1 they could not be compared, 2 wrong usage.

example:
  paravec-model compare models/news-1 models/news-2 --lines news.txt || echo "keep news-1"
""",
    ),
}

PARAMETER_HELP = {
    "vector_size": "numbers in a vector",
    "dm": "1: PV-DM, 0: PV-DBOW, which usually finds better",
    "dm_mean": "for PV-DM, 1: the mean (default), 0: the sum of the context's vectors",
    "dm_concat": "for PV-DM, 1: concatenate the context's vectors",
    "dm_tag_count": "tags of each document with --dm-concat; must be 1",
    "dbow_words": "for PV-DBOW, 1: learn word vectors as well",
    "window": "greatest distance between a word and its context",
    "min_count": f"drop words that occur less often (default {RULE['min_count']})",
    "sample": "threshold of sub-sampling frequent words, 0: keep all",
    "negative": "noise words for each word, 0: no negative sampling",
    "hs": "1: hierarchical softmax",
    "ns_exponent": "exponent of the noise distribution",
    "epochs": f"passes over the corpus (default {RULE['epochs']})",
    "alpha": "learning rate at the start",
    "min_alpha": "learning rate at the end",
    "shrink_windows": "draw each position's window from 1 to --window",
    "seed": "seed of all random draws",
    "workers": "threads; with more than 1, training cannot be reproduced",
}
