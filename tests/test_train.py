"""Training from the start: what it writes, what it says, and what it refuses."""

import csv
import re
import shlex
import shutil

import numpy as np
import pytest
from conftest import SMALL

from clothinggan import resume, train
from clothinggan.callbacks import StopAtSignal
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.data import sample, sources


def test_a_run_leaves_its_files(small_run):
    numbered = [f"clothingGANepoch{epoch}.{kind}" for epoch in (1, 2, 3, 4) for kind in ("h5", "png")]
    expected = [*numbered, *(f"clothingGANlatest.{kind}" for kind in ("h5", "png"))]
    expected += ["history.csv", "losses.png"]
    assert sorted(path.name for path in small_run.iterdir()) == sorted(expected)


def test_numbered_files_come_every_so_many_epochs_and_at_the_last(tmp_path):
    assert train.main([*SMALL, "--epochs", "5", "--save-every", "2"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*epoch*.h5")) == [
        "clothingGANepoch2.h5",
        "clothingGANepoch4.h5",
        "clothingGANepoch5.h5",
    ]


def test_only_so_many_numbered_files_are_kept(tmp_path):
    assert train.main([*SMALL, "--epochs", "4", "--save-every", "1", "--keep", "2"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*epoch*.h5")) == [
        "clothingGANepoch3.h5",
        "clothingGANepoch4.h5",
    ]


def test_history_has_a_row_for_each_epoch(small_run):
    with open(small_run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "d_loss", "g_loss", "accuracy_real", "accuracy_fake", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]


def test_the_record_says_what_was_run(small_run):
    record = read_checkpoint(small_run / "clothingGANepoch3.h5").record
    said = (record.preset, record.epoch, record.step, record.batch_size, record.examples, record.data)
    assert said == ("clothing", 3, 6, 16, 40, "sample")
    assert [entry["epoch"] for entry in record.history] == [1, 2, 3]


def test_it_says_what_it_does_and_how_good_it_is(capsys):
    assert train.main([*SMALL, "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    for essential in (
        "sample: 40 training images",
        "training: to epoch 1, each of 40 images, 2 steps of 16 (8 wait for another epoch); seed 0",
        "generator 1,164,289 parameters, discriminator 40,705",
        "CPU",
        "epoch 1/1",
        "d_loss",
        "of real and",
        "clothingGANepoch1.h5",
        "python -m clothinggan.display --weights clothingGANepoch1.h5",
    ):
        assert essential in said


def test_a_run_takes_as_many_epochs_as_its_design_does_unless_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(StopAtSignal, "stop_reason", lambda *_: "SIGINT")
    assert train.main(["--model", "swift", "--data", "sample", "--examples", "64"]) == 130
    assert read_checkpoint(tmp_path / "swiftGANlatest.h5").record.epochs == 40
    assert "training: to epoch 40, each of 64 images, 2 steps of 32; seed 0" in capsys.readouterr().out


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_earlier_runs_folder_is_refused_and_left_as_it_was(small_run, capsys):
    before = snapshot(small_run)
    assert train.main([*SMALL, "--out", str(small_run)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert snapshot(small_run) == before


def test_overwrite_says_what_goes_also_of_another_design(small_run, tmp_path, capsys):
    shutil.copytree(small_run, tmp_path / "run")
    assert train.main([*SMALL, "--model", "swift", "--epochs", "1", "--out", "run", "--overwrite"]) == 0
    said = capsys.readouterr().err
    assert (
        "note:     --overwrite: clothingGANlatest.h5 is not of this run as far as can be told; when" in said
    )


def test_classes_that_there_are_no_images_of_are_named(few_garments, capsys):
    with np.load(few_garments) as arrays:
        few = arrays["y_train"] > 1
        np.savez("few.npz", x_train=arrays["x_train"][few], y_train=arrays["y_train"][few])
    assert train.main(["--model", "swift", "--data", "few.npz", "--examples", "64", "--epochs", "1"]) == 0
    assert "note:     there are no images of 0, 1: what" in capsys.readouterr().err


def test_overwrite_replaces_an_earlier_run(small_run, tmp_path):
    for path in small_run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert train.main([*SMALL, "--epochs", "1", "--seed", "1", "--overwrite"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["clothingGANepoch1.h5", "clothingGANlatest.h5"]
    assert read_checkpoint(tmp_path / "clothingGANepoch1.h5").record.seed == 1


def test_of_a_run_that_is_overwritten_no_file_is_left_that_could_be_taken_for_the_new_ones(
    small_run, tmp_path
):
    for path in small_run.glob("*.h5"):
        shutil.copy(path, tmp_path)
    new = ["--seed", "1", "--epochs", "2", "--save-every", "2"]
    assert train.main([*SMALL, *new, "--overwrite"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["clothingGANepoch2.h5", "clothingGANlatest.h5"]


def test_overwrite_that_is_stopped_at_once_has_overwritten_no_numbered_file(
    small_run, tmp_path, monkeypatch, capsys
):
    for path in small_run.glob("*.h5"):
        shutil.copy(path, tmp_path)
    numbered = [path for path in snapshot(tmp_path) if "epoch" in path]
    with monkeypatch.context() as patch:
        patch.setattr(StopAtSignal, "stop_reason", lambda *_: "SIGINT")
        assert train.main([*SMALL, "--seed", "1", "--epochs", "2", "--overwrite"]) == 130
    assert {name: snapshot(tmp_path)[name] for name in numbered} == {
        name: snapshot(small_run)[name] for name in numbered
    }
    out, err = capsys.readouterr()
    said = out + err
    assert f"when an epoch is done these go: {', '.join(sorted(numbered))}\n" in said
    (command,) = re.findall(r"python -m clothinggan\.resume (.+)", said)
    assert resume.main(shlex.split(command)) == 0
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["clothingGANepoch2.h5", "clothingGANlatest.h5"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "absent"], "absent"),
        (["--data", "sample", "--examples", "100000"], "--examples"),
        (["--data", "sample", "--examples", "40", "--batch-size", "41"], "--batch-size"),
        (["--data", "sample", "--out", "file"], "--out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_written(arguments, says, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert train.main(arguments) == 1
    assert says in capsys.readouterr().err
    assert snapshot(tmp_path) == {"file": b"kept"}


def test_without_data_what_the_environment_names_is_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLOTHINGGAN_DATA", "absent")
    assert train.main([]) == 1
    assert "which the environment variable CLOTHINGGAN_DATA names" in capsys.readouterr().err
    monkeypatch.setenv("CLOTHINGGAN_DATA", "sample")
    assert train.main([*SMALL[2:], "--epochs", "1"]) == 0
    assert "data:     sample: 40 training images" in capsys.readouterr().out


def test_bfloat16_trains_and_saves_float32(tmp_path):
    arguments = ["--data", "sample", "--examples", "4", "--batch-size", "2", "--epochs", "1"]
    assert train.main([*arguments, "--precision", "bfloat16"]) == 0
    saved = read_checkpoint(tmp_path / "clothingGANepoch1.h5")
    assert saved.record.precision == "bfloat16"
    # But for counts of steps and dropout's states.
    kept = {array.dtype.name for array in saved.contents.arrays.values() if array.dtype.kind not in "iu"}
    assert kept == {"float32"}


def garments(path, labels):
    images, _ = sample.make_split("train")
    arrays = {} if labels is None else {"y_train": labels}
    np.savez(path, x_train=images[:40], **arrays)


def test_a_design_that_learns_with_labels_takes_images_without_as_one_class(tmp_path):
    garments("x.npz", None)
    assert train.main(["--model", "swift", "--data", "x.npz", "--epochs", "1"]) == 0
    saved = read_checkpoint(tmp_path / "swiftGANepoch1.h5")
    assert saved.classes == range(1)
    assert saved.class_names == ()
    assert saved.record.class_names == []


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_networks_are_built_for_as_many_classes_as_there_are(count, tmp_path):
    garments("x.npz", np.linspace(100, 1099, 40).astype(int) if count == 1000 else np.arange(40) % count + 20)
    names = sources.load("x.npz").class_names
    assert train.main(["--model", "swift", "--data", "x.npz", "--epochs", "1"]) == 0
    saved = read_checkpoint(tmp_path / "swiftGANepoch1.h5")
    assert saved.class_names == names
    assert load_generator(saved.path).input_shape[-1] == 64 + len(names)


def test_labels_that_cannot_be_used_stop_only_what_learns_with_them(tmp_path, capsys):
    garments("x.npz", np.full(40, 0.5))
    assert train.main(["--model", "swift", "--data", "x.npz"]) == 1
    assert "labels that are no whole numbers; swift learns with labels" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert train.main(["--data", "x.npz", "--batch-size", "16", "--epochs", "1", "--previews", "0"]) == 0
    assert "trained without labels: " in capsys.readouterr().err
