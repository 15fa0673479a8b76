"""The shipped classifier is the one that was recorded, and measures what the metrics need."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clothinggan.data.sample import make_split
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import classifier, metrics
from clothinggan.presets import CLASSES

SCRIPT = Path(__file__).parents[2] / "scripts" / "experiments" / "train_classifier.py"


@pytest.fixture(scope="module")
def shipped():
    return classifier.load()


@pytest.fixture(scope="module")
def garments():
    return make_split("test")


@pytest.fixture
def copied_files(tmp_path, monkeypatch):
    """Lets the classifier be loaded from a copy that a test may spoil."""
    for name in ("WEIGHTS", "FACTS"):
        path = getattr(classifier, name)
        (tmp_path / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(classifier, name, tmp_path / path.name)
    return tmp_path


def accuracy(probabilities, labels):
    return np.mean(probabilities.argmax(axis=1) == labels)


# What is shipped


def test_the_shipped_weights_are_those_that_were_recorded():
    digest = hashlib.sha256(classifier.WEIGHTS.read_bytes()).hexdigest()
    assert digest == classifier.facts()["sha256"]


def test_the_shipped_page_tells_of_the_shipped_weights():
    assert classifier.facts()["sha256"] in classifier.WEIGHTS.with_suffix(".md").read_text()


def test_the_shipped_files_stay_under_3_mb():
    assert sum(file.stat().st_size for file in classifier.WEIGHTS.parent.glob("classifier.*")) < 3e6


def test_the_recorded_accuracy_is_at_least_92_5_percent():
    assert classifier.facts()["accuracy"] >= 0.925


def test_the_accuracy_on_fashion_mnist_is_at_least_92_5_percent(shipped, fashion_mnist):
    probabilities = shipped.probabilities(fashion_mnist.test_images)
    assert accuracy(probabilities, fashion_mnist.test_labels) >= 0.925


def test_it_names_most_of_the_drawn_garments_too(shipped, garments):
    images, labels = garments
    assert accuracy(shipped.probabilities(images), labels) >= 0.8  # measured: 0.854


def test_its_features_tell_drawn_garments_from_noise(shipped, garments):
    images, _ = garments
    noise = np.random.default_rng(0).random(images.shape, np.float32)
    first, second, nonsense = (
        metrics.feature_statistics(shipped.features(part)) for part in (images[:500], images[500:], noise)
    )
    floor = metrics.frechet_distance(first, second)
    assert metrics.frechet_distance(first, nonsense) > 10 * floor


# What it gives


def test_features_are_float32_vectors_that_are_never_negative(shipped, garments):
    features = shipped.features(garments[0][:20])
    assert features.shape == (20, classifier.FEATURES)
    assert features.dtype == np.float32
    assert features.min() >= 0


def test_every_feature_is_used(shipped, garments):
    assert (shipped.features(garments[0]).std(axis=0) > 0).all()


def test_probabilities_are_float32_and_sum_to_one(shipped, garments):
    probabilities = shipped.probabilities(garments[0][:20])
    assert probabilities.shape == (20, CLASSES)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_features_and_their_classes_take_the_images_through_the_network_once(shipped, garments):
    images = garments[0][:20]
    by_features = shipped.classify(shipped.features(images))
    np.testing.assert_array_equal(by_features, shipped.probabilities(images))


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images[..., None],
        lambda images: images.astype(np.float32) / 255,
        lambda images: images.astype(np.float64)[..., None] / 255,
    ],
    ids=["with a channel", "float32", "float64 with a channel"],
)
def test_images_count_the_same_in_every_form(shipped, garments, change):
    images = garments[0][:20]
    expected = shipped.features(images)
    np.testing.assert_allclose(shipped.features(change(images)), expected, rtol=1e-4, atol=1e-5)


def test_equal_images_give_equal_features(shipped, garments):
    images = garments[0]
    np.testing.assert_array_equal(shipped.features(images), shipped.features(images))


def test_an_image_has_the_same_features_in_any_company(shipped, garments):
    images = garments[0]
    alone = shipped.features(images[700:701])
    np.testing.assert_allclose(alone, shipped.features(images)[700:701], rtol=1e-4, atol=1e-5)


def test_progress_is_told_up_to_the_last_image(shipped, garments):
    told = []
    shipped.features(garments[0][:600], progress=told.append)
    assert told == [250, 500, 600]


def test_features_are_float32_precise_under_a_policy_of_half_precision(shipped, garments):
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        under_policy = classifier.load()
    finally:
        keras.config.set_dtype_policy(policy)
    images = garments[0][:20]
    np.testing.assert_array_equal(under_policy.features(images), shipped.features(images))


# What it refuses


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (np.empty((0, 28, 28), np.float32), "at least 1"),
        (np.zeros((28, 28), np.float32), "shape"),
        (np.zeros((3, 28, 28, 3), np.float32), "shape"),
        (np.float32(0.5), "shape"),
        (np.full((3, 28, 28), 255.0), r"outside \[0, 1\]"),
        (np.full((3, 28, 28), -0.1), r"outside \[0, 1\]"),
        (np.full((3, 28, 28), np.nan), r"outside \[0, 1\]"),
        (np.zeros((3, 28, 28), np.int64), "dtype"),
    ],
)
def test_what_is_no_image_is_refused(shipped, images, why):
    with pytest.raises(ValueError, match=why):
        shipped.features(images)


def test_features_of_another_network_are_refused(shipped):
    with pytest.raises(ValueError, match=r"\(3, 7\)"):
        shipped.classify(np.zeros((3, 7), np.float32))


def test_damaged_weights_are_refused(copied_files):
    content = bytearray(classifier.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    classifier.WEIGHTS.write_bytes(content)
    with pytest.raises(ClothingGANError, match=r"classifier\.npz is damaged"):
        classifier.load()


@pytest.mark.parametrize("name", ["classifier.npz", "classifier.json"])
def test_a_missing_file_is_named(copied_files, name):
    (copied_files / name).unlink()
    with pytest.raises(ClothingGANError, match=rf"{name} is (missing|missing or damaged): install"):
        classifier.load()


# How it is made, and what importing it costs


def test_importing_it_does_not_import_tensorflow():
    program = "import sys, clothinggan.evaluation.classifier; sys.exit('tensorflow' in sys.modules)"
    where_the_package_is = classifier.WEIGHTS.parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=where_the_package_is).returncode == 0


@pytest.mark.slow
def test_the_script_makes_files_that_load(tmp_path, monkeypatch, garments):
    images, labels = garments
    few = {"x_train": images[:256], "y_train": labels[:256], "x_test": images, "y_test": labels}
    np.savez(tmp_path / "few.npz", **few)
    command = [sys.executable, SCRIPT, "--data", tmp_path / "few.npz", "--out", tmp_path]
    subprocess.run([*command, "--epochs", "1"], check=True, capture_output=True)

    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "classifier.npz")
    monkeypatch.setattr(classifier, "FACTS", tmp_path / "classifier.json")
    made, facts = classifier.load(), json.loads((tmp_path / "classifier.json").read_text())
    measured = accuracy(made.probabilities(images), labels)
    assert facts["accuracy"] == pytest.approx(measured, abs=1e-4)
