"""What computes: TensorFlow's import, free of other programs' settings, and the processor."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from clothinggan import __version__
from clothinggan.errors import ClothingGANError

# Keras imports these where they are installed, for parts of it that nothing here uses: half of its start-up.
_FOR_OTHER_PARTS_OF_KERAS = ("matplotlib.pyplot", "pandas", "scipy", "sklearn")


def prepare_tensorflow() -> None:
    """Has a TensorFlow that is not yet imported compute by oneDNN, and be quiet, unless the user decided.

    TensorFlow leaves oneDNN off on processors without AVX-512, where it is three times faster too. Whoever
    imports TensorFlow then, the same bits come of it.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of its name cannot."""
    try:
        spec = find_spec(package)
    except ValueError:  # It is there, but nobody says from where.
        return True
    return spec is not None and spec.origin is not None


def import_tensorflow() -> None:
    """Imports TensorFlow, and Keras upon it, without the lines that they print by the way.

    Raises:
        ClothingGANError: If TensorFlow is not there, or Keras already runs on something else.
    """
    if "keras" in sys.modules and (backend := sys.modules["keras"].backend.backend()) != "tensorflow":
        raise ClothingGANError(
            f"Keras already runs on {backend} here, and ClothingGAN needs it on tensorflow; start a new "
            "process (in a notebook: restart the kernel) with KERAS_BACKEND=tensorflow"
        )
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return
    prepare_tensorflow()
    with standard_error_held_back(), _left_out(_FOR_OTHER_PARTS_OF_KERAS), _without_keras_settings():
        try:
            import tensorflow as tf
        except ImportError as error:
            raise ClothingGANError(
                f"TensorFlow cannot be imported ({error}); install it with: pip install tensorflow"
            ) from error
        import keras  # noqa: F401 - for its settings, which it reads when it is imported.
        from absl import logging

        logging.set_verbosity(logging.ERROR)
        tf.get_logger().setLevel("ERROR")
        # The networks are chains: one operation at a time on all cores is 5 % faster than two at once.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        # Looking for devices is when TensorFlow says what it misses.
        tf.config.list_physical_devices()


@contextlib.contextmanager
def without_absl_warnings() -> Iterator[None]:
    """Has absl, by which Keras speaks, tell errors only while the block runs; a caller may hear more."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def _without_keras_settings() -> Iterator[None]:
    """Has Keras, imported in the block, run on TensorFlow and mind no settings that are for other programs.

    The user's `keras.json` may say, or be, anything; and the variables would cut a training short.
    """
    settings = {"KERAS_HOME": os.devnull, "KERAS_BACKEND": "tensorflow"}
    with _environment(settings | dict.fromkeys(("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"))):
        yield


@contextlib.contextmanager
def a_backend_that_is_there() -> Iterator[None]:
    """Has matplotlib, imported in the block, mind MPLBACKEND only where that names what is installed.

    Notebooks hand their backend on to the processes that they start, which may not have it: with some,
    matplotlib cannot be imported then.
    """
    kind, _, backend = os.environ.get("MPLBACKEND", "").partition("://")
    absent = kind == "module" and not is_installed(backend.partition(".")[0])
    with _environment({"MPLBACKEND": None} if absent else {}):
        yield


@contextlib.contextmanager
def _environment(settings: dict[str, str | None]) -> Iterator[None]:
    """Sets environment variables, or unsets those that are None, while the block runs."""
    before = {name: os.environ.get(name) for name in settings}

    def put(values: dict[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(settings)
    try:
        yield
    finally:
        put(before)


@contextlib.contextmanager
def _left_out(names: Sequence[str]) -> Iterator[None]:
    """Has packages do without modules that they can do without, while the block imports them."""
    names = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def standard_error_held_back() -> Iterator[None]:
    """Keeps what C++ code writes to standard error from the user; that is beyond Python's reach."""
    # A flag that TensorFlow does not know ends the process, and only its words tell why.
    if os.environ.get("CLOTHINGGAN_DEBUG") == "1" or {"TF_XLA_FLAGS", "XLA_FLAGS"} & os.environ.keys():
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def library_versions() -> dict[str, str]:
    """Returns the versions that the bits of a run depend on, by name; and whether oneDNN computes."""
    import h5py
    import keras
    import numpy as np
    import tensorflow as tf

    onednn = {"0": "off", "false": "off", "": "as TensorFlow chooses"}
    return {
        "clothinggan": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "onednn": onednn.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower(), "on"),
    }


def thread_count() -> int:
    """Returns how many threads one TensorFlow operation may use."""
    import tensorflow as tf

    from_environment = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    asked_for = int(from_environment) if from_environment.isdecimal() else 0
    return tf.config.threading.get_intra_op_parallelism_threads() or asked_for or core_count()


def describe_device(replicas: int) -> str:
    """Returns what this process trains on, one device for each replica of its own, for a person to read."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return f"GPU ({device_names(replicas)})"
    return f"CPU ({thread_count()} threads)"


def device_names(count: int | None = None) -> str:
    """Returns the GPUs here, or the first so many of them; where there are none, the processor."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")[:count]
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or processor_name()


@cache
def processor_name() -> str:
    """Its name, or on ARM under Linux its maker's and its own number; the architecture where none is told."""
    information = _cpuinfo()
    if "model name" in information:
        return information["model name"]
    numbers = [information[key] for key in ("CPU implementer", "CPU part") if key in information]
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return " ".join([platform.machine(), *numbers])


def processor_instructions() -> set[str]:
    """The instructions it has beyond the usual, by Linux's names; none where the system tells none."""
    information = _cpuinfo()
    return set(information.get("flags", information.get("Features", "")).split())


def core_count() -> int:
    """How many cores this process may run on; all there are where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    information = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            information.setdefault(key.strip(), value.strip())
    return information
