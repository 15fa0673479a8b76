"""What a process inherits that other libraries obey, set right before they are imported."""

import contextlib
import os
from collections.abc import Iterator
from importlib.util import find_spec


def set_right() -> None:
    """Puts aside what is meant for other programs and would end, change or cut short what is done here."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        os.environ.pop(name, None)
    # Notebooks hand their backend of matplotlib on to the processes that they start, which may not have it:
    # with some, matplotlib cannot be imported then.
    kind, _, backend = os.environ.get("MPLBACKEND", "").partition("://")
    if kind == "module" and not is_installed(backend.partition(".")[0]):
        del os.environ["MPLBACKEND"]


def use_onednn() -> None:
    """Has a TensorFlow that is not yet imported compute by oneDNN, unless the user has decided on it.

    TensorFlow leaves it off on processors without AVX-512, where it is three times faster too.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextlib.contextmanager
def without_keras_settings() -> Iterator[None]:
    """Has Keras, imported in the block, leave the user's `keras.json` alone: it may say, or be, anything."""
    home = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = os.devnull
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        if home is not None:
            os.environ["KERAS_HOME"] = home


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of its name cannot."""
    try:
        spec = find_spec(package)
    except ValueError:  # It is there, but nobody says from where.
        return True
    return spec is not None and spec.origin is not None
