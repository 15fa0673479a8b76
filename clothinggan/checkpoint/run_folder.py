"""The folder of a run: what earlier runs have left in it, what this one writes, and how to go on from it."""

import contextlib
import errno
import fcntl
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clothinggan import files
from clothinggan.checkpoint.file import Checkpoint, epoch_in_name, file_name, read_checkpoint
from clothinggan.checkpoint.record import HISTORY_COLUMNS, Record
from clothinggan.errors import ClothingGANError, DamagedFileError, MovedFolderError, note
from clothinggan.files import TEMPORARY
from clothinggan.presets import PRESETS, prefix_of


class RunFolder:
    """The folder that one run alone writes to, made by `open_run_folder`.

    Attributes:
        path: Where it is.
        prefix: What the names of the run's files begin with.
        latest: The file that is written most often.
        last_saved: The last file that the run can go on from, if there is one.
        later: Checkpoints that are further on than the run, to be removed once an epoch of it is saved.
        overwrites: Whether the user lets the run replace what is here; until an epoch of it is done there may
            be files of another run.
        resume_options: What a command that goes on has to be told, since no file says it: values by option.
    """

    def __init__(
        self,
        path: Path,
        prefix: str,
        start: Path | None = None,
        later: list[Path] | None = None,
        overwrites: bool = False,
        resume_options: Mapping[str, object] | None = None,
    ):
        self.path = path
        self.prefix = prefix
        self.latest = path / file_name(prefix, None)
        self.last_saved = start
        self.later = later or []
        self.overwrites = overwrites
        self.resume_options = resume_options or {}
        self._itself = path.stat()
        self._saved_epoch: int | None = None  # the last that this process has saved
        self._written: set[int] = set()

    def numbered(self, epoch: int) -> Path:
        """Returns the file of an epoch."""
        return self.path / file_name(self.prefix, epoch)

    def make_sure(self) -> None:
        """Makes sure that the folder is the one which this run alone may write to.

        Raises:
            MovedFolderError: If it was moved away, and another one has its name.
        """
        if self.path.exists() and not os.path.samestat(self.path.stat(), self._itself):
            raise MovedFolderError(
                f"{self.path.resolve()} is another folder than the one that this run began to write to, "
                "which was moved with what the run has saved; resume there"
            )

    def save(self, record: Record, write: Callable[[Path], None]) -> Path | None:
        """Writes the file to go on from, and a numbered one where that is due, whose path it returns.

        Args:
            record: Where the run stands.
            write: Writes a checkpoint to a path.
        """
        self.make_sure()
        if record.step_in_epoch == 0 and record.is_milestone():
            return self._save_numbered(record, write)
        write(self.latest)
        self._note_saved(self.latest, record)
        # In mid-epoch there is not much yet: --overwrite that was a mistake has cost no numbered file.
        if record.step_in_epoch == 0:
            self._take_over(self.latest)
        return None

    def _save_numbered(self, record: Record, write: Callable[[Path], None]) -> Path:
        """The numbered file of the epoch just completed, and the same as the latest.

        The numbered one comes first: a run cut off between the two goes on from it, and none is missing.
        """
        record.numbered = [epoch for epoch in record.numbered if epoch < record.epoch] + [record.epoch]
        path = self.numbered(record.epoch)
        write(path)
        self._note_saved(path, record)
        self._written.add(record.epoch)
        files.copy(path, self.latest)
        self._take_over(path, self.latest)
        # What is to be deleted is in the record just saved: a run cut off here deletes it later.
        surplus = record.numbered[: -record.keep] if record.keep else []
        for epoch in surplus:
            if epoch in self._written or self._is_of(record, self.numbered(epoch)):
                self.numbered(epoch).unlink(missing_ok=True)
        record.numbered = record.numbered[len(surplus) :]
        return path

    def keep_best(self, source: Path) -> Path:
        """Keeps a file that was just saved as the run's best; returns its path."""
        best = _best(self.path, self.prefix)
        files.copy(source, best)
        return best

    def surplus(self, record: Record) -> list[Path]:
        """Returns the files that the next numbered one has deleted."""
        # Beside the next one, one fewer stays; to keep one is to keep none of these.
        surplus = record.numbered[: 1 - record.keep or None] if record.keep else []
        return [path for path in map(self.numbered, surplus) if path.exists()]

    def has_saved(self, epoch: int | None = None) -> bool:
        """Whether this process has saved anything of the run, or the end of an epoch."""
        return self._saved_epoch is not None if epoch is None else self._saved_epoch == epoch

    def how_to_go_on(self, record: Record, on: str = "") -> str:
        """Returns a line that names the file and the command to go on with.

        Args:
            record: Where the run stands.
            on: Where the command is to be said, for a run of several processes.
        """
        if self.last_saved is None:
            return "nothing of this run is saved yet"
        with contextlib.suppress(OSError):  # A disk that fails does not tell.
            if not self.last_saved.exists():
                return f"the last file of this run, {self.last_saved}, is gone"
        if self.has_saved() and record.epoch == record.epochs:
            return f"the run's last epoch is in {self.last_saved}"
        if not self.has_saved():  # What this run was told to change is in no file.
            return f"go on from {self.last_saved} with the same command again{on}"
        # These are the user's to name: a file does not say where to write.
        options = {"--out": self.path if self.path != Path(".") else None, **self.resume_options}
        named = "".join(f" {option} {shlex.quote(str(value))}" for option, value in options.items() if value)
        weights = shlex.quote(str(self.last_saved))
        overwrite = " --overwrite" if self.overwrites else ""
        command = f"python -m clothinggan.resume --weights {weights}{named}{overwrite}"
        return f"go on from {self.last_saved} with: {command}{on}"

    def _note_saved(self, path: Path, record: Record) -> None:
        self.last_saved = path
        # In mid-epoch the last one that is complete was saved before, or begun from.
        self._saved_epoch = record.epoch

    def _is_of(self, run: Record, path: Path) -> bool:
        """Whether a file is an earlier state of a run: only the record of the file resumed from says so.

        That record may come from a stranger, who does not know the losses of the files in this folder.
        """
        try:
            record = read_checkpoint(path).record
        except ClothingGANError:
            return False
        return bool(record and record.history) and record.leads_to(run)

    def _take_over(self, *written: Path) -> None:
        """Removes what is further on than this run: from now on all that is here is its own."""
        for path in self.later:
            if path not in written:
                path.unlink(missing_ok=True)
        self.later = []
        self.overwrites = False


@contextlib.contextmanager
def open_run_folder(
    path: Path,
    prefix: str,
    record: Record | None = None,
    start: Path | None = None,
    overwrite: bool = False,
    resume_options: Mapping[str, object] | None = None,
) -> Iterator[RunFolder]:
    """Makes a folder where there is none, and holds it for one run alone while the block runs.

    Args:
        path: The folder.
        prefix: What the names of the run's files begin with.
        record: Where the run stands; None for one that has not begun.
        start: The file that it goes on from.
        overwrite: Whether the run may replace later checkpoints, and another run's files.
        resume_options: See `RunFolder`.

    Yields:
        The folder.

    Raises:
        ClothingGANError: If it cannot be written to or is in use, or if it has later checkpoints, or another
            run's, and `overwrite` was not said.
    """
    files.prepare_folder(path)
    with lock_folder(path):
        later = find_later(path, prefix, record, start)
        foreign = find_foreign(path, prefix, record, start)
        if not overwrite:
            _refuse_others(path, later, foreign)
        elif foreign:
            note(
                f"--overwrite: {foreign.name} is not of this run as far as can be told; "
                "when an epoch is done history.csv and losses.png are replaced"
            )
        yield RunFolder(path, prefix, start, later, overwrite, resume_options)


def _refuse_others(out: Path, later: list[Path], foreign: Path | None) -> None:
    if later:
        raise ClothingGANError(
            f"{out.resolve()} already holds {later[-1].name}, which is further on; "
            "go on from that, name another folder with --out, or say --overwrite to replace it"
        )
    if foreign:
        raise ClothingGANError(
            f"{out.resolve()} already holds {foreign.name}, which is not of this run as far as can be told; "
            "name another folder with --out, or say --overwrite to replace what is in the way"
        )


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps every other run out of ``folder`` while the block runs, and clears up after killed ones.

    The lock is the operating system's, on the folder itself: it goes when the process goes, however it
    ends. On a file system that knows no locks the run goes on without one.

    Raises:
        ClothingGANError: If another run is writing to the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClothingGANError(
                f"another run is writing to {folder.resolve()}; name another folder with --out"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EBADF):
                raise
        for temporary in [*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"images/{TEMPORARY}*")]:
            if not _is_being_written(temporary):
                temporary.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _is_being_written(temporary: Path) -> bool:
    """Whether another process may be writing a temporary file: its name says which."""
    process = temporary.name.removeprefix(TEMPORARY).partition("-")[0]
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # It is somebody else's.
    return True


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
        """Returns what is in it; raises ClothingGANError as `read_checkpoint` does."""
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


def find_designs(folder: Path) -> list[str]:
    """Returns the names of the designs whose files lie in a folder.

    A program may have given a design a name of its own; so what is called as its files would be is looked at.
    """
    found: dict[str, str | None] = {}
    for path in sorted(folder.glob(f"{prefix_of('*')}*.h5")):
        name = path.name.partition(prefix_of(""))[0]
        if found.get(name) is None:
            found[name] = name if name in PRESETS else _recorded_design(path)
    return [design for design in found.values() if design]


def _recorded_design(path: Path) -> str | None:
    """The design that a file is a run of, if that is a part of its name."""
    try:
        record = read_checkpoint(path).record
    except ClothingGANError:
        return None
    return record.preset if record and path.name.startswith(prefix_of(record.preset)) else None


def find_furthest(folder: Path, model: str | None = None) -> Checkpoint:
    """Returns the checkpoint in a folder whose run has come furthest; files that are passed over are named.

    Args:
        folder: Where to look.
        model: The name of the design; None where there is but one in the folder.

    Raises:
        ClothingGANError: If there is none, or there are several designs' and none is named.
    """

    def pass_over(error: ClothingGANError) -> None:
        print(f"passing over a file: {error}", file=sys.stderr)

    names = find_designs(folder)
    found = {
        name: find_checkpoints(folder, prefix_of(name), pass_over) for name in names if model in (None, name)
    }
    runs = {name: checkpoints for name, checkpoints in found.items() if checkpoints}
    if not runs:
        others = [name for name in names if find_checkpoints(folder, prefix_of(name))]
        if others:
            raise ClothingGANError(
                f"{folder.resolve()} has files of {' and '.join(others)}, none of {model}; leave --model out"
            )
        raise ClothingGANError(
            f"there is no checkpoint in {folder.resolve()}; name one with --weights, or --out"
        )
    if len(runs) > 1:
        raise ClothingGANError(
            f"{folder.resolve()} has files of {' and '.join(runs)}; say which with --model, or name a file "
            "with --weights"
        )
    (checkpoints,) = runs.values()
    return checkpoints[-1].read()


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
    for name in find_designs(folder):
        others = prefix_of(name) != prefix and not at_home
        if others and (found := find_checkpoints(folder, prefix_of(name))):
            return found[-1].path
    for path in (folder / file_name(prefix, None), _best(folder, prefix)):
        if path.exists() and not _is_same(path, start) and not _is_no_loss(path, record):
            return path
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


def _best(folder: Path, prefix: str) -> Path:
    return folder / f"{prefix}best.h5"


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


def _is_no_loss(path: Path, record: Record | None) -> bool:
    """Whether a file holds nothing that a run which stands at `record` has not gone through."""
    try:
        other = read_checkpoint(path).record
    except DamagedFileError:
        return True
    except ClothingGANError:
        return False  # It may be of a newer version, or somebody else's.
    return bool(record and other) and other.leads_to(record)


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path.samefile(other)
