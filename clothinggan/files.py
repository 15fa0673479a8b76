"""Atomic writes: files that appear whole under their names or not at all; and folders to write to.

Network drives and mounted object stores lack some of what this takes. Where nothing is lost by it, a file is
written all the same: what is then not promised is said once, by `prepare_folder`, before the work begins.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from clothinggan.errors import ENOTSUPP, ClothingGANError, note_once, reason, shown

TEMPORARY = ".clothinggan-"
MAX_NAME = 200  # characters of the name that a picture is given, without its ending
# What is answered where there is no such call.
_UNKNOWN_CALL = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, ENOTSUPP}
# And where there is no renaming; but these may be meant of one file alone.
_NO_RENAMING = _UNKNOWN_CALL | {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EEXIST, errno.EBUSY}


@contextlib.contextmanager
def atomic_write(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Gives a temporary path to write to, and moves it to ``path`` when the block ends without error.

    The temporary file is hidden, lies in the same folder and ends like ``path``. Whatever happens,
    ``path`` holds either what it held before or everything new: the bytes reach the disk before the
    name does. A file system that renames nothing gets a copy in place of that, see `renaming_refused`.

    Args:
        path: The file.
        lasting: Whether it is to outlive a power cut; what can be made again need not.

    Raises:
        ClothingGANError: If the folder or the file cannot be written.
    """
    try:
        with _replacing(path, lasting) as temporary:
            yield temporary
    except OSError as error:
        raise ClothingGANError(f"cannot write {path}: {reason(error)}") from error


@contextlib.contextmanager
def _replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Does what `atomic_write` does; a failure is the system's own."""
    temporary = _temporary(path.parent, path.name)
    try:
        yield temporary
        if lasting:
            _sync_file(temporary)
        _rename(temporary, path)
        if lasting:
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(folder: Path, name: str) -> Path:
    return folder / f"{TEMPORARY}{os.getpid()}-{name}"


def _rename(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except OSError as error:
        # It may be this file alone that is not to be replaced.
        if error.errno not in _NO_RENAMING or not renaming_refused(path.parent):
            raise
        shutil.copyfile(temporary, path)
        _sync_file(path)


def renaming_refused(folder: Path) -> OSError | None:
    """Returns what a folder's file system answers where it lets no file take another's place; else None.

    There a file is written anew under its own name: one that is cut off at that is neither old nor new.

    Raises:
        OSError: If no file can be written there at all.
    """
    probes = [_temporary(folder, f"{number}-probe") for number in (1, 2)]
    try:
        for probe in probes:
            probe.touch()
        os.replace(*probes)
    except OSError as error:
        if error.errno not in _NO_RENAMING or not all(probe.exists() for probe in probes):
            raise
        return error
    finally:
        with contextlib.suppress(OSError):
            for probe in probes:
                probe.unlink(missing_ok=True)
    return None


def copy(source: Path, target: Path) -> None:
    """Copies a file; ``target`` appears whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Writes a text file; it appears whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append(path: Path, content: bytes) -> None:
    """Adds to the end of a file, and makes it where there is none.

    Raises:
        ClothingGANError: If it cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise ClothingGANError(f"cannot write {path}: {reason(error)}") from error


def prepare_folder(folder: Path, option: str = "--out") -> None:
    """Makes a folder where there is none, and makes sure that files can be written to it, and replaced.

    A hidden file goes all the way that others will go.

    Args:
        folder: The folder.
        option: What the user names it with, for the error message.

    Raises:
        ClothingGANError: If it cannot be made or written to.
    """
    with _refusing(folder, option):
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder, "probe")
        try:
            for text in ("new", "newer"):
                with _replacing(probe) as temporary:
                    temporary.write_text(text)
        finally:
            probe.unlink(missing_ok=True)


def make_folder(folder: Path, option: str) -> None:
    """Makes a folder where there is none any more.

    Raises:
        ClothingGANError: If it cannot be made.
    """
    with _refusing(folder, option):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _refusing(folder: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClothingGANError(
            f"cannot write to the folder {folder}: {reason(error)}; name another with {option}"
        ) from error


def prepare_file(path: Path, option: str) -> None:
    """Makes a file's folder where there is none, and makes sure that the file can be written, and replaced.

    Raises:
        ClothingGANError: See `prepare_folder`; or if there is a folder of the file's name.
    """
    if path.is_dir():
        raise ClothingGANError(f"cannot write {path}: it is a folder; name a file with {option}")
    prepare_folder(path.parent, option)


def _sync_file(path: Path) -> None:
    """Has a file's bytes on the disk before it goes on, where the file system knows such a thing."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _UNKNOWN_CALL:
            raise
        _note_power_cut(path.parent, error)


def _sync_folder(folder: Path) -> None:
    """The same for the names in a folder. What fails here loses nothing: the file stands under its name."""
    try:
        _sync(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        _note_power_cut(folder, error)


def _note_power_cut(folder: Path, error: OSError) -> None:
    where = shown(folder.resolve())
    note_once(
        f"power cut {where}",
        f"a power cut may cost the last files in {where}: it cannot be told to put them on the disk at once "
        f"({reason(error)})",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # On macOS fsync leaves the bytes in the drive's own memory.
        if sys.platform == "darwin":
            with contextlib.suppress(OSError):  # Not every file system there knows it.
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
