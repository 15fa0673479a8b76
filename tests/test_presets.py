"""Every design does what the first one does: trains, goes on to the bit, shows what it draws."""

import importlib
from pathlib import Path

import keras
import numpy as np
import pytest
from crash_test import differences

from clothinggan import display, evaluate, resume, train
from clothinggan.checkpoint.file import file_name, load_generator, read_checkpoint
from clothinggan.models import build_networks, draw_latent_vectors, generate
from clothinggan.presets import PRESETS, Preset

# 3 steps an epoch of 2 images each, one left over: a step of some designs is heavy.
TINY = ["--data", "sample", "--examples", "7", "--batch-size", "2"]


@pytest.fixture(scope="module", params=PRESETS)
def finished(request, tmp_path_factory):
    """A design, and the folder of its finished run of two epochs with a numbered file each."""
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--model", request.param, "--epochs", "2", "--save-every", "1", "--out", str(folder)]
    assert train.main([*TINY, *options]) == 0
    return PRESETS[request.param], folder


def numbered(preset, epoch):
    return file_name(preset.file_prefix, epoch)


def test_a_run_leaves_its_files(finished):
    preset, folder = finished
    files = [f"{preset.file_prefix}epoch{epoch}.{kind}" for epoch in (1, 2) for kind in ("h5", "png")]
    previews = [
        f"{preset.file_prefix}epoch{epoch}_{number}.png"
        for epoch in (1, 2)
        for number in range(1, preset.previews + 1)
    ]
    files += [
        f"{preset.file_prefix}latest.h5",
        "history.csv",
        "losses.png",
        *(["images"] if previews else []),
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert sorted(path.name for path in folder.glob("images/*")) == previews


@pytest.mark.slow
def test_it_goes_on_to_the_bit_in_another_process(finished, tmp_path, command):
    preset, folder = finished
    resumed = command("resume", "--weights", folder / numbered(preset, 1))
    assert resumed.returncode == 0, resumed.stderr
    assert differences(tmp_path / numbered(preset, 2), folder / numbered(preset, 2)) == []


def test_plain_keras_opens_its_generator(finished):
    preset, folder = finished
    vectors = draw_latent_vectors(2, preset.input_size, seed=0, classes=preset.classes)
    path = folder / numbered(preset, 2)
    ours = generate(load_generator(path), vectors)
    assert np.allclose(keras.models.load_model(path, compile=False)(vectors)[..., 0], ours, atol=1e-5)


def test_its_pictures_are_shown(finished, tmp_path):
    preset, folder = finished
    assert display.main(["--weights", str(folder / numbered(preset, 2)), "--no-real"]) == 0
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_its_history_has_accuracies(finished):
    preset, folder = finished
    for entry in read_checkpoint(folder / numbered(preset, 2)).record.history:
        assert 0 <= entry["accuracy_real"] <= 1
        assert 0 <= entry["accuracy_fake"] <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_and_the_networks_agree(name):
    preset = PRESETS[name]
    generator, discriminator = build_networks(preset, seed=0)
    assert (preset.name, generator.input_shape) == (name, (None, preset.input_size))
    assert (generator.output_shape, discriminator.input_shape) == ((None, 28, 28, 1), (None, 28, 28, 1))
    assert discriminator.layers[-1].activation is keras.activations.sigmoid


def test_previews_are_as_many_as_asked_and_remembered(tmp_path):
    assert train.main([*TINY, "--epochs", "1", "--previews", "3"]) == 0
    assert resume.main(["--more", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        f"clothingGANepoch{epoch}_{number}.png" for epoch in (1, 2) for number in (1, 2, 3)
    ]


def test_previews_are_the_first_images_of_the_sheet(monkeypatch):
    drawn = {"draw_grid": [], "draw_image": []}
    callbacks = importlib.import_module("clothinggan.callbacks")
    for name, images in drawn.items():
        draw = getattr(callbacks, name)
        monkeypatch.setattr(
            callbacks, name, lambda i, *a, images=images, draw=draw: (images.append(i), draw(i, *a))[1]
        )
    assert train.main([*TINY, "--epochs", "2", "--previews", "1", "--save-every", "1"]) == 0
    assert len(drawn["draw_grid"]) == 2
    for sheet, preview in zip(drawn["draw_grid"], drawn["draw_image"], strict=True):
        assert np.allclose(sheet[0], preview, atol=1e-6)


def test_another_design_is_a_row_and_two_functions(monkeypatch, tmp_path):
    row, builders = contributed_code()
    models = importlib.import_module("clothinggan.models")
    functions = {}
    exec(builders, vars(models), functions)
    for name, function in functions.items():
        monkeypatch.setattr(models, name, function, raising=False)
    preset = eval(row, {"Preset": Preset})
    monkeypatch.setitem(PRESETS, preset.name, preset)
    assert train.main([*TINY, "--model", preset.name, "--epochs", "1"]) == 0
    assert resume.main(["--more", "1"]) == 0
    made = numbered(preset, 2)
    assert read_checkpoint(tmp_path / made).record.epoch == 2
    assert display.main(["--weights", made, "--no-real"]) == 0
    assert evaluate.main(["--weights", made, "--images", "10"]) == 0


def contributed_code():
    """The two blocks of Python in CONTRIBUTING.md, ten lines in all: the table's row, and the builders."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    row, builders = (block.partition("```")[0] for block in text.split("```python\n")[1:])
    assert len([line for line in (row + builders).splitlines() if line]) <= 10
    return row.strip().removesuffix(","), builders
