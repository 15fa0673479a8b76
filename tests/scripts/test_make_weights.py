"""The page about the example weights is made of what the run's files say, and its run can be cut off."""

import hashlib
import json
import os
import shutil
import signal
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from conftest import SMALL, start, wait_for_words

from clothinggan import draw, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import gan_train, small_networks, two_sample_test
from clothinggan.figures import load_timelapse
from clothinggan.presets import PRESETS

SCRIPT = Path(__file__).parents[2] / "scripts" / "experiments" / "make_weights.py"


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    loader = SourceFileLoader("make_weights", str(SCRIPT))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    monkeypatch.setitem(sys.modules, loader.name, module)
    loader.exec_module(module)
    return module


@pytest.fixture
def make_weights(script, tmp_path, monkeypatch):
    """The script, publishing in a folder of its own, with no process for each picture."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(script, "WEIGHTS", tmp_path / "weights")
    for module in (two_sample_test, gan_train):  # Networks learn from few images in a second.
        monkeypatch.setattr(module, "IMAGES", 200)
    monkeypatch.setattr(small_networks, "MIN_STEPS", 5)
    monkeypatch.setattr(script, "IMAGES", 200)

    def call(command, *arguments, check=False):
        assert resolve_name(f"clothinggan.{command}").main([str(argument) for argument in arguments]) == 0
        return 0

    monkeypatch.setattr(script, "call", call)
    return script


def test_the_page_that_is_published_is_what_the_script_writes(script):
    assert (script.WEIGHTS / "README.md").read_text() == script.readme()


@pytest.mark.slow
def test_the_last_numbered_file_is_published_with_its_figures(make_weights, small_run):
    make_weights.publish(make_weights.EXAMPLES["clothing"], "sample", small_run)
    published = {path.name: path.read_bytes() for path in make_weights.WEIGHTS.iterdir()}
    assert published["clothingGANepoch4.h5"] == (small_run / "clothingGANepoch4.h5").read_bytes()
    page = published.pop("README.md").decode()
    assert "`page.html` draws in any browser." in page
    assert "`clothing` after 4 of 200 epochs" in page
    (measured,) = json.loads(published["evaluation.json"])["files"]
    assert f"| clothingGANepoch4.h5 | {measured['fcd']:.3f} |" in page
    for name, content in published.items():
        assert f"{hashlib.sha256(content).hexdigest()}  {name}\n" in page


@pytest.fixture
def example(make_weights):
    """An example of four epochs, three of which are measured."""
    return make_weights.Example(PRESETS["clothing"], 4, (1, 3, 4), "")


def epochs_told(example):
    """The epochs in the table, and in the animation."""
    lines = json.loads(example.path("evaluation.json").read_text())["files"]
    return [line["epoch"] for line in lines], list(load_timelapse(example.path("timelapse.gif")))


def moved(run, epochs, folder):
    """Another machine's folder, with the files of these epochs alone."""
    folder.mkdir()
    for epoch in epochs:
        shutil.copy(run / f"clothingGANepoch{epoch}.h5", folder)
    return folder


@pytest.mark.slow
def test_a_run_that_moved_to_another_machine_keeps_what_was_told_of_it(
    make_weights, example, small_run, tmp_path
):
    make_weights.publish(example, "sample", moved(small_run, (1, 2), tmp_path / "one"))
    assert epochs_told(example) == ([1, 2], ["epoch 1", "epoch 2"])
    make_weights.publish(example, "sample", moved(small_run, (3, 4), tmp_path / "another"))
    assert epochs_told(example) == ([1, 3, 4], ["epoch 1", "epoch 2", "epoch 3", "epoch 4"])
    assert "| clothingGANepoch1.h5 |" in (make_weights.WEIGHTS / "README.md").read_text()


@pytest.mark.slow
def test_what_was_told_of_another_run_goes(make_weights, example, small_run, tmp_path):
    other = [*SMALL, "--seed", "1", "--epochs", "2", "--save-every", "1", "--out", str(tmp_path / "other")]
    assert train.main(other) == 0
    make_weights.publish(example, "sample", tmp_path / "other")
    last = read_checkpoint(small_run / "clothingGANepoch4.h5")
    assert make_weights.told_before(example, last, until=3) == (None, {})


@pytest.mark.slow
def test_an_unfinished_example_is_gone_on_with_to_the_bit(make_weights, example, small_run, tmp_path):
    shutil.copy(small_run / "clothingGANepoch2.h5", make_weights.WEIGHTS)
    assert make_weights.train(example, "sample", tmp_path / "run") == 0
    last = read_checkpoint(tmp_path / "run" / "clothingGANepoch4.h5")
    assert last.digest == read_checkpoint(small_run / "clothingGANepoch4.h5").digest


@pytest.fixture
def other_images(few_garments, tmp_path):
    with np.load(few_garments) as arrays:
        np.savez("backwards.npz", x_train=arrays["x_train"][::-1], y_train=arrays["y_train"][::-1])
    return str(tmp_path / "backwards.npz")


def test_an_example_of_other_images_is_not_gone_on_with(make_weights, example, small_run, other_images):
    shutil.copy(small_run / "clothingGANepoch2.h5", make_weights.WEIGHTS)
    assert make_weights.is_unfinished(example, "sample")
    assert not make_weights.is_unfinished(example, other_images)


def test_a_run_on_other_images_is_neither_gone_on_with_nor_published(
    make_weights, example, small_run, other_images
):
    make_weights.check_images(example, "sample", small_run)
    with pytest.raises(ClothingGANError, match="was trained on other images than"):
        make_weights.check_images(example, other_images, small_run)


def start_script(data):
    command = [SCRIPT, "--model", "clothing", "--data", data, "--runs", "run"]
    return start(sys.executable, *command, start_new_session=True)


@pytest.mark.slow
def test_sigterm_ends_the_training_too_once_it_is_saved(few_garments, tmp_path):
    process = start_script(few_garments)
    wait_for_words("training:", process)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in said
    assert read_checkpoint(tmp_path / "run" / "clothingGANlatest.h5").record.step >= 1


@pytest.mark.slow
def test_ctrl_c_waits_until_the_training_is_saved(few_garments, tmp_path):
    process = start_script(few_garments)
    wait_for_words("training:", process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by SIGINT" in said
    assert read_checkpoint(tmp_path / "run" / "clothingGANlatest.h5").record.step >= 1


def test_the_packages_generator_is_the_examples_to_one_level_of_grey(
    script, small_swift, tmp_path, monkeypatch
):
    monkeypatch.setattr(script, "WEIGHTS", Path(small_swift).parent)
    monkeypatch.setattr(script, "PACKAGED", tmp_path)
    written = script.write_example(script.EXAMPLES["swift"])
    assert written == tmp_path / "swift.h5"
    assert written.stat().st_size < Path(small_swift).stat().st_size / 4
    images = [draw(path, 20, seed=1) for path in (written, small_swift)]
    assert np.abs(images[0] - images[1]).max() <= 1 / 255


def test_numbers_are_rounded_to_so_many_bits(script):
    numbers = np.random.default_rng(0).normal(size=1_000).astype(np.float32)
    rounded = script.rounded(numbers, 12)
    assert np.abs(rounded / numbers - 1).max() <= 2**-13
    assert not (rounded.view(np.uint32) & (2**11 - 1)).any()
    assert np.array_equal(script.rounded(numbers, 23), numbers)
