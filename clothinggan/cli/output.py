"""Output that may be closed, full or gone: what a command has to say is not what it does."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from clothinggan.errors import explain


class Outlived:
    """A text stream that is given up when it cannot be written to.

    A log on a full disk, a closed terminal and a reader that has gone do not end what takes hours.

    Attributes:
        lost: Whether it was given up, and not because a reader had read enough.
    """

    def __init__(self, stream: TextIO, complaints: TextIO | None = None, needs_reader: bool = True):
        """Stands in for a stream.

        Args:
            stream: The stream.
            complaints: Where one line tells that it is given up, if it is to be told.
            needs_reader: Whether a reader that goes is a loss; else it has read enough, as `head` does.
        """
        self.lost = False
        self._stream = stream
        self._complaints = complaints
        self._needs_reader = needs_reader

    def write(self, text: str) -> int:
        """Writes, or does without."""
        with self._surviving():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes, or does without."""
        with self._surviving():
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            has_read_enough = isinstance(error, BrokenPipeError) and not self._needs_reader
            self.lost = self.lost or not has_read_enough
            # What waits to be written goes nowhere; else Python would complain about it at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if self._complaints and not has_read_enough:
                print(
                    f"clothinggan: standard output cannot be written to ({explain(error)}); "
                    "going on without it",
                    file=self._complaints,
                )


@contextlib.contextmanager
def standard_streams(needs_reader: bool) -> Iterator[Outlived]:
    """Gives the block standard streams that outlive a full disk, and can write any name; yields the output's.

    The caller's own are put back afterwards, as they were. `needs_reader` is that of `Outlived`.
    """
    _open_missing()
    originals = sys.stdout, sys.stderr
    errors = getattr(sys.stdout, "errors", None)
    _reconfigure(originals[0], "backslashreplace")
    sys.stderr = Outlived(sys.stderr)
    sys.stdout = Outlived(sys.stdout, sys.stderr, needs_reader)
    try:
        yield sys.stdout
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = originals
        _reconfigure(sys.stdout, errors)


def _open_missing() -> None:
    """Opens the standard streams that are missing: the next file opened would take the place of one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _reconfigure(stream: TextIO, errors: str | None) -> None:
    if errors and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)
