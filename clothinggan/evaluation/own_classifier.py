"""The classifier through which images are compared: the package's own of Fashion-MNIST, or one of one's own.

Features that were learned from garments overlook what matters in other images. So for other images than
Fashion-MNIST's a network of the same layers is trained once, on the training images and their labels, and
kept in the user's cache folder. It has seen less than the package's: it is to take minutes.

TensorFlow is imported when a classifier is made, not with this module.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import cache
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.data.sources import Dataset
from clothinggan.errors import note, shown
from clothinggan.evaluation import classifier
from clothinggan.evaluation.classifier import Classifier
from clothinggan.evaluation.small_networks import fit

if TYPE_CHECKING:
    import keras

STEPS = 800  # of BATCH_SIZE images; 1.7 times all of 60,000
MAX_EPOCHS = 40  # of fewer images
MIN_STEPS = 100
BATCH_SIZE = 128
LEARNING_RATE = 0.003
LARGEST_SHIFT = 2  # pixels that images are moved by
DROPOUT = 0.3  # of the features
MAX_TESTED = 5_000  # images that its accuracy is measured on
_VERSION = 1

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Eyes:
    """A classifier, and what is to be known of numbers that come from it.

    Attributes:
        classifier: What images are seen with.
        class_names: Of the classes that it tells apart.
        whose: Who has taught it what: a line that goes on from "seen by".
        identity: SHA-256 of its weights: numbers compare only with those from the same.
    """

    classifier: Classifier
    class_names: tuple[str, ...]
    whose: str
    identity: str


def classifier_for(dataset: Dataset, progress: Progress | None = None) -> Eyes:
    """Returns the classifier to compare images of a data set with; trains it the first time.

    Args:
        dataset: The images that others are compared with.
        progress: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        ClothingGANError: If the package's classifier is missing or damaged.
    """
    if dataset.is_fashion_mnist or dataset.train_labels is None or dataset.class_count < 2:
        whose = "this package's own classifier of Fashion-MNIST"
        if not dataset.is_fashion_mnist:
            whose += f", which knows nothing of {shown(dataset.source)}: there are no classes to learn from"
        return Eyes(classifier.load(), CLASS_NAMES, whose, classifier.facts()["sha256"])
    key = f"{_VERSION} {STEPS} {dataset.class_count} {dataset.fingerprint}"
    path = cache.folder() / f"classifier-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    model, network = _networks(dataset.class_count)
    names = [f"{layer.name}/{weight.name}" for layer in model.layers for weight in layer.weights]
    arrays = cache.read(path, [*names, "accuracy"])
    if arrays and all(
        arrays[name].shape == weight.shape for name, weight in zip(names, model.weights, strict=True)
    ):
        for name, weight in zip(names, model.weights, strict=True):
            weight.assign(arrays[name])
        accuracy = float(arrays["accuracy"])
    else:
        _train(model, dataset, progress or (lambda *_: None))
        accuracy = _accuracy(Classifier(network, *map(np.asarray, model.layers[-1].weights)), dataset)
        arrays = {name: np.asarray(weight) for name, weight in zip(names, model.weights, strict=True)}
        cache.write(path, {**arrays, "accuracy": np.array(accuracy)})
    tested = "" if np.isnan(accuracy) else f", right on {accuracy:.1%} of its test images"
    whose = (
        f"a classifier of its own that learned the {dataset.class_count:,} classes of {shown(dataset.source)}"
        f"{tested}"
    )
    identity = hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in model.weights)).hexdigest()
    eyes = Classifier(network, *map(np.asarray, model.layers[-1].weights))
    return Eyes(eyes, dataset.class_names, whose, identity)


def _networks(classes: int) -> tuple["keras.Sequential", "keras.Sequential"]:
    """Builds a classifier, images to logits, and its part that gives features; both have the same layers."""
    import keras
    from keras import layers

    network = classifier.feature_network()
    rest = [
        layers.Dropout(DROPOUT, seed=0, dtype="float32", name="dropout"),
        layers.Dense(classes, dtype="float32", name="classes"),
    ]
    model = keras.Sequential([keras.Input((28, 28, 1)), *network.layers, *rest])
    # The layers drew their weights from the global random state, which is a run's.
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            fan_in = int(np.prod(weight.shape[:-1]))
            weight.assign(random.normal(0, np.sqrt(2 / fan_in), weight.shape).astype(np.float32))
    return model, network


def _train(model: "keras.Sequential", dataset: Dataset, progress: Progress) -> None:
    what = f"learning {dataset.class_count:,} classes, once"
    note(
        f"a classifier of the {dataset.class_count:,} classes is trained to compare images with; "
        "that takes up to 3 minutes, once"
    )
    count = len(dataset.train_images)
    batch_size = min(BATCH_SIZE, count)
    steps = min(STEPS, max(MIN_STEPS, MAX_EPOCHS * (count // batch_size)))
    fit(
        model,
        dataset.train_images[..., np.newaxis],
        dataset.train_labels,
        steps=steps,
        batch_size=batch_size,
        learning_rate=LEARNING_RATE,
        random=np.random.default_rng(0),
        largest_shift=LARGEST_SHIFT,
        progress=lambda done, total: progress(what, done, total),
    )


def _accuracy(eyes: Classifier, dataset: Dataset) -> float:
    """Returns how many test images it knows; NaN where it cannot be told."""
    if dataset.test_labels is None:
        return float("nan")
    count = len(dataset.test_images)
    chosen = np.random.default_rng(0).permutation(count)[:MAX_TESTED]
    found = eyes.probabilities(dataset.test_images[chosen]).argmax(axis=1)
    return float(np.mean(found == dataset.test_labels[chosen]))
