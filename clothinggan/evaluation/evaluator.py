"""Generated images held against real ones: the classifier and the metrics put together.

What is costly about the real images is computed once, and kept in the user's cache folder.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clothinggan import cache
from clothinggan.data.pictures import MIN_IMAGES
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import gan_train, metrics, small_networks, two_sample_test
from clothinggan.evaluation.classifier import Classifier
from clothinggan.evaluation.own_classifier import Eyes, classifier_for

IMAGES = 10_000  # what the papers compare; fewer make the Fréchet distance larger
NEAREST_IMAGES = 2_000  # as many take a fifth of the time, and the median is as good to 2 %
# Of images of which each class has its fixed share, two are of one class less often than one is of the class
# of a test image. That lowers their kernel distance: of a few images by more than their quality moves it.
FEWEST_FOR_KERNEL_DISTANCE = 1_000
_CACHE_VERSION = 5

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scores:
    """How good a set of images is; the papers are named in `clothinggan.evaluation.metrics`.

    Attributes:
        fcd: Fréchet classifier distance; 0 is best.
        kcd: Kernel classifier distance; 0 is best. None where the images are too few for it.
        kcd_error: Its standard error.
        precision: Share of generated images among the real ones.
        recall: Share of real images among the generated ones.
        density: Real neighbourhoods around a generated image; 1 for the real distribution.
        coverage: Share of real images with a generated one near.
        class_shares: Share of images that the classifier takes for each of its classes.
        confidence: The classifier's mean certainty.
        nearness: Median distance to the nearest training image, over that of test images.
        copies: Share of images nearer to a training image than 99 % of the test images are.
        confirmed: Of the images that were to be of each class, the share that the classifier takes for
            it; None for a class of none, and empty where no classes were asked for.
        told_apart: How often a fresh network tells unseen ones from real images; 0.5 is best. None where it
            was not measured.
        told_apart_error: Its standard error.
        gan_train: Accuracy on the test images of a fresh classifier that has learned from these images alone;
            None where it was not measured, or they have no classes.
        gan_train_error: Its standard error.
    """

    fcd: float
    kcd: float | None
    kcd_error: float | None
    precision: float
    recall: float
    density: float
    coverage: float
    class_shares: list[float]
    confidence: float
    nearness: float
    copies: float
    confirmed: list[float | None]
    told_apart: float | None = None
    told_apart_error: float | None = None
    gan_train: float | None = None
    gan_train_error: float | None = None


class Evaluator:
    """Scores sets of images against the test images of a dataset.

    Args:
        dataset: Where the real images come from.
        count: How many test images to compare with, at the most.
        quick: Whether to leave out what trains a network for each set of images.
        progress: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        ClothingGANError: If the dataset has too few training or test images.
    """

    def __init__(
        self,
        dataset: Dataset,
        count: int = IMAGES,
        quick: bool = False,
        progress: Progress | None = None,
    ):
        test_count = 0 if dataset.test_images is None else len(dataset.test_images)
        for kind, available in (("test", test_count), ("training", len(dataset.train_images))):
            if available < MIN_IMAGES:
                raise ClothingGANError(
                    f"{dataset.source} has {available} {kind} images, and {MIN_IMAGES} are the fewest that "
                    "generated ones can be compared with; add some, or name other data with --data"
                )
        self.dataset = dataset
        self.source = dataset.source
        self.train_images = dataset.train_images
        self.train_labels = dataset.train_labels
        chosen = _some(test_count, count)
        self.test_images = dataset.test_images[chosen]
        self.test_labels = None if dataset.test_labels is None else dataset.test_labels[chosen]
        self.quick = quick
        self.progress = progress or (lambda *_: None)

    @property
    def count(self) -> int:
        """How many real images there are to compare with, and so how many generated ones are compared."""
        return len(self.test_images)

    @property
    def wanted(self) -> int:
        """How many images to generate: those beyond `count` are for what trains a network on them."""
        return self.count if self.quick else max(self.count, self._apart_count, self._teaching_count)

    @property
    def _apart_count(self) -> int:
        """How many images of each kind the two-sample test takes; as many are left for its reference line."""
        return min(two_sample_test.IMAGES, len(self.train_images) // 2)

    @property
    def _teaching_count(self) -> int:
        """How many images GAN-train takes; 0 where there are no labels to measure it by."""
        if self.train_labels is None or self.test_labels is None or self.dataset.class_count < 2:
            return 0
        return min(gan_train.IMAGES, len(self.train_images))

    def prepare(self) -> None:
        """Computes what is costly about the real images.

        Raises:
            ClothingGANError: If they cannot be compared with.
        """
        _ = self._real

    @cached_property
    def eyes(self) -> Eyes:
        """The classifier through which images are compared, and whose it is."""
        return classifier_for(self.dataset, self.progress)

    @property
    def classifier(self) -> Classifier:
        """The classifier through which images are compared."""
        return self.eyes.classifier

    @cached_property
    def _cache(self) -> Path:
        """Where what is known of the real images is kept."""
        digest = hashlib.sha256(f"{_CACHE_VERSION} {self.eyes.identity} {self.count}".encode())
        digest.update(self.dataset.fingerprint.encode())
        digest.update(np.ascontiguousarray(self.test_images))
        return cache.folder() / f"{digest.hexdigest()[:32]}.npz"

    def scores(self, images: np.ndarray, classes: np.ndarray | None = None) -> Scores:
        """Measures images in every way.

        Args:
            images: (n, 28, 28) float32 in [0, 1]; n should be `wanted`.
            classes: (n,) integers: what each was to be, if that was asked for.
        """
        learned = {} if self.quick else self._learned_scores(images, classes)
        images, classes = images[: self.count], None if classes is None else classes[: self.count]
        features = self._features(images)
        fidelity = self._manifold(features)
        has_enough = self.count >= FEWEST_FOR_KERNEL_DISTANCE
        kernel = metrics.kernel_distance(self._real["features"], features) if has_enough else None
        probabilities = self.classifier.classify(features)
        near = metrics.memorisation(
            self.nearest_training_images(images[:NEAREST_IMAGES]).distances, self.test_distances
        )
        return Scores(
            fcd=self._frechet(features),
            kcd=kernel.value if kernel else None,
            kcd_error=kernel.standard_error if kernel else None,
            precision=fidelity.precision,
            recall=fidelity.recall,
            density=fidelity.density,
            coverage=fidelity.coverage,
            class_shares=metrics.class_shares(probabilities).tolist(),
            confidence=metrics.mean_confidence(probabilities),
            nearness=near.ratio,
            copies=near.near_share,
            confirmed=[] if classes is None else metrics.confirmed_shares(probabilities, classes),
            **learned,
        )

    @property
    def test_distances(self) -> np.ndarray:
        """How far each test image is from the training image nearest to it: floats of shape (m,)."""
        return self._real["test_distances"]

    def brief_scores(self, images: np.ndarray) -> dict[str, float | list[float]]:
        """Measures images, `wanted` of them, by what a training history records: see `MEASURED_COLUMNS`."""
        features = self._features(images[: self.count])
        fidelity = self._manifold(features)
        shares = metrics.class_shares(self.classifier.classify(features))
        apart = {} if self.quick else {"told_apart": self._told_apart(images).accuracy}
        return {
            "fcd": self._frechet(features),
            "precision": fidelity.precision,
            "recall": fidelity.recall,
            "coverage": fidelity.coverage,
            **apart,
            "class_shares": [round(float(share), 4) for share in shares],
        }

    def _learned_scores(self, images: np.ndarray, classes: np.ndarray | None) -> dict[str, float]:
        """What networks that are trained afresh on these images say of them."""
        apart = self._told_apart(images)
        scores = {"told_apart": apart.accuracy, "told_apart_error": apart.standard_error}
        if classes is not None and self._teaching_count:
            taught = gan_train.gan_train_accuracy(
                images[: self._teaching_count],
                classes[: self._teaching_count],
                self.test_images,
                self.test_labels,
                classes=self.dataset.class_count,
                progress=lambda done, total: self.progress("GAN-train", done, total),
            )
            scores |= {"gan_train": taught.accuracy, "gan_train_error": taught.standard_error}
        return scores

    def _told_apart(self, images: np.ndarray) -> small_networks.MeasuredAccuracy:
        return two_sample_test.told_apart(
            self.train_images[self._halves[0]],
            images[: self._apart_count],
            progress=lambda done, total: self.progress("told apart", done, total),
        )

    @cached_property
    def _halves(self) -> np.ndarray:
        """Training images for the two-sample test, and others for its reference line: indices, (2, n)."""
        order = np.random.default_rng(0).permutation(len(self.train_images))
        return order[: 2 * self._apart_count].reshape(2, -1)

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
        cached = cache.read(self._cache, ("features", "radii", "test_distances"))
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
        cache.write(self._cache, real)
        return real

    @cached_property
    def _references(self) -> str:
        kind = "quick-references" if self.quick else "references"
        path = self._cache.with_name(f"{self._cache.stem}-{kind}.npz")
        cached = cache.read(path, ("scores",))
        if cached:
            return str(cached["scores"])
        random = np.random.default_rng(0)
        # The two-sample test compares with none of these; GAN-train learns from some that it has too.
        others = np.setdiff1d(np.arange(len(self.train_images)), self._halves[0], assume_unique=True)
        chosen = random.permutation(others)
        chosen = np.concatenate([chosen, random.permutation(self._halves[0])])
        chosen = self._like_the_tests(chosen)[: self.wanted]
        labels = None if self.train_labels is None else self.train_labels[chosen]
        sets = {
            "training images": (self.train_images[chosen].astype(np.float32) / 255, labels),
            "uniform noise": (random.random((self.wanted, 28, 28), dtype=np.float32), None),
        }
        scores = json.dumps({name: dataclasses.asdict(self.scores(*drawn)) for name, drawn in sets.items()})
        cache.write(path, {"scores": np.array(scores)})
        return scores

    def _like_the_tests(self, chosen: np.ndarray) -> np.ndarray:
        """Puts training images first that have the test images' shares of the classes, as far as there are.

        Chosen at random, their other shares alone would make a distance: of 10,000 a third of it, of fewer
        images more.
        """
        if self.train_labels is None or self.test_labels is None:
            return chosen
        labels = self.train_labels[chosen]
        wanted = np.bincount(self.test_labels, minlength=self.dataset.class_count)
        first = np.concatenate([np.flatnonzero(labels == number)[:n] for number, n in enumerate(wanted)])
        first = chosen[np.sort(first)]
        return np.concatenate([first, chosen[~np.isin(chosen, first)]])


def _some(available: int, count: int) -> np.ndarray | slice:
    """Which of the images to take: all, or so many of them: not the first, which may all be of one class."""
    if count >= available:
        return slice(None)
    return np.random.default_rng(0).choice(available, count, replace=False)
