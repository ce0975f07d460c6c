"""What can go wrong with a model; each message is one line that names the thing and what to do.

ModelError
├── ArtifactError      an artifact is missing, damaged, or of an unknown format
├── ConversionError    a gensim file cannot be converted
│   └── UnsafePickleError   ... because it would call something that is not allowed
├── CorpusError        a corpus cannot be read or holds nothing to learn from
├── NotFiniteError     a vector holds NaN or infinity, so the model's numbers are no good
├── OptionError        an option of training or inference is out of range; `field` names it
└── StoppedError       the caller asked an inference or a training to stop
"""


class ModelError(Exception):
    """Base of all errors of this package."""


class ArtifactError(ModelError):
    """An artifact is missing, damaged, or of an unknown format."""


class ConversionError(ModelError):
    """A gensim file cannot be converted."""


class UnsafePickleError(ConversionError):
    """A pickle asks for a global that no gensim model needs."""


class CorpusError(ModelError):
    """A corpus cannot be read, or holds nothing to learn from."""


class NotFiniteError(ModelError):
    """A vector holds NaN or infinity, so the model's numbers are no good."""


class OptionError(ModelError):
    """An option is out of range; `field` is its name."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class StoppedError(ModelError):
    """The caller asked an inference to stop before it was done, or a training before it had learned anything."""
