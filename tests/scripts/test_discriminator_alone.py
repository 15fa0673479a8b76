"""A script tells whether a discriminator that guesses is outrun, or has nothing left to find."""

from pathlib import Path

import numpy as np
import pytest

from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import restore_gan
from clothinggan.data import sources
from clothinggan.models import clothing_generator
from clothinggan.presets import PRESETS

SCRIPTS = Path(__file__).parents[2] / "scripts" / "experiments"


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import discriminator_alone

    return discriminator_alone


def learned_alone(script, path):
    """What a file's GAN reports when it learns alone; its images before and after."""
    file = read_checkpoint(Path(path))
    gan = restore_gan(file)
    before = gan.draw(20)
    reports = list(script.learn_alone(gan, file.record, sources.load("sample").take(40), steps=24))
    return reports, before, gan.draw(20)


def test_the_discriminator_learns_while_the_generator_stands_still(script, small_run):
    (first, *_, last), before, after = learned_alone(script, small_run / "clothingGANepoch4.h5")
    assert last["steps"] == 24
    assert last["d_loss"] < first["d_loss"]
    np.testing.assert_array_equal(after, before)


def test_an_averaged_generator_stands_still_too(script, small_swift):
    _, before, after = learned_alone(script, small_swift)
    np.testing.assert_array_equal(after, before)


def test_without_being_told_it_takes_the_images_of_the_run(script, small_run, monkeypatch, capsys):
    weights = str(small_run / "clothingGANepoch4.h5")
    monkeypatch.setattr("sys.argv", ["discriminator_alone.py", "--weights", weights, "--steps", "2"])
    assert script.main() == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert "d_loss" in head
    assert [row.split("|")[1].strip() for row in rows] == ["1", "2"]


def test_a_generator_without_a_run_is_refused(script, tmp_path, monkeypatch):
    path = tmp_path / "generator.h5"
    clothing_generator(PRESETS["clothing"]).save(path)
    monkeypatch.setattr("sys.argv", ["discriminator_alone.py", "--weights", str(path)])
    with pytest.raises(script.ClothingGANError, match="holds a generator alone"):
        script.main()
