"""A step that several replicas share, each with networks of its own that hold the same weights.

What is here does nothing where there is but one replica.
"""

from collections.abc import Iterable, Sequence

import tensorflow as tf


def share(batch: tf.Tensor) -> tf.Tensor:
    """Returns the rows of a batch that are this replica's."""
    replicas = tf.distribute.get_replica_context()
    count, replica = replicas.num_replicas_in_sync, replicas.replica_id_in_sync_group
    if count == 1:
        return batch
    total = tf.shape(batch)[0]
    return batch[total * replica // count : total * (replica + 1) // count]


def unite_statistics(averages: Sequence[tf.Variable]) -> None:
    """Gives all replicas the mean of what normalisations have learned, each of its own share of a batch."""
    replicas = tf.distribute.get_replica_context()
    if replicas.num_replicas_in_sync > 1 and averages:
        own = [tf.identity(value) for value in averages]
        means = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, own)
        for value, mean in zip(averages, means, strict=True):
            value.assign(mean)


def checksums(variables: Iterable[tf.Variable]) -> tf.Tensor:
    """Returns a number for each replica, (replicas,) int64, from the bits of its float32 variables."""
    checksum = tf.constant(0, tf.int64)
    for value in variables:
        if value.dtype == tf.float32:
            bits = tf.cast(tf.bitcast(tf.reshape(value, [-1]), tf.int32), tf.int64)
            checksum = 31 * checksum + tf.reduce_sum(bits * tf.range(1, tf.size(bits, tf.int64) + 1))
    return tf.distribute.get_replica_context().all_gather(checksum[tf.newaxis], axis=0)


def part_dropout(strategy: tf.distribute.Strategy, seed_states: Sequence[tf.Variable]) -> None:
    """Gives each replica but the first dropout masks of its own; a file holds the first one's states.

    Args:
        strategy: The replicas'.
        seed_states: The states of the dropout layers' seed generators, (2,) integers each.
    """
    if strategy.num_replicas_in_sync == 1:
        return

    def part() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for value in seed_states:
            value.assign(value + tf.cast(tf.stack([replica, 0]), value.dtype))

    strategy.run(part)
