"""HDF5 files read in a process of their own: arrays and attributes come out, whatever goes in.

The HDF5 library crashes or hangs on some damaged files, and follows links out of a file. So a file is
parsed in a child process with limits on time and memory, which hands back plain arrays.
"""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan.errors import ClothingGANError

if TYPE_CHECKING:
    import h5py

MAX_BYTES = 256 * 2**20  # of the file, and of all arrays in it: six times a checkpoint of the largest design
MAX_ATTRIBUTE_BYTES = 16 * 2**20
MAX_OBJECTS = 10_000
MAX_PATH_LENGTH = 1_000
CPU_SECONDS = 5
WALL_SECONDS = 60  # Longer by far: what takes the time on a busy machine is not this process.
CHILD_MEMORY = 2 * 2**30

_ATTRIBUTES = "attributes"
_REFUSED = 3  # The child's exit status; Python's own is 1 where it cannot do its work.
# Imports from where this process does, and from nowhere else: `python -m` would add the folder it starts in.
_CHILD = """import sys
sys.path[:] = sys.argv[1:]
from clothinggan.checkpoint.hdf5 import child_main
sys.exit(child_main())"""
# No code is loaded from a folder of plug-ins because a file names a filter; and NumPy sets memory aside
# for each thread, which would count against the limit where there are many processors.
_ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_ENVIRONMENT["PYTHONWARNINGS"] = "ignore"  # Else its warnings could be errors.


@dataclass(frozen=True)
class Contents:
    """What an HDF5 file holds.

    Attributes:
        arrays: Every dataset by its path, without a leading slash.
        attributes: For every group and dataset path ("" is the root) its attributes that are text, a
            number, or a list of these.
    """

    arrays: dict[str, np.ndarray]
    attributes: dict[str, dict[str, object]]


def parse(image: bytes, path: Path) -> Contents:
    """Parses an HDF5 file that has been read into memory.

    Args:
        image: The bytes of the file.
        path: Where they come from, for error messages.

    Raises:
        ClothingGANError: If they are not a sound HDF5 file within the limits, or lead out of the file.
    """
    package_folder = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", _CHILD, *sys.path, package_folder]
    try:
        child = _run_child(command, image)
    except subprocess.TimeoutExpired:
        # Of a process that was stopped meanwhile, as by Ctrl-Z, the time has run out though nothing is wrong.
        try:
            child = _run_child(command, image)
        except subprocess.TimeoutExpired as error:
            raise ClothingGANError(f"{path} is damaged: reading it never ends") from error
    said = child.stderr.decode(errors="replace").strip().splitlines() or [""]
    if child.returncode == _REFUSED:
        raise ClothingGANError(f"{path} {said[-1]}")
    if child.returncode == 1:
        raise ClothingGANError(f"{path} cannot be read: the process that reads HDF5 files fails ({said[-1]})")
    if child.returncode != 0:
        raise ClothingGANError(f"{path} is damaged: the HDF5 library fails on it")
    # Where whoever started this process has SIGCHLD ignored, every child seems to end well.
    if not child.stdout:
        raise ClothingGANError(f"{path} {said[-1] or 'is damaged: the HDF5 library fails on it'}")
    with np.load(io.BytesIO(child.stdout), allow_pickle=False) as members:
        arrays = {name.removeprefix("/"): members[name] for name in members.files}
    attributes = json.loads(arrays.pop(_ATTRIBUTES).tobytes())
    return Contents(arrays, attributes)


def _run_child(command: list[str], image: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=image,
        capture_output=True,
        timeout=WALL_SECONDS,
        env={**os.environ, **_ENVIRONMENT},
        # Ctrl-C in the terminal goes to every process of the group; this one ends with its parent's pipe.
        start_new_session=True,
        check=False,
    )


class _Refused(Exception):
    """Ends the child with a reason, to be read behind the file's name."""


def child_main() -> int:
    """Parses standard input; writes the arrays to standard output as .npz, and returns the exit status."""
    import h5py

    _limit_resources()
    image = sys.stdin.buffer.read()
    try:
        with h5py.File(h5py.h5f.open_file_image(image, flags=h5py.h5f.ACC_RDONLY)) as file:
            arrays, attributes = _collect(file)
        encoded = json.dumps(attributes).encode()
        # An array's name begins with a slash, so that none can take the attributes' place.
        members = {f"/{path}": array for path, array in arrays.items()}
        members[_ATTRIBUTES] = np.frombuffer(encoded, np.uint8)
        np.savez(sys.stdout.buffer, **members)
    except _Refused as refusal:
        print(refusal, file=sys.stderr)
        return _REFUSED
    except MemoryError:
        print("needs more memory than any model file should", file=sys.stderr)
        return _REFUSED
    except Exception:
        # h5py reports damage as OSError, RuntimeError, KeyError, ValueError or TypeError, as it comes.
        print("is not an HDF5 file, or is damaged", file=sys.stderr)
        return _REFUSED
    return 0


def _limit_resources() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS refuses this limit.
        _, highest = resource.getrlimit(resource.RLIMIT_AS)
        limit = CHILD_MEMORY if highest == resource.RLIM_INFINITY else min(CHILD_MEMORY, highest)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _collect(file: "h5py.File") -> tuple[dict[str, np.ndarray], dict[str, dict[str, object]]]:
    import h5py

    arrays: dict[str, np.ndarray] = {}
    remaining_bytes, remaining_attributes = MAX_BYTES, MAX_ATTRIBUTE_BYTES

    def plain_attributes(item: h5py.HLObject) -> dict[str, object]:
        nonlocal remaining_attributes
        plain = {}
        for name in item.attrs:
            plain[name] = _plain(item.attrs[name])
            remaining_attributes -= len(name) + _size(plain[name])
            if remaining_attributes < 0:
                raise _Refused(f"has more than {MAX_ATTRIBUTE_BYTES // 2**20} MiB of attributes")
        return {name: value for name, value in plain.items() if value is not None}

    attributes = {"": plain_attributes(file)}
    waiting = [("", file)]
    while waiting:
        folder, group = waiting.pop()
        for name in group:
            path = f"{folder}/{name}" if folder else name
            if len(attributes) >= MAX_OBJECTS:
                raise _Refused(f"holds more than {MAX_OBJECTS:,} objects")
            if len(path) > MAX_PATH_LENGTH:
                raise _Refused(f"holds a name longer than {MAX_PATH_LENGTH:,} characters")
            # A soft link may close a circle, an external one leads out; Keras writes neither.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _Refused(f"holds a link, '{path}', which is not followed")
            item = group[name]
            attributes[path] = plain_attributes(item)
            if isinstance(item, h5py.Group):
                waiting.append((path, item))
                continue
            if not isinstance(item, h5py.Dataset):
                continue
            if item.external or item.is_virtual:
                raise _Refused(f"keeps '{path}' in another file, which is not followed")
            if item.dtype.kind not in "fiub":
                raise _Refused(f"holds '{path}' of type {item.dtype}, where numbers are expected")
            if item.shape is None:
                raise _Refused(f"holds '{path}' without a shape, where numbers are expected")
            remaining_bytes -= item.size * item.dtype.itemsize
            if remaining_bytes < 0:
                raise _Refused(f"holds more than {MAX_BYTES // 2**20} MiB of numbers")
            arrays[path] = item[()]
    return arrays, attributes


def _plain(value: object) -> object:
    """An attribute as text, a number or a list of these; None if it is something else."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    values = value if isinstance(value, list) else [value]
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
    if not all(isinstance(v, str | int | float) for v in texts):
        return None
    return texts if isinstance(value, list) else texts[0]


def _size(value: object) -> int:
    """About how many bytes an attribute takes."""
    values = value if isinstance(value, list) else [value]
    return sum(len(v) if isinstance(v, str) else 8 for v in values)
