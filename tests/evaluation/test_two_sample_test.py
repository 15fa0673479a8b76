"""The two-sample test on sets whose answer is known; they are the built-in garments, changed."""

import random
import subprocess
import sys

import numpy as np
import pytest

from clothinggan.data.sample import GARMENTS, Dice, make_split, to_bytes
from clothinggan.evaluation import small_networks, two_sample_test
from clothinggan.evaluation.small_networks import MIN_STEPS
from clothinggan.evaluation.two_sample_test import told_apart

FEW = 400
FEW_STEPS = 20


@pytest.fixture(scope="module")
def images():
    return make_split("train")[0]


@pytest.fixture
def few_steps(monkeypatch):
    """Has a network learn for as long as shows whether it learns the same; not until it knows its images."""
    monkeypatch.setattr(small_networks, "MIN_STEPS", FEW_STEPS)


@pytest.fixture(scope="module")
def of_few(images):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_networks, "MIN_STEPS", FEW_STEPS)
        return told_apart(images[:FEW], images[FEW : 2 * FEW])


def certainly_above_chance(result):
    return result.accuracy - 0.5 > 3 * result.standard_error


def about_chance(result):
    return abs(result.accuracy - 0.5) <= 3 * result.standard_error


# Sets that do not differ


def test_two_halves_of_one_set_are_not_told_apart(images):
    assert about_chance(told_apart(images[:3000], images[3000:]))


def test_copies_of_other_real_images_are_not_told_apart(images):
    # What a generator draws that has learned its training images by heart: the test cannot see memorising.
    copies = np.random.default_rng(0).permutation(images[3000:]) / 255
    assert about_chance(told_apart(images[:1000], copies))


@pytest.mark.usefixtures("few_steps")
def test_images_are_not_told_apart_by_differences_below_a_grey_level(images, of_few):
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (FEW, 28, 28))
    finer = np.clip((images[FEW : 2 * FEW] + noise) / 255, 0, 1)
    assert about_chance(of_few)
    assert told_apart(images[:FEW], finer) == of_few


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_count_as_the_grey_levels_that_they_stand_for(images, of_few, dtype):
    floats = (images[FEW : 2 * FEW] / 255).astype(dtype)
    assert told_apart(images[:FEW], floats[..., None]) == of_few


# Sets that differ


@pytest.mark.usefixtures("few_steps")
def test_noise_is_told_apart(images):
    noise = np.random.default_rng(0).random((FEW, 28, 28), np.float32)
    assert told_apart(images[:FEW], noise).accuracy > 0.98


def test_a_few_images_again_and_again_are_told_apart(images):
    # What a generator draws that has collapsed: the network learns these images by heart.
    repeated = images[3000:3100][np.random.default_rng(0).integers(100, size=1000)]
    assert certainly_above_chance(told_apart(images[:1000], repeated))


def test_one_other_column_of_pixels_is_told_apart(images):
    changed = images[1000:2000].copy()
    changed[:, :, 5] = 255 - changed[:, :, 5]
    assert told_apart(images[:1000], changed).accuracy > 0.98


def test_a_set_that_lacks_a_class_is_told_apart():
    def drawn(stream, classes):
        return np.concatenate([to_bytes(GARMENTS[label](Dice(600, stream, label))) for label in classes])

    result = told_apart(drawn(2, classes=(0, 5, 9)), drawn(3, classes=(0, 9)))
    assert certainly_above_chance(result)
    # All images of class 5 are real, and there are three generated ones to two real ones of the others.
    assert result.accuracy < 2 / 3 + 3 * result.standard_error


# What it is measured with


def test_the_standard_error_is_that_of_as_many_unseen_images(of_few):
    accuracy, standard_error = of_few
    unseen = 2 * FEW * (1 - two_sample_test.TRAINING_SHARE)
    assert standard_error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / unseen))


@pytest.mark.usefixtures("few_steps")
def test_of_the_larger_set_no_more_images_are_used_than_of_the_smaller(images):
    # If all were used, 'real' would be right for nine images of ten.
    assert about_chance(told_apart(images[:3600], images[3600:4000]))


@pytest.mark.usefixtures("few_steps")
def test_no_more_images_are_used_than_the_most(images, monkeypatch):
    monkeypatch.setattr(two_sample_test, "IMAGES", 40)
    accuracy, standard_error = told_apart(images[:1000], images[1000:2000])
    assert standard_error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 20))


@pytest.mark.usefixtures("few_steps")
def test_ten_images_of_each_kind_are_enough(images):
    assert 0 <= told_apart(images[:10], images[10:20]).accuracy <= 1


def test_progress_is_told_up_to_the_last_step(images):
    told = []
    told_apart(images[:10], images[10:20], progress=lambda *steps: told.append(steps))
    assert told == [(step, MIN_STEPS) for step in range(1, MIN_STEPS + 1)]


# What decides the number


@pytest.mark.usefixtures("few_steps")
def test_equal_sets_and_seeds_give_equal_numbers_and_other_seeds_others(images):
    import keras

    results = []
    for global_seed, seed in enumerate((1, 1, 2)):
        keras.utils.set_random_seed(global_seed)
        results.append(told_apart(images[:FEW], images[FEW : 2 * FEW], seed=seed).accuracy)
    assert results[0] == results[1] != results[2]


@pytest.mark.usefixtures("few_steps")
def test_global_random_states_stay_as_they_are(images):
    import keras
    import tensorflow as tf

    def drawn():
        drawers = random.random, np.random.random, keras.random.uniform, tf.random.uniform
        shapes = (), (), ((),), ((),)
        return [float(draw(*shape)) for draw, shape in zip(drawers, shapes, strict=True)]

    keras.utils.set_random_seed(5)
    expected = drawn()
    keras.utils.set_random_seed(5)
    told_apart(images[:10], images[10:20])
    assert drawn() == expected


@pytest.mark.usefixtures("few_steps")
def test_a_policy_of_half_precision_changes_nothing(images, of_few):
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert told_apart(images[:FEW], images[FEW : 2 * FEW]) == of_few
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("few_steps")
def test_the_sets_stay_as_they_are(images):
    real, generated = images[:10].copy(), images[10:20] / 255
    before = generated.copy()
    told_apart(real, generated)
    np.testing.assert_array_equal(real, images[:10])
    np.testing.assert_array_equal(generated, before)


# What it refuses, and what importing it costs


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (np.zeros((9, 28, 28), np.uint8), "are 9: expected at least 10"),
        (np.zeros((0, 28, 28), np.uint8), "at least 1"),
        (np.zeros((20, 27, 28), np.uint8), r"shape \(20, 27, 28\)"),
        (np.zeros((20, 28, 28, 3), np.uint8), r"shape \(20, 28, 28, 3\)"),
        (np.float32(0.5), "shape"),
        (np.zeros((20, 28, 28), np.int64), "dtype int64"),
        (np.full((20, 28, 28), 1.01), r"outside \[0, 1\]"),
        (np.full((20, 28, 28), -0.01), r"outside \[0, 1\]"),
        (np.full((20, 28, 28), np.nan), r"outside \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("kind", ["real", "generated"])
def test_what_is_no_set_of_images_is_refused_by_its_name(kind, bad, why):
    sets = {
        "real": np.zeros((20, 28, 28), np.uint8),
        "generated": np.zeros((20, 28, 28), np.uint8),
        kind: bad,
    }
    with pytest.raises(ValueError, match=f"{kind} images.*{why}"):
        told_apart(**sets)


def test_importing_it_does_not_import_tensorflow():
    program = "import sys, clothinggan.evaluation.two_sample_test; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
