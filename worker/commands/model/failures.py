"""What a model command says when a file or an argument does not fit."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import ConfigError


@contextmanager
def as_config_errors() -> Iterator[None]:
    """The models' own errors are ValueErrors that name the file: exit 78 with their text."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
