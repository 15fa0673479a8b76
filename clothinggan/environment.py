"""What computes: TensorFlow's import, free of other programs' settings, and the processor."""

import contextlib
import mmap
import os
import platform
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from clothinggan.dependencies import NEEDED, is_installed
from clothinggan.errors import ClothingGANError
from clothinggan.tensorflow_settings import prepare_tensorflow
from clothinggan.version import __version__

# With smaller parts of a batch more time goes into what every part takes, whatever its size.
_MOST_PARTS = 4
# Keras imports these where they are installed, for parts of it that nothing here uses: half of its start-up.
_FOR_OTHER_PARTS_OF_KERAS = ("matplotlib.pyplot", "pandas", "scipy", "sklearn")
TENSORFLOW_BYTES = 1_280 * 2**20  # of address space, that its import takes


def import_tensorflow() -> None:
    """Imports TensorFlow, and Keras upon it, without the lines that they print by the way.

    Raises:
        ClothingGANError: If TensorFlow is not there, a file of the user's stands in its way, there is too
            little memory for it, or Keras already runs on something else.
    """
    if "keras" in sys.modules and (backend := sys.modules["keras"].backend.backend()) != "tensorflow":
        raise ClothingGANError(
            f"Keras already runs on {backend} here, and ClothingGAN needs it on tensorflow; start a new "
            "process (in a notebook: restart the kernel) with KERAS_BACKEND=tensorflow"
        )
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        _share_out_threads()
        return
    ask_for_memory(TENSORFLOW_BYTES, "TensorFlow")
    prepare_tensorflow()
    with contextlib.ExitStack() as around:
        around.enter_context(naming_what_shadows())
        around.enter_context(warnings_end_nothing())
        around.enter_context(standard_error_held_back())
        around.enter_context(_left_out(_FOR_OTHER_PARTS_OF_KERAS))
        around.enter_context(_without_keras_settings())
        try:
            import tensorflow as tf
        except ImportError as error:
            if shadowing():
                raise
            raise ClothingGANError(
                f"TensorFlow cannot be imported ({error}); install it with: pip install tensorflow"
            ) from error
        import keras  # noqa: F401 - for its settings, which it reads when it is imported.
        from absl import logging

        logging.set_verbosity(logging.ERROR)
        tf.get_logger().setLevel("ERROR")
        _share_out_threads()
        # Looking for devices is when TensorFlow says what it misses.
        tf.config.list_physical_devices()


def _share_out_threads() -> None:
    """Gives each part of a batch a thread; where there are more cores, a part's operations share them."""
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_inter_op_parallelism_threads() or threading.get_intra_op_parallelism_threads():
        return  # It was decided: here, or by the caller.
    # What has computed already keeps its threads.
    with contextlib.suppress(RuntimeError):
        threading.set_inter_op_parallelism_threads(batch_parts())
        threading.set_intra_op_parallelism_threads(-(-thread_count() // batch_parts()))


def memory_is_limited() -> bool:
    """Whether the system limits the address space of this process."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def ask_for_memory(size: int, what: str, remedy: str | None = None) -> None:
    """Makes sure that so many bytes more are to be had, where `ulimit -v` or a batch system limits them.

    Asked too late, libraries end the process without a word.

    Args:
        size: In bytes.
        what: Is to have them.
        remedy: What to do about it beside raising the limit.

    Raises:
        ClothingGANError: If they are not.
    """
    if not memory_is_limited():
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        mmap.mmap(-1, size, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, MemoryError) as error:
        raise ClothingGANError(
            f"{what} takes about {size // 2**20:,} MiB of address space more, which the limit of "
            f"{limit // 2**20:,} MiB for this process does not leave; raise it (ulimit -v)",
            remedy=remedy,
        ) from error


@contextlib.contextmanager
def warnings_end_nothing() -> Iterator[None]:
    """Has the libraries' warnings be no errors in the block, where PYTHONWARNINGS or -W says so.

    That is for whoever tests the libraries: nothing that they do is wrong for it, and hours may be lost.
    """
    with warnings.catch_warnings():
        if any(option.startswith("e") for option in sys.warnoptions):
            warnings.simplefilter("ignore")
        yield


def shadowing() -> Path | None:
    """Returns a file of the user's that is taken for a module of Python's, or for one that is needed here."""
    names = {*sys.stdlib_module_names, "absl", *NEEDED}
    for folder in map(Path, sys.path):
        if (folder / "os.py").exists() or folder.name in ("site-packages", "dist-packages"):
            break  # Python's own.
        with contextlib.suppress(OSError):
            for path in sorted(folder.iterdir()):
                # A mere folder of the name is in nobody's way.
                is_module = path.suffix == ".py" or (path / "__init__.py").exists()
                if path.stem in names and is_module:
                    return path
    return None


@contextlib.contextmanager
def naming_what_shadows() -> Iterator[None]:
    """Has an import that fails in the block name the user's file that was taken for another module.

    Raises:
        ClothingGANError: If there is such a file, and something was raised.
    """
    try:
        yield
    except ClothingGANError:
        raise
    except Exception as error:
        if not (path := shadowing()):
            raise
        raise ClothingGANError(
            f"{path} is taken for the module '{path.stem}' that others need, by its name; give it another one"
        ) from error


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

    return {
        "clothinggan": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "onednn": _onednn(),
        "threads of an operation": str(tf.config.threading.get_intra_op_parallelism_threads() or "all"),
    }


def _onednn() -> str:
    """Whether oneDNN computes, and with which of the processor's instructions, where that is limited."""
    wanted = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    if wanted in ("0", "false"):
        return "off"
    if not wanted:  # TensorFlow was imported before this package.
        return "as TensorFlow chooses"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return f"on up to {limit}" if limit not in ("", "ALL", "DEFAULT") else "on"


def thread_count() -> int:
    """Returns how many threads compute: as many as cores, unless TF_NUM_INTRAOP_THREADS says how many."""
    asked_for = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(asked_for) if asked_for.isdecimal() and int(asked_for) else core_count()


def batch_parts() -> int:
    """Returns how many parts of a batch are computed side by side: see `fast_layers.apply`; 1 on a GPU."""
    import tensorflow as tf

    return 1 if tf.config.list_physical_devices("GPU") else min(thread_count(), _MOST_PARTS)


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
