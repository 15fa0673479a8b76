"""Runs are compared: in one picture, labelled by what differs in what they were told."""

import pytest
from PIL import Image

from clothinggan import compare, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.compare import label_runs

SMALL = ["--model", "swift", "--data", "sample", "--examples", "64", "--epochs", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two runs that differ in a setting and in the seed."""
    folder = tmp_path_factory.mktemp("compared")
    for name, options in {"a": ["--set", "dropout=0.1"], "b": ["--seed", "1"]}.items():
        assert train.main([*SMALL, *options, "--out", str(folder / name)]) == 0
    return [str(folder / name) for name in "ab"]


def test_runs_are_labelled_by_what_differs(runs):
    found = [read_checkpoint(compare.Path(run) / "swiftGANlatest.h5") for run in runs]
    assert label_runs(found) == ["seed 0, dropout 0.1", "seed 1, dropout 0.15"]


def test_runs_that_were_told_the_same_are_labelled_by_their_place(runs):
    file = read_checkpoint(compare.Path(runs[0]) / "swiftGANlatest.h5")
    assert label_runs([file, file]) == [str(file.path)] * 2


def test_the_picture_shows_curves_and_sheets(runs, tmp_path, capsys):
    assert compare.main([*runs, "--save", "x.png"]) == 0
    assert Image.open(tmp_path / "x.png").width >= 1000
    assert "seed 1, dropout 0.15: " in capsys.readouterr().out


def test_one_run_alone_is_refused(runs):
    with pytest.raises(SystemExit) as end:
        compare.main(runs[:1])
    assert end.value.code == 2
