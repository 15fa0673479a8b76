"""The page about the example weights is made of what the run's files say, and its run can be cut off."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from conftest import start, stranger, wait_for_words

from clothinggan import draw, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import own_classifier
from clothinggan.figures import load_timelapse
from clothinggan.presets import PRESETS

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "scripts" / "experiments" / "make_weights.py"
PUBLISHED = CHECKOUT / "weights"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    loader = SourceFileLoader("make_weights", str(SCRIPT))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, loader.name, module)
        loader.exec_module(module)
        yield module


def call(command, *arguments, check=False):
    """Runs a command in this process, where TensorFlow is imported already."""
    assert resolve_name(f"clothinggan.{command}").main([str(argument) for argument in arguments]) == 0
    return 0


@contextlib.contextmanager
def publishing_in(folder, script):
    """Has the script publish in a folder of its own, of few images and measures, and in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "WEIGHTS", folder)
        parse = script.evaluate.parse
        patch.setattr(script.evaluate, "parse", lambda options: parse([*options, "--quick"]))
        for name in ("STEPS", "MIN_STEPS"):
            patch.setattr(own_classifier, name, 10)
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        patch.setattr(script, "IMAGES", 200)
        patch.setattr(script, "call", call)
        yield script


@pytest.fixture
def make_weights(script, tmp_path):
    """The script, publishing in a folder of its own."""
    (tmp_path / "weights").mkdir()
    with publishing_in(tmp_path / "weights", script):
        yield script


@pytest.fixture(scope="module")
def example(script):
    """An example of four epochs, of which the first and the last are measured."""
    return script.Example(PRESETS["clothing"], 4, (1, 4), "")


@pytest.fixture(scope="module")
def published(script, example, small_run, tmp_path_factory):
    """What is published after two epochs, and what after two more on another machine."""
    folder = tmp_path_factory.mktemp("published")
    weights = folder / "weights"
    weights.mkdir()
    with publishing_in(weights, script):
        script.publish(example, "sample", moved(small_run, (1, 2), folder / "one"))
        shutil.copytree(weights, folder / "after two")
        script.publish(example, "sample", moved(small_run, (1, 3, 4), folder / "another"))
    return folder / "after two", weights


def moved(run, epochs, folder):
    """Another machine's folder, with the files of these epochs alone."""
    folder.mkdir()
    for epoch in epochs:
        shutil.copy(run / f"clothingGANepoch{epoch}.h5", folder)
    return folder


@pytest.mark.parametrize("name", ["clothing", "swift"])
def test_an_example_is_trained_with_the_command_on_its_page(make_weights, name, monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(make_weights, "call", lambda *words: commands.append([str(word) for word in words]))
    make_weights.train(make_weights.EXAMPLES[name], "fashion_mnist", tmp_path)
    ((command, *options),) = commands
    page = (PUBLISHED / "README.md").read_text()
    (told,) = re.findall(rf"`python -m clothinggan\.train (--model {name} .*)`", page)
    assert command == "train"
    assert train.parse(options) == train.parse([*told.split(), "--out", str(tmp_path)])


def test_the_page_that_is_published_is_what_the_script_writes(script):
    assert (script.WEIGHTS / "README.md").read_text() == script.readme()


@pytest.mark.slow
def test_the_last_numbered_file_is_published_with_its_figures(published, small_run):
    files = {path.name: path.read_bytes() for path in published[1].iterdir()}
    assert files["clothingGANepoch4.h5"] == (small_run / "clothingGANepoch4.h5").read_bytes()
    page = files.pop("README.md").decode()
    assert "`page.html` draws in any browser." in page
    assert "`clothing` after 4 of 200 epochs" in page
    *_, measured = json.loads(files["evaluation.json"])["files"]
    assert f"| clothingGANepoch4.h5 | {measured['fcd']:.3f} |" in page
    for name, content in files.items():
        assert f"{hashlib.sha256(content).hexdigest()}  {name}\n" in page


def epochs_told(folder):
    """The epochs in the table, and in the animation."""
    lines = json.loads((folder / "evaluation.json").read_text())["files"]
    return [line["epoch"] for line in lines], list(load_timelapse(folder / "timelapse.gif"))


@pytest.mark.slow
def test_a_run_that_moved_to_another_machine_keeps_what_was_told_of_it(published):
    after_two, after_four = published
    assert epochs_told(after_two) == ([1, 2], ["epoch 1", "epoch 2"])
    assert epochs_told(after_four) == ([1, 4], ["epoch 1", "epoch 2", "epoch 3", "epoch 4"])
    assert "| clothingGANepoch1.h5 |" in (after_four / "README.md").read_text()


@pytest.mark.slow
def test_what_was_told_of_another_run_goes(script, example, published, small_run, tmp_path):
    last = small_run / "clothingGANepoch4.h5"
    other = read_checkpoint(stranger(last, tmp_path / last.name, seed=1))
    with publishing_in(published[0], script):
        report, frames = script.told_before(example, read_checkpoint(last))
        assert [line["epoch"] for line in report["files"]] == [1]
        assert list(frames) == ["epoch 1", "epoch 2"]
        assert script.told_before(example, other) == (None, {})


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
    command = [SCRIPT, "--model", "swift", "--data", data, "--runs", "run"]
    return start(sys.executable, *command, start_new_session=True)


@pytest.mark.slow
def test_sigterm_ends_the_training_too_once_it_is_saved(few_garments, tmp_path):
    process = start_script(few_garments)
    wait_for_words("training:", process)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in said
    assert read_checkpoint(tmp_path / "run" / "swiftGANlatest.h5").record.step >= 1


@pytest.mark.slow
def test_ctrl_c_waits_until_the_training_is_saved(few_garments, tmp_path):
    process = start_script(few_garments)
    wait_for_words("training:", process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by SIGINT" in said
    assert read_checkpoint(tmp_path / "run" / "swiftGANlatest.h5").record.step >= 1


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


def test_files_that_are_as_good_to_the_digits_shown_are_best_together(script):
    lines = {"a": 0.5884, "b": 0.5881, "c": 0.61}
    files = [{"name": n, "told_apart": share, "told_apart_error": 0.005} for n, share in lines.items()]
    assert script.best({"files": files, "best": {"told_apart": "b"}}, "told_apart") == "**a** and **b**"
    assert script.best({"files": files, "best": {}}, "told_apart") == "not measured"


def test_of_a_single_file_it_is_not_said_that_it_is_the_best(script):
    assert script.said_of_best({"files": [{"name": "a", "fcd": 1.0}], "best": {"fcd": "a"}}) == ""


def test_numbers_are_rounded_to_so_many_bits(script):
    numbers = np.random.default_rng(0).normal(size=1_000).astype(np.float32)
    rounded = script.rounded(numbers, 12)
    assert np.abs(rounded / numbers - 1).max() <= 2**-13
    assert not (rounded.view(np.uint32) & (2**11 - 1)).any()
    assert np.array_equal(script.rounded(numbers, 23), numbers)
