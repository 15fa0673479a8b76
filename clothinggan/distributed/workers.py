"""Several devices or processes that train one GAN together, by TensorFlow's `tf.distribute`."""

import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clothinggan.distributed import rendezvous
from clothinggan.distributed.cluster import Cluster
from clothinggan.errors import ClothingGANError

if TYPE_CHECKING:
    import tensorflow as tf

_TASK = r"/job:\w+/replica:0/task:\d+"


@dataclass(frozen=True)
class Workers:
    """Who trains: the strategy that shares a step out, and the processes that take part.

    Attributes:
        strategy: TensorFlow's; networks and optimisers are made in its scope.
        cluster: The processes; None where there is but this one.
        asked_for: The user's word for the strategy, one of `cluster.STRATEGIES`.
    """

    strategy: "tf.distribute.Strategy"
    cluster: Cluster | None = None
    asked_for: str = "auto"

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files and reports."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def local_replicas(self) -> int:
        """How many replicas of the networks this process trains, each on a device of its own."""
        processes = len(self.cluster.addresses) if self.cluster else 1
        return self.strategy.num_replicas_in_sync // processes

    def describe(self) -> str | None:
        """Who takes part, for a person to read; None for one device of one process."""
        replicas = self.strategy.num_replicas_in_sync
        if self.cluster:
            return f"{len(self.cluster.addresses)}; this is {self.cluster.name(self.cluster.index)}"
        return f"{replicas} devices of this machine" if replicas > 1 else None


def gather(strategy: str, cluster: Cluster | None, terms: str, wait: float) -> Workers:
    """Makes the strategy that the user asked for; several processes wait for each other first.

    To be called before TensorFlow has computed anything.

    Args:
        strategy: One of `cluster.STRATEGIES`.
        cluster: What `find_cluster` returned for it.
        terms: What all workers have to agree upon before they begin; any text.
        wait: How many seconds to wait for the other workers.

    Raises:
        ClothingGANError: See `meeting.meet`.
    """
    import tensorflow as tf

    if cluster:
        connections = rendezvous.meet(cluster, terms, wait)
        with rendezvous.watched(cluster, connections, wait), _signals_as_they_are():
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), cluster, strategy)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored" or (strategy != "single" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Workers(mirrored, asked_for=strategy)
    return Workers(tf.distribute.get_strategy(), asked_for=strategy)


def gone(cluster: Cluster | None, error: Exception) -> str | None:
    """Says which worker is gone, by the error that TensorFlow raised; None if it is no sign of that."""
    if cluster is None or isinstance(error, ClothingGANError):
        return None
    import tensorflow as tf

    signs = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
    )
    if not isinstance(error, signs):
        return None
    # Other workers are named too: those that pass the news on.
    blamed = re.search(rf"stopped sending heartbeats\):\s(?:{_TASK}\s)+|remote target {_TASK}", str(error))
    found = re.findall(_TASK, blamed[0]) if blamed else []
    named = [cluster.name(index) for index, task in enumerate(cluster.tasks) if task in found]
    return f"{' and '.join(named) or 'another worker'} {'are' if len(named) > 1 else 'is'} gone"


@contextlib.contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Undoes what the block does to SIGTERM: TensorFlow's strategy has it swallowed."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
