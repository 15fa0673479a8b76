"""Our files open in Keras 2 as in Keras 3, and draw the same."""

import os

import keras
import numpy as np
import pytest
from forked_commands import run_forked
from keras import layers

from clothinggan.checkpoint.file import hdf5_image
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS


def with_branches():
    z = keras.Input((6,))
    relu = layers.LeakyReLU(negative_slope=0.2)
    x = layers.Add()([relu(layers.Dense(8)(z)), relu(layers.Dense(8)(z))])
    x = layers.Reshape((2, 2, 2))(layers.PReLU()(layers.BatchNormalization(momentum=0.8)(x)))
    x = layers.Conv2D(2, 3, padding="same", groups=2)(layers.UpSampling2D((7, 7))(x))
    x = layers.SeparableConv2D(2, 3, padding="same")(layers.LayerNormalization()(x))
    return keras.Model(z, layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x))


GENERATORS = {
    name: lambda preset=preset: build_networks(preset, seed=0)[0] for name, preset in PRESETS.items()
}
GENERATORS["with branches"] = with_branches
PROGRAM = """
import numpy as np, {package}
for name in {names}:
    there = np.load(name + ".npz")
    model = {package}.models.load_model(name + ".h5")
    np.save(name + ".npy", model(there["vectors"]))
"""


@pytest.mark.parametrize("package", ["tf_keras", "keras"])
def test_our_files_open_in_either_keras(package, tmp_path):
    drawn = {}
    for name, make in GENERATORS.items():
        generator = make()
        vectors = np.random.default_rng(0).normal(size=(3, generator.input_shape[-1])).astype(np.float32)
        (tmp_path / f"{name}.h5").write_bytes(hdf5_image(generator))
        np.savez(tmp_path / f"{name}.npz", vectors=vectors)
        drawn[name] = generator(vectors)
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1" if package == "tf_keras" else "0"}
    program = PROGRAM.format(package=package, names=list(GENERATORS))
    run_forked("-c", program, cwd=tmp_path, env=environment).check_returncode()
    for name, images in drawn.items():
        assert np.allclose(np.load(tmp_path / f"{name}.npy"), images, atol=1e-5), name
