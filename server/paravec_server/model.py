"""Opens the model that the settings name."""

import logging
import time

from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import OptionError
from paravec_model.options import Method

from .settings import Settings, SettingsError, setting_names
from .telemetry.logs import event

_METHODS: dict[str, Method | None] = {"model": None, "sgd": "sgd", "map": "map"}

_log = logging.getLogger(__name__)


def open_encoder(settings: Settings) -> Encoder:
    """Open the artifact `settings.model`; `verify` "full" also checks the hash of every file.

    Raises ModelError if the artifact is damaged, SettingsError if the settings do not fit the model.
    """
    started = time.perf_counter()
    artifact = Artifact.open(settings.model, verify=settings.verify == "full")
    try:
        encoder = Encoder(artifact, _METHODS[settings.method])
    except OptionError as error:
        raise SettingsError(f"{setting_names('method')} {error.problem}") from error
    manifest = artifact.manifest
    if (epochs := manifest.defaults.epochs) > settings.max_epochs:
        raise SettingsError(f"{setting_names('max_epochs')} must be at least {epochs}, the model's default")
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    event(_log, logging.INFO, "model opened", **facts, seconds=round(time.perf_counter() - started, 3))
    return encoder
