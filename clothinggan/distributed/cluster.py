"""The processes that train one GAN together, as `TF_CONFIG` names them."""

import json
import os
import re
from dataclasses import dataclass

from clothinggan.data.sources import is_from_tfds
from clothinggan.errors import ClothingGANError, shown

STRATEGIES = ("auto", "single", "mirrored", "multiworker")
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

    @property
    def names(self) -> dict[str, str]:
        """What to call the workers before a user, by TensorFlow's names of their tasks."""
        return {task: self.name(index) for index, task in enumerate(self.tasks)}

    def name(self, index: int) -> str:
        """What to call a worker before a user."""
        return f"worker {index} ({self.addresses[index]}{', the chief' if index == 0 else ''})"


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
    if len(groups.get("chief") or []) > 1:
        raise ClothingGANError(_complaint("it names more than one chief"))
    if own not in tasks:
        raise ClothingGANError(_complaint("its task is none of the workers in its cluster"))
    for address in addresses:
        if not isinstance(address, str) or not _is_address(address):
            raise ClothingGANError(_complaint(f"{shown(address)} is not an address of the form host:port"))
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
    if cluster and is_from_tfds(source):
        raise ClothingGANError(
            f"several workers cannot read {shown(source)}: TensorFlow would be at work before they have met; "
            "name an .npz or a folder with --data"
        )


def _task(kind: str, index: int) -> str:
    return f"/job:{kind}/replica:0/task:{index}"


def _is_address(address: str) -> bool:
    match = _ADDRESS.fullmatch(address)
    return bool(match) and 0 < int(match[2]) < 2**16


def _complaint(reason: str) -> str:
    return (
        f"the environment variable TF_CONFIG cannot be used: {reason}; "
        "correct it, unset it, or say --strategy single"
    )
