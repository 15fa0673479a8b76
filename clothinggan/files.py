"""Files that are replaced whole or not at all, or grow, and folders that one run at a time writes to."""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from clothinggan.errors import ClothingGANError

_TEMPORARY = ".clothinggan-"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to, and moves it to ``path`` when the block ends without error.

    The temporary file is hidden, lies in the same folder and ends like ``path``. Whatever happens,
    ``path`` holds either what it held before or everything new: the bytes reach the disk before the
    name does.

    Raises:
        ClothingGANError: If the folder or the file cannot be written.
    """
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ClothingGANError(f"cannot write {path}: {_reason(error)}") from error
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
        raise ClothingGANError(f"cannot write {path}: {_reason(error)}") from error


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
        probe = folder / f"{_TEMPORARY}{os.getpid()}-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ClothingGANError(
            f"cannot write to the folder {folder}: {_reason(error)}; name another with {option}"
        ) from error


def prepare_file(path: Path, option: str) -> None:
    """Makes a file's folder where there is none, and makes sure that the file can be written, and replaced.

    Raises:
        ClothingGANError: See `prepare_folder`; or if there is a folder of the file's name.
    """
    if path.is_dir():
        raise ClothingGANError(f"cannot write {path}: it is a folder; name a file with {option}")
    prepare_folder(path.parent, option)


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
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
        for temporary in [*folder.glob(f"{_TEMPORARY}*"), *folder.glob(f"images/{_TEMPORARY}*")]:
            if not _is_being_written(temporary):
                temporary.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _is_being_written(temporary: Path) -> bool:
    """Whether another process may be writing a temporary file: its name says which."""
    process = temporary.name.removeprefix(_TEMPORARY).partition("-")[0]
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # It is somebody else's.
    return True


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


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error).splitlines()[0]
