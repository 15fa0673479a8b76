"""The drawn garments are a fixed, varied stand-in for Fashion-MNIST."""

import hashlib
from functools import cache

import numpy as np
import pytest

from clothinggan.data.sample import make_split

CLASSES = 10
SIZES = [("train", 6000), ("test", 1000)]


@cache
def split(name):
    images, labels = make_split(name)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def flat(images):
    return images.reshape(len(images), -1).astype(np.float64) / 255


@pytest.mark.parametrize(("name", "count"), SIZES)
def test_images_have_the_shape_and_type_of_fashion_mnist(name, count):
    images, _ = split(name)
    assert (images.shape, images.dtype) == ((count, 28, 28), np.uint8)


@pytest.mark.parametrize(("name", "count"), SIZES)
def test_there_is_one_label_for_each_image(name, count):
    _, labels = split(name)
    assert (labels.shape, labels.dtype) == ((count,), np.uint8)


@pytest.mark.parametrize(("name", "count"), SIZES)
def test_every_class_has_equally_many_images(name, count):
    _, labels = split(name)
    assert np.bincount(labels).tolist() == [count // CLASSES] * CLASSES


@pytest.mark.parametrize(("name", "count"), SIZES)
def test_classes_are_shuffled(name, count):
    _, labels = split(name)
    assert set(labels[: count // CLASSES]) == set(range(CLASSES))


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match="'validation'"):
        make_split("validation")


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_second_call_gives_the_same_garments(name):
    images, labels = make_split.__wrapped__(name)  # The tests keep what was drawn once.
    assert np.array_equal(images, split(name)[0])
    assert np.array_equal(labels, split(name)[1])


def test_the_garments_are_the_same_bits_on_every_machine():
    # Training runs record a fingerprint of their images: whoever changes a drawing on purpose
    # gives these garments a new fingerprint, and changes this line.
    digest = hashlib.sha256()
    for name, _ in SIZES:
        for array in split(name):
            digest.update(array.tobytes())
    assert digest.hexdigest() == "4e12c43272a60dc2cbba00f28de01fab36411a1c482e33269bddda17f8a27dd2"


def test_no_two_garments_are_alike_even_across_the_splits():
    images = np.concatenate([split(name)[0] for name, _ in SIZES])
    assert len({image.tobytes() for image in images}) == len(images)


def test_no_test_garment_is_a_training_garment_slightly_changed():
    (train, _), (test, _) = split("train"), split("test")
    a, b = flat(train), flat(test)
    squared = (b * b).sum(axis=1)[:, None] - 2 * b @ a.T + (a * a).sum(axis=1)
    assert squared.min() / 784 > 0.02**2


@pytest.mark.parametrize("label", range(CLASSES))
def test_garments_lie_on_a_black_background(label):
    images, labels = split("train")
    background = (images[labels == label] == 0).mean(axis=(1, 2))
    # The share of exact zeros: a garment is cut out of the photograph, which leaves no haze.
    assert background.min() > 0.15


@pytest.mark.parametrize("label", range(CLASSES))
def test_garments_fill_the_frame_as_in_fashion_mnist(label):
    images, labels = split("train")
    seen = images[labels == label] > 0
    height = seen.any(axis=2).sum(axis=1)
    width = seen.any(axis=1).sum(axis=1)
    assert np.maximum(height, width).min() >= 20


@pytest.mark.parametrize("label", range(CLASSES))
def test_no_garment_is_too_dark_to_see(label):
    images, labels = split("train")
    assert images[labels == label].max(axis=(1, 2)).min() > 40


@pytest.mark.parametrize("label", range(CLASSES))
def test_garments_of_one_class_vary(label):
    images, labels = split("train")
    # In grey levels; over the classes of Fashion-MNIST this is from 29 to 73.
    assert images[labels == label].std(axis=0).mean() > 25


@pytest.mark.parametrize("label", [5, 7, 9], ids=["sandal", "sneaker", "ankle boot"])
def test_shoes_point_left(label):
    images, labels = split("train")
    mean = images[labels == label].mean(axis=0)
    # The toes are low, so that the left half's upper part is empty compared with the right's.
    assert mean[:14, :10].sum() < 0.5 * mean[:14, 18:].sum()


def test_the_most_similar_training_garment_is_mostly_of_the_same_class():
    (train, train_labels), (test, test_labels) = split("train"), split("test")
    a, b = flat(train), flat(test)
    nearest = ((a * a).sum(axis=1) - 2 * b @ a.T).argmin(axis=1)
    # Fashion-MNIST itself gives 0.80 with as many images.
    assert (train_labels[nearest] == test_labels).mean() > 0.9


def test_the_classes_do_not_differ_by_their_mean_alone():
    (train, train_labels), (test, test_labels) = split("train"), split("test")
    a, b = flat(train), flat(test)
    means = np.stack([a[train_labels == label].mean(axis=0) for label in range(CLASSES)])
    nearest = ((means * means).sum(axis=1) - 2 * b @ means.T).argmin(axis=1)
    # Fashion-MNIST itself gives 0.67: a set that is much easier would be no stand-in for it.
    assert 0.6 < (nearest == test_labels).mean() < 0.9
