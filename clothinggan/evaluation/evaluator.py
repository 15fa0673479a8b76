"""Generated images held against real ones: the classifier and the metrics put together.

What is costly about the real images is computed once, and kept in the user's cache folder.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import classifier, metrics
from clothinggan.files import atomic_write

IMAGES = 10_000  # what the papers compare; fewer make the Fréchet distance larger
NEAREST_IMAGES = 2_000  # as many take a fifth of the time, and the median is as good to 2 %
MIN_IMAGES = 10
_CACHE_VERSION = 2

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scores:
    """How good a set of images is; the papers are named in `clothinggan.evaluation.metrics`.

    Attributes:
        fcd: Fréchet classifier distance; 0 is best.
        kcd: Kernel classifier distance; 0 is best.
        kcd_error: Its standard error.
        precision: Share of generated images among the real ones.
        recall: Share of real images among the generated ones.
        density: Real neighbourhoods around a generated image; 1 for the real distribution.
        coverage: Share of real images with a generated one near.
        class_shares: Share of images that the classifier takes for each of the ten classes.
        confidence: The classifier's mean certainty.
        nearness: Median distance to the nearest training image, over that of test images.
        copies: Share of images nearer to a training image than 99 % of the test images are.
        confirmed: Of the images that were to be of each class, the share that the classifier takes for
            it; None for a class of none, and empty where no classes were asked for.
    """

    fcd: float
    kcd: float
    kcd_error: float
    precision: float
    recall: float
    density: float
    coverage: float
    class_shares: list[float]
    confidence: float
    nearness: float
    copies: float
    confirmed: list[float | None]


class Evaluator:
    """Scores sets of images against the test images of a dataset.

    Args:
        dataset: Where the real images come from.
        count: How many test images to compare with, at the most.
        progress: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        ClothingGANError: If the dataset has too few training or test images.
    """

    def __init__(self, dataset: Dataset, count: int = IMAGES, progress: Progress | None = None):
        test_count = 0 if dataset.test_images is None else len(dataset.test_images)
        for kind, available in (("test", test_count), ("training", len(dataset.train_images))):
            if available < MIN_IMAGES:
                raise ClothingGANError(
                    f"{dataset.source} has fewer than {MIN_IMAGES} {kind} images, which generated ones are "
                    "compared with; name other data with --data"
                )
        self.source = dataset.source
        self.train_images = dataset.train_images
        self.train_labels = dataset.train_labels
        self.test_images = _some(dataset.test_images, count)
        self.progress = progress or (lambda *_: None)
        self._cache = _cache_file(dataset.fingerprint, self.test_images)

    @property
    def count(self) -> int:
        """How many real images there are to compare with, and so how many to generate."""
        return len(self.test_images)

    def prepare(self) -> None:
        """Computes what is costly about the real images.

        Raises:
            ClothingGANError: If they cannot be compared with.
        """
        _ = self._real

    @cached_property
    def classifier(self) -> classifier.Classifier:
        """The classifier that the package ships."""
        return classifier.load()

    def scores(self, images: np.ndarray, classes: np.ndarray | None = None) -> Scores:
        """Measures images in every way.

        Args:
            images: (n, 28, 28) float32 in [0, 1]; n should be `count`.
            classes: (n,) integers: what each was to be, if that was asked for.
        """
        features = self._features(images)
        fidelity = self._manifold(features)
        kernel = metrics.kernel_distance(self._real["features"], features)
        probabilities = self.classifier.classify(features)
        near = metrics.memorisation(
            self.nearest_training_images(images[:NEAREST_IMAGES]).distances, self._real["test_distances"]
        )
        return Scores(
            fcd=self._frechet(features),
            kcd=kernel.value,
            kcd_error=kernel.standard_error,
            precision=fidelity.precision,
            recall=fidelity.recall,
            density=fidelity.density,
            coverage=fidelity.coverage,
            class_shares=metrics.class_shares(probabilities).tolist(),
            confidence=metrics.mean_confidence(probabilities),
            nearness=near.ratio,
            copies=near.near_share,
            confirmed=[] if classes is None else metrics.confirmed_shares(probabilities, classes),
        )

    def brief_scores(self, images: np.ndarray) -> dict[str, float]:
        """Measures images by what a training history records: `fcd`, `precision`, `recall`."""
        features = self._features(images)
        fidelity = self._manifold(features)
        return {
            "fcd": self._frechet(features),
            "precision": fidelity.precision,
            "recall": fidelity.recall,
        }

    def reference_scores(self) -> dict[str, Scores]:
        """The floor and the ceiling: training images, and noise, in place of generated ones."""
        return {name: Scores(**scores) for name, scores in json.loads(self._references).items()}

    def nearest_training_images(self, images: np.ndarray) -> metrics.Nearest:
        """Each image's nearest training image, pixel by pixel."""
        self.progress("nearest training images", 0, 1)
        return metrics.nearest(images, self.train_images)

    def _features(self, images: np.ndarray) -> np.ndarray:
        return self.classifier.features(images, lambda done: self.progress("features", done, len(images)))

    def _frechet(self, features: np.ndarray) -> float:
        statistics = metrics.feature_statistics(self._real["features"])
        return metrics.frechet_distance(statistics, metrics.feature_statistics(features))

    def _manifold(self, features: np.ndarray) -> metrics.ManifoldScores:
        self.progress("precision and recall", 0, 1)
        real = self._real
        return metrics.manifold_scores(real["features"], features, real["radii"], metrics.radii(features))

    @cached_property
    def _real(self) -> dict[str, np.ndarray]:
        """What is known of the test images: `features`, `radii`, `test_distances`."""
        cached = _read(self._cache, ("features", "radii", "test_distances"))
        if cached:
            return cached
        features = self._features(self.test_images)
        distances = self.nearest_training_images(self.test_images[:NEAREST_IMAGES]).distances
        if not np.median(distances) > 0:
            raise ClothingGANError(
                f"half of the test images of {self.source} are among its training images, so that there is "
                "nothing to compare with; name other data with --data"
            )
        real = {"features": features, "radii": metrics.radii(features), "test_distances": distances}
        _write(self._cache, real)
        return real

    @cached_property
    def _references(self) -> str:
        path = self._cache.with_name(f"{self._cache.stem}-references.npz")
        cached = _read(path, ("scores",))
        if cached:
            return str(cached["scores"])
        random = np.random.default_rng(0)
        count = min(self.count, len(self.train_images))
        chosen = random.choice(len(self.train_images), count, replace=False)
        labels = None if self.train_labels is None else self.train_labels[chosen]
        sets = {
            "training images": (self.train_images[chosen].astype(np.float32) / 255, labels),
            "uniform noise": (random.random((self.count, 28, 28), dtype=np.float32), None),
        }
        scores = json.dumps({name: dataclasses.asdict(self.scores(*drawn)) for name, drawn in sets.items()})
        _write(path, {"scores": np.array(scores)})
        return scores


def _some(images: np.ndarray, count: int) -> np.ndarray:
    """All images, or so many of them: not the first, which may all be of one class."""
    if count >= len(images):
        return images
    return images[np.random.default_rng(0).choice(len(images), count, replace=False)]


def _cache_file(fingerprint: str, test_images: np.ndarray) -> Path:
    digest = hashlib.sha256(f"{_CACHE_VERSION} {classifier.facts()['sha256']} {len(test_images)}".encode())
    digest.update(fingerprint.encode())
    digest.update(np.ascontiguousarray(test_images))
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clothinggan"
    except RuntimeError:  # Nobody knows a home here,
        folder = Path(os.devnull)  # and nothing can be read from there or written to it.
    return folder / f"{digest.hexdigest()[:32]}.npz"


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """What is cached, or None; a file that is broken is as good as none."""
    try:
        # Opened here, since NumPy leaves open a file that it cannot read.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except Exception:  # on garbage, zipfile and NumPy raise a dozen unrelated exceptions
        return None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays for the next time, where that is possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)
    except (OSError, ClothingGANError):
        return  # The next time takes longer; that is all.
