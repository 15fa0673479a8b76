"""What arrays mean: number types and layouts of images, and labels in every form."""

import numpy as np
import pytest
from image_files import IMAGES, LETTERS

from clothinggan.data.arrays import Labels, as_images
from clothinggan.data.formats import Flaw


@pytest.mark.parametrize(
    "array",
    [
        IMAGES[..., np.newaxis],
        IMAGES[:, np.newaxis],
        IMAGES.reshape(12, 784),
        IMAGES.astype(np.int64),
        IMAGES.astype(">i2"),
        np.asfortranarray(IMAGES),
        IMAGES.astype(np.float32),
        IMAGES.astype(">f8"),
        IMAGES / np.float32(255),
        IMAGES / np.float64(127.5) - 1,
        IMAGES.astype(np.uint16) * 257,
        np.repeat(IMAGES[..., np.newaxis], 3, axis=3),
    ],
)
def test_images_are_the_same_in_any_layout_and_number_type(array):
    images, _ = as_images(array)
    np.testing.assert_array_equal(images, IMAGES)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous


def test_what_is_scaled_is_said():
    assert as_images(IMAGES) == (pytest.approx(IMAGES), "")
    assert as_images(IMAGES / 255)[1] == "floats from 0 to 1 are scaled to 255"
    assert as_images(IMAGES / 127.5 - 1)[1] == "floats from -1 to 1 are scaled to 0 to 255"
    assert as_images(IMAGES.astype(float))[1] == "floats from 0 to 255 are rounded"
    assert "multiply by 255" in as_images(IMAGES // 128)[1]


@pytest.mark.parametrize(
    ("array", "flaw"),
    [
        (IMAGES[:, :27], r"has the shape \(12, 27, 28\)"),
        (np.full((3, 28, 28), "a"), "holds str"),
        (IMAGES / 255 - 0.5, "which may mean anything"),
        (IMAGES.astype(int) * 4, "which may mean anything"),
        (np.full((3, 28, 28), np.nan), "NaN"),
    ],
)
def test_images_that_may_mean_anything_are_refused(array, flaw):
    with pytest.raises(Flaw, match=flaw):
        as_images(array)


@pytest.mark.parametrize(
    "labels",
    [
        LETTERS,
        LETTERS.astype(">i8"),
        LETTERS.astype(np.float32),
        LETTERS[:, np.newaxis],
        np.eye(10, dtype=np.float32)[LETTERS],
        np.eye(5, dtype=bool)[LETTERS],
        LETTERS.astype(str),
        LETTERS.astype("S"),
    ],
)
def test_whole_numbers_up_to_nine_stay_what_they_are(labels):
    found = Labels(labels)
    np.testing.assert_array_equal(found.numbers, LETTERS)
    assert found.numbers.dtype == np.uint8
    assert found.names == ("0", "1", "2", "3", "4")
    assert not found.are_numbered_anew


def test_other_whole_numbers_are_numbered_anew():
    found = Labels(np.array([26, 3, 3, -1]))
    assert found.numbers.tolist() == [2, 1, 1, 0]
    assert found.names == ("-1", "3", "26")
    assert found.are_numbered_anew
    assert found.number(np.array([3.0, 26.0])).tolist() == [1, 2]


def test_texts_are_classes_in_their_order():
    found = Labels(np.array(["odd sock", "hat", "odd sock "]))
    assert found.numbers.tolist() == [1, 0, 1]
    assert found.names == ("hat", "odd sock")


def test_names_that_a_source_tells_are_taken():
    names = np.array(["z", "y", "x", "w"])
    assert Labels(LETTERS - 1, names).names == ("z", "y", "x", "w")
    assert Labels(LETTERS, names).numbers.tolist() == (LETTERS - 1).tolist()
    assert Labels(np.array(["x", "z"]), names).numbers.tolist() == [2, 0]
    with pytest.raises(Flaw, match="from 1 to 4, for 3 names"):
        Labels(LETTERS, names[:3])


def test_a_thousand_classes_are_taken_and_one_more_is_not():
    found = Labels(np.arange(1000) + 5)
    assert found.numbers.dtype == np.uint16
    np.testing.assert_array_equal(found.numbers, np.arange(1000))
    with pytest.raises(Flaw, match="1,001 classes; 1000 at most"):
        Labels(np.arange(1001))
