"""TensorBoard's event files: what they hold, and at which step."""

import importlib.util
import shutil

import pytest
from conftest import SMALL

from clothinggan import resume, train
from clothinggan.gan import GAN

needs_tensorboard = pytest.mark.skipif(
    not importlib.util.find_spec("tensorboard"), reason="the extra `tensorboard` is not installed"
)


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


@needs_tensorboard
def test_a_resumed_run_goes_on_with_its_steps_and_drops_what_it_went_back_upon(tmp_path):
    options = ["--tensorboard", "events", "--save-every", "1"]
    assert train.main([*SMALL, "--epochs", "3", *options]) == 0
    assert resume.main(["--weights", "clothingGANepoch1.h5", "--epochs", "4", "--overwrite", *options]) == 0
    events = read_events(tmp_path / "events")
    history = (tmp_path / "history.csv").read_text().splitlines()
    d_losses = [float(row.split(",")[1]) for row in history[1:]]
    scalars = events.Scalars("d_loss")
    assert [event.step for event in scalars] == [1, 2, 3, 4]
    assert [event.value for event in scalars] == pytest.approx(d_losses)
    assert set(events.Tags()["scalars"]) >= {"d_loss", "g_loss", "accuracy_real", "accuracy_fake", "seconds"}


@needs_tensorboard
def test_a_second_run_in_one_folder_is_told_that_it_takes_the_place_of_the_first(capsys):
    options = [*SMALL, "--epochs", "1", "--tensorboard", "events"]
    assert train.main([*options, "--out", "one"]) == 0
    assert "note:" not in capsys.readouterr().err
    assert train.main([*options, "--out", "two"]) == 0
    assert "note:     events has curves of an earlier run" in capsys.readouterr().err


@needs_tensorboard
def test_the_image_sheet_is_there_at_every_epoch(tmp_path):
    assert train.main([*SMALL, "--epochs", "2", "--tensorboard", "events"]) == 0
    sheets = read_events(tmp_path / "events").Images("sheet")
    assert [sheet.step for sheet in sheets] == [1, 2]
    assert all(sheet.encoded_image_string.startswith(b"\x89PNG") for sheet in sheets)


@needs_tensorboard
def test_event_files_that_are_tidied_away_cost_the_run_nothing(tmp_path, monkeypatch):
    def tidy_up(*_):
        shutil.rmtree("events", ignore_errors=True)
        return 0.5, 0.5

    monkeypatch.setattr(GAN, "accuracy", tidy_up)
    assert train.main([*SMALL, "--epochs", "2", "--tensorboard", "events"]) == 0
    assert [event.step for event in read_events(tmp_path / "events").Scalars("d_loss")] == [2]


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("clothinggan.environment.is_installed", lambda name: False)
    assert train.main([*SMALL, "--tensorboard", "events", "--out", "run"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'clothinggan[tensorboard]'" in said
    assert not list(tmp_path.iterdir())
