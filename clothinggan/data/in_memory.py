"""Images that a program has in memory: the forms they come in, and the file that a run keeps them in."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clothinggan.data.formats import Flaw, check_size
from clothinggan.errors import first_line
from clothinggan.files import atomic_write

# Images; images and labels; training and test images, each with labels, as Keras's `load_data()` returns
# them; or arrays by the names that an `.npz` has.
Arrays = ArrayLike | tuple[Any, ...] | Mapping[str, Any]
FORMS = (
    "give images of 28 by 28, a tuple of these and their labels, or training and test images as Keras's "
    "load_data() returns them"
)
_NAMES = ("x_train", "y_train"), ("x_test", "y_test")
_KEPT = re.compile(r"images-[0-9a-f]{16}\.npz")


class NamedArrays:
    """Arrays by the names that an ``.npz`` has, to be read as `clothinggan.data.formats.Npz` is.

    Args:
        arrays: In one of the forms of `Arrays`; each is anything that NumPy makes an array of.

    Attributes:
        names: Of the arrays.

    Raises:
        Flaw: If they are in no such form.
    """

    def __init__(self, arrays: object):
        self._arrays = _named(arrays)
        try:
            names = list(self._arrays)
        except Exception as error:  # as of a file that was closed
            raise Flaw(f"cannot be read: {first_line(error)}") from error
        if not all(isinstance(name, str) for name in names):
            raise Flaw("has names that are no texts")
        # What NumPy has opened reads an array when it is asked for it, and has none that is None.
        in_memory = self._arrays if isinstance(self._arrays, dict) else {}
        self.names = [name for name in names if in_memory.get(name, name) is not None]
        if not self.names:
            raise Flaw("holds no arrays")

    def read(self, name: str) -> np.ndarray:
        """Returns an array.

        Raises:
            Flaw: If it is none, or is larger than images or labels are.
        """
        try:
            array = np.asarray(self._arrays[name])
            # As texts are in a table of pandas.
            values = array.tolist() if array.dtype == object and array.ndim else []
            if any(value is None or value != value for value in values):
                raise Flaw(f"{name} has missing values")
            if values:
                array = np.array(values)
        except Flaw:
            raise
        except Exception as error:  # whatever a stranger's object raises where it is no array
            raise Flaw(f"{name} is no array: {first_line(error)}") from error
        if array.dtype == np.uint8:
            array = array.copy()  # Others are converted; the program may go on to change these.
        try:
            check_size(array.shape, array.dtype)
        except Flaw as flaw:
            raise Flaw(f"{name} {flaw}") from flaw
        return array


def _named(arrays: object) -> Mapping[str, Any]:
    if isinstance(arrays, Mapping):
        return arrays
    if not isinstance(arrays, tuple):
        return {"x_train": arrays}
    splits = arrays if all(map(_is_split, arrays)) else (arrays,)
    if len(splits) > len(_NAMES) or any(len(split) != 2 for split in splits):
        raise Flaw("is no tuple of images and labels, or of two such tuples")
    return {
        name: array
        for names, split in zip(_NAMES, splits, strict=False)
        for name, array in zip(names, split, strict=True)
    }


def _is_split(part: object) -> bool:
    """Whether a part of a tuple is images and labels, and no sequence of one of them."""
    return isinstance(part, tuple) and len(part) == 2 and _dimensions(part[0]) >= 2


def _dimensions(array: Any) -> int:
    try:
        return array.ndim if hasattr(array, "ndim") else np.ndim(array)
    except Exception:  # whatever a stranger's object raises where it is no array
        return 0


def is_kept(path: str) -> bool:
    """Returns whether this is a file of `keep`, by its name."""
    return _KEPT.fullmatch(Path(path).name) is not None


def keep(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    """Writes arrays to an ``.npz`` in a folder, where it is not there yet; returns its absolute path.

    Its name tells what is in it, so that no run takes the images of another one.

    Raises:
        ClothingGANError: If it cannot be written.
    """
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array))
    path = folder.absolute() / f"images-{digest.hexdigest()[:16]}.npz"
    if not path.exists():
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)
    return path
