"""Generators as people save them, in Keras 2 and 3, .h5 and .keras: each draws what it drew there."""

import io
import os
import textwrap
import zipfile

import h5py
import keras
import numpy as np
import pytest
from forked_commands import run_forked
from keras import layers

from clothinggan.checkpoint import keras_file
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import identify, load_generator
from clothinggan.models import ends_in_tanh, generate

# Each makes `model` of `keras` and `layers`, of either version; `entry` is what a stack begins with.
KINDS = {
    "a stack with batch normalisation": """
        model = keras.Sequential([
            entry((6,)), layers.Dense(49 * 2), layers.BatchNormalization(momentum=0.8), leaky(0.2),
            layers.Reshape((7, 7, 2)), layers.Conv2DTranspose(2, 4, strides=4, padding="same"),
            layers.BatchNormalization(), layers.Conv2D(1, 3, padding="same", activation="tanh")])
    """,
    "a graph with a branch": """
        z = keras.Input((6,))
        a, b = layers.Dense(784)(z), layers.BatchNormalization()(layers.Dense(784)(z))
        image = layers.Reshape((28, 28, 1))(layers.Multiply()([a, b]))
        model = keras.Model(z, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(image))
    """,
    "a layer as an activation": """
        model = keras.Sequential([
            entry((6,)), layers.Dense(49, activation=leaky(0.3)), layers.Reshape((7, 7, 1)),
            layers.Conv2DTranspose(
                2, 4, strides=4, padding="same", activation=layers.PReLU(shared_axes=[1, 2])),
            layers.Activation(leaky(0.1)), layers.Conv2D(1, 3, padding="same"),
            layers.Activation(layers.Activation("tanh"))])
    """,
    "a hard sigmoid": """
        model = keras.Sequential([
            entry((6,)), layers.Dense(784, activation="hard_sigmoid"),
            layers.Activation("hard_sigmoid"), layers.Reshape((28, 28, 1))])
    """,
    "a model within, frozen": """
        inner = keras.Sequential([
            entry((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(8),
            layers.BatchNormalization(), layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))])
        z = keras.Input((6,))
        model = keras.Model(z, inner(z))
        model.trainable = False
    """,
    "a model within, its first normalisation frozen": """
        inner = keras.Sequential([
            entry((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(8),
            layers.BatchNormalization(), layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))])
        inner.layers[1].trainable = False
        z = keras.Input((6,))
        model = keras.Model(z, inner(z))
    """,
    "images of (28, 28)": """
        model = keras.Sequential([
            entry((6,)), layers.Dense(784, activation="tanh"), layers.Reshape((28, 28))])
    """,
    "784 numbers": """
        model = keras.Sequential([entry((6,)), layers.Dense(784, activation="sigmoid")])
    """,
    "latent vectors of (1, 1, 6)": """
        model = keras.Sequential([
            entry((1, 1, 6)), layers.Conv2DTranspose(2, 7), layers.BatchNormalization(), layers.ReLU(),
            layers.Conv2DTranspose(1, 4, strides=4, padding="same", activation="tanh")])
    """,
    "a shape that was built later": """
        model = keras.Sequential([layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))])
        model.build((None, 6))
    """,
    "layers without weights at several places": """
        z = keras.Input((6,))
        relu, drop, flat = leaky(0.2), layers.Dropout(0.4), layers.Flatten()
        x = drop(relu(layers.Dense(8)(flat(z))))
        x = drop(relu(layers.Dense(784)(flat(x))))
        model = keras.Model(z, layers.Reshape((28, 28, 1))(layers.Activation("tanh")(relu(x))))
    """,
    "a model at several places": """
        inner = keras.Sequential([entry((6,)), layers.Dense(6), layers.BatchNormalization(), leaky(0.2)])
        z = keras.Input((6,))
        x = layers.Add()([inner(inner(z)), z])
        model = keras.Model(z, layers.Reshape((28, 28, 1))(layers.Dense(784, activation="tanh")(x)))
    """,
    "spectral normalisation": """
        model = keras.Sequential([
            entry((6,)), layers.SpectralNormalization(layers.Dense(49)), layers.Reshape((7, 7, 1)),
            layers.SpectralNormalization(
                layers.Conv2DTranspose(2, 4, strides=4, padding="same", activation="relu"),
                power_iterations=2),
            layers.SpectralNormalization(
                layers.Conv2D(1, 3, padding="same", use_bias=False, activation=layers.ReLU(max_value=1.0)))])
    """,
    "a class by concatenation": """
        z, label = keras.Input((6,)), keras.Input((1,))
        plane = layers.Reshape((7, 7, 1))(layers.Dense(49)(layers.Embedding(10, 5)(label)))
        planes = layers.Concatenate()([layers.Reshape((7, 7, 2))(layers.Dense(98)(z)), plane])
        image = layers.Conv2DTranspose(1, 4, strides=4, padding="same", activation="tanh")(planes)
        model = keras.Model([z, label], image)
    """,
    "a class by multiplication, named first": """
        z, label = keras.Input((6,)), keras.Input((1,), dtype="int32")
        both = layers.Multiply()([z, layers.Flatten()(layers.Embedding(10, 6)(label))])
        inner = keras.Sequential([
            entry((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(784, activation="tanh"),
            layers.Reshape((28, 28, 1))])
        model = keras.Model([label, z], inner(both))
    """,
    "a class embedded in a model within": """
        z, label = keras.Input((6,)), keras.Input((1,))
        number = keras.Input((1,))
        rows = keras.Model(number, layers.Flatten()(layers.Embedding(10, 6)(number)))
        both = layers.Multiply()([z, rows(label)])
        model = keras.Model([z, label], layers.Dense(784, activation="sigmoid")(both))
    """,
    "a one-hot class as the second input": """
        z, label = keras.Input((6,)), keras.Input((10,))
        x = layers.Concatenate()([z, layers.Dense(3)(label)])
        model = keras.Model([z, label], layers.Reshape((28, 28, 1))(layers.Dense(784, activation="tanh")(x)))
    """,
}
ONLY_KERAS_2 = {
    "layers with a path for a name": """
        z = keras.Input((6,), name="g/z")
        x = layers.Dense(784, activation="tanh", name="g/dense")(z)
        model = keras.Model(z, layers.Reshape((28, 28, 1), name="g/dense/image")(x), name="the/generator")
    """,
    "an activation layer by its class's name": """
        model = keras.Sequential([
            layers.Dense(784, activation="LeakyReLU", input_dim=6), layers.Reshape((28, 28, 1)),
            layers.Activation("tanh")])
    """,
}
COUNT = 5
SAVE = f"""
import numpy as np

def save(model, name):
    random = np.random.default_rng(1)
    for weight in model.weights:  # Averages and variances too, so that none can take another's place.
        weight.assign(random.uniform(0.1, 0.5, weight.shape))
    vectors = np.random.default_rng(0).standard_normal(({COUNT}, 6), dtype=np.float32)
    classes, given = np.arange({COUNT}), []
    for tensor in model.inputs:
        shape = tuple(tensor.shape[1:])
        if shape == (1,):
            given.append(classes[:, np.newaxis].astype("int32"))
        else:
            given.append(np.eye(10, dtype="f")[classes] if shape == (10,) else vectors.reshape(-1, *shape))
    images = model(given if len(given) > 1 else given[0], training=False)
    np.savez(name + ".npz", images=np.reshape(images, (-1, 28, 28)), vectors=vectors)
    model.save(name + ".h5")
    model.save(name + ".keras")
"""
VERSIONS = {
    "keras 2": "import tf_keras as keras\nfrom tf_keras import layers\n"
    "entry, leaky = (lambda shape: layers.InputLayer(input_shape=shape)), layers.LeakyReLU\n",
    "keras 3": "import keras\nfrom keras import layers\n"
    "entry, leaky = keras.Input, lambda slope: layers.LeakyReLU(negative_slope=slope)\n",
}
KINDS_OF = {"keras 2": KINDS | ONLY_KERAS_2, "keras 3": KINDS}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder with all of them, by version and number."""
    folder = tmp_path_factory.mktemp("generators")
    for version, kinds in KINDS_OF.items():
        program = VERSIONS[version] + SAVE
        for number, source in enumerate(kinds.values()):
            program += f"{textwrap.dedent(source)}\nsave(model, '{version}, {number}')\n"
        environment = os.environ | {"TF_USE_LEGACY_KERAS": "1" if version == "keras 2" else "0"}
        run_forked("-c", program, cwd=folder, env=environment).check_returncode()
    return folder


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize(("version", "kind"), [(v, kind) for v, kinds in KINDS_OF.items() for kind in kinds])
def test_it_draws_what_it_drew_there(version, kind, ending, saved):
    name = f"{version}, {list(KINDS_OF[version]).index(kind)}"
    there = np.load(saved / f"{name}.npz")
    found, generator = identify(read_checkpoint(saved / f"{name}{ending}"))
    vectors = there["vectors"]
    if found.classes:
        vectors = np.hstack([vectors, np.eye(10, dtype=np.float32)[:COUNT]])
    images = there["images"]
    expected = (images + 1) / 2 if ends_in_tanh(generator) else images.clip(0, 1)
    assert np.allclose(generate(generator, vectors), expected, atol=1e-5)
    assert not found.classes or found.class_names[7] == "Sneaker"


def test_models_within_models_become_one_stack(tmp_path):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(784, name="same"), layers.Reshape((28, 28, 1))])
    z = keras.Input((6,))
    keras.Model(z, inner(layers.Dense(6, name="same")(z))).save(tmp_path / "x.keras")
    generator = load_generator(tmp_path / "x.keras")
    assert isinstance(generator, keras.Sequential)
    assert [layer.name for layer in generator.layers] == ["same", "same_1", inner.layers[1].name]


def test_what_was_frozen_there_learns_here(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(784)])
    model.trainable = False
    model.save(tmp_path / "x.keras")
    assert len(load_generator(tmp_path / "x.keras").trainable_variables) == 2


def test_of_a_generator_of_half_precision_it_is_said_that_its_images_differ(tmp_path):
    numbers = layers.Dense(784, activation="tanh", dtype="mixed_bfloat16")
    keras.Sequential([keras.Input((6,)), numbers, layers.Reshape((28, 28))]).save(tmp_path / "x.keras")
    found, _ = identify(read_checkpoint(tmp_path / "x.keras"))
    assert "was computed in mixed_bfloat16, and is in float32 here" in found.notes[0]


def test_running_out_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    keras.Sequential([keras.Input((6,)), layers.Dense(784), layers.Reshape((28, 28))]).save(
        tmp_path / "x.keras"
    )

    def take_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(keras_file, "make_layer", take_memory)
    with pytest.raises(MemoryError):
        load_generator(tmp_path / "x.keras")


def test_spectral_normalisation_goes_on_in_training(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.SpectralNormalization(layers.Dense(784))])
    model.save(tmp_path / "x.keras")
    vectors = np.ones((2, 6), np.float32)
    here, there = load_generator(tmp_path / "x.keras")(vectors, training=True), model(vectors, training=True)
    assert np.allclose(np.reshape(here, (2, 784)), there, atol=1e-6)


def test_a_number_of_classes_without_names_goes_by_numbers(tmp_path):
    z, label = keras.Input((6,)), keras.Input((1,))
    both = layers.Multiply()([z, layers.Flatten()(layers.Embedding(3, 6)(label))])
    keras.Model([z, label], layers.Dense(784)(both)).save(tmp_path / "x.h5")
    found, _ = identify(read_checkpoint(tmp_path / "x.h5"))
    assert found.class_names == ("0", "1", "2")


def test_a_class_that_is_taken_as_a_number_is_refused(tmp_path):
    z, label = keras.Input((6,)), keras.Input((1,))
    both = layers.Concatenate()([z, layers.Dense(3)(label), layers.Flatten()(layers.Embedding(10, 6)(label))])
    keras.Model([z, label], layers.Dense(784)(both)).save(tmp_path / "x.h5")
    with pytest.raises(Exception, match="takes the class as a number, which is not supported"):
        load_generator(tmp_path / "x.h5")


def test_an_archive_of_tensorflow_2_12_counts_its_layers_twice(tmp_path):
    stack = [layers.Dense(8), layers.Dense(9), layers.Dense(784)]
    model = keras.Sequential([keras.Input((6,)), *stack, layers.Reshape((28, 28, 1))])
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        weights = io.BytesIO(new.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            for number in (2, 1):
                file.move(f"layers/dense_{number}", f"layers/dense_{2 * number}")
            file.move("layers", "_layer_checkpoint_dependencies")
        old.writestr("config.json", new.read("config.json"))
        old.writestr("model.weights.h5", weights.getvalue())
    vectors = np.ones((2, 6), np.float32)
    assert np.allclose(load_generator(tmp_path / "old.keras")(vectors), model(vectors), atol=1e-6)
