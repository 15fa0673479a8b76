"""Weights alone are those of a design here whose shapes they fit, in each layout that Keras has had."""

import os

import h5py
import keras
import numpy as np
import pytest
from conftest import ten_terabytes
from forked_commands import run_forked

from clothinggan import display, resume
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import identify, load_generator, restore_discriminator
from clothinggan.errors import ClothingGANError
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS, VERSION_1

SWIFT = PRESETS["swift"]


@pytest.fixture
def swift():
    """A generator of swift, each of whose weights is another."""
    network, _ = build_networks(SWIFT, seed=0)
    for number, weight in enumerate(network.weights):
        weight.assign(weight + 0.01 * number)
    return network


def same(network, other):
    return all(np.array_equal(a, b) for a, b in zip(network.get_weights(), other.get_weights(), strict=True))


def test_weights_of_keras_3_are_taken_for_the_design_that_they_fit(swift, tmp_path):
    swift.save_weights(tmp_path / "x.weights.h5")
    found, generator = identify(read_checkpoint(tmp_path / "x.weights.h5"))
    assert same(generator, swift)
    assert found.design == SWIFT
    assert found.class_names[9] == "Ankle boot"
    assert "which fit swift's generator and no other" in found.notes[0]


def test_weights_of_version_1_go_on_with_its_design(tmp_path):
    networks = build_networks(VERSION_1["swift"], seed=0)
    for network, name in zip(networks, ("generator", "discriminator"), strict=True):
        network.save_weights(tmp_path / f"{name}.weights.h5")
    found, _ = identify(read_checkpoint(tmp_path / "generator.weights.h5"))
    assert found.design == VERSION_1["swift"]
    other = restore_discriminator(read_checkpoint(tmp_path / "discriminator.weights.h5"), found.design)
    assert same(other, networks[1])


def test_a_network_within_a_model_is_found(swift, tmp_path):
    inputs = keras.Input((74,))
    _, discriminator = build_networks(SWIFT, seed=0)
    keras.Model(inputs, discriminator(swift(inputs))).save_weights(tmp_path / "x.weights.h5")
    assert same(load_generator(tmp_path / "x.weights.h5"), swift)


def test_a_network_that_is_a_classs_attribute_is_found(swift, tmp_path):
    class GAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = swift, build_networks(SWIFT, seed=0)[1]

        def call(self, inputs):
            return self.discriminator(self.generator(inputs))

    gan = GAN()
    gan(np.zeros((1, 74), np.float32))
    gan.save_weights(tmp_path / "x.weights.h5")
    assert same(load_generator(tmp_path / "x.weights.h5"), swift)


KERAS_2 = """
import numpy as np, tf_keras as keras
from tf_keras import layers
norm = lambda: [layers.BatchNormalization(momentum=0.9), layers.ReLU()]
model = keras.Sequential([
    layers.Dense(6272, use_bias=False, input_dim=74), layers.Reshape((7, 7, 128)), *norm(),
    layers.Conv2DTranspose(64, 4, strides=2, padding="same", use_bias=False), *norm(),
    layers.Conv2DTranspose(1, 6, strides=2, padding="same", activation="sigmoid")])
random = np.random.default_rng(0)
for weight in model.weights:
    weight.assign(random.uniform(0, 0.1, weight.shape))
model.save_weights("list.h5")
model.save_weights("tree.weights.h5")
inputs = keras.Input((74,))
outer = keras.Model(inputs, layers.Activation("linear")(model(inputs)))
outer.save_weights("within.h5")
outer.trainable = False
outer.save_weights("frozen.h5")
vectors = np.eye(74, dtype="float32")[-4:]
np.savez("there.npz", vectors=vectors, images=model(vectors, training=False))
"""


@pytest.fixture(scope="module")
def keras_2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras_2")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
    run_forked("-c", KERAS_2, cwd=folder, env=environment).check_returncode()
    return folder


@pytest.mark.parametrize("name", ["list.h5", "tree.weights.h5", "within.h5", "frozen.h5"])
def test_weights_of_keras_2_draw_what_they_drew_there(name, keras_2):
    there = np.load(keras_2 / "there.npz")
    assert np.allclose(load_generator(keras_2 / name)(there["vectors"]), there["images"], atol=1e-5)


def test_the_discriminators_weights_alone_are_taken(tmp_path):
    _, network = build_networks(SWIFT, seed=3)
    network.save_weights(tmp_path / "x.weights.h5")
    restored = restore_discriminator(read_checkpoint(tmp_path / "x.weights.h5"), SWIFT)
    pairs = zip(restored.weights, network.weights, strict=True)
    assert all(np.array_equal(here, there) for here, there in pairs)


def test_display_and_resume_take_weights_alone_and_say_of_what(swift, tmp_path, capsys):
    swift.save_weights(tmp_path / "x.weights.h5")
    assert display.main(["--weights", "x.weights.h5", "--class", "bag", "--no-real", "--save", "."]) == 0
    assert "fit swift's generator and no other" in capsys.readouterr().err
    options = ["--data", "sample", "--more", "1"]
    np.savez("images.npz", x_train=np.zeros((40, 28, 28), np.uint8), y_train=np.arange(40) % 10)
    assert resume.main(["--weights", "x.weights.h5", *options, "--data", "images.npz"]) == 0
    assert (tmp_path / "swiftGANepoch1.h5").exists()


def test_a_named_design_that_does_not_fit_is_told_which_layer(swift, tmp_path):
    swift.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(
        ClothingGANError, match=r"not of clothing's generator: its layer 'dense\w*' has 100x6272"
    ):
        load_generator(tmp_path / "x.weights.h5", "clothing")


def test_weights_of_no_design_are_told_to_be_saved_whole(tmp_path):
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(784)])
    network.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ClothingGANError, match=r"fits none of clothing, fashion, swift; save .* model\.save"):
        load_generator(tmp_path / "x.weights.h5")


def test_a_discriminators_weights_in_the_generators_place_are_named(tmp_path):
    build_networks(SWIFT, seed=0)[1].save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ClothingGANError, match="the weights of swift's discriminator"):
        load_generator(tmp_path / "x.weights.h5")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (ten_terabytes("layers/x/vars/0"), "more than 256 MiB of numbers"),
        (lambda file: file["layers/dense/vars/0"].write_direct(np.full((74, 4704), np.nan, "f4")), "NaN"),
        (lambda file: [file.create_dataset(f"x{i}/vars/0", data=0.0) for i in range(1500)], "1507 layers"),
    ],
    ids=["ten terabytes", "no numbers", "many layers"],
)
def test_weights_made_to_do_harm_are_refused_in_one_line(change, says, swift, tmp_path, capsys):
    swift.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "r+") as file:
        change(file)
    assert display.main(["--weights", "x.weights.h5", "--model", "swift", "--save", "out"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
