"""Atomic writes: files that appear whole under their names or not at all; and folders to write to."""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from clothinggan.errors import ClothingGANError, reason

TEMPORARY = ".clothinggan-"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to, and moves it to ``path`` when the block ends without error.

    The temporary file is hidden, lies in the same folder and ends like ``path``. Whatever happens,
    ``path`` holds either what it held before or everything new: the bytes reach the disk before the
    name does.

    Raises:
        ClothingGANError: If the folder or the file cannot be written.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ClothingGANError(f"cannot write {path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    """Makes a folder where there is none, and makes sure that files can be written to it.

    Args:
        folder: The folder.
        option: What the user names it with, for the error message.

    Raises:
        ClothingGANError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{TEMPORARY}{os.getpid()}-probe"
        probe.touch()
        probe.unlink()
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


def _sync_folder(folder: Path) -> None:
    try:
        _sync(folder)
    except OSError as error:
        # Some shared folders know no such thing; the file itself is on the disk.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
