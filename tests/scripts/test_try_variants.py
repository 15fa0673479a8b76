"""The trials that swift came from: what is kept, what is told."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from clothinggan.data import sample
from clothinggan.evaluation import small_networks


@pytest.fixture(scope="module")
def trials():
    return importlib.import_module("try_variants")


@pytest.fixture
def run(trials, monkeypatch, capsys):
    images, labels = sample.make_split("train")
    np.savez(
        "garments.npz", x_train=images[:64], y_train=labels[:64], x_test=images[64:84], y_test=labels[64:84]
    )

    monkeypatch.setattr(trials.gan_train, "IMAGES", 60)
    monkeypatch.setattr(small_networks, "MIN_STEPS", 5)

    def run(*options):
        arguments = ["--data", "garments.npz", "--steps", "1", "2", "--results", "kept.jsonl", *options]
        monkeypatch.setattr(sys, "argv", ["try_variants.py", *arguments])
        assert trials.main() == 0
        printed = capsys.readouterr()
        return printed.out, [line for line in printed.err.splitlines() if line.startswith("{")]

    return run


@pytest.mark.slow
def test_a_trial_is_measured_at_each_mark_and_is_not_tried_again(run):
    table, tried = run("--only", "the design")
    results = [json.loads(line) for line in Path("kept.jsonl").read_text().splitlines()]
    assert [result["steps"] for result in results] == [1, 2]
    assert len(tried) == 2
    assert f"{results[1]['fcd']:.3f}" in table
    assert "the design, 2 steps" in table
    # Cut off after the first: only what is missing is tried and kept.
    Path("kept.jsonl").write_text(json.dumps(results[0]) + '\n{"variant": "the de')
    again, _ = run("--only", "the design")
    assert again == table
    assert run("--only", "the design") == (table, [])


def test_of_several_seeds_the_mean_is_told(trials):
    values = dict.fromkeys(trials.COLUMNS, 0.5)
    results = [{"variant": "x", "mark": "1 min", "seed": n, **values, "fcd": n} for n in (1, 2)]
    assert "1.500" in trials.table(results)


@pytest.mark.parametrize(
    "name",
    ["output by a convolution at full size", "first layer normalised by feature", "no batch normalisation"],
)
def test_a_generator_of_another_shape_draws_images(trials, name):
    gan = trials.VARIANTS[f"{trials.EARLIER}, {name}"].build(seed=0)
    assert gan.draw(3).shape == (3, 28, 28)


def test_the_design_is_the_last_sketch_with_a_deeper_generator(trials):
    sketch = trials.replace(trials.VERSION_1["swift"], **trials.D, generator_filters=(96, 48, 48))
    assert trials.as_plain_data(sketch) == trials.as_plain_data(trials.DESIGN)


def test_the_design_of_version_1_is_as_it_was(trials):
    design = trials.VARIANTS[trials.EARLIER].build(seed=0).preset
    assert (design.discriminator_filters, design.dropout, design.averaging) == ((32, 64), 0.3, 0.999)


def test_another_step_changes_both_networks(trials):
    gan = trials.VARIANTS["B, relativistic"].build(seed=0)
    networks = gan.generator, gan.discriminator
    before = [network.trainable_weights[0].numpy() for network in networks]
    gan.train_step((tf.zeros((4, 28, 28), tf.uint8), tf.range(4)))
    for network, earlier in zip(networks, before, strict=True):
        assert not np.array_equal(network.trainable_weights[0].numpy(), earlier)
