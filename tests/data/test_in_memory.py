"""Images that a program has in memory are read in the forms that they come in, and kept with a run."""

import dataclasses

import numpy as np
import pytest
from image_files import ARRAYS, IMAGES, assert_whole, refusal

from clothinggan.data import sources
from clothinggan.data.in_memory import keep

LABELS = ARRAYS["y_train"]
TRAINING, TEST = (IMAGES, LABELS), (ARRAYS["x_test"], ARRAYS["y_test"])


@pytest.mark.parametrize(
    "arrays",
    [
        (TRAINING, TEST),
        ARRAYS,
        {"train_images": IMAGES, "train_labels": LABELS, "X_test": TEST[0], "y_test": TEST[1]},
    ],
    ids=["as Keras's load_data() returns them", "by an npz's names", "by other names"],
)
def test_training_and_test_images_are_read(arrays):
    assert_whole(sources.load(arrays))


@pytest.mark.parametrize(
    "arrays",
    [
        TRAINING,
        (IMAGES / 255, np.eye(10)[LABELS]),
        (IMAGES[:, None], LABELS.astype(str).astype(object)),
        (IMAGES.tolist(), LABELS.tolist()),
        (tuple(IMAGES), tuple(LABELS)),
        {
            "data": IMAGES.reshape(-1, 784),
            "target": LABELS.astype(str).astype(object),
            "frame": None,
            "categories": {},
            "feature_names": ["pixel1"],
            "target_names": ["class"],
            "DESCR": "of clothes",
            "details": {"id": "40996"},
            "url": "https://www.openml.org/d/40996",
        },
    ],
    ids=["uint8", "floats and one-hot", "channels first and texts", "lists", "unzipped", "of fetch_openml"],
)
def test_images_and_labels_are_read(arrays):
    dataset = sources.load(arrays)
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    np.testing.assert_array_equal(dataset.train_labels, LABELS)
    assert dataset.test_images is None


def test_an_open_npz_is_read_by_name_and_what_else_it_holds_is_not(tmp_path):
    np.savez(tmp_path / "images.npz", **ARRAYS, notes=np.array([{}], object))
    with np.load(tmp_path / "images.npz") as arrays:
        assert_whole(sources.load(arrays))


@pytest.mark.parametrize("count", [2, 12])
def test_two_images_and_their_labels_are_no_two_splits(count):
    dataset = sources.load((tuple(IMAGES[:count]), tuple(LABELS[:count])))
    np.testing.assert_array_equal(dataset.train_labels, LABELS[:count])


def test_what_the_program_does_to_its_array_later_changes_nothing():
    images = IMAGES.copy()
    dataset = sources.load(images)
    images[:] = 0
    np.testing.assert_array_equal(dataset.train_images, IMAGES)


def test_labels_that_are_missing_are_no_class():
    dataset = sources.load((IMAGES, np.array(["hat", float("nan"), "tie"] * 4, object)))
    assert dataset.labels_flaw == "data: y_train has missing values"
    assert sources.load(dataset).labels_flaw == dataset.labels_flaw


@pytest.mark.parametrize("arrays", [IMAGES, (IMAGES, None), list(IMAGES)], ids=["array", "no labels", "list"])
def test_images_need_no_labels(arrays):
    dataset = sources.load(arrays)
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    assert dataset.train_labels is None


def test_a_part_of_a_data_set_that_was_loaded_is_taken_as_it_is():
    part = sources.load("sample").take(20)
    dataset = sources.load(part)
    assert dataset.fingerprint == part.fingerprint
    assert dataset.class_names == part.class_names
    assert dataset.is_in_memory


def test_a_data_set_that_the_program_has_changed_is_read_as_its_arrays_are():
    changed = dataclasses.replace(sources.load("sample").take(12), train_images=IMAGES / 255)
    np.testing.assert_array_equal(sources.load(changed).train_images, IMAGES)
    assert (
        "a label for each of 5 images"
        in sources.load(dataclasses.replace(changed, train_images=IMAGES[:5])).labels_flaw
    )


def test_a_part_of_fashion_mnist_is_no_longer_all_of_it():
    whole = sources.Dataset("fashion_mnist", IMAGES, is_fashion_mnist=True)
    assert not sources.load(whole.take(5)).is_fashion_mnist


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (IMAGES[:, :27], "data: x_train has the shape (12, 27, 28); images of 28 by 28 are expected"),
        ((IMAGES,), "data: is no tuple of images and labels, or of two such tuples; give images"),
        ((TRAINING, TEST, TEST), "data: is no tuple of images and labels"),
        ([TRAINING, TEST], "data: x_train is no array: "),
        (IMAGES[0], "data: x_train is one image; several are expected, as an array of the shape (n, 28, 28)"),
        ({}, "data: holds no arrays"),
        (
            {"pictures": IMAGES, "names": LABELS},
            "data: holds no training images by its names (pictures, names)",
        ),
        ({0: IMAGES, 1: IMAGES}, "data: has names that are no texts"),
        (object(), "data: x_train holds object values"),
        (3, "data: x_train has the shape ()"),
    ],
    ids=[
        "27 rows",
        "one of a tuple",
        "three splits",
        "a list of tuples",
        "one image",
        "nothing",
        "names",
        "numbers",
        "an object",
        "3",
    ],
)
def test_what_holds_no_images_is_refused_in_one_line_that_says_what_is_taken(arrays, said):
    assert refusal(arrays).startswith(said)
    assert refusal(arrays).endswith("or training and test images as Keras's load_data() returns them")


@pytest.mark.parametrize("invert", ["auto", "yes"])
def test_kept_images_are_loaded_as_they_were(tmp_path, invert):
    dataset = sources.load(ARRAYS | {"class_names": np.array(list("abcdefghij"))}, invert=invert)
    again = sources.load(dataset.take(3).keep(tmp_path, invert), invert=invert)
    assert again.fingerprint == dataset.fingerprint
    assert again.class_names == dataset.class_names
    np.testing.assert_array_equal(again.test_images, dataset.test_images)
    np.testing.assert_array_equal(again.test_labels, dataset.test_labels)


def test_other_images_are_kept_beside_the_first(tmp_path):
    first, second = (keep({"x_train": images}, tmp_path) for images in (IMAGES, 255 - IMAGES))
    assert keep({"x_train": IMAGES}, tmp_path) == first
    assert sorted(tmp_path.iterdir()) == sorted([first, second])
