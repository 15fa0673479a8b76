"""Several devices or processes that train one GAN together, by TensorFlow's `tf.distribute`."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clothinggan.distributed import rendezvous
from clothinggan.distributed.cluster import Cluster

if TYPE_CHECKING:
    import tensorflow as tf


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
    def local_replicas(self) -> int:
        """How many replicas of the networks this process trains, each on a device of its own."""
        processes = len(self.cluster.addresses) if self.cluster else 1
        return self.strategy.num_replicas_in_sync // processes

    @property
    def names(self) -> dict[str, str]:
        """What to call the workers before a user, by TensorFlow's names of their tasks."""
        return self.cluster.names if self.cluster else {}

    @property
    def everywhere(self) -> str:
        """What a command to go on with has to be followed by: that every worker needs it."""
        return " on every worker" if self.cluster else ""

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
        ClothingGANError: See `rendezvous.meet`.
    """
    import tensorflow as tf

    if cluster:
        connections = rendezvous.meet(cluster, terms, wait)
        with rendezvous.watched(cluster, connections, wait), _signals_as_they_are():
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "mirrored" or (strategy != "single" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Workers(mirrored)
    return Workers(tf.distribute.get_strategy())


@contextlib.contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Undoes what the block does to SIGTERM: TensorFlow's strategy has it swallowed."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
