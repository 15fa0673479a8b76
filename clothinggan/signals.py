"""Ctrl-C, SIGTERM and SIGHUP as requests to stop at the next step."""

import contextlib
import os
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedBySignal(Exception):
    """A run has saved its state and ended because a signal asked for it."""


class StopRequests:
    """The first signal of any kind, once it has come."""

    def __init__(self):
        self.received: signal.Signals | None = None

    def take(self, number: int, _frame: object) -> None:
        """Takes note of a signal; a second one ends the process at once, whatever it is doing."""
        self.received = signal.Signals(number)
        for other in SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        # A terminal that hangs up sends a signal and takes no more words; the state is saved all the same.
        with contextlib.suppress(OSError):
            # Not print: a handler may come in the middle of one.
            os.write(2, b"\nstopping: saving at the end of this step (Ctrl-C again ends at once)\n")


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Listens for the signals while the block runs."""
    requests = StopRequests()
    previous = {number: signal.signal(number, requests.take) for number in SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
