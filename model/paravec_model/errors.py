"""Errors of models. Each message is one line that names the cause and what to do.

ModelError
├── ArtifactError      the artifact is missing, damaged, or of an unknown format
│   └── SignatureError      its signature is missing, wrong, or of other files
├── ConversionError    a gensim file cannot be converted
│   └── UnsafePickleError   the file would call a function that is not allowed
├── CorpusError        a corpus cannot be read, or has too little text to train on
├── NotFiniteError     a vector holds NaN or infinity: the model is damaged or diverged
├── OptionError        an option of training or inference is out of range; `field` names it
└── StoppedError       the caller stopped an inference or a training
"""


class ModelError(Exception):
    """Base of all errors of this package."""


class ArtifactError(ModelError):
    """An artifact is missing, damaged, or of an unknown format."""


class SignatureError(ArtifactError):
    """The signature of an artifact is missing, wrong, of another key, or of other files."""


class ConversionError(ModelError):
    """A gensim file cannot be converted."""


class UnsafePickleError(ConversionError):
    """A pickle imports a name that no gensim model needs."""


class CorpusError(ModelError):
    """A corpus cannot be read, or has too little text to train on."""


class NotFiniteError(ModelError):
    """A vector holds NaN or infinity: the model is damaged, or diverged in training."""


class OptionError(ModelError):
    """An option is out of range; `field` is its name."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickled by its arguments; a pool of processes would hang on an error that cannot be unpickled."""
        return type(self), (self.field, self.problem)


class StoppedError(ModelError):
    """The caller stopped an inference before its end, or a training before its first result."""
