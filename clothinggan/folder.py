"""What earlier runs have left in a folder: their checkpoints, and which of them is the furthest."""

import sys
from dataclasses import dataclass
from pathlib import Path

from clothinggan import checkpoint
from clothinggan.errors import ClothingGANError


@dataclass(frozen=True, order=True)
class Found:
    """A checkpoint in a folder, ordered by how far its run had come.

    Attributes:
        epoch: Epochs completed.
        step_in_epoch: Steps done of the epoch it is in.
        path: The file.
    """

    epoch: int
    step_in_epoch: int
    path: Path


def find_checkpoints(folder: Path, prefix: str) -> list[Found]:
    """The checkpoints in a folder whose names begin with a preset's prefix, the furthest last.

    A `latest` file that cannot be read is left out, with a line on standard error.
    """
    found = [
        Found(epoch, 0, path)
        for path in folder.glob(f"{prefix}epoch*.h5")
        if (epoch := checkpoint.epoch_in_name(path)) is not None
    ]
    latest = folder / checkpoint.file_name(prefix, None)
    if latest.exists():
        try:
            record = checkpoint.read(latest).record
        except ClothingGANError as error:
            print(f"passing over a file: {error}", file=sys.stderr)
        else:
            if record:
                found.append(Found(record.epoch, record.step_in_epoch, latest))
    return sorted(found)


def find_later(folder: Path, prefix: str, epoch: int, step_in_epoch: int) -> list[Path]:
    """The checkpoints in a folder that are further on than a run is, the furthest last."""
    found = find_checkpoints(folder, prefix)
    return [file.path for file in found if (file.epoch, file.step_in_epoch) > (epoch, step_in_epoch)]
