"""Error classes, and how any failure becomes one line that a user can act on."""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from clothinggan.wording import worded

ENOTSUPP = 524  # Linux's own 'not supported', which no program should see; network file systems answer it.
_TASK = r"/job:\w+/replica:0/task:\d+"
# What TensorFlow raises where a worker is lost.
_LOST_WORKER = {
    "UnavailableError",
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
}

_noted: set[str] = set()  # what `note_once` has told of


class ClothingGANError(Exception):
    """A failure that one line explains: what is wrong, with which file or option, and what to do.

    The commands print the line behind ``clothinggan: error:`` and end with `exit_status`; a program that
    imports the package can catch it. The line is printable: what files say of themselves cannot drive a
    terminal.

    Attributes:
        exit_status: What a command ends with.
        message: What is wrong.
        where: The files or sources that it is wrong with, the outermost first, if the message does not say.
        remedies: What to do, in the order in which it was added, if the message does not say.
    """

    exit_status = 1

    def __init__(self, message: str, *, where: object = None, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.where = [] if where is None else [where]
        self.remedies = [] if remedy is None else [remedy]

    def add(self, *, where: object = None, remedy: str | None = None) -> "ClothingGANError":
        """Adds what a caller knows of the failure; returns the error, to be raised again."""
        if where is not None:
            self.where.insert(0, where)
        if remedy:
            self.remedies.append(remedy)
        return self

    def __str__(self) -> str:
        return shown(
            "".join(f"{place}: " for place in self.where) + "; ".join([self.message, *self.remedies])
        )


class DamagedFileError(ClothingGANError):
    """A file is known to have lost what it held."""


class MovedFolderError(ClothingGANError):
    """The folder that a run writes to was moved away, and another one has its name."""


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Returns a question for the known name that is nearest to one that is not; None where none is near."""
    import difflib  # Only where something was mistyped.

    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else None


def shown(text: object) -> str:
    """Returns a name, or somebody else's message, as one line that cannot drive the terminal."""
    return str(text) if str(text).isprintable() else repr(str(text))


def listed(names: Sequence[str], most: int) -> str:
    """Returns names, or files with what is wrong with them, in one line: of many the first ones."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def wrong_ending(option: str, ending: str, path: object) -> str:
    """Returns what to say of a file's name that does not tell what is to be in it."""
    return f"{option} takes a name that ends in {ending}, not '{path}'"


def first_line(error: BaseException) -> str:
    """Returns the first line of what an exception says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def note(line: str) -> None:
    """Tells the user what may surprise, on standard error."""
    print(f"note:     {worded(line)}", file=sys.stderr, flush=True)


def note_once(about: str, line: str) -> None:
    """Tells the user what may surprise of something, the first time in a process."""
    if about not in _noted:
        _noted.add(about)
        note(line)


def reason(error: OSError) -> str:
    """Returns why the system refused something, as it words it."""
    if error.errno == ENOTSUPP:
        return f"operation not supported, error {ENOTSUPP}"
    return os.strerror(error.errno).lower() if error.errno else first_line(error)


def explain(error: Exception, workers: Mapping[str, str] | None = None, batch_size: int | None = None) -> str:
    """Returns an exception as one line for a user: our own as it is, others as what they mean.

    Args:
        error: Any exception.
        workers: The names of the workers that train together, by TensorFlow's names of their tasks.
        batch_size: That of the training that failed, if it was one.
    """
    if isinstance(error, ClothingGANError):
        return str(error)
    if workers and (lost := lost_worker(error, workers)):
        return lost
    if isinstance(error, MemoryError) or _is_tensorflows(error, {"ResourceExhaustedError"}):
        if batch_size is None:
            return "out of memory"
        with_batches = f"out of memory, with batches of {batch_size}"
        return f"{with_batches}: free some, or train anew with a smaller --batch-size"
    if isinstance(error, OSError) and error.errno:
        return reason(error) + (f": {error.filename}" if error.filename else "")
    return f"unexpected {type(error).__name__}: {first_line(error)} (CLOTHINGGAN_DEBUG=1 shows where)"


def lost_worker(error: Exception, workers: Mapping[str, str]) -> str | None:
    """Returns which worker is gone, as a sentence, by TensorFlow's error; None if it is no sign of that.

    Args:
        error: What was raised while several workers trained.
        workers: The workers' names, by TensorFlow's names of their tasks.
    """
    if not _is_tensorflows(error, _LOST_WORKER):
        return None
    # Other workers are named too: those that pass the news on.
    blamed = re.search(rf"stopped sending heartbeats\):\s(?:{_TASK}\s)+|remote target {_TASK}", str(error))
    found = re.findall(_TASK, blamed[0]) if blamed else []
    named = [name for task, name in workers.items() if task in found]
    return f"{' and '.join(named) or 'another worker'} {'are' if len(named) > 1 else 'is'} gone"


def _is_tensorflows(error: Exception, names: set[str]) -> bool:
    """Whether an exception is one of TensorFlow's; asked by name, since that may not be imported."""
    return any(
        kind.__module__.startswith("tensorflow") and kind.__name__ in names for kind in type(error).__mro__
    )
