"""Where the workers of a cluster meet before TensorFlow connects them, and how one lost meanwhile is found.

TensorFlow waits for a missing worker for ever, and meanwhile holds Python's lock: no thread, and no signal,
gets through to say who is missing.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from clothinggan.distributed.cluster import Cluster
from clothinggan.distributed.watchdog import CONNECTED, MAX_MESSAGE
from clothinggan.errors import ClothingGANError

SECONDS_TO_WAIT = 300
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_ANSWER = 5.0
# What reading a message raises where it is none of ours.
_NO_SENSE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def meet(cluster: Cluster, terms: str, wait: float) -> dict[int, socket.socket]:
    """Returns once all workers of a cluster are there and have shown the same terms.

    Each worker listens at its address and says to the chief that it is there; the chief tries whether it can
    be reached, and lets all go when the last has come.

    Args:
        cluster: The workers.
        terms: What all have to agree upon; any text.
        wait: For how many seconds.

    Returns:
        The connections that were made, by the other side's index, for `watched`: the chief's to all, that of
        the others to the chief.

    Raises:
        ClothingGANError: If a worker is missing after `wait` seconds, cannot be reached or has other terms.
    """
    deadline = time.monotonic() + wait
    own = cluster.addresses[cluster.index]
    try:
        listener = socket.create_server(("", _split(own)[1]))
    except OSError as error:
        raise ClothingGANError(
            f"cannot listen at {own}, the address of this worker in TF_CONFIG: "
            f"{os.strerror(error.errno).lower()}"
        ) from error
    with listener:
        if cluster.index == 0:
            return _receive_all(listener, cluster, terms, deadline, wait)
        return {0: _report_to_chief(cluster, terms, deadline, wait)}


@contextlib.contextmanager
def watched(cluster: Cluster, connections: dict[int, socket.socket], wait: float) -> Iterator[None]:
    """Has TensorFlow connect the workers in the block; if one is lost meanwhile, this process ends.

    A process of its own looks out, prints the line that says who is lost, and has the C library end this one
    with status 1 upon SIGHUP: what Python does upon a signal has to wait for the lock. So a terminal that
    hangs up in that second ends this process too, without a word.

    Args:
        cluster: The workers.
        connections: What `meet` returned.
        wait: For how many seconds to wait for one of whom nothing is heard, not even its end.
    """
    c_library = ctypes.CDLL(None)
    names = {connection.fileno(): cluster.name(index) for index, connection in connections.items()}
    sys.stdout.flush()  # The C library would leave it unsaid.
    before = signal.getsignal(signal.SIGHUP)
    # `_exit` takes the signal's number, which is 1, for the status.
    c_library.signal(signal.SIGHUP, c_library._exit)
    watchdog = subprocess.Popen(
        [sys.executable, "-I", _WATCHDOG, json.dumps(names), str(wait)],
        stdin=subprocess.PIPE,
        pass_fds=tuple(names),
        start_new_session=True,  # Ctrl-C in the terminal is not for it.
    )
    try:
        yield
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(CONNECTED)
    finally:
        for connection in connections.values():
            connection.close()
        watchdog.communicate()
        signal.signal(signal.SIGHUP, before)


def _receive_all(
    listener: socket.socket, cluster: Cluster, terms: str, deadline: float, wait: float
) -> dict[int, socket.socket]:
    """The chief's part: lets all go, or tells all who are there why not."""
    present: dict[int, socket.socket] = {}

    def missing() -> list[int]:
        return [index for index in range(1, len(cluster.addresses)) if index not in present]

    refusal = None
    try:
        while missing() and not refusal:
            if time.monotonic() > deadline:
                names = " and ".join(cluster.name(index) for index in missing())
                refusal = (
                    f"after {wait:g} s there is no word of {names}; start it, or wait longer with --wait"
                )
                break
            refusal = _receive(listener, cluster, terms, present)
            _forget_the_gone(present)
            if refusal:
                # Who is about to come hears it too.
                deadline = min(deadline, time.monotonic() + _SECONDS_TO_ANSWER)
                while missing() and time.monotonic() < deadline:
                    _receive(listener, cluster, terms, present)
        for connection in present.values():
            with contextlib.suppress(OSError):
                _send(connection, {"refusal": refusal})
        if refusal:
            raise ClothingGANError(refusal)
    except BaseException:
        for connection in present.values():
            connection.close()
        raise
    return present


def _receive(
    listener: socket.socket, cluster: Cluster, terms: str, present: dict[int, socket.socket]
) -> str | None:
    """Takes one worker's word, if one comes; returns why the training cannot begin, if it says so."""
    listener.settimeout(_SECONDS_BETWEEN_TRIES)
    try:
        connection, _ = listener.accept()
    except OSError:
        return None
    try:
        greeting = _read(connection, _SECONDS_TO_ANSWER)
        index = greeting["index"]
        if type(index) is not int or not 0 < index < len(cluster.addresses):
            raise ValueError
        same_cluster = greeting["addresses"] == list(cluster.addresses)
        same_terms = greeting["terms"] == terms
    except _NO_SENSE:
        connection.close()  # Not one of ours.
        return None
    if index in present:
        present.pop(index).close()  # It has been started again.
    present[index] = connection
    if not (same_cluster and same_terms):
        what = "options, data or weights" if same_cluster else "workers in TF_CONFIG"
        return f"{cluster.name(index)} was started with other {what} than the chief; start all workers alike"
    try:
        socket.create_connection(_split(cluster.addresses[index]), _SECONDS_TO_ANSWER).close()
    except (OSError, ValueError):
        name = cluster.name(index)
        return f"the chief cannot connect to {name}: look at its address in TF_CONFIG and at the firewall"
    return None


def _forget_the_gone(present: dict[int, socket.socket]) -> None:
    """Leaves out who has hung up: a worker says nothing more, so what can be read of it is its end."""
    ended, _, _ = select.select(list(present.values()), [], [], 0)
    for index, connection in list(present.items()):
        if connection in ended:
            present.pop(index).close()


def _report_to_chief(cluster: Cluster, terms: str, deadline: float, wait: float) -> socket.socket:
    """The part of all others: says that it is there, and hears from the chief whether to go."""
    greeting = {"index": cluster.index, "addresses": cluster.addresses, "terms": terms}
    while True:
        chief_is_there = False
        connection = None
        try:
            connection = socket.create_connection(_split(cluster.addresses[0]), _SECONDS_TO_ANSWER)
            _send(connection, greeting)
            chief_is_there = True
            # The chief speaks last, and names who is missing.
            seconds_left = max(deadline - time.monotonic(), 0) + 2 * _SECONDS_TO_ANSWER
            refusal = _read(connection, seconds_left)["refusal"]
        except _NO_SENSE as error:
            if connection:
                connection.close()
            if time.monotonic() > deadline:
                waits = chief_is_there and isinstance(error, TimeoutError)
                what = "still waits for others" if waits else "has not answered"
                raise ClothingGANError(
                    f"after {wait:g} s {cluster.name(0)} {what}; "
                    "start all workers, or wait longer with --wait"
                ) from None
            time.sleep(_SECONDS_BETWEEN_TRIES)
            continue
        if refusal:
            connection.close()
            raise ClothingGANError(str(refusal))
        return connection


def _send(connection: socket.socket, message: dict[str, object]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float) -> dict[str, object]:
    """Reads a line of JSON and nothing behind it; raises OSError or ValueError where none comes in time."""
    connection.settimeout(seconds)
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        if time.monotonic() > deadline:
            raise TimeoutError
        byte = connection.recv(1)
        if not byte or len(line) == MAX_MESSAGE:
            raise ValueError
        line += byte
    return json.loads(line)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
