"""A script tells whether a discriminator that guesses is outrun, or has nothing left to find."""

from pathlib import Path

import numpy as np
import pytest

from clothinggan import checkpoint, data
from clothinggan.models import clothing_generator

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import discriminator_alone

    return discriminator_alone


def test_the_discriminator_learns_while_the_generator_stands_still(script, small_run):
    file = checkpoint.read(small_run / "clothingGANepoch4.h5")
    before = file.generator.get_weights()
    first, *_, last = script.learn_alone(file.gan(), file.record, data.load("sample").take(40), steps=60)
    assert last["steps"] == 60
    assert last["d_loss"] < first["d_loss"]
    for weights, as_before in zip(file.generator.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, as_before)


def test_without_being_told_it_takes_the_images_of_the_run(script, small_run, monkeypatch, capsys):
    weights = str(small_run / "clothingGANepoch4.h5")
    monkeypatch.setattr("sys.argv", ["discriminator_alone.py", "--weights", weights, "--steps", "2"])
    assert script.main() == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert "d_loss" in head
    assert [row.split("|")[1].strip() for row in rows] == ["1", "2"]


def test_a_generator_without_a_run_is_refused(script, tmp_path, monkeypatch):
    path = tmp_path / "generator.h5"
    clothing_generator().save(path)
    monkeypatch.setattr("sys.argv", ["discriminator_alone.py", "--weights", str(path)])
    with pytest.raises(script.ClothingGANError, match="holds a generator alone"):
        script.main()
