"""A small classifier of Fashion-MNIST: the eyes through which `clothinggan.evaluation.metrics` sees images.

Its last feature maps, averaged over their positions, are the features that images are compared by,
as the Inception network's are for FID. Distances between such features are therefore no FID, and
compare only with others of this same classifier. ``scripts/experiments/train_classifier.py`` makes it;
``classifier.md``, beside this file, says what came out.

TensorFlow is imported when a classifier is loaded, not with this module.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clothinggan.errors import ClothingGANError

if TYPE_CHECKING:
    import keras

FEATURES = 96

WEIGHTS = Path(__file__).with_name("classifier.npz")
FACTS = Path(__file__).with_name("classifier.json")

_BATCH_SIZE = 250


def feature_network() -> "keras.Sequential":
    """Builds the network without its class layer: images (n, 28, 28, 1) to features (n, FEATURES).

    The features are averages of what is left after a ReLU, so they are never negative. Taken before
    it they would reach below zero too, where the class layer never looked while it was trained and
    distances mean nothing. And the average over 49 positions is closer to normally distributed than
    a single unit is, which the Fréchet distance assumes.
    """
    import keras
    from keras import layers

    # Whatever precision a training run has set for its own networks, a measure stays the same.
    float32 = "float32"

    def convolution(filters: int, name: str) -> list[keras.Layer]:
        return [
            layers.Conv2D(filters, 3, padding="same", use_bias=False, dtype=float32, name=name),
            layers.BatchNormalization(momentum=0.9, dtype=float32, name=f"{name}_norm"),
            layers.ReLU(dtype=float32, name=f"{name}_relu"),
        ]

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *convolution(24, "conv1"),
            layers.MaxPooling2D(dtype=float32, name="pool1"),
            *convolution(48, "conv2"),
            *convolution(48, "conv3"),
            layers.MaxPooling2D(dtype=float32, name="pool2"),
            *convolution(FEATURES, "conv4"),
            *convolution(FEATURES, "conv5"),
            layers.GlobalAveragePooling2D(dtype=float32, name="features"),
        ],
        name="classifier_features",
    )


class Classifier:
    """A trained network and the class layer on its features.

    Args:
        network: As `feature_network` builds it, with trained weights.
        kernel: Float32 of shape (FEATURES, 10), the class layer's weights.
        bias: Float32 of shape (10,).
    """

    def __init__(self, network: "keras.Sequential", kernel: np.ndarray, bias: np.ndarray) -> None:
        import tensorflow as tf

        from clothinggan import environment, fast_layers

        self._kernel = kernel
        self._bias = bias
        # One graph for batches of any length, and no XLA, which is slower for this on a processor.
        self._forward = tf.function(
            lambda images: fast_layers.apply(
                network, images, training=False, parts=environment.batch_parts()
            ),
            input_signature=[tf.TensorSpec((None, 28, 28, 1), tf.float32)],
            autograph=False,
        )

    def features(self, images: np.ndarray, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Returns what the metrics compare images by.

        Args:
            images: Of shape (n, 28, 28) or (n, 28, 28, 1): floats in [0, 1], or uint8.
            progress: Called with the number of images done, after each batch of them.

        Returns:
            Float32 of shape (n, FEATURES), at least 0.

        Raises:
            ValueError: If the images are none, of another shape, or not in [0, 1].
        """
        images = checked(images)
        features = np.empty((len(images), FEATURES), np.float32)
        for start in range(0, len(images), _BATCH_SIZE):
            batch = images[start : start + _BATCH_SIZE]
            scale = np.float32(255 if batch.dtype == np.uint8 else 1)
            stop = start + len(batch)
            features[start:stop] = self._forward(batch.astype(np.float32) / scale)
            if progress:
                progress(stop)
        return features

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Returns the probability of each class, from what `features` gave.

        Args:
            features: Float32 of shape (n, FEATURES).

        Returns:
            Float32 of shape (n, 10), each row with sum 1.

        Raises:
            ValueError: If the features have another shape.
        """
        if features.ndim != 2 or features.shape[1] != FEATURES:
            raise ValueError(f"features have shape {features.shape}: expected (n, {FEATURES})")
        logits = features @ self._kernel + self._bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def probabilities(self, images: np.ndarray, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Returns the probability of each class for each image.

        Who needs the features as well calls `features` and `classify` instead, and sends the images
        through the network once.

        Args:
            images: As for `features`.
            progress: As for `features`.

        Returns:
            Float32 of shape (n, 10), each row with sum 1.

        Raises:
            ValueError: If the images are none, of another shape, or not in [0, 1].
        """
        return self.classify(self.features(images, progress))


def load() -> Classifier:
    """Returns the classifier that the package ships.

    Raises:
        ClothingGANError: If its file is missing, or is not the one whose SHA-256 was recorded.
    """
    try:
        content = WEIGHTS.read_bytes()
    except OSError as error:
        raise ClothingGANError(f"{WEIGHTS} is missing: install clothinggan again") from error
    if hashlib.sha256(content).hexdigest() != facts()["sha256"]:
        raise ClothingGANError(f"{WEIGHTS} is damaged: install clothinggan again")

    network = feature_network()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for name, variable in _variables(network).items():
            variable.assign(arrays[name])
        return Classifier(network, arrays["classes/kernel"], arrays["classes/bias"])


def facts() -> dict[str, Any]:
    """Returns what is known of the shipped classifier: its accuracy, its making, its SHA-256.

    ``scripts/experiments/train_classifier.py`` writes them.

    Raises:
        ClothingGANError: If their file is missing or damaged.
    """
    try:
        return json.loads(FACTS.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClothingGANError(f"{FACTS} is missing or damaged: install clothinggan again") from error


def save(file: Path, network: "keras.Sequential", kernel: np.ndarray, bias: np.ndarray) -> None:
    """Writes a trained classifier as `load` reads it: plain arrays, no pickles.

    Args:
        file: The ``.npz`` to write.
        network: As `feature_network` builds it, with trained weights.
        kernel: Float32 of shape (FEATURES, 10), the class layer's weights.
        bias: Float32 of shape (10,).
    """
    arrays = {name: np.asarray(variable) for name, variable in _variables(network).items()}
    np.savez_compressed(file, **arrays, **{"classes/kernel": kernel, "classes/bias": bias})


def _variables(network: "keras.Sequential") -> dict[str, Any]:
    """Returns the network's variables by names of our own, which no version of Keras changes."""
    return {
        f"{layer.name}/{variable.name}": variable for layer in network.layers for variable in layer.weights
    }


def checked(images: np.ndarray) -> np.ndarray:
    """Returns the images with shape (n, 28, 28, 1), after checking them."""
    images = np.asarray(images)
    if images.shape[1:] not in ((28, 28), (28, 28, 1)) or not len(images):
        raise ValueError(f"images have shape {images.shape}: expected (n, 28, 28), n at least 1")
    if images.dtype != np.uint8:
        if images.dtype.kind != "f":
            raise ValueError(f"images have dtype {images.dtype}: expected floats or uint8")
        if not (images.min() >= 0 and images.max() <= 1):  # not so for NaN either
            raise ValueError("images have values outside [0, 1]")
    return images.reshape(-1, 28, 28, 1)
