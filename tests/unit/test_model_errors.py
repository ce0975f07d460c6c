"""The errors of paravec_model."""

import pickle

from paravec_model import errors


def test_every_error_can_be_pickled() -> None:
    """A process pool that infers or trains passes the model's errors on to its caller."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ModelError)]
    assert errors.OptionError in kinds
    for kind in kinds:
        error = kind("epochs", "must be positive")
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.args, vars(copy)) == (kind, error.args, vars(error))
