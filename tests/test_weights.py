"""The example weights are what weights/README.md says."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from clothinggan import checkpoint, classifier
from clothinggan.models import build_networks, draw_latent_vectors, generate
from clothinggan.training import GAN

WEIGHTS = Path(__file__).parents[1] / "weights"
LISTED = dict(
    reversed(line.split("  "))
    for line in re.findall(r"^[0-9a-f]{64}  .+$", (WEIGHTS / "README.md").read_text(), re.MULTILINE)
)
FILES = sorted(WEIGHTS.glob("*.h5"))
HISTORIES = {"clothing": "history.csv", "swift": "swift_history.csv"}


def test_every_file_has_the_listed_digest():
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in WEIGHTS.iterdir()
        if path.is_file() and path.suffix != ".md"
    }
    assert digests == LISTED


@pytest.fixture(params=FILES, ids=lambda path: path.name, scope="module")
def shipped(request):
    return checkpoint.read(request.param)


def test_an_example_has_the_epoch_of_its_name_and_a_row_of_history_for_each(shipped):
    assert shipped.record.epoch == checkpoint.epoch_in_name(shipped.path)
    with open(WEIGHTS / HISTORIES[shipped.record.preset], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, shipped.record.epoch + 1))
    assert [float(row["d_loss"]) for row in rows] == [entry["d_loss"] for entry in shipped.record.history]


def test_an_example_is_small_enough_to_download(shipped):
    assert shipped.path.stat().st_size <= 15_000_000


def test_an_example_can_be_resumed(shipped):
    _, discriminator = build_networks(shipped.preset, shipped.record.seed)
    gan = GAN(shipped.preset, shipped.generator, discriminator, shipped.record.seed)
    gan.load_state(shipped.state)
    assert gan.step == shipped.record.step
    assert shipped.record.data == "fashion_mnist"


def test_an_example_draws_what_was_measured(shipped):
    images = generate(
        shipped.generator,
        draw_latent_vectors(1000, shipped.generator.input_shape[-1], seed=0, classes=shipped.classes),
    )
    taken_for = classifier.load().probabilities(images).argmax(axis=1)
    if shipped.classes:
        # Each of the ten garments is drawn when it is asked for.
        assert np.mean(taken_for == np.resize(shipped.classes, 1000)) > 0.9
    else:
        # It has not collapsed: the rarest of the ten is no rarity.
        assert np.bincount(taken_for, minlength=10).min() / 1000 > 0.02
