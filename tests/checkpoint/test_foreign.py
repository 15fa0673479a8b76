"""What cannot be used is told what it is and what to do."""

import io
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from clothinggan import display
from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.errors import ClothingGANError


def packed(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return content.getvalue()


def arrays():
    content = io.BytesIO()
    np.savez(content, x=np.zeros(3))
    return content.getvalue()


HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
FILES = {
    "x.pt": (packed("x/data.pkl", "x/data/0"), "is a file of PyTorch"),
    "old.pth": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "is a file of PyTorch"),
    "x.ckpt": (pickle.dumps({"epoch": 3}, protocol=2), "is a file of PyTorch"),
    "x.safetensors": (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4), "is a safetensors file"),
    "x.pkl": (pickle.dumps([1, 2]), "is a pickle, which can run any program"),
    "x.tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "is a TFLite model"),
    "x.onnx": (b"\x08\x09\x12\x07pytorch\x1a\x052.4.0:", "is an ONNX model"),
    "x.npz": (arrays(), r"is an \.npz file of arrays"),
    "x.zip": (packed("generator.h5"), "a zip file with 'generator.h5' in it; unpack it first"),
    "y.zip": (packed("readme.txt"), "is a zip file without a Keras model"),
    "x.json": (json.dumps({"class_name": "Sequential", "config": {}}).encode(), "without its weights"),
    "x.gz": (b"\x1f\x8b\x08" + bytes(9), "compressed with gzip; unpack it first"),
    "x.h5": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "page.h5": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "page.pb": (b"<!-- moved --><html>", "is a web page"),
    "saved_model.pb": (b"\x08\x01\x12\x05", "a part of a SavedModel"),
    "x.ckpt.index": (b"\0\1\2", "a part of a TensorFlow checkpoint"),
    "checkpoint": (b'model_checkpoint_path: "ckpt-1"\n', "the list of a TensorFlow checkpoint"),
    "noise.h5": (b"\3\1\4\1\5", "is not an HDF5 file, or is damaged"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_told_what_it_is(name, tmp_path):
    content, says = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClothingGANError, match=says) as refusal:
        read_checkpoint(tmp_path / name)
    assert str(tmp_path / name) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["saved_model.pb"], r"is a SavedModel.*load_model\('x'\)\.save\('NAME\.h5'\)"),
        (["config.json", "model.weights.h5"], r"is an unpacked \.keras file"),
        (["readme.txt"], "is a folder; --weights takes a file$"),
        (["swiftGANepoch5.h5", "swiftGANlatest.h5"], r"--weights takes a file: .*/x/swiftGANlatest\.h5$"),
    ],
)
def test_a_folder_is_told_what_it_is(names, says, tmp_path):
    (tmp_path / "x").mkdir()
    for name in names:
        (tmp_path / "x" / name).touch()
    with pytest.raises(ClothingGANError, match=says):
        read_checkpoint(tmp_path / "x")


def discriminator():
    return [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]


def generator():
    return [keras.Input((5,)), layers.Dense(784), layers.Reshape((28, 28, 1))]


MODELS = {
    "a whole GAN": ([*generator(), *discriminator()[1:]], r"as a whole GAN does.*gan\.layers\[0\]\.save"),
    "a discriminator": (discriminator(), "as a discriminator or a classifier does"),
    "images of 32x32": (
        [keras.Input((5,)), layers.Dense(1024), layers.Reshape((32, 32, 1))],
        "draws images of 32x32, where this program is for 28x28 grey ones",
    ),
    "colour images": (
        [keras.Input((5,)), layers.Dense(2352), layers.Reshape((28, 28, 3))],
        "draws colour images",
    ),
    "images to images": (
        [keras.Input((28, 28, 1)), layers.Conv2D(1, 3, padding="same")],
        "takes arrays of \\(28, 28, 1\\), not latent vectors",
    ),
}


@pytest.mark.parametrize("what", MODELS)
def test_a_model_that_is_no_generator_is_told_what_it_is(what, tmp_path):
    stack, says = MODELS[what]
    keras.Sequential(stack).save(tmp_path / "x.keras")
    with pytest.raises(ClothingGANError, match=says) as refusal:
        load_generator(tmp_path / "x.keras")
    assert "Reshape" not in str(refusal.value)


def test_a_file_that_is_too_large_is_told_to_be_saved_without_its_optimiser(tmp_path, monkeypatch):
    keras.Sequential(generator()).save(tmp_path / "x.keras")
    monkeypatch.setattr(hdf5, "MAX_BYTES", 1000)
    with pytest.raises(ClothingGANError, match=r"load_model\('x\.keras', compile=False\)\.save"):
        read_checkpoint(tmp_path / "x.keras")


def test_a_refusal_writes_nothing_and_ends_with_1(tmp_path, capsys):
    (tmp_path / "x.pt").write_bytes(FILES["x.pt"][0])
    assert display.main(["--weights", "x.pt", "--save", "pictures"]) == 1
    assert capsys.readouterr().err.startswith("clothinggan: error: x.pt is a file of PyTorch")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]
