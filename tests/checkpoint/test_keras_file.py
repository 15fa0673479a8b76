"""Generators of Keras 2 and 3 open; whatever else a file asks for is refused before anything is built."""

import json
import textwrap
from concurrent.futures import ThreadPoolExecutor

import h5py
import keras
import numpy as np
import pytest
from conftest import SMALL_BATCHES
from forked_commands import run_forked
from keras import layers

from clothinggan import display, resume
from clothinggan.checkpoint.restore import load_generator
from clothinggan.errors import ClothingGANError
from clothinggan.models import draw_latent_vectors, generate

# Each makes `model`, a generator; run by Keras 2 (tf-keras) in a process of its own.
KERAS_2_GENERATORS = {
    "sequential": """
        model = keras.Sequential([
            layers.Dense(7 * 7 * 8, input_dim=100), layers.LeakyReLU(alpha=0.3), layers.Reshape((7, 7, 8)),
            layers.Conv2DTranspose(8, 4, strides=2, padding="same"), layers.LeakyReLU(alpha=0.2),
            layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
            layers.Conv2D(1, 7, padding="same", activation="sigmoid")])
    """,
    "normalised, compiled, another latent size": """
        model = keras.Sequential([
            layers.Input((32,)), layers.Dense(7 * 7 * 8, use_bias=False), layers.BatchNormalization(),
            layers.ReLU(), layers.Reshape((7, 7, 8)), layers.UpSampling2D(),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(momentum=0.8), layers.UpSampling2D(),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        model.fit(np.random.rand(8, 32), np.random.rand(8, 28, 28, 1), verbose=0)
    """,
    "functional, with a branch": """
        z = layers.Input((10,))
        a, b = layers.Dense(28 * 28)(z), layers.Dense(28 * 28, activation="tanh")(z)
        image = layers.Reshape((28, 28, 1))(layers.Add()([a, b]))
        model = keras.Model(z, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(image))
    """,
    "nested": """
        inner = keras.Sequential([
            layers.Input((16,)), layers.Dense(7 * 7 * 4), layers.BatchNormalization(),
            layers.Reshape((7, 7, 4)), layers.DepthwiseConv2D(3, padding="same")])
        model = keras.Sequential([
            layers.Input((16,)), inner, layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
            layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="sigmoid")])
    """,
}


@pytest.fixture(scope="module")
def keras_2_files(tmp_path_factory):
    """Files and outputs of the generators above, by name."""
    folder = tmp_path_factory.mktemp("keras_2")
    program = (
        "import numpy as np, tf_keras as keras\nfrom tf_keras import layers\nkeras.utils.set_random_seed(1)\n"
    )
    for index, source in enumerate(KERAS_2_GENERATORS.values()):
        program += textwrap.dedent(source)
        program += f"model.save('{index}.h5')\n"
        program += "vectors = np.random.default_rng(0).normal(size=(3, model.input_shape[-1])).astype('f')\n"
        program += f"np.savez('{index}.npz', vectors=vectors, images=model.predict(vectors, verbose=0))\n"
    run_forked("-c", program, cwd=folder).check_returncode()
    return {name: folder / f"{index}.h5" for index, name in enumerate(KERAS_2_GENERATORS)}


@pytest.mark.parametrize("name", KERAS_2_GENERATORS)
def test_a_keras_2_generator_draws_what_it_drew_there(name, keras_2_files):
    generator = load_generator(keras_2_files[name])
    there = np.load(keras_2_files[name].with_suffix(".npz"))
    assert np.allclose(generate(generator, there["vectors"]), there["images"][..., 0], atol=1e-5)


@pytest.mark.parametrize("name", KERAS_2_GENERATORS)
def test_a_keras_2_generator_is_displayed_and_resumed(name, keras_2_files, monkeypatch):
    weights = ["--weights", str(keras_2_files[name])]
    assert display.main([*weights, "--no-real"]) == 0
    np.savez("images.npz", x_train=np.zeros((16, 28, 28), np.uint8))
    monkeypatch.setattr(resume, "PRESETS", SMALL_BATCHES)
    assert resume.main([*weights, "--data", "images.npz", "--more", "1", "--out", "run"]) == 0
    before, after = (load_generator(p) for p in (weights[1], "run/clothingGANepoch1.h5"))
    assert before.input_shape == after.input_shape
    assert not np.array_equal(before.get_weights()[0], after.get_weights()[0])


def test_several_threads_may_open_files_at_once(small_run):
    def load(epoch):
        return load_generator(small_run / f"clothingGANepoch{epoch}.h5").count_params()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(load, [1, 2, 3, 4] * 3)) == [1_164_289] * 12
    layers.Dense(10).build((None, 10**6))  # Nothing counts any more what a layer takes.


def test_an_activation_that_was_another_in_keras_2_is_refused(tmp_path):
    stack = [keras.Input((3,)), layers.Dense(784, activation="log_softmax"), layers.Reshape((28, 28, 1))]
    keras.Sequential(stack).save(tmp_path / "x.h5")
    with pytest.raises(ClothingGANError, match="log_softmax"):
        load_generator(tmp_path / "x.h5")


KERAS_3_GENERATORS = {
    "sequential": lambda: keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(49, name="same_name_as_2"),
            layers.Reshape((7, 7, 1)),
            layers.Dropout(0.1),
            layers.Conv2DTranspose(3, 4, strides=4, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.SeparableConv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    ),
    "functional": lambda: functional_generator(),
}


def functional_generator():
    z = keras.Input((6,))
    a, b = layers.Dense(196)(z), layers.Dense(196, activation="relu")(z)
    small = layers.Concatenate()([layers.Reshape((14, 14, 1))(a), layers.Reshape((14, 14, 1))(b)])
    inner = keras.Sequential(
        [keras.Input((14, 14, 2)), layers.UpSampling2D(), layers.Conv2D(1, 3, padding="same")]
    )
    return keras.Model(z, layers.Activation("sigmoid")(inner(small)))


@pytest.mark.parametrize("name", KERAS_3_GENERATORS)
def test_a_keras_3_generator_draws_what_it_drew_there(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = KERAS_3_GENERATORS[name]()
    model.save(tmp_path / "x.h5")
    vectors = draw_latent_vectors(3, model.input_shape[-1], seed=0)
    read = load_generator(tmp_path / "x.h5")
    assert np.allclose(generate(read, vectors), generate(model, vectors), atol=1e-6)


def forge(path, change):
    """A small generator's file whose configuration has been through `change`."""
    KERAS_3_GENERATORS["sequential"]().save(path)
    with h5py.File(path, "r+") as file:
        configuration = json.loads(file.attrs["model_config"])
        changed = change(configuration)
        file.attrs["model_config"] = json.dumps(configuration) if changed is None else changed
    return path


def layer(configuration, index):
    return configuration["config"]["layers"][index]


def lambda_layer(configuration):
    # The attack of CVE-2025-9905: marshalled code in a Lambda layer, which Keras runs when it loads a .h5.
    configuration["config"]["layers"][2] = {
        "class_name": "Lambda",
        "config": {"name": "l", "function": ["4wEAAAAAAAAAAAAAAAAAAAABAAAAQwAAAHMEAAAA", None, None]},
    }


def function_of_os(configuration):
    layer(configuration, 1)["config"]["activation"] = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }


def function_by_name(configuration):
    layer(configuration, 1)["config"]["activation"] = "os.system"


def custom_class(configuration):
    layer(configuration, 1).update({"class_name": "Dense", "registered_name": "evil>Dense", "module": "evil"})


def unknown_class(configuration):
    layer(configuration, 1)["class_name"] = "TFOpLambda"


def huge_layer(configuration):
    layer(configuration, 1)["config"]["units"] = 10**12


def large_layer(configuration):
    layer(configuration, 1)["config"]["units"] = 10**9


def huge_dilation(configuration):
    layer(configuration, -1)["config"]["dilation_rate"] = [10**15, 10**15]


def two_open_sizes(configuration):
    layer(configuration, 2)["config"]["target_shape"] = [-1, -1, 1]


def no_dilation(configuration):
    layer(configuration, -1)["config"]["dilation_rate"] = [1, 0]


def huge_image(configuration):
    layer(configuration, 2)["config"]["target_shape"] = [7, 7, 1]
    configuration["config"]["layers"].insert(
        3, {"class_name": "UpSampling2D", "config": {"name": "u", "size": [10**5, 10**5]}}
    )


def deep_nesting(configuration):
    return '{"class_name": "Sequential", "config": {"layers": [' * 20_000


def models_within_models(configuration):
    before, after = '{"class_name": "Sequential", "config": {"name": "n", "layers": [', "]}}"
    return before * 400 + json.dumps(configuration) + after * 400


def long_configuration(configuration):
    return json.dumps(configuration) + " " * 2**21


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda_layer, "'Lambda'"),
        (function_of_os, "the activation 'system'"),
        (function_by_name, "'os.system'"),
        (custom_class, "'evil>Dense', which is not accepted"),
        (unknown_class, "'TFOpLambda'"),
        (huge_layer, r"Dense\.units is 10+, which is more"),
        (large_layer, "numbers an image"),
        (huge_dilation, r"SeparableConv2D\.dilation_rate is 10+, which is more"),
        (two_open_sizes, "does not describe a model that can be built"),
        (no_dilation, "does not describe a model that can be built"),
        (huge_image, "numbers an image"),
        (deep_nesting, "nests too deep"),
        (models_within_models, "nests too deep"),
        (long_configuration, "is longer than"),
    ],
)
def test_what_a_generator_does_not_need_is_refused(change, says, tmp_path):
    path = forge(tmp_path / "x.h5", change)
    with pytest.raises(ClothingGANError, match=says) as refusal:
        load_generator(path)
    assert "\n" not in str(refusal.value)


def test_a_generator_of_three_inputs_is_refused(tmp_path):
    inputs = [keras.Input((size,)) for size in (3, 10, 2)]
    keras.Model(inputs, layers.Dense(784)(layers.Concatenate()(inputs))).save(tmp_path / "x.h5")
    with pytest.raises(ClothingGANError, match="it has 3 inputs, where a latent vector is supported, and a"):
        load_generator(tmp_path / "x.h5")


def constant_factor(z):
    return layers.Reshape((28, 28, 1))(layers.Dense(784, activation="tanh")(z)) * 0.5


def argument_of_a_call(z):
    return layers.BatchNormalization()(layers.Reshape((28, 28, 1))(layers.Dense(784)(z)), training=True)


@pytest.mark.parametrize("images_of", [constant_factor, argument_of_a_call])
def test_what_would_be_left_out_silently_is_refused(images_of, tmp_path):
    z = keras.Input((3,))
    keras.Model(z, images_of(z)).save(tmp_path / "x.h5")
    with pytest.raises(ClothingGANError, match="is called with more than images"):
        load_generator(tmp_path / "x.h5")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = KERAS_3_GENERATORS["sequential"]()
    model.layers[0].bias.assign(np.full(49, np.inf))
    model.save(tmp_path / "x.h5")
    with pytest.raises(ClothingGANError, match="NaN or infinite"):
        load_generator(tmp_path / "x.h5")


def older(change):
    """A description of a generator of 3 numbers in words of older versions, as `change` leaves it."""
    stack = [
        {"class_name": "Dense", "config": {"name": "d", "units": 784, "activation": "linear"}},
        {"class_name": "LeakyReLU", "config": {"name": "l", "alpha": 0.2}},
        {"class_name": "BatchNormalization", "config": {"name": "b", "axis": 1, "momentum": 0.8}},
        {"class_name": "Reshape", "config": {"name": "r", "target_shape": [28, 28, 1]}},
    ]
    configuration = {"class_name": "Sequential", "config": {"name": "s", "layers": stack}}
    change(configuration, stack)
    return configuration


OLDER = {
    "build_input_shape": lambda model, stack: model["config"].update(build_input_shape=[None, 3]),
    "batch_input_shape": lambda model, stack: stack[0]["config"].update(batch_input_shape=[None, 3]),
    "a batch of a fixed size": lambda model, stack: stack[0]["config"].update(batch_input_shape=[64, 3]),
    "input_dim": lambda model, stack: stack[0]["config"].update(input_dim=3),
    "input_shape": lambda model, stack: stack[0]["config"].update(input_shape=[3]),
    "a tuple in words": lambda model, stack: stack[0]["config"].update(
        batch_input_shape={"class_name": "__tuple__", "items": [None, 3]}
    ),
    "a list of layers": lambda model, stack: (
        stack[0]["config"].update(input_dim=3),
        model.update(config=stack),
    ),
    "NumPy's numbers": lambda model, stack: (
        stack[0]["config"].update(input_dim=3),
        stack[1]["config"].update(alpha={"type": "ndarray", "value": 0.2}),
    ),
    "BatchNormalizationV1": lambda model, stack: (
        stack[0]["config"].update(input_dim=3),
        stack[2].update(class_name="BatchNormalizationV1"),
    ),
    "an axis in a list": lambda model, stack: (
        stack[0]["config"].update(input_dim=3),
        stack[2]["config"].update(axis=[1]),
    ),
}


@pytest.mark.parametrize("words", OLDER)
def test_words_of_older_versions_are_understood(words, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(784),
            layers.LeakyReLU(negative_slope=0.2),
            layers.BatchNormalization(),
            layers.Reshape((28, 28, 1)),
        ]
    )
    model.save(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps(older(OLDER[words]))
    vectors = draw_latent_vectors(3, 3, seed=0)
    assert np.allclose(load_generator(tmp_path / "x.h5")(vectors), model(vectors), atol=1e-6)


def test_a_file_of_keras_1_is_told_what_it_is(tmp_path):
    path = forge(tmp_path / "x.h5", lambda configuration: None)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "1.2.2"
    with pytest.raises(ClothingGANError, match="is a file of Keras 1"):
        load_generator(path)


def uses_itself_often(name, depth):
    """A model that calls another one twice, which calls another one twice, and so on."""
    z = keras.Input((3,))
    inner = uses_itself_often(f"{name}x", depth - 1) if depth else layers.Dense(3)
    return keras.Model(z, inner(inner(inner(inner(z)))), name=name)


def test_models_that_multiply_by_their_uses_are_refused(tmp_path):
    z = keras.Input((3,))
    keras.Model(z, layers.Dense(784)(uses_itself_often("m", 4)(z))).save(tmp_path / "x.keras")
    with pytest.raises(ClothingGANError, match=r"it has \d+ layers"):
        load_generator(tmp_path / "x.keras")


@pytest.fixture
def settings_of_a_users_program():
    """Keras as somebody else's program may have set it."""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


def test_a_generator_is_the_same_in_a_program_with_settings_of_its_own(
    small_run, settings_of_a_users_program
):
    path = small_run / "clothingGANlatest.h5"
    vectors = draw_latent_vectors(3, 100, seed=0)
    generator = load_generator(path)
    there = generate(generator, vectors), np.asarray(generator(vectors))[..., 0]
    assert {weight.dtype for weight in generator.weights} == {"float32"}
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    here = generate(load_generator(path), vectors)
    assert all(np.allclose(images, here, atol=1e-6) for images in there)
