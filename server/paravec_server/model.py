"""Opens the model that the settings name."""

import logging
import time
from typing import TYPE_CHECKING

from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import OptionError
from paravec_model.options import Method

from .settings import Settings, SettingsError, setting_names
from .telemetry.logs import event

if TYPE_CHECKING:
    from paravec_model.signature import Verifier

_METHODS: dict[str, Method | None] = {"model": None, "sgd": "sgd", "map": "map"}

_log = logging.getLogger(__name__)


def open_encoder(settings: Settings) -> Encoder:
    """Open the artifact `settings.model`, and check of it what `settings.verify` asks for.

    Raises ModelError if the artifact is damaged, SettingsError if the settings do not fit the model.
    """
    started = time.perf_counter()
    artifact = Artifact.open(settings.model, verify=settings.verify == "full", signed_by=_verifier(settings))
    try:
        encoder = Encoder(artifact, _METHODS[settings.method])
    except OptionError as error:
        raise SettingsError(f"{setting_names('method')} {error.problem}") from error
    manifest = artifact.manifest
    if (epochs := manifest.defaults.epochs) > settings.max_epochs:
        raise SettingsError(f"{setting_names('max_epochs')} must be at least {epochs}, the model's default")
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    facts["verify"] = settings.verify
    event(_log, logging.INFO, "model opened", **facts, seconds=round(time.perf_counter() - started, 3))
    return encoder


def _verifier(settings: Settings) -> "Verifier | None":
    """What checks the model's signature; None if the settings do not ask for that."""
    if settings.verify != "signature" or settings.verify_key is None:
        return None
    try:
        from paravec_model.signature import Verifier
    except ModuleNotFoundError:
        raise SettingsError(f"{setting_names('verify')} signature needs pip install 'paravec[signature]'") from None
    try:
        return Verifier.read(settings.verify_key)
    except OptionError as error:
        raise SettingsError(f"{setting_names('verify_key')}: {error.problem}") from error
