"""Whose eyes images are seen with: the package's for Fashion-MNIST, else those that learned the images."""

import dataclasses

import numpy as np
import pytest

from clothinggan.data.sources import Dataset
from clothinggan.evaluation import classifier, own_classifier
from clothinggan.evaluation.own_classifier import classifier_for


def blocks(count, seed):
    """Images of three classes: a bright block above, in the middle, or below."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 3
    images = random.integers(0, 40, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        left = random.integers(2, 14)
        image[1 + 9 * label : 9 + 9 * label, left : left + 12] = random.integers(150, 256)
    return images, labels


@pytest.fixture(scope="module")
def dataset():
    return Dataset("blocks", *blocks(300, 0), *blocks(90, 1), class_names=("above", "middle", "below"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(own_classifier, "STEPS", 40)
    monkeypatch.setattr(own_classifier, "BATCH_SIZE", 32)
    return tmp_path / "cache" / "clothinggan"


def test_a_classifier_learns_the_classes_that_there_are(dataset, capsys):
    eyes = classifier_for(dataset)
    probabilities = eyes.classifier.probabilities(dataset.test_images)
    assert probabilities.shape == (90, 3)
    assert np.mean(probabilities.argmax(axis=1) == dataset.test_labels) > 0.9
    assert eyes.class_names == ("above", "middle", "below")
    assert "learned the 3 classes of blocks, right on" in eyes.whose
    assert eyes.classifier.features(dataset.test_images).min() >= 0
    assert "that takes up to 3 minutes, once" in capsys.readouterr().err


def test_it_learns_once_and_sees_the_same_ever_after(dataset, monkeypatch, capsys):
    first = classifier_for(dataset)
    monkeypatch.setattr(own_classifier, "fit", None)
    again = classifier_for(dataset)
    assert again.identity == first.identity
    assert again.whose == first.whose
    images = dataset.test_images
    np.testing.assert_array_equal(again.classifier.features(images), first.classifier.features(images))


def test_other_images_are_seen_with_other_eyes(dataset):
    first = classifier_for(dataset)
    assert classifier_for(dataset.take(200)).identity != first.identity


def test_equal_images_teach_equal_eyes_and_a_runs_random_numbers_are_left_alone(dataset, cache):
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    first = classifier_for(dataset)
    assert np.random.random() == expected
    # A broken cache is as good as none.
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert classifier_for(dataset).identity == first.identity


def test_progress_is_told(dataset):
    steps = []
    classifier_for(dataset, lambda what, done, total: steps.append((what, done, total)))
    assert steps[0] == ("learning 3 classes, once", 1, 40)
    assert len(steps) == 40


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({"is_fashion_mnist": True}, "this package's own classifier of Fashion-MNIST"),
        (
            {"train_labels": None, "test_labels": None, "class_names": None},
            "classifier of Fashion-MNIST, which knows nothing of blocks: there are no classes to learn from",
        ),
    ],
    ids=["Fashion-MNIST", "no labels"],
)
def test_the_packages_eyes_see_fashion_mnist_and_what_has_no_labels(dataset, changes, whose):
    eyes = classifier_for(dataclasses.replace(dataset, **changes))
    assert eyes.whose.endswith(whose)
    assert eyes.identity == classifier.facts()["sha256"]
    assert len(eyes.class_names) == 10
