"""A folder is one run's alone, its furthest checkpoint is found, and later ones stand in the way of a run."""

import dataclasses
import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import start, stranger

from clothinggan import files
from clothinggan.checkpoint import run_folder
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.errors import ClothingGANError


def test_checkpoints_are_ordered_by_how_far_they_came(small_run):
    names = [found.path.name for found in run_folder.find_checkpoints(small_run, "clothingGAN")]
    assert names == [f"clothingGANepoch{epoch}.h5" for epoch in (1, 2, 3, 4)] + ["clothingGANlatest.h5"]


def test_other_files_are_no_checkpoints(tmp_path):
    for name in ("clothingGANepochX.h5", "swiftGANepoch1.h5", "clothingGANepoch1.png"):
        (tmp_path / name).touch()
    assert run_folder.find_checkpoints(tmp_path, "clothingGAN") == []


def test_a_broken_latest_file_is_passed_over(small_run, tmp_path):
    shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path)
    (tmp_path / "clothingGANlatest.h5").write_bytes(b"broken")
    passed_over = []
    found = run_folder.find_checkpoints(tmp_path, "clothingGAN", passed_over.append)
    assert [file.path.name for file in found] == ["clothingGANepoch1.h5"]
    assert ["clothingGANlatest.h5 is not an HDF5 file" in str(error) for error in passed_over] == [True]


def test_a_latest_file_without_a_run_is_passed_over(small_run, tmp_path):
    latest = tmp_path / "clothingGANlatest.h5"
    load_generator(small_run / latest.name).save(latest)
    passed_over = []
    assert run_folder.find_checkpoints(tmp_path, "clothingGAN", passed_over.append) == []
    assert [f"{latest} holds a generator alone" in str(error) for error in passed_over] == [True]


def standing(small_run, epoch, step_in_epoch=0, **changes):
    record = read_checkpoint(small_run / "clothingGANlatest.h5").record
    position = {"epoch": epoch, "step_in_epoch": step_in_epoch, "history": record.history[:epoch]}
    return dataclasses.replace(record, **position | changes)


def test_what_is_further_on_than_a_run_is_found(small_run):
    def later(record, start=None):
        return [path.name for path in run_folder.find_later(small_run, "clothingGAN", record, start)]

    last_two = ["clothingGANepoch4.h5", "clothingGANlatest.h5"]
    assert later(standing(small_run, 4)) == []
    assert later(standing(small_run, 3, step_in_epoch=1)) == last_two
    assert later(None) == [*(f"clothingGANepoch{epoch}.h5" for epoch in (1, 2, 3)), *last_two]
    assert later(standing(small_run, 3), start=small_run / "clothingGANlatest.h5") == last_two[:1]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, None),
        ({"seed": 5}, "clothingGANlatest.h5"),
        ({"history": []}, "clothingGANlatest.h5"),
        ({"fingerprint": "that of other images, named anew"}, None),
    ],
    ids=["the same run", "another seed", "another history", "other images since"],
)
def test_another_run_that_is_less_far_on_is_found(changes, name, small_run):
    found = run_folder.find_foreign(small_run, "clothingGAN", standing(small_run, 4, **changes), None)
    assert found == (small_run / name if name else None)


def test_a_begun_run_is_not_taken_for_the_beginning_of_one_from_a_strangers_generator(small_run, tmp_path):
    latest = tmp_path / "clothingGANlatest.h5"
    stranger(small_run / latest.name, latest, epoch=0, step_in_epoch=1, history=[])
    strangers = standing(small_run, 0)
    assert run_folder.find_foreign(tmp_path, "clothingGAN", strangers, None) is None
    strangers.epoch = 50
    assert run_folder.find_foreign(tmp_path, "clothingGAN", strangers, None) == latest


def test_the_file_gone_on_from_is_of_no_other_run(small_run):
    latest = small_run / "clothingGANlatest.h5"
    assert run_folder.find_foreign(small_run, "clothingGAN", standing(small_run, 4, seed=5), latest) is None


def a_damaged_file(sound):
    return sound[:1_000_000]


def a_file_of_a_newer_format(sound):
    return sound.replace(b"format 1", b"format 9", 1)


def another_tools_file(sound):
    return sound[512:]


@pytest.mark.parametrize(
    ("change", "is_a_loss"),
    [
        (a_damaged_file, False),
        (lambda _: b"", False),
        (lambda sound: bytes(len(sound)), False),
        (a_file_of_a_newer_format, True),
        (another_tools_file, True),
        (lambda _: b"something else", True),
    ],
    ids=["damaged", "empty", "zeros", "newer", "another tool's", "something else"],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_latest_file_that_may_be_of_use_to_somebody_is_found(change, is_a_loss, begun, small_run, tmp_path):
    latest = tmp_path / "clothingGANlatest.h5"
    latest.write_bytes(change((small_run / latest.name).read_bytes()))
    found = run_folder.find_foreign(tmp_path, "clothingGAN", standing(small_run, 4) if begun else None, None)
    assert found == (latest if is_a_loss else None)


def test_a_run_of_another_design_is_found(small_run):
    assert run_folder.find_foreign(small_run, "swiftGAN", None, None) == small_run / "clothingGANlatest.h5"


def test_a_run_that_is_at_home_beside_another_design_goes_on_there(small_run, small_swift, tmp_path):
    for path in (small_swift, small_run / "clothingGANepoch1.h5"):
        shutil.copy(path, tmp_path)
    start = tmp_path / "swiftGANepoch1.h5"
    assert run_folder.find_foreign(tmp_path, "swiftGAN", read_checkpoint(start).record, start) is None


def test_the_history_of_another_run_is_found(small_run, tmp_path):
    history = Path(shutil.copy(small_run / "history.csv", tmp_path))
    assert run_folder.find_foreign(tmp_path, "clothingGAN", None, None) == history
    other = standing(small_run, 4)
    other.history[1]["d_loss"] += 1e-6
    assert run_folder.find_foreign(tmp_path, "clothingGAN", other, None) == history


def test_a_picture_that_no_run_has_drawn_is_found(small_run, tmp_path):
    losses = Path(shutil.copy(small_run / "losses.png", tmp_path))
    assert run_folder.find_foreign(tmp_path, "clothingGAN", None, None) == losses
    shutil.copy(small_run / "clothingGANepoch4.h5", tmp_path)
    start = tmp_path / "clothingGANepoch4.h5"
    assert run_folder.find_foreign(tmp_path, "clothingGAN", standing(small_run, 4), start) is None
    shutil.copy(small_run / "history.csv", tmp_path)
    assert run_folder.find_foreign(tmp_path, "clothingGAN", standing(small_run, 4), None) is None


def test_a_run_that_was_let_begin_beside_another_history_goes_on(small_run, tmp_path):
    start = Path(shutil.copy(small_run / "clothingGANlatest.h5", tmp_path))
    shutil.copy(small_run / "history.csv", tmp_path)
    begun = standing(small_run, 0, step_in_epoch=1)
    assert run_folder.find_foreign(tmp_path, "clothingGAN", begun, start) is None


def test_a_run_that_went_back_or_was_killed_at_its_first_save_knows_its_history(small_run, tmp_path):
    history = Path(shutil.copy(small_run / "history.csv", tmp_path))
    back = read_checkpoint(small_run / "clothingGANepoch2.h5").record
    assert run_folder.find_foreign(tmp_path, "clothingGAN", back, None) is None
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))
    assert run_folder.find_foreign(tmp_path, "clothingGAN", None, None) is None


@pytest.mark.parametrize(
    ("content", "is_of_a_run"),
    [
        (b"epoch,accuracy,loss\n0,0.5,0.7\n", False),
        (b"\xff\xfe", False),
        (b"epoch,d_loss,g_loss,accuracy_real,accuracy_fake,seconds\n", True),
        (b"epoch,d_loss,g_loss,accuracy_real,accuracy_fake,seconds,fcd,precision,recall\n", True),
    ],
    ids=["Keras's CSVLogger's", "no text", "ours", "ours, measured"],
)
def test_a_history_of_another_tool_is_found(content, is_of_a_run, tmp_path):
    history = tmp_path / "history.csv"
    history.write_bytes(content)
    assert run_folder.find_foreign(tmp_path, "clothingGAN", None, None) == (None if is_of_a_run else history)


def hold(folder: Path) -> subprocess.Popen:
    """A process that holds the folder until it is killed."""
    program = (
        "from pathlib import Path; from clothinggan.checkpoint.run_folder import lock_folder\n"
        f"with lock_folder(Path({str(folder)!r})): print('held', flush=True); input()"
    )
    return begin(program)


def begin(program: str) -> subprocess.Popen:
    """A process that has come to where its program waits for a line."""
    process = start(sys.executable, "-c", program, stdin=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    process = hold(tmp_path)
    with pytest.raises(ClothingGANError, match="another run is writing"), run_folder.lock_folder(tmp_path):
        pass
    process.communicate("\n")


def test_a_killed_run_leaves_no_lock(tmp_path):
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with run_folder.lock_folder(tmp_path):
        pass


def test_where_nobody_knows_locks_a_run_goes_on_without(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(run_folder.fcntl, "flock", unknown)
    with run_folder.lock_folder(tmp_path):
        (tmp_path / "x.h5").touch()
    assert (tmp_path / "x.h5").exists()


def begin_to_write(path: Path) -> subprocess.Popen:
    """A process that is writing a file until it is told to end."""
    program = (
        "from pathlib import Path; from clothinggan import files\n"
        f"with files.atomic_write(Path({str(path)!r})) as temporary:\n"
        "    temporary.touch(); print('begun', flush=True); input()"
    )
    return begin(program)


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    whole = tmp_path / "whole.h5"
    whole.touch()
    process = begin_to_write(tmp_path / "x.h5")
    process.kill()
    process.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    with run_folder.lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == [whole]


def test_what_a_killed_run_of_the_same_process_number_left_is_removed(tmp_path):
    with files.atomic_write(tmp_path / "x.h5") as temporary:
        temporary.touch()
        left_over = temporary.rename(temporary.with_name(temporary.name.replace("x.h5", "y.h5")))
        temporary.touch()
    with run_folder.lock_folder(tmp_path):
        assert not left_over.exists()
        assert (tmp_path / "x.h5").exists()


def test_what_another_process_is_writing_stays(tmp_path):
    process = begin_to_write(tmp_path / "x.npz")
    with run_folder.lock_folder(tmp_path):
        process.communicate("\n")
    assert process.returncode == 0
    assert (tmp_path / "x.npz").exists()


def test_another_runs_best_file_is_not_written_over(small_run, tmp_path):
    shutil.copy(small_run / "clothingGANepoch2.h5", tmp_path / "clothingGANbest.h5")
    with (
        pytest.raises(ClothingGANError, match=r"clothingGANbest\.h5, which is not of this run"),
        run_folder.open_run_folder(tmp_path, "clothingGAN"),
    ):
        pass
    assert run_folder.find_foreign(tmp_path, "clothingGAN", standing(small_run, 3), None) is None


def test_files_of_a_design_with_a_name_of_its_own_are_found_and_other_tools_are_not(small_run, tmp_path):
    stranger(small_run / "clothingGANepoch1.h5", tmp_path / "myGAN-2GANepoch1.h5", preset="myGAN-2")
    load_generator(small_run / "clothingGANepoch1.h5").save(tmp_path / "WGANepoch7.h5")
    assert run_folder.find_designs(tmp_path) == ["myGAN-2"]
    assert run_folder.find_furthest(tmp_path).path.name == "myGAN-2GANepoch1.h5"
