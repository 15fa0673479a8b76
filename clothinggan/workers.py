"""Several devices or processes that train one GAN together: who they are, and how they find each other.

The work between them is TensorFlow's (`tf.distribute`): every replica takes its share of each batch, and the
gradients are added up. What TensorFlow leaves out stands here: a `TF_CONFIG` that makes no sense is named,
workers that never come are named after a while, and all have to set out from the same state.
"""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clothinggan.errors import ClothingGANError, shown

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("auto", "single", "mirrored", "multiworker")
SECONDS_TO_WAIT = 300
_MAX_MESSAGE = 10_000  # bytes
_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_ANSWER = 5.0
_ADDRESS = re.compile(r"([^:\s/]+):([0-9]{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers of one training, as `TF_CONFIG` names them.

    Attributes:
        addresses: "host:port" of each; the first is the chief, who writes the files.
        tasks: What TensorFlow calls them.
        index: Which of them this process is.
    """

    addresses: tuple[str, ...]
    tasks: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files and reports."""
        return self.index == 0

    def name(self, index: int) -> str:
        """What to call a worker before a user."""
        return f"worker {index} ({self.addresses[index]}{', the chief' if index == 0 else ''})"


@dataclass(frozen=True)
class Workers:
    """Who trains: the strategy that shares a step out, and the processes that take part.

    Attributes:
        strategy: TensorFlow's; networks and optimisers are made in its scope.
        cluster: The processes; None where there is but this one.
    """

    strategy: "tf.distribute.Strategy"
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files and reports."""
        return self.cluster is None or self.cluster.is_chief

    def describe(self) -> str | None:
        """Who takes part, for a person to read; None for one device of one process."""
        replicas = self.strategy.num_replicas_in_sync
        if self.cluster:
            return f"{len(self.cluster.addresses)}; this is {self.cluster.name(self.cluster.index)}"
        return f"{replicas} devices of this machine" if replicas > 1 else None


def read_cluster(text: str | None) -> Cluster | None:
    """Reads the value of the environment variable `TF_CONFIG`.

    Args:
        text: JSON as TensorFlow documents it for `MultiWorkerMirroredStrategy`; None or empty where the
            variable is not set.

    Returns:
        The workers, the chief first; None where it names none.

    Raises:
        ClothingGANError: If it makes no sense.
    """
    if not text:
        return None
    try:
        config = json.loads(text)
        groups, task = config.get("cluster", {}), config.get("task", {})
        kinds = [kind for kind in ("chief", "worker") if groups.get(kind)]
        addresses = [address for kind in kinds for address in groups[kind]]
        tasks = [_task(kind, number) for kind in kinds for number in range(len(groups[kind]))]
        if not addresses:
            return None
        own = _task(task["type"], task["index"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ClothingGANError(_complaint("it is not of the form that TensorFlow documents")) from error
    if groups.get("ps"):
        raise ClothingGANError(_complaint("it names parameter servers, which are of no use here"))
    if own not in tasks or len(groups.get("chief", [])) > 1:
        raise ClothingGANError(_complaint("its task is none of the workers in its cluster"))
    for address in addresses:
        if not isinstance(address, str) or not _is_address(address):
            raise ClothingGANError(_complaint(f"{shown(address)} is no address of the form host:port"))
    if len(set(addresses)) < len(addresses):
        raise ClothingGANError(_complaint("it names an address twice"))
    return Cluster(tuple(addresses), tuple(tasks), tasks.index(own))


def find_cluster(strategy: str) -> Cluster | None:
    """The workers that this process is one of, by `TF_CONFIG`; None where it trains alone.

    Args:
        strategy: One of `STRATEGIES`.

    Raises:
        ClothingGANError: If there should be some, or `TF_CONFIG` makes no sense.
    """
    if strategy not in ("auto", "multiworker"):
        return None
    cluster = read_cluster(os.environ.get("TF_CONFIG"))
    if strategy == "multiworker" and cluster is None:
        raise ClothingGANError(
            "--strategy multiworker needs the environment variable TF_CONFIG, which names the workers; "
            "the README shows one"
        )
    return cluster if cluster and len(cluster.addresses) > 1 else None


def gather(strategy: str, cluster: Cluster | None, terms: str, wait: float) -> Workers:
    """Makes the strategy that the user asked for; several processes wait for each other first.

    To be called before TensorFlow has computed anything.

    Args:
        strategy: One of `STRATEGIES`.
        cluster: What `find_cluster` returned for it.
        terms: What all workers have to agree upon before they begin; any text.
        wait: How many seconds to wait for the other workers.

    Raises:
        ClothingGANError: If a worker is missing or has other terms.
    """
    import tensorflow as tf

    if cluster:
        meet(cluster, terms, wait)
        with _signals_as_they_are():
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored" or (strategy == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return Workers(tf.distribute.MirroredStrategy([device.name for device in devices]))
    return Workers(tf.distribute.get_strategy())


def meet(cluster: Cluster, terms: str, wait: float) -> None:
    """Returns once all workers of a cluster are there and have shown the same terms.

    TensorFlow itself waits for a missing worker for ever, deaf to signals. Here each worker listens at its
    address and says to the chief that it is there; the chief tries whether it can be reached, and lets all
    go when the last has come.

    Raises:
        ClothingGANError: If a worker is missing after `wait` seconds, or has other terms.
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
            _receive_all(listener, cluster, terms, deadline, wait)
        else:
            _report_to_chief(cluster, terms, deadline, wait)


def gone(cluster: Cluster, error: Exception) -> str:
    """Says which worker is gone, by the error that TensorFlow raised in the others."""
    found = re.findall(r"/job:\w+/replica:0/task:\d+", str(error))
    named = [cluster.name(index) for index, task in enumerate(cluster.tasks) if task in found]
    return f"{' and '.join(named) or 'another worker'} is gone"


@dataclass
class _Attendance:
    """Whom the chief has seen."""

    connections: dict[int, socket.socket] = field(default_factory=dict)
    unreachable: set[int] = field(default_factory=set)

    def missing(self, cluster: Cluster) -> list[int]:
        return [index for index in range(1, len(cluster.addresses)) if index not in self.connections]


def _receive_all(listener: socket.socket, cluster: Cluster, terms: str, deadline: float, wait: float) -> None:
    seen = _Attendance()
    try:
        refusal = None
        while not refusal and seen.missing(cluster):
            if time.monotonic() > deadline:
                refusal = _missing(cluster, seen, wait)
            else:
                refusal = _receive(listener, cluster, terms, seen)
        for connection in seen.connections.values():
            with contextlib.suppress(OSError):
                _send(connection, {"refusal": refusal})
        if refusal:
            raise ClothingGANError(refusal)
    finally:
        for connection in seen.connections.values():
            connection.close()


def _receive(listener: socket.socket, cluster: Cluster, terms: str, seen: _Attendance) -> str | None:
    """Takes one worker's word, if one comes; returns why the training cannot begin, if it says so."""
    listener.settimeout(_SECONDS_BETWEEN_TRIES)
    try:
        connection, _ = listener.accept()
    except OSError:
        return None
    try:
        connection.settimeout(_SECONDS_TO_ANSWER)
        greeting = _read(connection)
        index = greeting["index"]
        if type(index) is not int or not 0 < index < len(cluster.addresses):
            raise ValueError
        alike = greeting["addresses"] == list(cluster.addresses), greeting["terms"] == terms
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()  # Not one of ours.
        return None
    if index in seen.connections:
        seen.connections.pop(index).close()  # It has been started again.
    if alike != (True, True):
        seen.connections[index] = connection
        what = "options, data or weights" if alike[0] else "workers in TF_CONFIG"
        return f"{cluster.name(index)} was started with other {what} than the chief; start all workers alike"
    try:
        socket.create_connection(_split(cluster.addresses[index]), _SECONDS_TO_ANSWER).close()
    except OSError:
        seen.unreachable.add(index)
        connection.close()
        return None
    seen.connections[index] = connection
    return None


def _report_to_chief(cluster: Cluster, terms: str, deadline: float, wait: float) -> None:
    greeting = {"index": cluster.index, "addresses": cluster.addresses, "terms": terms}
    has_answered = False
    while True:
        try:
            with socket.create_connection(_split(cluster.addresses[0]), _SECONDS_TO_ANSWER) as connection:
                _send(connection, greeting)
                has_answered = True
                # The chief speaks last, and names who is missing.
                connection.settimeout(max(deadline - time.monotonic(), 0) + 2 * _SECONDS_TO_ANSWER)
                refusal = _read(connection)["refusal"]
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > deadline:
                what = "still waits for others" if has_answered else "has not answered"
                raise ClothingGANError(
                    f"after {wait:g} s {cluster.name(0)} {what}; "
                    "start all workers, or wait longer with --wait"
                ) from None
            time.sleep(_SECONDS_BETWEEN_TRIES)
            continue
        if refusal:
            raise ClothingGANError(str(refusal))
        return


def _missing(cluster: Cluster, seen: _Attendance, wait: float) -> str:
    missing = seen.missing(cluster)
    names = " and ".join(cluster.name(index) for index in missing)
    if seen.unreachable.issuperset(missing):
        return f"the chief cannot connect to {names}: look at its address in TF_CONFIG and at the firewall"
    return f"after {wait:g} s there is no word of {names}; start it, or wait longer with --wait"


def _send(connection: socket.socket, message: dict[str, object]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket) -> dict[str, object]:
    """Reads one line of JSON; raises OSError or ValueError where none comes."""
    with connection.makefile("rb") as lines:
        return json.loads(lines.readline(_MAX_MESSAGE))


def _task(kind: str, index: int) -> str:
    return f"/job:{kind}/replica:0/task:{index}"


def _is_address(address: str) -> bool:
    match = _ADDRESS.fullmatch(address)
    return bool(match) and 0 < int(match[2]) < 2**16


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _complaint(reason: str) -> str:
    return (
        f"the environment variable TF_CONFIG cannot be used: {reason}; "
        "correct it, unset it, or say --strategy single"
    )


@contextlib.contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Undoes what the block does to SIGTERM: TensorFlow's strategy has it swallowed."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
