"""A bar on standard error, where a person looks at it."""

import sys
from typing import TextIO

_WIDTH = 30


def show_progress(what: str, done: int, total: int, stream: TextIO | None = None) -> None:
    """Draws how far something has come, in the place of what was drawn before.

    Args:
        what: What is being done; empty clears the line.
        done: How much of it is done.
        total: How much there is.
        stream: Where to draw it; standard error unless told.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        return
    filled = _WIDTH * done // total if total else 0
    bar = f"{what:<40.40} [{'=' * filled}{' ' * (_WIDTH - filled)}]" if what else " " * 75
    print(f"\r{bar}", end="" if what else "\r", file=stream, flush=True)
