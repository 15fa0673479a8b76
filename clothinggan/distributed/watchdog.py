"""Looks out for workers that are lost while TensorFlow connects them: a process of its own.

Its first argument is JSON: the name of whoever is at the other end of each connection it has inherited, by
the descriptor's number; the second how many seconds to wait. Its standard input ends when the process that
started it is through, or has ended itself.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time

CONNECTED = b"connected\n"
MAX_MESSAGE = 10_000  # bytes


def watch(names: dict[int, str], wait: float) -> str | None:
    """Waits for the end of standard input; returns, as a sentence, who is lost before that, if one is.

    Whoever is at the other ends is told too.
    """
    connections = {number: socket.socket(fileno=number) for number in names}
    unconnected = set(names)
    deadline = time.monotonic() + wait
    while True:
        seconds_left = max(deadline - time.monotonic(), 0)
        readable, _, _ = select.select([sys.stdin, *unconnected], [], [], seconds_left)
        if sys.stdin in readable:
            return None
        news = "" if readable else f"TensorFlow could not connect all workers in {wait:g} s (--wait)"
        for number in readable:
            word = b""
            with contextlib.suppress(OSError):
                word = connections[number].recv(MAX_MESSAGE)
            if word.startswith(CONNECTED):
                unconnected.remove(number)
            rest = word.removeprefix(CONNECTED)
            if rest or not word:
                news = rest.decode(errors="replace") or f"{names[number]} is gone"
        if news:
            for connection in connections.values():
                with contextlib.suppress(OSError):
                    connection.sendall(news.encode())
            return news


def main() -> None:
    """Ends the process that started this one, with status 1, if a worker is lost."""
    watched = os.getppid()
    names, wait = json.loads(sys.argv[1]), float(sys.argv[2])
    news = watch({int(number): name for number, name in names.items()}, wait)
    if news:
        news = news if news.isprintable() else repr(news)
        with contextlib.suppress(OSError):
            print(f"clothinggan: error: {news}; start all workers again", file=sys.stderr, flush=True)
        with contextlib.suppress(ProcessLookupError):
            os.kill(watched, signal.SIGHUP)


if __name__ == "__main__":
    main()
