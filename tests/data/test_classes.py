"""Which class a user means, and how Fashion-MNIST is recognised."""

import numpy as np
import pytest

from clothinggan.data.classes import CLASS_NAMES, UnknownClassError, find_class, recognise_fashion_mnist

OWN = ("hats", "odd socks", "scarves", "A", "a", "even socks")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sneaker", "Sneaker"),
        ("Sneakers", "Sneaker"),
        ("7", "Sneaker"),
        ("boots", "Ankle boot"),
        ("ankle_boot", "Ankle boot"),
        ("tshirt", "T-shirt/top"),
        ("T-Shirts", "T-shirt/top"),
        ("top", "T-shirt/top"),
        ("shirt", "Shirt"),
        ("dresses", "Dress"),
        ("trousers", "Trouser"),
    ],
)
def test_a_garment_is_found_as_people_call_it(text, name):
    assert CLASS_NAMES[find_class(text, CLASS_NAMES)] == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("hat", "hats"), ("scarf", "scarves"), ("odd", "odd socks"), ("A", "A"), ("a", "a"), ("2", "scarves")],
)
def test_own_classes_are_found_by_the_names_of_their_folders(text, name):
    assert OWN[find_class(text, OWN)] == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sneeker", "did you mean Sneaker?"),
        ("snaeker", "did you mean Sneaker?"),
        ("sock", "'sock' is none of the 10 classes: T-shirt/top, Trouser"),
        ("10", "'10' is none of the 10 classes"),
        ("", "'' is none of the 10 classes"),
    ],
)
def test_a_misspelt_class_gets_the_nearest_names(text, says):
    with pytest.raises(UnknownClassError) as raised:
        find_class(text, CLASS_NAMES)
    assert says in str(raised.value)


def test_what_may_be_several_classes_is_refused():
    with pytest.raises(UnknownClassError, match="'socks' may be any of odd socks, even socks"):
        find_class("socks", OWN)


def test_numbers_as_names_come_before_places():
    assert find_class("3", ("1", "2", "3")) == 2


def test_fashion_mnist_is_recognised_in_any_order_and_division(fashion_mnist):
    images = np.concatenate([fashion_mnist.train_images, fashion_mnist.test_images])
    labels = np.concatenate([fashion_mnist.train_labels, fashion_mnist.test_labels])
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    parts = [(images[:65_000], labels[:65_000]), (images[65_000:], labels[65_000:])]
    assert recognise_fashion_mnist(parts) == (True, True)
    assert recognise_fashion_mnist([(images, None)]) == (True, False)
    assert recognise_fashion_mnist([(images, 9 - labels)]) == (True, False)
    images[0, 0, 0] ^= 1
    assert recognise_fashion_mnist([(images, labels)]) == (False, False)


def test_other_images_of_the_same_number_are_not_fashion_mnist():
    blank = np.zeros((10_000, 28, 28), np.uint8)
    assert recognise_fashion_mnist([(blank, np.zeros(10_000, np.uint8))]) == (False, False)
