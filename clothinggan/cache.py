"""What was costly to compute and is kept in the user's cache folder for the next time: arrays by name."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clothinggan.errors import ClothingGANError
from clothinggan.files import atomic_write


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
            found = {name: arrays[name] for name in names}
        os.utime(path)  # The files that were used last stay longest.
    except Exception:  # on garbage, zipfile and NumPy raise a dozen unrelated exceptions
        return None
    return found


def write(path: Path, arrays: dict[str, np.ndarray], keep: int) -> None:
    """Keeps arrays for the next time, where that is possible.

    Args:
        path: A file in `folder`, called KIND-DIGEST.npz.
        arrays: By name.
        keep: How many files of this kind stay, those that were used last.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)
        kind = path.name.partition("-")[0]
        others = sorted(path.parent.glob(f"{kind}-*.npz"), key=lambda other: other.stat().st_mtime)
        for other in others[:-keep]:
            other.unlink(missing_ok=True)
    except (OSError, ClothingGANError):
        return  # The next time takes longer; that is all.
