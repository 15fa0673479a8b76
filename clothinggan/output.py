"""Standard output that may be closed, full or gone: what a command has to say is not what it does."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from clothinggan.errors import described


def open_missing_streams() -> None:
    """Sees to it that there are standard streams to write to, and that any name can be written.

    Where a command is started without one, the next file that it opens would take its place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard() -> None:
    """Lets standard output go nowhere, and what waits to be written to it: Python complains else."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def discard_if_broken() -> None:
    """Lets standard output go nowhere if it cannot be written to."""
    try:
        sys.stdout.flush()
    except OSError:
        discard()


@contextlib.contextmanager
def outlived() -> Iterator[None]:
    """Goes on without standard output when it cannot be written to any more, and says so once.

    A log on a full disk, a closed terminal and a reader that has gone do not end what takes hours.
    """
    original = sys.stdout
    sys.stdout = _Outlived(original)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = original


class _Outlived:
    """A text stream whose failures to write are survived."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        with self._surviving():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._surviving():
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            discard()
            with contextlib.suppress(OSError):
                print(
                    f"clothinggan: standard output cannot be written to ({described(error)}); "
                    "going on without it",
                    file=sys.stderr,
                )
