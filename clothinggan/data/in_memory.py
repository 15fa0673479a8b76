"""Images that a program has in memory: the forms they come in, and the file that a run keeps them in."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clothinggan.data.formats import Flaw, check_size
from clothinggan.files import atomic_write

# Images; images and labels; training and test images, each with labels, as Keras's `load_data()` returns
# them; or arrays by the names that an `.npz` has.
Arrays = np.ndarray[Any, Any] | tuple[Any, ...] | Mapping[str, Any]
_NAMES = ("x_train", "y_train"), ("x_test", "y_test")


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
        self._arrays = {name: array for name, array in _named(arrays).items() if array is not None}
        self.names = list(self._arrays)
        if not self.names:
            raise Flaw("holds no arrays")

    def read(self, name: str) -> np.ndarray:
        """Returns an array.

        Raises:
            Flaw: If it is none, or is larger than images or labels are.
        """
        try:
            array = np.asarray(self._arrays[name])
            if array.dtype == object:  # As texts are in a table of pandas.
                array = np.array(array.tolist())
        except Exception as error:  # whatever a stranger's object raises where it is no array
            raise Flaw(f"{name} is no array") from error
        try:
            check_size(array.shape, array.dtype)
        except Flaw as flaw:
            raise Flaw(f"{name} {flaw}") from flaw
        return array


def _named(arrays: object) -> dict[str, Any]:
    if isinstance(arrays, Mapping):
        return {str(name): array for name, array in arrays.items()}
    if not isinstance(arrays, tuple):
        return {"x_train": arrays}
    splits = arrays if all(isinstance(part, tuple) for part in arrays) else (arrays,)
    if len(splits) > len(_NAMES) or any(len(split) != 2 for split in splits):
        raise Flaw("is no tuple of images and labels, or of two such tuples")
    return {
        name: array
        for names, split in zip(_NAMES, splits, strict=False)
        for name, array in zip(names, split, strict=True)
    }


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
