"""What earlier runs have left in a folder: their checkpoints, and which of them is the furthest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clothinggan.checkpoint.file import Checkpoint, epoch_in_name, file_name, read_checkpoint
from clothinggan.checkpoint.record import HISTORY_COLUMNS, Record
from clothinggan.errors import ClothingGANError, DamagedFileError
from clothinggan.presets import PRESETS


@dataclass(frozen=True, order=True)
class Found:
    """A checkpoint in a folder, ordered by how far its run had come.

    Attributes:
        epoch: Epochs completed.
        step_in_epoch: Steps done of the epoch it is in.
        path: The file.
        content: What is in it, if it had to be read to be found.
    """

    epoch: int
    step_in_epoch: int
    path: Path
    content: Checkpoint | None = field(default=None, compare=False)

    def read(self) -> Checkpoint:
        """What is in it; raises ClothingGANError as `read_checkpoint` does."""
        return self.content or read_checkpoint(self.path)


def find_checkpoints(
    folder: Path, prefix: str, pass_over: Callable[[ClothingGANError], None] = lambda _: None
) -> list[Found]:
    """The checkpoints in a folder whose names begin with a preset's prefix, the furthest last.

    Args:
        folder: Where to look.
        prefix: What their names begin with.
        pass_over: Called with what is wrong with a `latest` file that is left out.
    """
    found = [
        Found(epoch, 0, path)
        for path in folder.glob(f"{prefix}epoch*.h5")
        # A link may lead to where nothing is any more.
        if (epoch := epoch_in_name(path)) is not None and path.exists()
    ]
    latest = folder / file_name(prefix, None)
    if latest.exists():
        try:
            content = read_checkpoint(latest)
        except ClothingGANError as error:
            pass_over(error)
        else:
            if record := content.record:
                found.append(Found(record.epoch, record.step_in_epoch, latest, content))
            else:
                pass_over(ClothingGANError(f"{latest} holds a generator alone; go on from it with --weights"))
    return sorted(found)


def find_later(folder: Path, prefix: str, record: Record | None, start: Path | None) -> list[Path]:
    """The checkpoints in a folder that are further on than a run is, the furthest last.

    Args:
        folder: Where to look.
        prefix: What the names of the run's files begin with.
        record: Where the run stands; None for one that has not begun.
        start: The file that it goes on from, which is never meant.
    """
    position = (record.epoch, record.step_in_epoch) if record else (-1, 0)
    found = [file for file in find_checkpoints(folder, prefix) if not _is_same(file.path, start)]
    return [file.path for file in found if (file.epoch, file.step_in_epoch) > position]


def find_foreign(folder: Path, prefix: str, record: Record | None, start: Path | None) -> Path | None:
    """A file of another run in a folder, or of another tool, if what that has left would be written over.

    The arguments are those of `find_later`.
    """
    at_home = start is not None and start.parent.samefile(folder)
    for preset in PRESETS.values():
        others = preset.file_prefix != prefix and not at_home
        if others and (found := find_checkpoints(folder, preset.file_prefix)):
            return found[-1].path
    latest = folder / file_name(prefix, None)
    if latest.exists() and not _is_same(latest, start) and not _is_no_loss(latest, record):
        return latest
    history = folder / "history.csv"
    # A run in its first epoch was let begin here, beside whatever there is.
    begun_here = at_home and not record.history
    if history.exists() and not begun_here and not _may_be_of(history, record):
        return history
    losses = folder / "losses.png"
    # Every run writes its history first.
    if losses.exists() and not history.exists() and not at_home:
        return losses
    return None


def _may_be_of(history: Path, record: Record | None) -> bool:
    """Whether a `history.csv` may be of a run that stands at `record`, or was further and went back to there.

    Other runs write files of this name, and other tools too.
    """
    with history.open("rb") as file:
        header = file.readline(1000)
        if header and not header.startswith(",".join(HISTORY_COLUMNS).encode()):
            return False
        rows = file.readlines()
    if not record or not record.history:
        return len(rows) <= 1  # As much is left of a run that was killed before its first save.
    known = [f"{entry['epoch']},{entry['d_loss']},".encode() for entry in record.history]
    return all(row.startswith(start) for row, start in zip(rows, known, strict=False))


def _is_no_loss(latest: Path, record: Record | None) -> bool:
    """Whether a `latest` file holds nothing that a run which stands at `record` has not gone through."""
    try:
        other = read_checkpoint(latest).record
    except DamagedFileError:
        return True
    except ClothingGANError:
        return False  # It may be of a newer version, or somebody else's.
    return bool(record and other) and other.leads_to(record)


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path.samefile(other)
