"""Trains the classifier of clothinggan/evaluation/classifier.py, and writes it and what came out beside it.

    python scripts/experiments/train_classifier.py --data DIR

It needs Fashion-MNIST with labels and its test set. Everything that is chosen here (epochs, rates,
augmentation) was chosen before the test images were looked at; they are used once, at the end.
"""

import argparse
import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401

from clothinggan import environment, files
from clothinggan.data import sources
from clothinggan.evaluation import classifier

environment.import_tensorflow()

import keras
import tensorflow as tf

from clothinggan.environment import core_count
from clothinggan.errors import ClothingGANError
from clothinggan.presets import CLASSES

SCRIPT = "scripts/experiments/train_classifier.py"
BATCH_SIZE = 128
LEARNING_RATE = 0.003
LARGEST_SHIFT = 2  # pixels
DROPOUT = 0.3


class ShiftedBatches(keras.utils.PyDataset):
    """The training images in whole shuffled batches, each image moved a little in every epoch.

    Moved, but neither mirrored nor turned: the shoes in Fashion-MNIST point to the left, and
    features that were taught to overlook that could not tell that a generator gets it wrong.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        super().__init__()
        margin = LARGEST_SHIFT
        self._padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))
        self._labels = labels
        self._generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._labels) // BATCH_SIZE

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        rows = self._shifts[chosen, 0, None] + np.arange(28)
        columns = self._shifts[chosen, 1, None] + np.arange(28)
        images = self._padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return images[..., None].astype(np.float32) / 255, self._labels[chosen]

    def on_epoch_end(self) -> None:
        """Draws a new order and new shifts."""
        self._order = self._generator.permutation(len(self._labels))
        self._shifts = self._generator.integers(0, 2 * LARGEST_SHIFT + 1, (len(self._labels), 2))


def train(dataset: sources.Dataset, epochs: int, seed: int) -> keras.Sequential:
    """Trains the feature network together with a class layer, and returns the two as one model."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            classifier.feature_network(),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(CLASSES, name="classes"),
        ]
    )
    batches = ShiftedBatches(dataset.train_images, dataset.train_labels, seed)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * len(batches))
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # slower with XLA on a processor
    )
    # The batches come already shuffled; one process makes them, so that the order is the seed's.
    model.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    return model


def measure(eyes: classifier.Classifier, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Returns the accuracy on the test images, in all and by class, and the mean confidence."""
    probabilities = eyes.probabilities(images)
    right = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": round(float(right.mean()), 4),
        "accuracy_by_class": {
            name: round(float(right[labels == label].mean()), 4)
            for label, name in enumerate(sources.CLASS_NAMES)
            if label in labels
        },
        "mean_confidence": round(float(probabilities.max(axis=1).mean()), 4),
    }


def as_markdown(facts: dict[str, Any]) -> str:
    """Returns the facts as the page that lies beside the classifier."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    by_class = "\n".join(
        f"| {name} | {accuracy:.1%} |" for name, accuracy in facts["accuracy_by_class"].items()
    )
    return f"""\
# The classifier behind the metrics

`classifier.npz` holds the weights of the network in `classifier.py`: {facts["parameters"]:,}
parameters, trained on the {facts["training_images"]:,} training images of Fashion-MNIST. Of the
{facts["test_images"]:,} test images it classifies **{facts["accuracy"]:.2%}** correctly, with a mean
confidence of {facts["mean_confidence"]:.1%}.

| class | accuracy |
| --- | --- |
{by_class}

The metrics compare images by its {facts["features"]} features. Distances in them are not those of
FID, which uses another network, and compare only with others of this very file.

To make it again, which replaces `classifier.npz`, `classifier.json` and this page:

    python {SCRIPT} --data DIR --epochs {facts["epochs"]} --seed {facts["seed"]}

This one took {facts["minutes"]:.0f} minutes on {facts["cores"]} cores, with {versions}.
Another processor, number of cores or version gives different weights, and a slightly different accuracy.

SHA-256 of `classifier.npz`:
`{facts["sha256"]}`

Fingerprint of the training images and labels, as `clothinggan.data.sources` takes it:
`{facts["fingerprint"]}`

None of the test images was learned from.

The script wrote this page and `classifier.json`; do not edit them.
"""


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        default=sources.default_source(),
        help="Fashion-MNIST, as train's --data (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--out",
        type=Path,
        default=classifier.WEIGHTS.parent,
        help="where to write the three files (default: the package in this checkout)",
    )
    return parser.parse_args()


def main() -> None:
    """Trains, measures and writes."""
    arguments = parse_arguments()
    try:
        dataset = sources.load(arguments.data)
    except ClothingGANError as error:
        sys.exit(f"error: {error}")
    if dataset.train_labels is None or dataset.test_labels is None:
        sys.exit(f"error: {dataset.source} lacks labels or test images: a classifier needs both")

    start = time.monotonic()
    model = train(dataset, arguments.epochs, arguments.seed)
    minutes = (time.monotonic() - start) / 60

    network, class_layer = model.layers[0], model.get_layer("classes")
    kernel, bias = (np.asarray(weight) for weight in class_layer.weights)
    eyes = classifier.Classifier(network, kernel, bias)
    measured = measure(eyes, dataset.test_images, dataset.test_labels)
    # All three last, one right after the other: the classifier is not loaded without the facts about it.
    weights = arguments.out / classifier.WEIGHTS.name
    with files.atomic_write(weights) as temporary:
        classifier.save(temporary, network, kernel, bias)
    facts = {
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **measured,
        "features": classifier.FEATURES,
        "parameters": model.count_params(),
        "training_images": len(dataset.train_images),
        "test_images": len(dataset.test_images),
        "fingerprint": dataset.fingerprint,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "minutes": round(minutes, 1),
        "cores": core_count(),
        "versions": {
            "Python": platform.python_version(),
            "TensorFlow": tf.__version__,
            "Keras": keras.__version__,
            "NumPy": np.__version__,
        },
    }
    files.write_text(arguments.out / classifier.FACTS.name, json.dumps(facts, indent=2) + "\n")
    files.write_text(arguments.out / "classifier.md", as_markdown(facts))
    print(f"accuracy on the test images: {facts['accuracy']:.2%}; written to {arguments.out}")


if __name__ == "__main__":
    main()
