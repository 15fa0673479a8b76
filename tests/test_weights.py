"""The example weights are what weights/README.md says."""

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from clothinggan.checkpoint.file import epoch_in_name, read_checkpoint
from clothinggan.checkpoint.restore import restore_gan, restore_generator
from clothinggan.evaluation import classifier, metrics
from clothinggan.models import draw_latent_vectors, generate

WEIGHTS = Path(__file__).parents[1] / "weights"
LISTED = dict(
    reversed(line.split("  "))
    for line in re.findall(r"^[0-9a-f]{64}  .+$", (WEIGHTS / "README.md").read_text(), re.MULTILINE)
)
FILES = sorted(WEIGHTS.glob("*.h5"))
PREFIXES = {"clothing": "", "swift": "swift_"}  # of the names of the files about an example
EPOCHS = {"clothing": 200, "swift": 40}


def test_every_file_has_the_listed_digest():
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in WEIGHTS.iterdir()
        if path.is_file() and path.suffix != ".md"
    }
    assert digests == LISTED


@pytest.fixture(params=FILES, ids=lambda path: path.name, scope="module")
def shipped(request):
    return read_checkpoint(request.param)


def about(shipped, name):
    return WEIGHTS / f"{PREFIXES[shipped.record.preset]}{name}"


def test_each_design_that_has_an_example_has_one():
    assert [read_checkpoint(path).record.preset for path in FILES] == list(EPOCHS)


def test_an_example_is_of_the_epoch_of_its_name_and_has_a_row_of_history_for_each_until_then(shipped):
    epoch = EPOCHS[shipped.record.preset]
    assert shipped.record.epoch == epoch_in_name(shipped.path) == epoch
    with open(about(shipped, "history.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, epoch + 1))
    assert [float(row["d_loss"]) for row in rows] == [entry["d_loss"] for entry in shipped.record.history]


def test_an_example_is_small_enough_to_download(shipped):
    assert shipped.path.stat().st_size <= 15_000_000


def test_an_example_can_be_resumed(shipped):
    assert restore_gan(shipped).step == shipped.record.step
    assert shipped.record.data == "fashion_mnist"


def test_an_example_draws_what_was_measured(shipped):
    generator = restore_generator(shipped)
    images = generate(
        generator,
        draw_latent_vectors(1000, generator.input_shape[-1], seed=0, classes=shipped.classes),
    )
    probabilities = classifier.load().probabilities(images)
    shares = metrics.class_shares(probabilities)
    assert shares.min() > 0.02  # It has not collapsed: the rarest of the ten is no rarity.
    report = json.loads(about(shipped, "evaluation.json").read_text())
    (measured,) = (line for line in report["files"] if line["name"] == shipped.path.name)
    # These are the first of the 10,000 that were measured; a share of 1,000 strays by 0.01.
    assert shares == pytest.approx(measured["class_shares"], abs=0.04)
    if shipped.classes:
        confirmed = metrics.confirmed_shares(probabilities, np.resize(shipped.classes, len(images)))
        assert np.mean(confirmed) > 0.9  # Each of the ten garments is drawn when it is asked for.
        assert confirmed == pytest.approx(measured["confirmed"], abs=0.06)
