"""The folder of a run: what earlier runs have left in it, what this one writes, and how to go on from it."""

import contextlib
import csv
import fcntl
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clothinggan import files
from clothinggan.checkpoint.file import Checkpoint, epoch_in_name, file_name, read_checkpoint
from clothinggan.checkpoint.record import HISTORY_COLUMNS, Record
from clothinggan.errors import (
    ClothingGANError,
    DamagedFileError,
    MovedFolderError,
    note,
    note_once,
    reason,
    shown,
)
from clothinggan.files import TEMPORARY
from clothinggan.presets import PRESETS, prefix_of

LOCK = ".clothinggan.lock"
_SPREADSHEET_DIGITS = 15  # that a spreadsheet keeps of a number


class RunFolder:
    """The folder that one run alone writes to, made by `open_run_folder`.

    Attributes:
        path: Where it is.
        prefix: What the names of the run's files begin with.
        latest: The file that is written most often.
        in_turn: The latest files to write alternately: one; or two where a file cannot take another's place,
            so that the newest one that is whole is never written over.
        last_saved: The last file that the run can go on from, if there is one.
        later: Checkpoints that are further on than the run, to be removed once an epoch of it is saved.
        overwrites: Whether the user lets the run replace what is here; until an epoch of it is done there may
            be files of another run.
        resume_options: What a command that goes on has to be told, since no file says it: values by option.

    The constructor's `can_replace` says whether a file can take another's place here, and `hold` takes the
    folder's lock.
    """

    def __init__(
        self,
        path: Path,
        prefix: str,
        start: Path | None = None,
        later: list[Path] | None = None,
        overwrites: bool = False,
        resume_options: Mapping[str, object] | None = None,
        can_replace: bool = True,
        hold: Callable[[], None] = lambda: None,
    ):
        self.path = path
        self.prefix = prefix
        self.latest = path / file_name(prefix, None)
        self.in_turn = _latest_files(path, prefix)[: 1 if can_replace else 2]
        self.last_saved = start
        self.later = later or []
        self.overwrites = overwrites
        self.resume_options = resume_options or {}
        self._hold = hold
        self._itself = path.stat()
        self._saved_epoch: int | None = None  # the last that this process has saved
        self._written: set[int] = set()

    def numbered(self, epoch: int) -> Path:
        """Returns the file of an epoch."""
        return self.path / file_name(self.prefix, epoch)

    def make_sure(self, record: Record) -> None:
        """Makes sure that the folder is the one which this run alone may write to.

        A disk that was unmounted and is back may have given the folder another inode number: then its
        contents tell which one it is.

        Args:
            record: Where the run stands.

        Raises:
            MovedFolderError: If it was moved away, and another one has its name.
        """
        if not self.path.exists() or os.path.samestat(self.path.stat(), self._itself):
            return
        if not self._is_back(record):
            raise MovedFolderError(
                f"{self.path.resolve()} is another folder than the one that this run began to write to, "
                "which was moved, or is on a disk that is gone, with what the run has saved; resume there"
            )
        self._hold()
        self._itself = self.path.stat()

    def _is_back(self, record: Record) -> bool:
        """Whether what has the folder's name holds the last file that the run has saved there."""
        if self.last_saved is None or self.last_saved.parent.resolve() != self.path.resolve():
            return False
        saved = _record_of(self.last_saved)
        return saved is not None and saved.leads_to(record)

    def save(self, record: Record, write: Callable[[Path], None]) -> Path | None:
        """Writes the file to go on from, and a numbered one where that is due, whose path it returns.

        Args:
            record: Where the run stands.
            write: Writes a checkpoint to a path.
        """
        self.make_sure(record)
        if record.step_in_epoch == 0 and record.is_milestone():
            return self._save_numbered(record, write)
        latest = self._next_latest()
        write(latest)
        self._note_saved(latest, record)
        # In mid-epoch there is not much yet: --overwrite that was a mistake has cost no numbered file.
        if record.step_in_epoch == 0:
            self._remove_later(latest)
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
        latest = self._next_latest()
        files.copy(path, latest)
        self._remove_later(path, latest)
        # What is to be deleted is in the record just saved: a run cut off here deletes it later.
        surplus = record.numbered[: -record.keep] if record.keep else []
        for epoch in surplus:
            if epoch in self._written or self._is_of(record, self.numbered(epoch)):
                _remove(self.numbered(epoch))
        record.numbered = record.numbered[len(surplus) :]
        return path

    def _next_latest(self) -> Path:
        """The latest file to write: not the one to go on from, where that would be written over in place."""
        if len(self.in_turn) == 1 or self.last_saved is None:
            return self.latest
        return next(file for file in self.in_turn if file.resolve() != self.last_saved.resolve())

    def keep_best(self, source: Path) -> None:
        """Keeps a file that was just saved as the run's best."""
        files.copy(source, _best(self.path, self.prefix))

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
        """Whether a file is an earlier state of a run.

        What the run's record says of numbered files proves nothing: a stranger's can name any epoch, but does
        not know the losses of the files in this folder.
        """
        record = _record_of(path)
        return bool(record and record.history) and record.leads_to(run)

    def _remove_later(self, *written: Path) -> None:
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
    with contextlib.ExitStack() as locks:

        def hold() -> None:
            locks.enter_context(lock_folder(path))

        hold()
        later = find_later(path, prefix, record, start)
        foreign = find_foreign(path, prefix, record, start)
        if not overwrite:
            _refuse_others(path, later, foreign)
        elif foreign:
            note(
                f"--overwrite: {foreign.name} is not of this run as far as can be told; "
                "when an epoch is done history.csv and losses.png are replaced"
            )
        history = path / "history.csv"
        if record and record.history and not foreign and history.exists() and _is_edited(history, record):
            note(f"{history.name} is not as a run writes it: the next epoch writes it anew, from the .h5")
        if refusal := files.renaming_refused(path):
            both = " and ".join(file.name for file in _latest_files(path, prefix))
            note(
                f"no file in {shown(path.resolve())} can take another's place ({reason(refusal)}): {both} "
                "are written in turn, so that one is whole; other files may be cut short where the run is"
            )
        yield RunFolder(path, prefix, start, later, overwrite, resume_options, not refusal, hold)


def _refuse_others(out: Path, later: list[Path], foreign: Path | None) -> None:
    if later:
        command = f"python -m clothinggan.resume --out {shlex.quote(str(out))}"
        raise ClothingGANError(
            f"{out.resolve()} already holds {later[-1].name}, which is further on; go on from that with "
            f"{command}, name another folder with --out, or say --overwrite to replace it"
        )
    if foreign:
        raise ClothingGANError(
            f"{out.resolve()} already holds {foreign.name}, which is not of this run as far as can be told; "
            "name another folder with --out, or say --overwrite to replace what is in the way"
        )


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps every other run out of ``folder`` while the block runs, and clears up after killed ones.

    The lock is the operating system's: it goes when the process goes, however it ends. On a file system that
    knows no locks the run goes on without one, and says so once.

    Raises:
        ClothingGANError: If another run is writing to the folder.
    """
    descriptor = _locked(folder)
    try:
        for temporary in [*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"images/{TEMPORARY}*")]:
            if not _is_being_written(temporary):
                _remove(temporary)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Returns a descriptor that holds the lock until it is closed; None where the file system has none.

    It is on the folder itself. NFS, which locks only what is open for writing, gets a hidden file for it.
    """
    for path, flags in ((folder, os.O_RDONLY), (folder / LOCK, os.O_RDWR | os.O_CREAT)):
        descriptor = None
        try:
            descriptor = os.open(path, flags, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise ClothingGANError(
                    f"another run is writing to {folder.resolve()}; name another folder with --out"
                ) from error
            answer = reason(error)
        else:
            return descriptor
    with contextlib.suppress(OSError):
        (folder / LOCK).unlink(missing_ok=True)
    where = shown(folder.resolve())
    note_once(
        f"lock {where}",
        f"{where} knows no locks ({answer}): two runs in it are not kept apart; start no other one there "
        "while this one lasts",
    )
    return None


def _remove(path: Path) -> None:
    """Removes a file that is of no more use; where that is refused it stays, which costs its room alone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        note_once(f"remove {path}", f"cannot remove {shown(path)}: {reason(error)}")


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


def _latest_files(folder: Path, prefix: str) -> list[Path]:
    """The file that a run writes most often, and the one that it writes in turn with it where it must."""
    latest = folder / file_name(prefix, None)
    return [latest, latest.with_stem(f"{latest.stem}2")]


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
    # Asked for by name: a listing may lag behind.
    for latest in filter(Path.exists, _latest_files(folder, prefix)):
        try:
            content = read_checkpoint(latest)
        except ClothingGANError as error:
            pass_over(error)
            continue
        if record := content.record:
            found.append(Found(record.epoch, record.step_in_epoch, latest, content))
        else:
            pass_over(ClothingGANError(f"{latest} holds a generator alone; go on from it with --weights"))
    return sorted(found)


def find_designs(folder: Path) -> list[str]:
    """Returns the names of the designs whose files may lie in a folder: of all here, and of others.

    A program may have given a design a name of its own; so what is called as its files would be is looked at.
    """
    # Those here are asked for by their files' names: a listing may lag behind.
    found: dict[str, str | None] = {name: name for name in PRESETS}
    for path in sorted(folder.glob(f"{prefix_of('*')}*.h5")):
        name = path.name.partition(prefix_of(""))[0]
        if found.get(name) is None:
            found[name] = _recorded_design(path)
    return [design for design in found.values() if design]


def _recorded_design(path: Path) -> str | None:
    """The design that a file is a run of, if that is a part of its name."""
    record = _record_of(path)
    return record.preset if record and path.name.startswith(prefix_of(record.preset)) else None


def _record_of(path: Path) -> Record | None:
    """What a file tells of its run; None where it cannot be read, or tells nothing."""
    try:
        return read_checkpoint(path).record
    except ClothingGANError:
        return None


def find_furthest(folder: Path, model: str | None = None) -> Checkpoint:
    """Returns the checkpoint in a folder whose run has come furthest; files that are passed over are named.

    Those are passed over that cannot be read: damaged, empty or cut short.

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
    while len(checkpoints) > 1:
        try:
            return checkpoints[-1].read()
        except ClothingGANError as error:
            pass_over(error)
            checkpoints.pop()
    return checkpoints[0].read()


def find_later(folder: Path, prefix: str, record: Record | None, start: Path | None) -> list[Path]:
    """The checkpoints in a folder that are further on than a run is, up to the furthest that is not damaged.

    Args:
        folder: Where to look.
        prefix: What the names of the run's files begin with.
        record: Where the run stands; None for one that has not begun.
        start: The file that it goes on from, which is never meant.
    """
    position = (record.epoch, record.step_in_epoch) if record else (-1, 0)
    found = [file for file in find_checkpoints(folder, prefix) if not _is_same(file.path, start)]
    later = [file for file in found if (file.epoch, file.step_in_epoch) > position]
    while later and _is_damaged(later[-1]):
        later.pop()
    return [file.path for file in later]


def _is_damaged(file: Found) -> bool:
    try:
        file.read()
    except DamagedFileError:
        return True
    except ClothingGANError:
        return False  # It may be of a newer version, or somebody else's.
    return False


def find_foreign(folder: Path, prefix: str, record: Record | None, start: Path | None) -> Path | None:
    """A file of another run in a folder, or of another tool, if what that has left would be written over.

    The arguments are those of `find_later`.
    """
    at_home = start is not None and start.parent.samefile(folder)
    for name in find_designs(folder):
        others = prefix_of(name) != prefix and not at_home
        if others and (found := find_checkpoints(folder, prefix_of(name))):
            return found[-1].path
    for path in (*_latest_files(folder, prefix), _best(folder, prefix)):
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

    Other runs write files of this name, and other tools too. A spreadsheet may have saved it anew.
    """
    content = history.read_bytes().strip(b"\0")  # Zeros are what some file systems leave after a power cut.
    if ",".join(HISTORY_COLUMNS).encode().startswith(content):
        return True
    header, *rows = _read_table(content)
    if header[: len(HISTORY_COLUMNS)] != HISTORY_COLUMNS:
        return False
    if rows and len(rows[-1]) < len(HISTORY_COLUMNS):
        rows[-1].pop()  # The run was cut off while it wrote this.
    if not record or not record.history:
        return len(rows) <= 1  # As much is left of a run that was killed before its first save.
    numbers = [[entry[name] for name in ("epoch", "d_loss", "g_loss")] for entry in record.history]
    return all(all(map(_may_mean, row, known)) for row, known in zip(rows, numbers, strict=False))


def _is_edited(history: Path, record: Record) -> bool:
    """Whether a `history.csv` of a run is not as the run has written it."""
    _, *rows = history.read_bytes().splitlines(keepends=True) or [b""]
    known = [f"{entry['epoch']},{entry['d_loss']},{entry['g_loss']}," for entry in record.history]
    return not all(row.startswith(start.encode()) for row, start in zip(rows, known, strict=False))


def _read_table(content: bytes) -> list[list[str]]:
    """The cells of a CSV file with commas, or as spreadsheets write it: any separator, a byte order mark."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = content.decode(encoding, "replace").splitlines()
    separator = max(",;\t", key="".join(lines[:1]).count)
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if any(row)] or [[]]
    except csv.Error:
        return [[]]


def _may_mean(text: str, number: float) -> bool:
    """Whether a text may be a number as a spreadsheet shows it: rounded, with whatever between the digits."""
    digits = re.sub(r"\D", "", re.split("[eE]", text)[0]).lstrip("0")
    count = min(len(digits), _SPREADSHEET_DIGITS)
    if count == 0:
        return number == 0
    exact = f"{abs(number):.{count - 1}e}".partition("e")[0].replace(".", "")
    # Further digits may be cut off or rounded.
    return abs(int(digits[:count]) - int(exact)) <= (len(digits) >= _SPREADSHEET_DIGITS)


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
