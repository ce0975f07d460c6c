"""A scikit-learn transformer from documents to vectors. gensim had one until version 4."""

from collections.abc import Iterable
from typing import Any, Self

from ..types import Document, Vector
from .requirements import required
from .source import Source

with required("sklearn"):
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin


class Doc2VecTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turns documents into Doc2Vec vectors, in a pipeline before a classifier or a clustering::

        pipeline = make_pipeline(Doc2VecTransformer("localhost:50051"), LogisticRegression())
        pipeline.fit(texts, labels)

    It is stateless: the model is trained already, and `fit` only returns the transformer.
    """

    def __init__(
        self, target: str | None = None, *, artifact: str | None = None, normalize: bool | None = None
    ) -> None:
        """See `paravec_client.integrations` for the arguments."""
        self.target, self.artifact, self.normalize = target, artifact, normalize

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803  scikit-learn's names
        """Do nothing."""
        return self

    def transform(self, X: Iterable[Document]) -> Vector:  # noqa: N803
        """The vectors of n texts or lists of tokens, float32 of shape (n, vector_size)."""
        return self._source.embed(list(X))

    @property
    def _source(self) -> Source:
        return Source(self.target, self.artifact, self.normalize)

    @property
    def _n_features_out(self) -> int:
        """For `get_feature_names_out` of scikit-learn's mixin."""
        return self._source.vector_size

    def __sklearn_tags__(self) -> Any:
        """Takes texts, and needs no fit."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        return tags
