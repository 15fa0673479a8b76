"""Every design does what the first one does: trains, goes on to the bit, shows what it draws."""

import importlib
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from compare_files import differences
from conftest import stranger
from forked_commands import run_forked

import clothinggan
from clothinggan import display, evaluate, resume, train
from clothinggan.checkpoint.file import file_name, read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.errors import ClothingGANError
from clothinggan.models import build_networks, draw_latent_vectors, generate
from clothinggan.presets import (
    PRESETS,
    SETTINGS,
    VERSION_1,
    Preset,
    as_plain_data,
    change,
    from_plain_data,
)

# 3 steps an epoch of 2 images each, one left over: a step of some designs is heavy.
TINY = ["--data", "sample", "--examples", "7", "--batch-size", "2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of each design's finished run of two epochs with a numbered file each."""
    folders = {name: tmp_path_factory.mktemp(name) for name in PRESETS}
    for name, folder in folders.items():
        options = ["--model", name, "--epochs", "2", "--save-every", "1", "--out", str(folder)]
        assert train.main([*TINY, *options]) == 0
    return folders


@pytest.fixture(scope="module", params=PRESETS)
def finished(request, folders):
    """A design, and the folder of its finished run."""
    return PRESETS[request.param], folders[request.param]


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
        f"{preset.file_prefix}latest.png",
        "history.csv",
        "losses.png",
        *(["images"] if previews else []),
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert sorted(path.name for path in folder.glob("images/*")) == previews


RESUME = """
import sys
from clothinggan import resume
begun = zip(sys.argv[1::2], sys.argv[2::2])
sys.exit(any(resume.main(["--weights", path, "--out", folder]) for path, folder in begun))
"""


@pytest.mark.slow
def test_each_goes_on_to_the_bit_in_another_process(folders, tmp_path):
    begun = [word for name, at in folders.items() for word in (at / numbered(PRESETS[name], 1), name)]
    resumed = run_forked("-c", RESUME, *begun)
    assert resumed.returncode == 0, resumed.stderr
    for name, folder in folders.items():
        file = numbered(PRESETS[name], 2)
        assert differences(tmp_path / name / file, folder / file) == [], name


def test_plain_keras_opens_its_generator(finished):
    preset, folder = finished
    vectors = draw_latent_vectors(2, preset.input_size, seed=0, classes=preset.class_numbers)
    path = folder / numbered(preset, 2)
    ours = generate(load_generator(path), vectors)
    assert np.allclose(keras.models.load_model(path, compile=False)(vectors)[..., 0], ours, atol=1e-5)


def test_its_pictures_are_shown(finished, tmp_path):
    preset, folder = finished
    weights = str(folder / numbered(preset, 2))
    assert display.main(["--weights", weights, "--no-real", "--save", str(tmp_path)]) == 0
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


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_what_a_file_records_of_a_design_gives_the_design_again(preset):
    assert from_plain_data(preset.name, json.loads(json.dumps(as_plain_data(preset)))) == preset


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generator_learning_rat": "1"}, "did you mean generator_learning_rate"),
        ({"dropout": "2"}, "dropout is a number from 0 to 0.95, not '2'"),
        ({"dropout": "nan"}, "dropout is a number from 0 to 0.95"),
        ({"latent_size": "0"}, "latent_size is a whole number from 1 to 1000"),
        ({"latent_size": "1.5"}, "latent_size is a whole number"),
        ({"shared_fakes": "perhaps"}, "shared_fakes is yes or no"),
        ({"generator_filters": "32"}, "generator_filters of clothing is 3 numbers, as 128,128,128"),
        ({"class_weight": "1"}, "class_weight has no effect on clothing"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_says_what_is_expected(settings, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        change(PRESETS["clothing"], **settings)


def test_a_run_with_settings_records_them_and_goes_on_with_them(tmp_path, capsys):
    settings = ["latent_size=7", "generator_filters=16,8", "discriminator_filters=4,8", "dropout=0"]
    options = [word for setting in settings for word in ("--set", setting)]
    assert train.main([*TINY, "--model", "swift", "--epochs", "1", *options]) == 0
    plan = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("networks:"))
    assert "; latent_size 7, generator_filters 16,8, discriminator_filters 4,8, dropout 0" in plan
    assert resume.main(["--more", "1"]) == 0
    assert display.main(["--weights", "swiftGANepoch2.h5", "--no-real", "--class", "bag"]) == 0
    assert evaluate.main(["--weights", "swiftGANepoch2.h5", "--images", "10", "--quick"]) == 0
    file = read_checkpoint(tmp_path / "swiftGANepoch2.h5")
    assert file.preset.generator_filters == (16, 8)
    assert load_generator(file.path).input_shape == (None, 17)


def test_settings_are_explained_and_a_wrong_one_is_status_2(capsys):
    for words, status in ((["help"], 0), (["latent_size"], 2), (["latent_size=x"], 2)):
        with pytest.raises(SystemExit) as end:
            train.main(["--model", "swift", "--set", *words])
        assert end.value.code == status
    said = capsys.readouterr()
    assert "averaging_width              0.1 " in said.out
    assert "--set latent_size: NAME=VALUE is expected" in said.err
    assert "--set: latent_size is a whole number from 1 to 1000, not 'x'" in said.err


def test_a_file_whose_design_is_none_is_refused(small_swift, tmp_path):
    row = as_plain_data(PRESETS["swift"])
    for change_of_row in ({"latent_size": 10**9}, {"generator_filters": "x"}, {"conditional": False}):
        path = stranger(Path(small_swift), tmp_path / "x.h5", design=row | change_of_row)
        with pytest.raises(ClothingGANError, match="does not make sense"):
            read_checkpoint(path)


def test_a_file_of_version_1_goes_on_with_the_design_of_then(tmp_path):
    settings = {name: getattr(VERSION_1["swift"], name) for name in SETTINGS}
    file = clothinggan.fit(
        "swift", data="sample", examples=7, batch_size=2, epochs=1, out="new", **settings
    ).path
    Path("old").mkdir()
    # Version 1 recorded the name of the design alone, and no names of classes.
    old = stranger(file, tmp_path / "old" / file.name, design={}, class_names=None)
    assert as_plain_data(read_checkpoint(old).preset) == as_plain_data(VERSION_1["swift"])
    for path in (file, old):
        assert resume.main(["--weights", str(path), "--out", str(path.parent), "--more", "1"]) == 0
    first, second = (Path(folder, numbered(PRESETS["swift"], 2)) for folder in ("new", "old"))
    assert differences(first, second) == ["class_names"]


def test_the_row_of_version_1_stays_what_it_was():
    assert as_plain_data(VERSION_1["swift"]) == {
        "networks": "swift",
        "real_label": 1,
        "conditional": True,
        "latent_size": 64,
        "generator_filters": [128, 64],
        "discriminator_filters": [32, 64],
        "dropout": 0.3,
        "dropout_for_generator": True,
        "label_noise": 0.0,
        "generator_learning_rate": 0.0008,
        "discriminator_learning_rate": 0.0008,
        "beta_1": 0.5,
        "class_weight": 0.2,
        "class_loss_for_generator": True,
        "shared_fakes": True,
        "averaging": 0.999,
        "averaging_width": 0.0,
        "rate_decay_start": 0,
    }


def test_who_sets_the_one_average_leaves_the_other():
    assert change(PRESETS["swift"], averaging="0.9").averaging_width == 0
    assert change(PRESETS["swift"], averaging="0.9", averaging_width="0.2").averaging_width == 0.2


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
    assert evaluate.main(["--weights", made, "--images", "10", "--quick"]) == 0


def contributed_code():
    """The two blocks of Python in CONTRIBUTING.md, ten lines in all: the table's row, and the builders."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    row, builders = (block.partition("```")[0] for block in text.split("```python\n")[1:])
    assert len([line for line in (row + builders).splitlines() if line]) <= 10
    return row.strip().removesuffix(","), builders
