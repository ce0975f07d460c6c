"""Epochs and learning rates of a gensim model, checked before they become defaults of inference.

gensim accepts any values. A program that calls train() in a loop and lowers alpha itself leaves the last, unusable
values in the model.
"""

import logging
from collections.abc import Mapping
from typing import Any

from ..errors import ConversionError, OptionError
from ..options import InferenceOptions

_logger = logging.getLogger(__name__)

# gensim's defaults, which replace unusable values.
_GENSIM_DEFAULTS = {"epochs": 10, "alpha": 0.025, "min_alpha": 0.0001}


def inference_rates(own: Mapping[str, Any], given: Mapping[str, Any], *, has_map: bool) -> dict[str, Any]:
    """Epochs, alpha and min_alpha for inference: those in `given`, else the model's `own`.

    `given` is not checked here. If own values are out of range, ConversionError names the flags to add; with method
    map, which uses none of them, gensim's defaults replace them and a warning says so. `has_map`: whether the artifact
    can have method map.
    """
    values, unusable = dict[str, Any](_GENSIM_DEFAULTS), list[str]()
    for name in _GENSIM_DEFAULTS:
        values[name] = own[name] if given.get(name) is None else given[name]
        try:
            InferenceOptions(**{**values, "min_alpha": values["min_alpha"] if name == "min_alpha" else 0})
        except OptionError:
            if given.get(name) is None:
                unusable.append(name)
                default = _GENSIM_DEFAULTS[name]
                values[name] = min(default, values["alpha"]) if name == "min_alpha" else default
    left = ", ".join(f"{name} {own[name]:g}" for name in unusable)
    if unusable and given.get("method") == "map":
        replaced = ", ".join(f"{name} {values[name]:g}" for name in unusable)
        _logger.warning("the model was left with %s; method sgd, if a caller asks for it, uses %s", left, replaced)
    elif unusable:
        flags = " ".join(f"--infer-{name.replace('_', '-')} {values[name]:g}" for name in unusable)
        instead = ", or --infer-method map, which needs none of them" if has_map else ""
        raise ConversionError(
            f"the model was left with {left}, as by a loop that lowers the rate itself, and sgd cannot infer with that;"
            f" add {flags}{instead}"
        )
    elif own["epochs"] == 1 and given.get("epochs") is None and given.get("method") != "map":
        _logger.warning(
            "the model was left with one epoch, as by a loop around train(), and one pass over a text is too few for"
            " sgd; add --infer-epochs 20%s",
            ", or --infer-method map" if has_map else "",
        )
    return values
