from google.api import annotations_pb2 as _annotations_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METHOD_UNSPECIFIED: _ClassVar[Method]
    METHOD_SGD: _ClassVar[Method]
    METHOD_MAP: _ClassVar[Method]

class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_DBOW: _ClassVar[Algorithm]
    ALGORITHM_DM_MEAN: _ClassVar[Algorithm]
    ALGORITHM_DM_SUM: _ClassVar[Algorithm]
    ALGORITHM_DM_CONCAT: _ClassVar[Algorithm]
METHOD_UNSPECIFIED: Method
METHOD_SGD: Method
METHOD_MAP: Method
ALGORITHM_UNSPECIFIED: Algorithm
ALGORITHM_DBOW: Algorithm
ALGORITHM_DM_MEAN: Algorithm
ALGORITHM_DM_SUM: Algorithm
ALGORITHM_DM_CONCAT: Algorithm

class Document(_message.Message):
    __slots__ = ("text", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: TokenList
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Union[TokenList, _Mapping]] = ...) -> None: ...

class TokenList(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class InferenceOptions(_message.Message):
    __slots__ = ("method", "epochs", "alpha", "min_alpha", "seed", "normalize", "truncate")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    MIN_ALPHA_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    method: Method
    epochs: int
    alpha: float
    min_alpha: float
    seed: int
    normalize: bool
    truncate: bool
    def __init__(self, method: _Optional[_Union[Method, str]] = ..., epochs: _Optional[int] = ..., alpha: _Optional[float] = ..., min_alpha: _Optional[float] = ..., seed: _Optional[int] = ..., normalize: bool = ..., truncate: bool = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector", "token_count", "known_token_count", "truncated")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    vector: _containers.RepeatedScalarFieldContainer[float]
    token_count: int
    known_token_count: int
    truncated: bool
    def __init__(self, vector: _Optional[_Iterable[float]] = ..., token_count: _Optional[int] = ..., known_token_count: _Optional[int] = ..., truncated: bool = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("documents", "options")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    options: InferenceOptions
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., options: _Optional[_Union[InferenceOptions, _Mapping]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embeddings", "model", "method")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    model: ModelVersion
    method: Method
    def __init__(self, embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., method: _Optional[_Union[Method, str]] = ...) -> None: ...

class EmbedStreamRequest(_message.Message):
    __slots__ = ("document", "options")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    document: Document
    options: InferenceOptions
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., options: _Optional[_Union[InferenceOptions, _Mapping]] = ...) -> None: ...

class EmbedStreamResponse(_message.Message):
    __slots__ = ("embedding", "error", "model", "method")
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    embedding: Embedding
    error: _status_pb2.Status
    model: ModelVersion
    method: Method
    def __init__(self, embedding: _Optional[_Union[Embedding, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., method: _Optional[_Union[Method, str]] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("text", "tokens", "vector")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: TokenList
    vector: Vector
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Union[TokenList, _Mapping]] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class FindSimilarRequest(_message.Message):
    __slots__ = ("queries", "top_k", "options", "lexical_weight")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LEXICAL_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[Query]
    top_k: int
    options: InferenceOptions
    lexical_weight: float
    def __init__(self, queries: _Optional[_Iterable[_Union[Query, _Mapping]]] = ..., top_k: _Optional[int] = ..., options: _Optional[_Union[InferenceOptions, _Mapping]] = ..., lexical_weight: _Optional[float] = ...) -> None: ...

class FindSimilarResponse(_message.Message):
    __slots__ = ("results", "model", "method")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SimilarDocuments]
    model: ModelVersion
    method: Method
    def __init__(self, results: _Optional[_Iterable[_Union[SimilarDocuments, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., method: _Optional[_Union[Method, str]] = ...) -> None: ...

class SimilarDocuments(_message.Message):
    __slots__ = ("neighbours", "token_count", "known_token_count", "truncated", "lexical_weight")
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    LEXICAL_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    neighbours: _containers.RepeatedCompositeFieldContainer[Neighbour]
    token_count: int
    known_token_count: int
    truncated: bool
    lexical_weight: float
    def __init__(self, neighbours: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ..., token_count: _Optional[int] = ..., known_token_count: _Optional[int] = ..., truncated: bool = ..., lexical_weight: _Optional[float] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("name", "number", "cosine", "score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    cosine: float
    score: float
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., cosine: _Optional[float] = ..., score: _Optional[float] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("name", "number")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class GetDocumentVectorsRequest(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    def __init__(self, tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ...) -> None: ...

class GetDocumentVectorsResponse(_message.Message):
    __slots__ = ("vectors", "model")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    model: ModelVersion
    def __init__(self, vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("version", "algorithm", "vector_size", "vocabulary_size", "negative", "hierarchical_softmax", "methods", "defaults", "limits", "tokenizer", "document_count", "lexical_index")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    VECTOR_SIZE_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    HIERARCHICAL_SOFTMAX_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEXICAL_INDEX_FIELD_NUMBER: _ClassVar[int]
    version: ModelVersion
    algorithm: Algorithm
    vector_size: int
    vocabulary_size: int
    negative: int
    hierarchical_softmax: bool
    methods: _containers.RepeatedScalarFieldContainer[Method]
    defaults: InferenceOptions
    limits: Limits
    tokenizer: Tokenizer
    document_count: int
    lexical_index: bool
    def __init__(self, version: _Optional[_Union[ModelVersion, _Mapping]] = ..., algorithm: _Optional[_Union[Algorithm, str]] = ..., vector_size: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., negative: _Optional[int] = ..., hierarchical_softmax: bool = ..., methods: _Optional[_Iterable[_Union[Method, str]]] = ..., defaults: _Optional[_Union[InferenceOptions, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., tokenizer: _Optional[_Union[Tokenizer, _Mapping]] = ..., document_count: _Optional[int] = ..., lexical_index: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_documents", "max_tokens", "max_epochs", "max_message_bytes", "max_top_k")
    MAX_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOP_K_FIELD_NUMBER: _ClassVar[int]
    max_documents: int
    max_tokens: int
    max_epochs: int
    max_message_bytes: int
    max_top_k: int
    def __init__(self, max_documents: _Optional[int] = ..., max_tokens: _Optional[int] = ..., max_epochs: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_top_k: _Optional[int] = ...) -> None: ...

class Tokenizer(_message.Message):
    __slots__ = ("kind", "lowercase", "deaccent", "min_len", "max_len", "pattern", "stemmer", "stemmer_version", "stop_words")
    KIND_FIELD_NUMBER: _ClassVar[int]
    LOWERCASE_FIELD_NUMBER: _ClassVar[int]
    DEACCENT_FIELD_NUMBER: _ClassVar[int]
    MIN_LEN_FIELD_NUMBER: _ClassVar[int]
    MAX_LEN_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    STEMMER_FIELD_NUMBER: _ClassVar[int]
    STEMMER_VERSION_FIELD_NUMBER: _ClassVar[int]
    STOP_WORDS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    lowercase: bool
    deaccent: bool
    min_len: int
    max_len: int
    pattern: str
    stemmer: str
    stemmer_version: str
    stop_words: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[str] = ..., lowercase: bool = ..., deaccent: bool = ..., min_len: _Optional[int] = ..., max_len: _Optional[int] = ..., pattern: _Optional[str] = ..., stemmer: _Optional[str] = ..., stemmer_version: _Optional[str] = ..., stop_words: _Optional[_Iterable[str]] = ...) -> None: ...
