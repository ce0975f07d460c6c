"""The epochs and learning rates that a gensim model was left with, as defaults of inference.

gensim trains with any, and a program that lowers them by hand, epoch by epoch, leaves the last in the model.
"""

import logging
from collections.abc import Mapping
from typing import Any

from ..errors import ConversionError, OptionError
from ..options import InferenceOptions

_logger = logging.getLogger(__name__)

# What gensim takes where it is told nothing.
_USUAL = {"epochs": 10, "alpha": 0.025, "min_alpha": 0.0001}


def usable(own: Mapping[str, Any], given: Mapping[str, Any], *, has_map: bool) -> dict[str, Any]:
    """Epochs and rates for inference: those of flags, `given` by option, or the model's own.

    ConversionError names what makes no sense, and the flags that would do. Method map needs none of them, so for that
    they are replaced with a warning. `has_map`: whether the model can be used with it. What flags say is not checked.
    """
    values, odd = dict[str, Any](_USUAL), list[str]()
    for name in _USUAL:
        values[name] = own[name] if given.get(name) is None else given[name]
        try:
            InferenceOptions(**{**values, "min_alpha": values["min_alpha"] if name == "min_alpha" else 0})
        except OptionError:
            if given.get(name) is None:
                odd.append(name)
                values[name] = min(_USUAL[name], values["alpha"]) if name == "min_alpha" else _USUAL[name]
    left = ", ".join(f"{name} {own[name]:g}" for name in odd)
    if odd and given.get("method") == "map":
        taken = ", ".join(f"{name} {values[name]:g}" for name in odd)
        _logger.warning("the model was left with %s; a caller who asks for sgd gets %s", left, taken)
    elif odd:
        flags = " ".join(f"--infer-{name.replace('_', '-')} {values[name]:g}" for name in odd)
        instead = ", or --infer-method map, which needs none of them" if has_map else ""
        raise ConversionError(
            f"the model was left with {left}, as by a loop that lowers the rate itself, and sgd cannot infer with that;"
            f" add {flags}{instead}"
        )
    elif own["epochs"] == 1 and given.get("epochs") is None and given.get("method") != "map":
        _logger.warning(
            "the model says one epoch, as by a loop around train(), and one pass over a text is too few for sgd;"
            " add --infer-epochs 20%s",
            ", or --infer-method map" if has_map else "",
        )
    return values
