"""What is exported draws the same images in the programs that it is for."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from forked_commands import run_forked
from keras import layers
from PIL import Image

from clothinggan import display
from clothinggan.checkpoint.restore import load_generator
from clothinggan.models import build_networks, generate
from clothinggan.presets import PRESETS


@pytest.fixture
def conditional(tmp_path):
    """The file of another tool's small generator that takes a class."""
    z, label = keras.Input((6,)), keras.Input((1,))
    both = layers.Multiply()([z, layers.Flatten()(layers.Embedding(10, 6)(label))])
    image = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(both))
    keras.Model([z, label], image).save(tmp_path / "conditional.h5")
    return "conditional.h5"


def with_everything():
    z = keras.Input((6,))
    x = layers.Reshape((7, 7, 2))(layers.LeakyReLU(negative_slope=0.3)(layers.Dense(98)(z)))
    x = layers.Add()([layers.UpSampling2D()(x), layers.UpSampling2D(interpolation="bilinear")(x)])
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(2, 5, strides=2, padding="same")(x)
    return keras.Model(z, layers.Conv2D(1, 4, padding="same", activation="tanh")(x))


GENERATORS = {
    name: lambda preset=preset: build_networks(preset, seed=0)[0] for name, preset in PRESETS.items()
}
GENERATORS["with everything"] = with_everything


@pytest.fixture(params=GENERATORS)
def exported(request, tmp_path):
    """Exports a generator to a name; returns vectors, and the images that the generator draws of them."""

    def export(name):
        generator = GENERATORS[request.param]()
        generator.save(tmp_path / "x.keras")
        assert display.main(["--weights", "x.keras", "--export", name]) == 0
        vectors = np.random.default_rng(1).normal(size=(3, generator.input_shape[-1])).astype(np.float32)
        return vectors, generator(vectors)

    return export


def test_onnx_runtime_draws_the_same(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    vectors, images = exported("out.onnx")
    drawn = onnxruntime.InferenceSession("out.onnx").run(["images"], {"latent_vectors": vectors})[0]
    assert np.allclose(drawn, images, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_interpreter_of_tflite_draws_the_same(exported):
    vectors, images = exported("out.tflite")
    interpreter = tf.lite.Interpreter("out.tflite")
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, vectors.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, vectors)
    interpreter.invoke()
    drawn = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.allclose(drawn, images, atol=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_keras_draws_the_same(ending, exported):
    vectors, images = exported(f"out{ending}")
    assert np.allclose(keras.models.load_model(f"out{ending}")(vectors), images, atol=1e-5)


@pytest.mark.slow
def test_an_exported_h5_opens_in_keras_2(conditional):
    assert display.main(["--weights", conditional, "--export", "out.h5"]) == 0
    program = "import tf_keras; print(tf_keras.models.load_model('out.h5').input_shape)"
    done = run_forked("-c", program, env=os.environ | {"TF_USE_LEGACY_KERAS": "1"})
    assert done.stdout.strip() == "(None, 16)"


def test_what_onnx_has_no_operator_for_is_refused_and_nothing_is_left(tmp_path, capsys):
    stack = [keras.Input((6,)), layers.Dense(784, activation="gelu"), layers.Reshape((28, 28, 1))]
    keras.Sequential(stack).save(tmp_path / "x.keras")
    assert display.main(["--weights", "x.keras", "--export", "out.onnx"]) == 1
    assert "has no ONNX form" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


def test_onnx_without_its_package_is_told_how_to_get_it(conditional, monkeypatch, capsys):
    monkeypatch.setattr("clothinggan.export.is_installed", lambda package: False)
    assert display.main(["--weights", conditional, "--export", "out.onnx"]) == 1
    assert "pip install 'clothinggan[onnx]'" in capsys.readouterr().err


def test_arrays_have_arr_0_as_adms_evaluator_reads_it(conditional):
    assert display.main(["--weights", conditional, "--export", "x.npz", "--count", "12"]) == 0
    with np.load("x.npz") as file:
        assert (file["arr_0"].shape, file["arr_0"].dtype) == ((12, 28, 28, 3), np.uint8)
        assert np.array_equal(file["arr_0"][..., 2], np.rint(file["images"] * 255))
        assert file["classes"].tolist() == [*range(10), 0, 1]


def test_pictures_are_called_by_class_and_number(conditional):
    assert display.main(["--weights", conditional, "--export", "out/", "--count", "12"]) == 0
    assert display.main(["--weights", conditional, "--export", "x.npz", "--count", "12"]) == 0
    names = sorted(path.name for path in Path("out").iterdir())
    assert names[:3] == ["ankle-boot_09.png", "bag_08.png", "coat_04.png"]
    assert len(names) == 12
    with np.load("x.npz") as file, Image.open("out/t-shirt-top_10.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(picture, file["arr_0"][10, ..., 0])


def test_pictures_without_classes_are_called_images(tmp_path):
    with_everything().save(tmp_path / "x.keras")
    (tmp_path / "out").mkdir()
    assert display.main(["--weights", "x.keras", "--export", "out", "--count", "2"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["image_0.png", "image_1.png"]


def test_a_folder_that_holds_something_is_left_as_it_is(conditional, capsys):
    Path("out").mkdir()
    Path("out/mine.png").touch()
    assert display.main(["--weights", conditional, "--export", "out/"]) == 1
    assert "is no empty folder" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--export", "x.foo"], "ends in none of .npz, .h5, .keras, .onnx, .tflite"),
        (["--export", "x.onnx", "--count", "3"], "--count is for images"),
        (["--export", "x.keras", "--class", "bag"], "--class is for images"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(options, says, capsys):
    with pytest.raises(SystemExit) as end:
        display.main(["--weights", "x.h5", *options])
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_an_exported_generator_can_be_used_here_again(conditional):
    assert display.main(["--weights", conditional, "--export", "out.keras"]) == 0
    vectors = np.eye(16, dtype=np.float32)
    images = [generate(load_generator(path), vectors) for path in (conditional, "out.keras")]
    assert np.allclose(*images, atol=1e-6)
