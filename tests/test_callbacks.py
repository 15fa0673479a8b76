"""What a run reports while it goes on, and when it stops itself."""

import math
import re
import sys
import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import tensorflow as tf
from conftest import SMALL
from matplotlib.figure import Figure

from clothinggan import callbacks, resume, run, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.signals import StoppedBySignal, StopRequests
from clothinggan.titles import duration


def test_a_log_gets_a_line_within_a_long_epoch_with_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr(callbacks.PlainProgress, "seconds_between_lines", 0)
    assert train.main([*SMALL, "--epochs", "2"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "step 2/2" in line]
    assert len(lines) == 2
    assert all(
        re.search(r"d_loss \d\.\d+, g_loss \d\.\d+; \d+\.\d+ s a step, .+ left$", line) for line in lines
    )


def test_where_no_window_can_be_opened_show_says_why_once(capsys):
    assert train.main([*SMALL, "--epochs", "2", "--save-every", "1", "--show"]) == 0
    said = "no window can be opened here (there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set)"
    assert capsys.readouterr().err.count(said) == 1


def test_a_run_says_once_how_long_it_will_take(monkeypatch, capsys):
    monkeypatch.setattr(callbacks, "SECONDS_TO_MEASURE", 0)
    assert train.main([*SMALL, "--epochs", "3"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"(?m)^(.*) of clothing: about \d+ s on this machine; Ctrl-C saves", said) == [
        "3 epochs"
    ]
    assert said.index("about") < said.index("epoch 1/3, done")


def test_the_time_left_forgets_a_pause(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = SimpleNamespace(step=0, epoch=0, epochs=1, step_in_epoch=0)
    pace = callbacks.Pace(record, steps_per_epoch=5_000)
    for step in range(1_000):
        now += 1.0 if step != 500 else 10_000.0
        record.step = record.step_in_epoch = step + 1
        pace.count()
        if step == 500:
            assert pace.seconds_left > 4_500 * 10
    assert pace.seconds_per_step == pytest.approx(1)
    assert pace.seconds_left == pytest.approx(4_000)


def test_a_run_that_goes_on_says_which_epochs_are_left(small_run, monkeypatch, capsys):
    monkeypatch.setattr(callbacks, "SECONDS_TO_MEASURE", 0)
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5"), "--out", "x"]) == 0
    assert "epochs 3 to 4 of clothing: about " in capsys.readouterr().out


@pytest.mark.parametrize(("design", "hint"), [("clothing", True), ("swift", False)])
def test_who_starts_a_run_of_hours_is_told_of_the_faster_design(design, hint):
    record = SimpleNamespace(epoch=0, epochs=200, step_in_epoch=0, preset=design)
    said = callbacks.Forecast(record, None, print).describe(13 * 3600)
    assert said.startswith(f"200 epochs of {design}: about 13 h 0 min on this machine; Ctrl-C saves")
    assert ("--model swift draws garments in a minute" in said) is hint


@pytest.mark.parametrize(("step", "said"), [(0, "epoch 4 of swift: about "), (7, "the rest of epoch 4 of ")])
def test_the_last_epoch_of_a_run_that_goes_on_is_told_as_one(step, said):
    record = SimpleNamespace(epoch=3, epochs=4, step_in_epoch=step, preset="swift")
    assert callbacks.Forecast(record, None, print).describe(60).startswith(said)


def test_one_epoch_is_not_told_as_several():
    record = SimpleNamespace(epoch=0, epochs=1, step_in_epoch=0, preset="swift")
    assert callbacks.Forecast(record, None, print).describe(50).startswith("1 epoch of swift: about 50 s")


def test_a_run_says_how_much_room_its_files_will_take(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "MUCH_ROOM", 1e6)
    assert train.main([*SMALL, "--epochs", "2", "--save-every", "1"]) == 0
    said = re.search(r"every 1 \(2 files, (\d+) MB; --keep 3 keeps", capsys.readouterr().out)
    size = sum(path.stat().st_size for path in tmp_path.glob("*epoch*.h5"))
    assert float(said[1]) == pytest.approx(size / 1e6, abs=1)


def test_the_first_images_come_after_a_minute_of_a_long_epoch(monkeypatch, capsys):
    monkeypatch.setattr(callbacks, "SECONDS_TO_FIRST_SHEET", 0)
    steps = []
    monkeypatch.setattr(
        callbacks, "draw_sheet", lambda _, record: steps.append(record.step_in_epoch) or Figure()
    )
    assert train.main([*SMALL, "--epochs", "1"]) == 0
    assert steps == [1, 0]
    assert "the first images are in clothingGANlatest.png" in capsys.readouterr().out


@pytest.mark.parametrize(("has_images", "wait"), [(False, 10), (True, 60)])
def test_who_stops_before_the_first_images_does_not_wait_for_them_as_long_again(has_images, wait, tmp_path):
    (tmp_path / "latest.png").write_bytes(b"") if has_images else None
    record = SimpleNamespace(history=[{"seconds": 20}], seconds_in_epoch=30)
    sheets = callbacks.ImageSheets(record, SimpleNamespace(latest=tmp_path / "latest.h5"), print)
    sheets.on_train_begin()
    assert sheets.next_sheet - time.monotonic() == pytest.approx(wait, abs=5)


def test_the_latest_images_are_there_after_the_first_epoch(tmp_path, capsys):
    assert train.main([*SMALL, "--epochs", "2"]) == 0
    assert capsys.readouterr().out.count("the first images are in clothingGANlatest.png") == 1
    images = [(tmp_path / f"clothingGAN{which}.png").read_bytes() for which in ("latest", "epoch2")]
    assert images[0] == images[1]


def test_show_opens_one_window_for_all_numbered_files(windows):
    assert train.main([*SMALL, "--epochs", "2", "--save-every", "1", "--show"]) == 0
    assert windows == ["clothingGAN", "clothingGAN"]


def test_a_log_is_not_flooded(capsys):
    assert train.main([*SMALL, "--epochs", "2"]) == 0
    assert "step 2/2" not in capsys.readouterr().out


def test_a_terminal_gets_keras_bar_and_each_line_by_itself(small_run, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    weights = str(small_run / "clothingGANepoch1.h5")
    assert resume.main(["--weights", weights, "--epochs", "3", "--save-every", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    epochs = [line for line in lines if line.startswith("Epoch")]
    assert epochs[0] == "Epoch 2/3"
    assert re.fullmatch(r"Epoch 3/3, \d+ s left", epochs[1])
    assert [line.partition(" the ")[0] for line in lines if "saved" in line] == ["epoch 2:", "epoch 3:"]


@pytest.mark.parametrize(("encoding", "is_possible"), [("utf-8", True), ("latin-1", False), (None, False)])
def test_a_terminal_that_cannot_show_keras_bar_gets_plain_lines(encoding, is_possible, monkeypatch):
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding, isatty=lambda: True))
    assert callbacks.ProgressBar.is_possible() == is_possible


def test_the_latest_file_is_written_within_long_epochs(monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(callbacks, "SECONDS_BETWEEN_SAVES", 0)
    monkeypatch.setattr(callbacks, "save", lambda gan, record, folder: saved.append(record.step_in_epoch))
    assert train.main([*SMALL, "--epochs", "1"]) == 0
    assert saved == [1, 0]


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step_and_the_last_good_file(
    small_run, tmp_path, monkeypatch, capsys
):
    before = {path.name: path.read_bytes() for path in small_run.iterdir()}
    monkeypatch.setattr(
        "clothinggan.gan._binary_crossentropy", lambda _, logits, total: logits[0, 0] * math.nan
    )
    weights = small_run / "clothingGANepoch4.h5"
    assert resume.main(["--weights", str(weights), "--more", "1"]) == 1
    said = capsys.readouterr().err
    assert "d_loss became nan at step 1 of epoch 5" in said
    assert said.endswith(f"go on from {weights} with the same command again\n")
    assert {path.name: path.read_bytes() for path in small_run.iterdir()} == before


def test_a_picture_that_cannot_be_written_ends_the_run_and_costs_no_epoch(tmp_path, capsys):
    (tmp_path / "clothingGANepoch1.png").mkdir()
    assert train.main([*SMALL, "--epochs", "3", "--save-every", "1", "--strategy", "single"]) == 1
    assert capsys.readouterr().err.endswith(
        "cannot write clothingGANepoch1.png: is a directory; epoch 1 is saved, without all that is drawn of "
        "it; go on from clothingGANepoch1.h5 with: python -m clothinggan.resume "
        "--weights clothingGANepoch1.h5 --strategy single\n"
    )
    assert read_checkpoint(tmp_path / "clothingGANepoch1.h5").record.epoch == 1


def test_a_picture_of_the_last_epoch_that_cannot_be_written_leaves_nothing_to_go_on_with(tmp_path, capsys):
    (tmp_path / "clothingGANepoch2.png").mkdir()
    assert train.main([*SMALL, "--epochs", "2"]) == 1
    assert capsys.readouterr().err.endswith("; the run's last epoch is in clothingGANepoch2.h5\n")


def test_a_picture_that_there_is_no_memory_for_costs_no_epoch(tmp_path, monkeypatch, capsys):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    monkeypatch.setattr(callbacks, "draw_losses", Mock(side_effect=error))
    assert train.main([*SMALL, "--epochs", "2", "--save-every", "1"]) == 1
    assert "out of memory, with batches of 16" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "clothingGANepoch1.h5").record.epoch == 1


def test_a_signal_that_comes_between_a_look_and_the_next_step_waits_for_the_save(monkeypatch):
    saved = []
    reasons = iter([None, "SIGTERM"])
    monkeypatch.setattr(callbacks.Checkpoints, "stop_reason", lambda _: next(reasons))
    monkeypatch.setattr(callbacks, "save", lambda *_: saved.append("latest"))
    record = SimpleNamespace(step_in_epoch=1, position="step 1")
    folder = SimpleNamespace(how_to_go_on=lambda *_: "go on")
    saving = callbacks.Checkpoints(record, StopRequests(), 3, False, "", folder)
    saving.set_model(SimpleNamespace(stop_training=False))
    saving.on_train_batch_end(0)
    assert saved == []
    with pytest.raises(StoppedBySignal, match="stopped by SIGTERM at step 1"):
        saving.on_train_batch_end(1)
    assert saved == ["latest"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (99, "99 s"), (130, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_said_as_a_person_says_them(seconds, said):
    assert duration(seconds) == said
