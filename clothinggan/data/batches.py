"""The stream of batches that a run learns from."""

import numpy as np
import tensorflow as tf

from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, shown
from clothinggan.presets import Preset


def arrays_to_learn(preset: Preset, dataset: Dataset) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """What a design learns from, as `batches` takes it.

    Returns:
        The training images, (n, 28, 28) uint8; for a conditional design with their labels, (n,) int32, which
        are all 0 where the images have none.

    Raises:
        ClothingGANError: If the design learns with labels, and those that there are cannot be used.
    """
    if not preset.conditional:
        return dataset.train_images
    dataset.check_labels(preset.name)
    if dataset.train_labels is None:
        return dataset.train_images, np.zeros(len(dataset.train_images), np.int32)
    if dataset.train_labels.max() >= preset.classes:
        raise ClothingGANError(
            f"{shown(dataset.source)} has more classes than the {preset.classes} of these networks"
        )
    return dataset.train_images, np.int32(dataset.train_labels)


def batches(
    arrays: np.ndarray | tuple[np.ndarray, ...], batch_size: int, seed: int, epoch: int, step_in_epoch: int
) -> tf.data.Dataset:
    """An endless stream of batches: each epoch's images in an order that follows from (seed, epoch).

    Args:
        arrays: See `arrays_to_learn`.
        batch_size: Images in a batch; what is left over of n is dropped in each epoch.
        seed: The run's seed.
        epoch: How many epochs to pass over.
        step_in_epoch: How many batches of the next epoch to pass over.

    Returns:
        A dataset of (batch_size, 28, 28) uint8 tensors; or of these and their labels.
    """
    held = tf.nest.map_structure(tf.constant, arrays)
    count = len(tf.nest.flatten(arrays)[0])
    steps = count // batch_size

    # AutoGraph has nothing to convert here, and leaves files behind where a process is killed.
    @tf.autograph.experimental.do_not_convert
    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(shuffled[: steps * batch_size], (steps, batch_size))
        )

    @tf.autograph.experimental.do_not_convert
    def pick(chosen: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
        return tf.nest.map_structure(lambda array: tf.gather(array, chosen), held)

    epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
    indices = epochs.flat_map(order).skip(step_in_epoch)
    options = tf.data.Options()
    # There is nothing to tune, and the tuner's thread can hold up the end of the process for a minute.
    options.autotune.enabled = False
    return indices.map(pick).prefetch(2).with_options(options)
