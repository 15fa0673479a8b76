"""A small network, trained afresh for one measurement: what the metrics that learn have in common.

`clothinggan.evaluation.two_sample_test` and `clothinggan.evaluation.gan_train` each ask how many images
that it has not seen such a network gets right. They differ in what it learns, and from which images.

TensorFlow is imported when a network is trained, not with this module.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clothinggan.evaluation.classifier import checked

if TYPE_CHECKING:
    import keras

MIN_IMAGES = 10  # Fewer teach nothing; the standard error tells how little a few more do.
MIN_STEPS = 100  # A small set is gone through more often.

_BATCH_SIZE = 128
_LEARNING_RATE = 0.002
_FILTERS = (32, 64, 128)
_DROPOUT = 0.4
_PREDICTION_BATCH_SIZE = 500

Progress = Callable[[int, int], None]


class MeasuredAccuracy(NamedTuple):
    """The share of images that a network gets right, and how far it may be off.

    Attributes:
        accuracy: The share, in [0, 1].
        standard_error: Its standard error for the choice of the images that were measured, by the binomial
            distribution. What another training of the network, by another seed, would change comes on top,
            and can be several times as much.
    """

    accuracy: float
    standard_error: float


def accuracy_on_unseen(
    images: np.ndarray,
    labels: np.ndarray,
    unseen_images: np.ndarray,
    unseen_labels: np.ndarray,
    *,
    classes: int,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
) -> MeasuredAccuracy:
    """Trains a fresh network on images, and measures it on others.

    Equal arguments give equal numbers on the same machine. The global random states of NumPy, Keras and
    TensorFlow have no part in them, and stay as they are.

    Args:
        images: Uint8 of shape (n, 28, 28, 1).
        labels: Integers of shape (n,), from 0 to classes - 1.
        unseen_images: Uint8 of shape (m, 28, 28, 1).
        unseen_labels: Integers of shape (m,), from 0 to classes - 1.
        classes: How many classes there are, at least 2.
        epochs: How often to go through the images, if that is at least `MIN_STEPS` steps.
        seed: Decides the initial weights, the order of the images and the dropout; at least 0.
        progress: Called after each step with the number of steps done, and how many there are.
    """
    import tensorflow as tf

    from clothinggan import environment, fast_layers

    random = np.random.default_rng(seed)
    network = _network(classes, random)
    batch_size = min(_BATCH_SIZE, len(images))
    fit(
        network,
        images,
        labels,
        steps=max(epochs * (len(images) // batch_size), MIN_STEPS),
        batch_size=batch_size,
        learning_rate=_LEARNING_RATE,
        random=random,
        progress=progress,
    )

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)], autograph=False)
    def predict(batch: tf.Tensor) -> tf.Tensor:
        logits = fast_layers.apply(
            network, tf.cast(batch, tf.float32) / 255, training=False, parts=environment.batch_parts()
        )
        return tf.argmax(logits, axis=1)

    starts = range(0, len(unseen_images), _PREDICTION_BATCH_SIZE)
    predicted = [predict(unseen_images[start : start + _PREDICTION_BATCH_SIZE]) for start in starts]
    accuracy = float(np.mean(np.concatenate(predicted) == unseen_labels))
    return MeasuredAccuracy(accuracy, math.sqrt(accuracy * (1 - accuracy) / len(unseen_images)))


def fit(
    network: "keras.Sequential",
    images: np.ndarray,
    labels: np.ndarray,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    random: np.random.Generator,
    largest_shift: int = 0,
    progress: Progress | None = None,
) -> None:
    """Trains a classifier by Adam, with a learning rate that falls along a cosine.

    Args:
        network: Images (n, 28, 28, 1) in [0, 1] to logits (n, classes).
        images: Uint8 of shape (n, 28, 28, 1).
        labels: Integers of shape (n,), from 0 to classes - 1.
        steps: How many batches to learn from; the images come in another order each time around.
        batch_size: Images in a batch, at most n; what is left over of n is dropped each time around.
        learning_rate: The first.
        random: Decides the order and the shifts.
        largest_shift: How many pixels each batch is moved by at the most, in both directions.
        progress: Called after each step with the number of steps done, and how many there are.
    """
    import keras
    import tensorflow as tf

    from clothinggan import environment, fast_layers

    batches = len(images) // batch_size
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimizer.build(network.trainable_variables)
    # Copied to the device once; each step gathers its batch there.
    all_images, all_labels = tf.constant(images), tf.constant(labels.astype(np.int32))

    @tf.function(autograph=False)
    def train_step(chosen: tf.Tensor, shift: tf.Tensor) -> None:
        batch = tf.cast(tf.gather(all_images, chosen), tf.float32) / 255
        if largest_shift:
            margins = [[0, 0], [largest_shift] * 2, [largest_shift] * 2, [0, 0]]
            start = tf.concat([[0], shift, [0]], axis=0)
            batch = tf.slice(tf.pad(batch, margins), start, tf.shape(batch))
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(all_labels, chosen),
                fast_layers.apply(network, batch, training=True, parts=environment.batch_parts()),
            )
            loss = tf.reduce_mean(losses)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    shift = np.zeros(2, np.int32)
    for step in range(steps):
        if step % batches == 0:
            order = random.permutation(len(images)).astype(np.int32)
        start = step % batches * batch_size
        if largest_shift:
            shift = random.integers(0, 2 * largest_shift + 1, 2, np.int32)
        train_step(tf.constant(order[start : start + batch_size]), tf.constant(shift))
        if progress:
            progress(step + 1, steps)


def as_bytes(name: str, images: np.ndarray, at_least: int = MIN_IMAGES) -> np.ndarray:
    """Returns images in the 256 levels that real ones have, so that no network can go by the rounding.

    Args:
        name: What the images are called in an error.
        images: Of shape (n, 28, 28) or (n, 28, 28, 1): floats in [0, 1], or uint8.
        at_least: How many there have to be.

    Returns:
        Uint8 of shape (n, 28, 28, 1).

    Raises:
        ValueError: If the images are too few, of another shape or dtype, or not in [0, 1].
    """
    try:
        images = checked(images)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(images) < at_least:
        raise ValueError(f"{name} are {len(images)}: expected at least {at_least}")
    if images.dtype == np.uint8:
        return images
    return np.rint(images.astype(np.float32) * 255).astype(np.uint8)


def _network(classes: int, random: np.random.Generator) -> "keras.Sequential":
    """Builds the network: images (n, 28, 28, 1) in [0, 1] to logits (n, classes).

    Three convolutions with stride 2, as a discriminator has them. Without the batch normalisation it would
    need many more steps to find the same differences.
    """
    import keras
    from keras import layers

    # Whatever precision a training run has set for its own networks, a measure stays the same.
    float32 = "float32"

    def new_seed() -> int:
        # Without a seed of its own, a layer would take one from the global random state.
        return int(random.integers(2**31))

    def convolution(filters: int) -> list[keras.Layer]:
        kernel = keras.initializers.HeNormal(new_seed())
        return [
            layers.Conv2D(filters, 3, 2, "same", use_bias=False, kernel_initializer=kernel, dtype=float32),
            layers.BatchNormalization(momentum=0.9, dtype=float32),
            layers.LeakyReLU(0.2, dtype=float32),
        ]

    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype=float32),
            *(layer for filters in _FILTERS for layer in convolution(filters)),
            layers.Flatten(dtype=float32),
            layers.Dropout(_DROPOUT, seed=new_seed(), dtype=float32),
            layers.Dense(classes, kernel_initializer=keras.initializers.HeNormal(new_seed()), dtype=float32),
        ]
    )
