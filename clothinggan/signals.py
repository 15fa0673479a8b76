"""Ctrl-C, SIGTERM and SIGHUP as requests to stop at the next step."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class StoppedBySignal(Exception):
    """A run has saved its state and ended because a signal asked for it.

    Attributes:
        exit_status: 128 and the signal's number, as shells have it; Ctrl-C's where another worker heard it.
    """

    def __init__(self, line: str, received: signal.Signals | None):
        super().__init__(line)
        self.exit_status = 128 + (received or signal.SIGINT)


class StopRequests:
    """The first signal of any kind, once it has come."""

    def __init__(self):
        self.received: signal.Signals | None = None

    def take(self, number: int, _frame: object) -> None:
        """Takes note of a signal; Ctrl-C then ends the process at once, whatever it is doing.

        The others are not heard again: a shell whose terminal closes, and `timeout`, send them twice.
        """
        self.received = signal.Signals(number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if signal.getsignal(signal.SIGINT) == self.take:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        # A terminal that hangs up sends a signal and takes no more words; the state is saved all the same.
        with contextlib.suppress(OSError):
            # Not print: a handler may come in the middle of one.
            os.write(2, b"\nstopping: saving at the end of this step (Ctrl-C again ends at once)\n")


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Has SIGTERM and SIGHUP end the block as Ctrl-C does, so that no file stays behind half written."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    heard = {number for number in SIGNALS - {signal.SIGINT} if signal.getsignal(number) == signal.SIG_DFL}
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Listens for the signals while the block runs; in a thread, which hears none, it does not."""
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    # Who starts a run with `nohup` wants it to outlive the terminal, and a Ctrl-C is not meant for what a
    # script has put into the background.
    unheard = {number for number in SIGNALS if signal.getsignal(number) == signal.SIG_IGN}
    previous = {number: signal.signal(number, requests.take) for number in SIGNALS - unheard}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
