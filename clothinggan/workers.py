"""Several devices or processes that train one GAN together: who they are, and how they find each other.

The work between them is TensorFlow's (`tf.distribute`): every replica takes its share of each batch, and the
gradients are added up. What TensorFlow leaves out stands here: a `TF_CONFIG` that makes no sense is named,
workers that never come are named after a while, and all have to set out from the same state.
"""

import contextlib
import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clothinggan.errors import ClothingGANError, shown

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("auto", "single", "mirrored", "multiworker")
SECONDS_TO_WAIT = 300
_MAX_MESSAGE = 10_000  # bytes
_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_ANSWER = 5.0
# What reading a message raises where it is none of ours.
_NO_SENSE = (OSError, ValueError, KeyError, TypeError, RecursionError)
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


def check_source(cluster: Cluster | None, source: str) -> None:
    """Refuses data that cannot be read before the workers of a cluster have met."""
    if cluster and source.startswith("tfds:"):
        raise ClothingGANError(
            f"several workers cannot read {shown(source)}: TensorFlow would be at work before they have met; "
            "name an .npz or a folder with --data"
        )


def gather(strategy: str, cluster: Cluster | None, terms: str, wait: float) -> Workers:
    """Makes the strategy that the user asked for; several processes wait for each other first.

    To be called before TensorFlow has computed anything.

    Args:
        strategy: One of `STRATEGIES`.
        cluster: What `find_cluster` returned for it.
        terms: What all workers have to agree upon before they begin; any text.
        wait: How many seconds to wait for the other workers.

    Raises:
        ClothingGANError: See `meet`.
    """
    import tensorflow as tf

    if cluster:
        meet(cluster, terms, wait)
        with _signals_as_they_are():
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored" or (strategy != "single" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return Workers(tf.distribute.MirroredStrategy([device.name for device in devices]))
    return Workers(tf.distribute.get_strategy())


def meet(cluster: Cluster, terms: str, wait: float) -> None:
    """Returns once all workers of a cluster are there and have shown the same terms.

    TensorFlow itself waits for a missing worker for ever, deaf to signals. Here each worker listens at its
    address and says to the chief that it is there; the chief tries whether it can be reached, and lets all
    go when the last has come. A worker that dies in the second after that is still waited for.

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
            _receive_all(listener, cluster, terms, deadline, wait)
        else:
            _report_to_chief(cluster, terms, deadline, wait)


def gone(cluster: Cluster, error: Exception) -> str:
    """Says which worker is gone, by the error that TensorFlow raised in the others."""
    found = re.findall(r"/job:\w+/replica:0/task:\d+", str(error))
    named = [cluster.name(index) for index, task in enumerate(cluster.tasks) if task in found]
    return f"{' and '.join(named) or 'another worker'} is gone"


def _receive_all(listener: socket.socket, cluster: Cluster, terms: str, deadline: float, wait: float) -> None:
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
    finally:
        for connection in present.values():
            connection.close()
    if refusal:
        raise ClothingGANError(refusal)


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
        connection.settimeout(_SECONDS_TO_ANSWER)
        greeting = _read(connection)
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


def _report_to_chief(cluster: Cluster, terms: str, deadline: float, wait: float) -> None:
    """The part of all others: says that it is there, and hears from the chief whether to go."""
    greeting = {"index": cluster.index, "addresses": cluster.addresses, "terms": terms}
    while True:
        chief_is_there = False
        try:
            with socket.create_connection(_split(cluster.addresses[0]), _SECONDS_TO_ANSWER) as connection:
                _send(connection, greeting)
                chief_is_there = True
                # The chief speaks last, and names who is missing.
                connection.settimeout(max(deadline - time.monotonic(), 0) + 2 * _SECONDS_TO_ANSWER)
                refusal = _read(connection)["refusal"]
        except _NO_SENSE as error:
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
            raise ClothingGANError(str(refusal))
        return


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
