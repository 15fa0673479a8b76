"""What was costly to compute and is kept in the user's cache folder for the next time: arrays by name."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clothinggan.errors import ClothingGANError
from clothinggan.files import atomic_write

MAX_BYTES = 512 * 2**20  # What was not used for longest goes.


def folder() -> Path:
    """Returns the folder, ``$XDG_CACHE_HOME/clothinggan``; there may be none yet."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clothinggan"
    except RuntimeError:  # Nobody knows a home here,
        return Path(os.devnull)  # and nothing can be read from there or written to it.


def read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Returns the arrays of these names, or None; a file that is broken is as good as none."""
    try:
        # Opened here, since NumPy leaves open a file that it cannot read.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            os.utime(path)
            return {name: arrays[name] for name in names}
    except Exception:  # on garbage, zipfile and NumPy raise a dozen unrelated exceptions
        return None


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays for the next time, in a file of `folder`, where that is possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, lasting=False) as temporary:
            np.savez(temporary, **arrays)
        _shrink(path.parent)
    except (OSError, ClothingGANError):
        return  # The next time takes longer; that is all.


def _shrink(place: Path) -> None:
    """Removes what was not used for longest, as long as the folder holds more than `MAX_BYTES`."""
    paths = sorted(place.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept = 0
    for path in paths:
        kept += path.stat().st_size
        if kept > MAX_BYTES and path != paths[0]:
            path.unlink()
