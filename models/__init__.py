"""Light-curve models: encoder, anomaly scores, calibration, training. Never imports worker."""

from importlib.resources import files
from pathlib import Path

DEFAULT_NAME = "anomaly-small"
DEFAULT_VERSION = "0.1.0"


def default_artifact() -> Path:
    """Directory of the packaged artefact."""
    return Path(str(files("models"))) / "artifacts" / DEFAULT_NAME / DEFAULT_VERSION
