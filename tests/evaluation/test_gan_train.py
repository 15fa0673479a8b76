"""GAN-train on sets whose answer is known; they are the built-in garments, changed."""

import subprocess
import sys

import numpy as np
import pytest

from clothinggan.data.sample import make_split
from clothinggan.evaluation import gan_train, small_networks
from clothinggan.evaluation.gan_train import gan_train_accuracy
from clothinggan.evaluation.small_networks import MIN_STEPS

FEW = 400


@pytest.fixture(scope="module")
def train():
    images, labels = make_split("train")
    return images[:2000], labels[:2000]


@pytest.fixture(scope="module")
def test():
    return make_split("test")


@pytest.fixture
def few_steps(monkeypatch):
    """Has a network learn for as long as shows whether it learns the same; not until it knows its images."""
    monkeypatch.setattr(small_networks, "MIN_STEPS", 20)


@pytest.fixture(scope="module")
def of_real(train, test):
    return gan_train_accuracy(*train, *test)


# What a set is worth


def test_real_images_teach_nearly_all_the_classes(of_real):
    assert of_real.accuracy > 0.95


def test_copies_of_real_images_teach_as_well_as_these(train, test, of_real):
    # What a generator draws that has learned them by heart: GAN-train cannot see memorising.
    order = np.random.default_rng(0).permutation(len(train[0]))
    copies = gan_train_accuracy(train[0][order] / 255, train[1][order], *test)
    assert copies.accuracy == pytest.approx(of_real.accuracy, abs=0.02)


@pytest.mark.usefixtures("few_steps")
def test_noise_teaches_nothing(train, test):
    # As many real images do.
    assert gan_train_accuracy(train[0][:1000], train[1][:1000], *test).accuracy > 0.4
    noise = np.random.default_rng(0).random((1000, 28, 28), np.float32)
    assert gan_train_accuracy(noise, train[1][:1000], *test).accuracy < 0.3


@pytest.mark.usefixtures("few_steps")
def test_labels_by_chance_teach_nothing(train, test):
    labels = np.random.default_rng(0).permutation(train[1][:1000])
    assert gan_train_accuracy(train[0][:1000], labels, *test).accuracy < 0.3


@pytest.mark.usefixtures("few_steps")
def test_a_missing_class_is_never_recognised(train, test):
    images, labels = train
    others = labels != 5
    of_it = test[1] == 5
    missing = gan_train_accuracy(images[others], labels[others], test[0][of_it], test[1][of_it])
    assert missing == (0, 0)


def test_without_a_class_its_share_of_the_test_images_is_lost(train, test, of_real):
    images, labels = train
    others = labels != 5
    accuracy, _ = gan_train_accuracy(images[others], labels[others], *test)
    assert of_real.accuracy - 0.15 < accuracy <= 0.9


def test_one_image_a_class_teaches_less_than_many(train, test, of_real):
    # What a generator draws that has collapsed: each class is there, and always the same.
    images, labels = train
    firsts = [np.flatnonzero(labels == label)[0] for label in range(10)]
    collapsed = np.repeat(firsts, 100)
    accuracy, standard_error = gan_train_accuracy(images[collapsed], labels[collapsed], *test)
    assert accuracy < of_real.accuracy - 5 * standard_error


def test_classes_can_be_two(train, test):
    def of_two(images, labels):
        two = np.isin(labels, (0, 9))
        return images[two], (labels[two] == 9).astype(np.int64)

    assert gan_train_accuracy(*of_two(*train), *of_two(*test), classes=2).accuracy > 0.95


def test_classes_can_be_more_than_there_are_images_of(train, test):
    assert gan_train_accuracy(*train, *test, classes=300).accuracy > 0.9


# What it is measured with


def test_the_standard_error_is_that_of_as_many_test_images(of_real, test):
    accuracy, standard_error = of_real
    assert standard_error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / len(test[0])))


def test_no_more_images_are_used_than_the_most(train, test, monkeypatch):
    monkeypatch.setattr(gan_train, "IMAGES", 10)
    assert gan_train_accuracy(*train, *test).accuracy < 0.8


@pytest.mark.usefixtures("few_steps")
def test_images_count_by_the_grey_levels_that_they_stand_for(train, test):
    images, labels = train[0][:FEW], train[1][:FEW]
    expected = gan_train_accuracy(images, labels, *test)
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, images.shape)
    finer = np.clip((images + noise) / 255, 0, 1).astype(np.float32)
    assert gan_train_accuracy(finer, labels, test[0] / 255, test[1]) == expected


def test_progress_is_told_up_to_the_last_step(train, test):
    told = []
    gan_train_accuracy(train[0][:10], train[1][:10], *test, progress=lambda *steps: told.append(steps))
    assert told == [(step, MIN_STEPS) for step in range(1, MIN_STEPS + 1)]


@pytest.mark.usefixtures("few_steps")
def test_equal_sets_and_seeds_give_equal_numbers_and_other_seeds_others(train, test):
    import keras

    results = []
    for global_seed, seed in enumerate((1, 1, 2)):
        keras.utils.set_random_seed(global_seed)
        results.append(gan_train_accuracy(train[0][:FEW], train[1][:FEW], *test, seed=seed).accuracy)
    assert results[0] == results[1] != results[2]


# What it refuses, and what importing it costs


GOOD = {
    "images": np.zeros((20, 28, 28), np.uint8),
    "labels": np.arange(20) % 10,
    "test_images": np.zeros((20, 28, 28), np.uint8),
    "test_labels": np.arange(20) % 10,
}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"images": np.zeros((9, 28, 28), np.uint8)}, "^images are 9: expected at least 10"),
        ({"images": np.zeros((20, 28), np.uint8)}, r"^images.*shape \(20, 28\)"),
        ({"images": np.full((20, 28, 28), np.nan)}, r"^images.*outside \[0, 1\]"),
        ({"test_images": np.full((20, 28, 28), 255.0)}, r"^test images.*outside \[0, 1\]"),
        ({"test_images": np.zeros((20, 28, 28), np.int32)}, "^test images.*dtype int32"),
        ({"labels": np.arange(19) % 10}, r"^labels have shape \(19,\)"),
        ({"labels": np.eye(20, 10, dtype=int)}, r"^labels have shape \(20, 10\)"),
        ({"labels": np.arange(20) % 10 * 1.0}, "^labels have dtype float64"),
        ({"labels": np.arange(20)}, "^labels have values outside 0 to 9"),
        ({"test_labels": np.arange(20) % 10 - 1}, "^test labels have values outside 0 to 9"),
        ({"classes": 5}, "^labels have values outside 0 to 4"),
        ({"classes": 1}, "^classes is 1: expected at least 2"),
    ],
)
def test_what_it_cannot_work_with_is_refused_by_its_name(bad, why):
    with pytest.raises(ValueError, match=why):
        gan_train_accuracy(**{**GOOD, **bad})


def test_importing_it_does_not_import_tensorflow():
    program = "import sys, clothinggan.evaluation.gan_train; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
