"""A checkpoint is a plain Keras file, holds the whole state, and is believed only when it is whole."""

import json
import os
import re

import h5py
import numpy as np
import pytest
from conftest import stranger

from clothinggan import resume
from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import epoch_in_name, read_checkpoint, save_checkpoint
from clothinggan.checkpoint.record import (
    HISTORY_COLUMNS,
    MAX_EPOCHS,
    MAX_RECORD_BYTES,
    MEASURED_COLUMNS,
    Record,
)
from clothinggan.checkpoint.restore import load_generator
from clothinggan.errors import ClothingGANError
from clothinggan.models import draw_latent_vectors, generate
from clothinggan.presets import PRESETS, as_plain_data


@pytest.fixture
def file(small_run, tmp_path):
    path = tmp_path / "clothingGANepoch2.h5"
    path.write_bytes((small_run / path.name).read_bytes())
    return path


def make_record(**changes):
    fields = {
        "preset": "clothing",
        "seed": 0,
        "batch_size": 8,
        "epochs": 3,
        "save_every": 5,
        "keep": None,
        "examples": None,
        "data": "sample",
        "fingerprint": "f",
        "design": as_plain_data(PRESETS["clothing"]),
    }
    return Record(**{**fields, **changes})


def make_entry(**changes):
    return {**dict.fromkeys(HISTORY_COLUMNS, 1), **changes}


def test_a_record_comes_back_as_it_was_saved(file, tmp_path):
    generator = load_generator(file)
    record = make_record(epoch=7, history=[make_entry(epoch=7, d_loss=0.1 + 0.2)], numbered=[5])
    save_checkpoint(tmp_path / "x.h5", generator, record, {})
    assert read_checkpoint(tmp_path / "x.h5").record == record


def test_a_state_comes_back_to_the_bit(file, tmp_path):
    state = {"a": [np.float32([0.1, 3e-42]), np.int64([2**62])], "b": [np.zeros((0,), np.float32)]}
    save_checkpoint(tmp_path / "x.h5", load_generator(file), make_record(), state)
    read = read_checkpoint(tmp_path / "x.h5").state
    assert {name: [(a.dtype, a.tobytes()) for a in arrays] for name, arrays in read.items()} == {
        name: [(a.dtype, a.tobytes()) for a in arrays] for name, arrays in state.items()
    }


def test_a_file_holds_optimisers_and_dropout_states(file):
    state = read_checkpoint(file).state
    assert set(state) == {
        "discriminator",
        "generator_optimizer",
        "discriminator_optimizer",
        "loss_sums",
    }
    assert [array.shape for array in state["discriminator"]].count((2,)) == 2  # of two dropout layers
    # The number of steps, the rate, and two moments of each weight.
    assert len(state["generator_optimizer"]) == 2 + 2 * len(load_generator(file).weights)


def test_a_run_whose_files_could_not_be_read_again_does_not_begin(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hdf5, "MAX_BYTES", 20 * 2**20)
    assert resume.main(["--weights", str(file), "--more", "1"]) == 1
    assert re.search(r"files of \d+ MiB, and none of more than 20 MiB is read", capsys.readouterr().err)
    assert list(tmp_path.glob("*.h5")) == [file]


def test_a_file_stays_under_15_megabytes(file):
    assert file.stat().st_size < 15_000_000


def test_plain_keras_opens_it_without_the_package_and_draws_the_same(file, tmp_path):
    import subprocess
    import sys

    vectors = draw_latent_vectors(4, 100, seed=1)
    np.save(tmp_path / "vectors.npy", vectors)
    program = (
        "import sys; sys.modules['clothinggan'] = None\n"
        "import keras, numpy as np\n"
        f"model = keras.models.load_model({str(file)!r})\n"
        "np.save('images.npy', model.predict(np.load('vectors.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True)
    ours = generate(load_generator(file), vectors)
    assert np.allclose(np.load(tmp_path / "images.npy")[..., 0], ours, atol=1e-6)


@pytest.mark.parametrize("position", [3, 40, 300, 600, 5_000, -1], ids=str)
def test_one_flipped_bit_anywhere_is_noticed(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(ClothingGANError, match="damaged"):
        read_checkpoint(file)


@pytest.mark.parametrize("length", [0, 100, 512, 5_000], ids=str)
def test_a_file_that_is_cut_short_is_refused(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ClothingGANError, match=file.name):
        read_checkpoint(file)


def test_a_newer_format_asks_for_an_upgrade(file):
    content = file.read_bytes().replace(b"format 1\n", b"format 2\n", 1)
    file.write_bytes(content)
    with pytest.raises(ClothingGANError, match="upgrade clothinggan"):
        read_checkpoint(file)


def test_a_checkpoint_without_its_checksum_is_refused(file):
    file.write_bytes(file.read_bytes()[512:])
    with pytest.raises(ClothingGANError, match="checksum is gone"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": 2.5},
        {"batch_size": 0},
        {"seed": "0"},
        {"data": 3},
        {"history": [{"epoch": 1, "d_loss": 1}]},
        {"history": [make_entry(d_loss="x")]},
        {"history": [make_entry(d_loss=10**400)]},
        {"history": [make_entry(epoch=1.5)]},
        {"history": [make_entry(unknown=1)]},
        {"epoch": 10**15},
        {"epochs": 10**15},
        {"batch_size": 2**62},
        {"seed": 2**32},
        {"seconds_in_epoch": 10**400},
        {"history": 3},
        {"history": {}},
        {"numbered": ""},
        {"keep": 0},
        {"unknown": 1},
        {"numbered": ["../../x"]},
        {"versions": {"tensorflow": 2}},
    ],
    ids=str,
)
def test_a_record_that_makes_no_sense_is_refused(change, file, tmp_path):
    with pytest.raises(ClothingGANError, match="does not make sense"):
        read_checkpoint(stranger(file, tmp_path / "x.h5", **change))


def test_the_longest_history_can_be_read_again():
    entry = dict.fromkeys(HISTORY_COLUMNS + MEASURED_COLUMNS, -0.12345678901234567)
    entry["class_shares"] = [0.1234] * 10
    entries = [{**entry, "epoch": epoch} for epoch in range(1, 101)]
    bytes_each = len(json.dumps(entries + list(range(100_000, 100_100)))) / 100
    assert bytes_each * MAX_EPOCHS < MAX_RECORD_BYTES


def test_a_weight_that_is_no_number_is_not_saved(file, tmp_path):
    generator = load_generator(file)
    bias = generator.layers[0].bias
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(ClothingGANError, match="NaN or infinite"):
        save_checkpoint(tmp_path / "x.h5", generator, make_record(), {})
    assert not (tmp_path / "x.h5").exists()


def test_a_model_that_makes_something_else_than_images_is_refused(tmp_path):
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)]).save(tmp_path / "x.h5")
    with pytest.raises(ClothingGANError, match="not a generator of 28x28x1 images"):
        load_generator(tmp_path / "x.h5")


def no_hdf5(path):
    path.write_bytes(b"not HDF5" * 100)


def no_model(path):
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]


def absent(path):
    pass


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (absent, "there is no file"),
        (os.mkdir, "is a folder; --weights takes a file"),
        (os.mkfifo, "is not a file"),
        (no_hdf5, "not an HDF5 file"),
        (no_model, "no Keras model"),
    ],
)
def test_what_is_no_model_file_is_refused_by_name(make, says, tmp_path):
    path = tmp_path / "some.h5"
    make(path)
    with pytest.raises(ClothingGANError, match=says) as refusal:
        read_checkpoint(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("clothingGANepoch200.h5", 200),
        ("x/fooepoch7.hdf5", 7),
        ("clothingGANlatest.h5", None),
        ("epoch.h5", None),
    ],
)
def test_the_epoch_is_read_from_a_name(name, epoch, tmp_path):
    assert epoch_in_name(tmp_path / name) == epoch
