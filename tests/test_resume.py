"""Going on: to the bit, from anywhere, and not over what is further on."""

import os
import re
import shlex
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import CORES, ONEDNN_IS_OFF, SMALL_BATCHES, fork, stranger, wait_for, wait_for_words
from crash_test import differences
from forked_commands import run_forked

from clothinggan import evaluate, resume, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.data import sources
from clothinggan.data.batches import batches
from clothinggan.data.sample import make_split
from clothinggan.presets import PRESETS


def start_command(name, *arguments):
    return fork("-m", f"clothinggan.{name}", *arguments)


@pytest.mark.slow
def test_four_epochs_and_two_and_two_more_give_the_same_bits(small_run, tmp_path):
    resumed = run_forked("-m", "clothinggan.resume", "--weights", small_run / "clothingGANepoch2.h5")
    assert resumed.returncode == 0, resumed.stderr
    assert differences(tmp_path / "clothingGANepoch4.h5", small_run / "clothingGANepoch4.h5") == []


def test_a_run_in_bfloat16_goes_on_in_it_to_the_bit(tmp_path):
    small = ["--data", "sample", "--examples", "4", "--batch-size", "2", "--epochs", "2", "--save-every", "1"]
    assert train.main([*small, "--precision", "bfloat16", "--out", "whole"]) == 0
    assert resume.main(["--weights", "whole/clothingGANepoch1.h5"]) == 0
    assert differences(tmp_path / "clothingGANepoch2.h5", tmp_path / "whole" / "clothingGANepoch2.h5") == []
    assert read_checkpoint(tmp_path / "clothingGANepoch2.h5").record.precision == "bfloat16"


RUN_AND_RESUME = """
import os, sys
from clothinggan import resume, train
cores, *options = sys.argv[1:]
os.sched_setaffinity(0, map(int, cores.split()))
sys.exit(
    train.main([*options, "--out", "whole"]) or resume.main(["--weights", "whole/clothingGANepoch1.h5"])
)
"""


@pytest.mark.slow
@pytest.mark.skipif(not CORES, reason="here a test has all cores already")
def test_it_goes_on_to_the_bit_on_all_cores_too(few_garments, tmp_path):
    options = ["--data", few_garments, "--batch-size", "64", "--epochs", "2", "--save-every", "1"]
    done = run_forked("-c", RUN_AND_RESUME, " ".join(map(str, CORES)), *options)
    assert done.returncode == 0, done.stderr
    assert differences(tmp_path / "clothingGANepoch2.h5", tmp_path / "whole" / "clothingGANepoch2.h5") == []
    assert read_checkpoint(tmp_path / "clothingGANepoch2.h5").record.threads == len(CORES)


STOPPED_THREE_TIMES = """
import sys
from clothinggan import resume, train
for main, arguments in (train.main, sys.argv[1:]), (resume.main, []), (resume.main, []):
    print("status", main(arguments), flush=True)
"""


@pytest.mark.slow
def test_a_run_stopped_by_each_signal_in_mid_epoch_goes_on_to_the_bit(few_garments, tmp_path):
    options = ["--data", str(few_garments), "--batch-size", "8", "--epochs", "2"]
    whole = run_forked("-m", "clothinggan.train", *options, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    process = fork("-c", STOPPED_THREE_TIMES, *options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        wait_for_words("training:", process)
        process.send_signal(number)  # Before the first step is ended, which takes a second: obeyed after it.
        said = wait_for_words(f"stopped by {number.name}", process)
        assert "python -m clothinggan.resume --weights clothingGANlatest.h5" in said
        wait_for_words(f"status {128 + number}", process)
    assert process.wait(timeout=60) == 0
    assert 3 <= read_checkpoint(tmp_path / "clothingGANlatest.h5").record.step_in_epoch < 20
    resumed = run_forked("-m", "clothinggan.resume")
    assert resumed.returncode == 0, resumed.stderr
    assert differences(tmp_path / "clothingGANepoch2.h5", tmp_path / "whole" / "clothingGANepoch2.h5") == []


@pytest.mark.slow
def test_a_stopped_run_ends_within_ten_seconds(few_garments, tmp_path):
    process = start_command("train", "--data", few_garments, "--batch-size", "8", "--epochs", "1000")
    wait_for(tmp_path / "clothingGANlatest.h5", process)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - asked < 10


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    # A step of this size takes seconds, in which the second signal comes.
    process = start_command("train", "--data", "sample", "--examples", "800", "--batch-size", "800")
    wait_for_words("training:", process)
    process.send_signal(signal.SIGINT)
    wait_for_words("stopping", process, process.stderr)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - asked < 30


def test_a_file_that_another_run_writes_meanwhile_is_not_gone_on_from(
    small_run, tmp_path, monkeypatch, capsys
):
    latest = shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path / "clothingGANlatest.h5")
    load = sources.load

    def load_while_another_run_saves(*source):
        shutil.copy(small_run / "clothingGANepoch2.h5", latest)
        return load(*source)

    monkeypatch.setattr(sources, "load", load_while_another_run_saves)
    assert resume.main([]) == 1
    assert "was written anew while it was read; resume again" in capsys.readouterr().err
    assert read_checkpoint(latest).record.epoch == 2


def test_a_damaged_latest_file_is_passed_over_aloud_and_once(small_run, tmp_path, capsys):
    shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path)
    damaged = (small_run / "clothingGANlatest.h5").read_bytes()[:1_000_000]
    (tmp_path / "clothingGANlatest.h5").write_bytes(damaged)
    assert resume.main(["--epochs", "2"]) == 0
    said = capsys.readouterr()
    assert "going on from clothingGANepoch1.h5" in said.out
    assert said.err.count("passing over a file: clothingGANlatest.h5 is damaged") == 1


def test_a_history_that_a_spreadsheet_has_saved_is_written_anew(small_run, tmp_path):
    shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path)
    written = (small_run / "history.csv").read_text().splitlines()
    # Cells that the spreadsheet rounds, with semicolons between.
    cells = written[1].replace(",", ";")
    rounded = re.sub(r"\d+\.\d+", lambda cell: f"{float(cell[0]):.2f}".replace(".", ","), cells)
    history = tmp_path / "history.csv"
    history.write_text("\n".join(["\ufeff" + written[0].replace(",", ";"), rounded]))
    assert resume.main(["--epochs", "2"]) == 0
    anew = history.read_text().splitlines()
    assert anew[:2] == written[:2]
    assert len(anew) == 3


def test_somebody_elses_file_is_not_replaced(small_run, tmp_path, capsys):
    latest = tmp_path / "clothingGANlatest.h5"
    latest.write_bytes((small_run / "clothingGANlatest.h5").read_bytes()[512:])
    with h5py.File(latest, "r+") as file:
        del file["clothinggan"]
    before = latest.read_bytes()
    options = ["--weights", str(latest), "--data", "sample", "--more", "1"]
    assert resume.main(options) == 1
    assert "is not of this run as far as can be told; name another folder" in capsys.readouterr().err
    assert latest.read_bytes() == before


def test_keeping_fewer_says_which_go(small_run, tmp_path, capsys):
    shutil.copytree(small_run, tmp_path / "run")
    assert resume.main(["--out", "run", "--more", "1", "--keep", "3"]) == 0
    assert "these go: clothingGANepoch1.h5, clothingGANepoch2.h5\n" in capsys.readouterr().err
    assert sorted(path.name for path in Path("run").glob("*epoch*.h5")) == [
        f"clothingGANepoch{epoch}.h5" for epoch in (3, 4, 5)
    ]
    assert resume.main(["--out", "run", "--more", "1"]) == 0
    assert "these go" not in capsys.readouterr().out


def test_a_folder_that_holds_another_design_is_named_with_it(small_run, capsys):
    assert resume.main(["--out", str(small_run), "--model", "swift"]) == 1
    assert "has files of clothing, none of swift; leave --model out" in capsys.readouterr().err


@pytest.fixture
def run_on_a_file(few_garments, tmp_path):
    """The file that a run in this folder was trained on."""
    path = Path(shutil.copy(few_garments, tmp_path / "garments.npz"))
    assert train.main(["--data", str(path), "--batch-size", "64", "--epochs", "1"]) == 0
    return path


def test_images_that_are_there_are_taken_whatever_the_environment_names(run_on_a_file, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOTHINGGAN_DATA", other_images(tmp_path / "other.npz"))
    assert resume.main(["--more", "1"]) == 0


def test_images_that_are_gone_are_taken_from_where_the_environment_has_them(run_on_a_file, monkeypatch):
    run_on_a_file.rename("moved.npz")
    monkeypatch.setenv("CLOTHINGGAN_DATA", "moved.npz")
    assert resume.main(["--more", "1"]) == 0


def test_other_images_in_the_environment_are_not_taken_for_those_that_are_gone(
    run_on_a_file, tmp_path, monkeypatch, capsys
):
    run_on_a_file.unlink()
    monkeypatch.setenv("CLOTHINGGAN_DATA", other_images(tmp_path / "other.npz"))
    assert resume.main(["--more", "1"]) == 1
    assert "other.npz holds other images or labels than" in capsys.readouterr().err
    monkeypatch.setenv("CLOTHINGGAN_DATA", "absent")
    assert resume.main(["--more", "1"]) == 1
    said = capsys.readouterr().err
    assert "garments.npz" in said
    assert "; and what CLOTHINGGAN_DATA names: " in said


def test_keeping_and_measuring_can_be_ended(small_run, tmp_path):
    weights = ["--weights", str(small_run / "clothingGANepoch1.h5"), "--epochs", "2"]
    assert resume.main([*weights, "--keep", "1", "--evaluate-every", "5"]) == 0
    record = read_checkpoint(tmp_path / "clothingGANepoch2.h5").record
    assert (record.keep, record.evaluate_every) == (1, 5)
    assert resume.main(["--more", "1", "--keep", "0", "--evaluate-every", "0"]) == 0
    record = read_checkpoint(tmp_path / "clothingGANepoch3.h5").record
    assert (record.keep, record.evaluate_every) == (None, None)


def test_without_weights_the_furthest_file_goes_on(small_run, tmp_path, capsys):
    for epoch in (1, 2):
        shutil.copy(small_run / f"clothingGANepoch{epoch}.h5", tmp_path)
    assert resume.main(["--epochs", "3"]) == 0
    assert "going on from clothingGANepoch2.h5" in capsys.readouterr().out
    # All but where the runs were to end.
    name = "clothingGANepoch3.h5"
    assert differences(tmp_path / name, small_run / name) == ["epochs"]


@pytest.mark.parametrize(
    ("options", "last"),
    [(["--epochs", "4"], 4), (["--more", "3"], 5), ([], 4)],
    ids=["epochs", "more", "neither"],
)
def test_how_far_it_goes(options, last, small_run, tmp_path):
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5"), *options]) == 0
    assert read_checkpoint(tmp_path / "clothingGANlatest.h5").record.epoch == last


def test_a_few_epochs_more_for_now_do_not_make_a_run_forget_what_it_was_begun_for(small_run, capsys):
    assert resume.main(["--weights", str(small_run / "clothingGANepoch1.h5"), "--more", "1"]) == 0
    assert "done, at epoch 2 of 4 (resume goes on)" in capsys.readouterr().out
    assert resume.main([]) == 0
    assert differences(Path("clothingGANepoch4.h5"), small_run / "clothingGANepoch4.h5") == []


def test_an_end_that_is_named_takes_the_place_of_what_a_run_was_begun_for(small_run):
    assert resume.main(["--weights", str(small_run / "clothingGANepoch1.h5"), "--epochs", "2"]) == 0
    assert read_checkpoint(Path("clothingGANepoch2.h5")).record.goal is None


def test_a_finished_run_goes_on_for_as_many_more_as_its_design_takes_and_says_so(
    small_run, monkeypatch, capsys
):
    monkeypatch.setitem(PRESETS, "clothing", replace(PRESETS["clothing"], epochs=1))
    assert resume.main(["--weights", str(small_run / "clothingGANepoch4.h5")]) == 0
    assert "going on for 1 more" in capsys.readouterr().out


def test_an_epoch_that_is_reached_is_refused(small_run, capsys):
    assert resume.main(["--weights", str(small_run / "clothingGANepoch4.h5"), "--epochs", "3"]) == 1
    assert "--more" in capsys.readouterr().err


def test_what_is_further_on_is_not_written_over(small_run, capsys):
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5"), "--out", str(small_run)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_run_of_another_design_is_not_mixed_with(small_swift, capsys):
    assert train.main(["--data", "sample", "--out", str(Path(small_swift).parent)]) == 1
    assert "swiftGANlatest.h5, which is not of this run" in capsys.readouterr().err


def test_overwrite_removes_what_was_further_on(small_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)
    weights = str(folder / "clothingGANepoch1.h5")
    assert resume.main(["--weights", weights, "--out", str(folder), "--epochs", "2", "--overwrite"]) == 0
    assert sorted(p.name for p in folder.glob("*.h5")) == [
        "clothingGANepoch1.h5",
        "clothingGANepoch2.h5",
        "clothingGANlatest.h5",
    ]


def test_the_command_to_go_on_with_is_let_in_beside_the_files_that_it_may_overwrite(
    small_run, tmp_path, monkeypatch, capsys
):
    (tmp_path / "history.csv").write_text("epoch,loss\n0,0.7\n")
    weights = str(small_run / "clothingGANepoch4.h5")
    with monkeypatch.context() as patch:
        patch.setattr("clothinggan.callbacks.StopAtSignal.stop_reason", lambda *_: "SIGINT")
        assert resume.main(["--weights", weights, "--epochs", "5", "--overwrite"]) == 130
    (command,) = re.findall(r"python -m clothinggan\.resume (.+)", capsys.readouterr().out)
    assert resume.main(shlex.split(command)) == 0
    assert (tmp_path / "history.csv").read_text().startswith("epoch,d_loss")


def other_images(path):
    np.savez(path, x_train=np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8))
    return str(path)


def test_another_processor_than_before_is_named(small_run, monkeypatch, capsys):
    monkeypatch.setattr("clothinggan.environment.device_names", lambda *_: "another one")
    assert resume.main(["--weights", str(small_run / "clothingGANepoch4.h5"), "--more", "1"]) == 0
    assert " is now another one; the run goes on" in capsys.readouterr().err


def test_other_images_than_before_are_refused_unless_named(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "load", lambda *_, load=sources.load: load(other))
    other = other_images(tmp_path / "other.npz")
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5")]) == 1
    assert "name them with --data" in capsys.readouterr().err


def test_other_images_can_be_named_anew(small_run, tmp_path, capsys):
    options = ["--data", other_images(tmp_path / "other.npz"), "--epochs", "3"]
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5"), *options]) == 0
    assert "other images than before" in capsys.readouterr().out


def test_of_other_images_as_many_are_taken_as_before(small_run, tmp_path, capsys):
    np.savez(tmp_path / "more.npz", x_train=np.zeros((100, 28, 28), np.uint8))
    options = ["--data", "more.npz", "--more", "1"]
    assert resume.main(["--weights", str(small_run / "clothingGANepoch2.h5"), *options]) == 0
    assert "more.npz: 40 training images" in capsys.readouterr().out
    assert resume.main(["--more", "1"]) == 0


@pytest.mark.parametrize("first", [{"y_train": np.array(["bag", "hat", "tie", "top"] * 16)}, {}])
def test_images_whose_classes_a_run_numbers_otherwise_or_not_at_all_are_known_again(first, capsys):
    images, fewer = make_split("train")[0], np.array(["hat", "hat", "tie", "top"] * 16)
    np.savez("first.npz", x_train=images[:64], **first)
    np.savez("other.npz", x_train=images[64:128], y_train=fewer, x_test=images[128:192], y_test=fewer)
    options = ["--epochs", "1", "--previews", "0"]
    assert train.main(["--model", "swift", "--data", "first.npz", *options]) == 0
    assert resume.main(["--data", "other.npz", "--more", "1"]) == 0
    assert "other images than before" in capsys.readouterr().out
    assert resume.main(["--more", "1"]) == 0
    assert evaluate.main(["--weights", "swiftGANlatest.h5", "--quick"]) == 0
    said = capsys.readouterr()
    assert "other images" not in said.out + said.err


def test_a_generator_alone_goes_on_with_a_fresh_discriminator(tmp_path, monkeypatch, capsys):
    generator = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(784, activation="sigmoid"), keras.layers.Reshape((28, 28, 1))]
    )
    generator.save(tmp_path / "otherepoch7.h5")
    options = ["--data", other_images(tmp_path / "other.npz"), "--more", "1", "--out", "run"]
    monkeypatch.setattr(resume, "PRESETS", SMALL_BATCHES)
    assert resume.main(["--weights", "otherepoch7.h5", *options]) == 0
    assert "a generator alone" in capsys.readouterr().out
    assert load_generator(tmp_path / "run" / "clothingGANepoch8.h5").input_shape == (None, 10)
    (tmp_path / "otherepoch7.h5").rename("otherepoch100001.h5")
    assert resume.main(["--weights", "otherepoch100001.h5", *options]) == 1
    assert capsys.readouterr().err.endswith("no run goes beyond epoch 100000; rename it\n")


def test_a_run_of_a_design_that_is_unknown_here_is_refused(small_run, tmp_path, capsys):
    newer = {"preset": "newer", "design": {"networks": "newer"}}
    path = stranger(small_run / "clothingGANepoch2.h5", tmp_path / "x.h5", **newer)
    assert resume.main(["--weights", str(path)]) == 1
    assert "unknown here" in capsys.readouterr().err


def test_a_folder_with_a_run_of_an_unknown_design_alone_has_that_and_not_nothing(small_run, tmp_path, capsys):
    newer = {"preset": "newer", "design": {"networks": "newer"}}
    stranger(small_run / "clothingGANepoch2.h5", tmp_path / "newerGANlatest.h5", **newer)
    assert resume.main([]) == 1
    said = capsys.readouterr().err
    assert "newerGANlatest.h5 is a run of 'newer', a design unknown here; upgrade clothinggan" in said


def test_an_empty_folder_has_nothing_to_go_on_from(capsys):
    assert resume.main([]) == 1
    assert "no checkpoint" in capsys.readouterr().err


def test_a_run_whose_folder_vanishes_stops_and_names_no_file_that_is_gone(
    small_run, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)
    monkeypatch.setattr("clothinggan.run.GAN.accuracy", lambda *_: (shutil.rmtree(folder), (0.5, 0.5))[1])
    assert resume.main(["--out", str(folder), "--more", "1"]) == 1
    said = capsys.readouterr().err
    assert "no such file or directory; the last file of this run, " in said
    assert said.endswith("clothingGANlatest.h5, is gone\n")


def test_a_run_whose_folder_is_moved_away_writes_nothing_into_the_one_that_takes_its_place(
    small_run, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)

    def move_and_go_on(*arguments):
        folder.rename(tmp_path / "moved")
        folder.mkdir()
        return batches(*arguments)

    monkeypatch.setattr("clothinggan.run.batches", move_and_go_on)
    assert resume.main(["--out", str(folder), "--more", "1"]) == 1
    assert (
        "which was moved, or is on a disk that is gone, with what the run has saved"
        in capsys.readouterr().err
    )
    assert list(folder.iterdir()) == []


def test_images_that_are_no_longer_where_they_were_are_asked_for(small_run, tmp_path, monkeypatch, capsys):
    images = other_images(tmp_path / "images.npz")
    assert train.main(["--data", images, "--batch-size", "16", "--epochs", "1", "--out", "run"]) == 0
    Path(images).unlink()
    assert resume.main(["--out", "run", "--more", "1"]) == 1
    said = capsys.readouterr().err
    assert (
        f"which {Path('run/clothingGANlatest.h5')} was trained on; say with --data where that is now" in said
    )


# What a run began with is what this process hears: oneDNN may be off, or held to fewer instructions.
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"TF_NUM_INTRAOP_THREADS": "77"}, r"threads \d+ is now 77"),
        (
            {"TF_ENABLE_ONEDNN_OPTS": "1" if ONEDNN_IS_OFF else "0"},
            "onednn off is now on" if ONEDNN_IS_OFF else "onednn on.* is now off",
        ),
        (
            {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"},
            "onednn (on|off).* is now on up to SSE41",
        ),
    ],
    ids=["threads", "oneDNN", "instructions"],
)
def test_another_way_to_compute_than_before_is_named(settings, says, small_run, monkeypatch, capsys):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert resume.main(["--weights", str(small_run / "clothingGANepoch4.h5"), "--more", "1"]) == 0
    assert re.search(says, capsys.readouterr().err)


# FashionGAN's two networks as Keras 2 saved them, compiled; the wrong ones differ in a slope, or in a size.
KERAS_2_PAIR = """
import numpy as np, tf_keras as keras
from tf_keras import layers

def discriminator(slope, filters=(32, 64, 128, 256)):
    stack = [layers.Input((28, 28, 1))]
    for count in filters:
        stack += [layers.Conv2D(count, 5), layers.LeakyReLU(alpha=slope), layers.Dropout(0.4)]
    stack += [layers.Flatten(), layers.Dropout(0.4), layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(stack)

generator = keras.Sequential(
    [layers.Dense(784, input_dim=128, activation="sigmoid"), layers.Reshape((28, 28, 1))])
pair = discriminator(0.2)
pair.compile(keras.optimizers.legacy.Adam(1e-5), "binary_crossentropy")
for name, model in {
    "latest_generator": generator, "latest_discriminator": pair,
    "other_slope": discriminator(0.3), "other_size": discriminator(0.2, (8, 8)),
}.items():
    model.save(f"{name}.h5")
np.savez("dense.npz", kernel=pair.layers[-1].kernel.numpy())
"""


@pytest.fixture(scope="module")
def keras_2_pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    run_forked("-c", KERAS_2_PAIR, cwd=folder).check_returncode()
    return folder


def of_pair(folder, discriminator):
    return [
        *["--model", "fashion", "--weights", str(folder / "latest_generator.h5")],
        *["--discriminator-weights", str(folder / f"{discriminator}.h5")],
    ]


def test_two_files_of_another_tool_go_on_together(keras_2_pair, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resume, "PRESETS", SMALL_BATCHES)
    data = ["--data", other_images(tmp_path / "other.npz"), "--previews", "0"]
    assert resume.main([*of_pair(keras_2_pair, "latest_discriminator"), *data, "--more", "1"]) == 0
    assert "hold a network each: the optimisers start afresh" in capsys.readouterr().out
    found = read_checkpoint(tmp_path / "fashionGANepoch1.h5")
    before = np.load(keras_2_pair / "dense.npz")["kernel"]
    (after,) = (array for array in found.state["discriminator"] if array.shape == before.shape)
    # Two steps of Adam at 0.00001 from where the other tool left it, not from fresh weights.
    assert 0 < np.abs(after - before).max() < 5e-5
    assert resume.main(["--more", "1"]) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("other_slope", "another discriminator than fashion's"),
        ("other_size", "another discriminator than fashion's"),
        ("latest_generator", "not a discriminator of 28x28x1 images: it maps (128,) to (28, 28, 1)"),
        ("absent", "no file"),
    ],
)
def test_a_discriminators_file_that_does_not_fit_is_refused(
    name, says, keras_2_pair, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(resume, "PRESETS", SMALL_BATCHES)
    other = other_images(tmp_path / "other.npz")
    assert resume.main([*of_pair(keras_2_pair, name), "--data", other, "--more", "1"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("*.h5"))


def test_a_checkpoint_has_its_own_discriminator(small_run, keras_2_pair, capsys):
    files = ["--weights", str(small_run / "clothingGANepoch2.h5")]
    files += ["--discriminator-weights", str(keras_2_pair / "latest_discriminator.h5")]
    assert resume.main(files) == 1
    assert "holds its own discriminator" in capsys.readouterr().err


def with_a_class(path, classes):
    """Writes another tool's generator of a latent vector and a class."""
    z, label = keras.Input((6,)), keras.Input((1,))
    rows = keras.layers.Flatten()(keras.layers.Embedding(classes, 6)(label))
    keras.Model([z, label], keras.layers.Dense(784)(keras.layers.Multiply()([z, rows]))).save(path)


def labelled_images():
    np.savez("images.npz", x_train=np.zeros((128, 28, 28), np.uint8), y_train=np.arange(128) % 10)
    return "images.npz"


def test_a_generator_of_ten_classes_goes_on_with_a_design_that_learns_classes(tmp_path):
    with_a_class("two.keras", 10)
    options = ["--weights", "two.keras", "--model", "swift", "--data", labelled_images(), "--more", "1"]
    assert resume.main([*options, "--out", "run"]) == 0
    assert load_generator("run/swiftGANepoch1.h5").input_shape == (None, 16)


@pytest.mark.parametrize(
    ("classes", "model", "says"),
    [
        (10, "clothing", "takes a class, which clothing does not learn with; go on with --model swift"),
        (3, "swift", "images.npz has 10; name other images"),
    ],
)
def test_a_class_that_cannot_be_learned_is_refused_and_nothing_is_made(classes, model, says, capsys):
    with_a_class("two.keras", classes)
    options = ["--weights", "two.keras", "--model", model, "--data", labelled_images(), "--out", "run"]
    assert resume.main(options) == 1
    assert says in capsys.readouterr().err
    assert not os.path.exists("run")
