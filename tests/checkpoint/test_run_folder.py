"""A folder is one run's alone, its furthest checkpoint is found, and later ones stand in the way of a run."""

import dataclasses
import errno
import os
import re
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
from clothinggan.errors import ClothingGANError, MovedFolderError
from clothinggan.presets import PRESETS


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


def test_the_latest_file_is_found_where_a_listing_lags_behind(small_run, monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    assert run_folder.find_furthest(small_run).path.name == "clothingGANlatest.h5"
    later = run_folder.find_later(small_run, "clothingGAN", None, None)
    assert [path.name for path in later] == ["clothingGANlatest.h5"]


@pytest.fixture
def short_run(small_run, tmp_path):
    """A folder with the first two files of a run."""
    folder = tmp_path / "run"
    folder.mkdir()
    for epoch in (1, 2):
        shutil.copy(small_run / f"clothingGANepoch{epoch}.h5", folder)
    return folder


@pytest.mark.parametrize("size", [0, 10, 400, 1_000_000])
def test_a_furthest_file_that_is_empty_or_cut_short_is_passed_over(size, short_run, capsys):
    furthest = short_run / "clothingGANepoch2.h5"
    furthest.write_bytes(furthest.read_bytes()[:size])
    found = run_folder.find_furthest(short_run)
    assert found.path.name == "clothingGANepoch1.h5"
    said = capsys.readouterr().err
    assert said.startswith(f"passing over a file: {furthest} is ")
    assert said.count("\n") == 1
    # It is in no run's way either.
    assert run_folder.find_later(short_run, "clothingGAN", found.record, found.path) == []


def test_where_all_files_are_damaged_the_last_that_was_tried_is_refused(short_run, capsys):
    for path in short_run.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ClothingGANError, match=r"clothingGANepoch1\.h5 is empty"):
        run_folder.find_furthest(short_run)
    assert capsys.readouterr().err.count("\n") == 1


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


def as_a_spreadsheet_saves_it(text, digits=15, separator=";", point=",", ends="\r\n"):
    def shown(cell):
        number = re.fullmatch(r"\d+\.\d+", cell)
        return f"{float(cell):.{digits}g}".replace(".", point) if number else cell

    rows = [separator.join(map(shown, line.split(","))) for line in text.splitlines()]
    return "\ufeff" + ends.join([*rows, ""])


SPREADSHEETS = {
    "semicolons": as_a_spreadsheet_saves_it,
    "fewer digits": lambda text: as_a_spreadsheet_saves_it(text, digits=3),
    "tabs": lambda text: as_a_spreadsheet_saves_it(text, separator="\t", point=".", ends="\n"),
    "no points": lambda text: as_a_spreadsheet_saves_it(text, point="")[1:],
}
CUT_SHORT = {
    "in a row": lambda text: text[:-30],
    "in the first line": lambda text: text[:20],
    "zeros": lambda _: "\0" * 100,
}


@pytest.fixture
def history(small_run, tmp_path, request):
    """A history.csv that was changed as the test says."""
    path = tmp_path / "history.csv"
    path.write_text(request.param((small_run / path.name).read_text()), newline="")
    return path


@pytest.mark.parametrize(
    "history", [*SPREADSHEETS.values(), *CUT_SHORT.values()], ids=[*SPREADSHEETS, *CUT_SHORT], indirect=True
)
def test_a_history_that_a_spreadsheet_saved_or_that_was_cut_short_is_still_the_runs(history, small_run):
    assert run_folder.find_foreign(history.parent, "clothingGAN", standing(small_run, 4), None) is None


@pytest.mark.parametrize("history", SPREADSHEETS.values(), ids=SPREADSHEETS, indirect=True)
def test_a_history_that_is_written_anew_is_told_of(history, small_run, capsys):
    with run_folder.open_run_folder(history.parent, "clothingGAN", standing(small_run, 4)):
        assert (
            "history.csv is not as a run writes it: the next epoch writes it anew" in capsys.readouterr().err
        )


@pytest.mark.parametrize("history", SPREADSHEETS.values(), ids=SPREADSHEETS, indirect=True)
def test_what_a_spreadsheet_saved_of_another_run_is_found(history, small_run):
    run = standing(small_run, 4)
    run.history[2]["d_loss"] *= 1.1
    assert run_folder.find_foreign(history.parent, "clothingGAN", run, None) == history


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


HOLD_TWICE = """
from pathlib import Path; from clothinggan.checkpoint.run_folder import lock_folder
from clothinggan.errors import ClothingGANError
with lock_folder(Path()):
    Path("x.h5").touch()
    try:
        with lock_folder(Path()): print("two runs")
    except ClothingGANError as error: print(error)
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, 524, errno.EIO, errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_where_nobody_knows_locks_a_run_goes_on_without_and_says_so_once(number, tmp_path, on_a_faulty_disk):
    done = on_a_faulty_disk(HOLD_TWICE, FAKE_FLOCK=number)
    assert done.stdout == "two runs\n"
    assert done.stderr.startswith(f"note:     {tmp_path} knows no locks (")
    assert done.stderr.endswith(
        "): two runs in it are not kept apart; start no other one there while this one lasts\n"
    )
    assert os.listdir(tmp_path) == ["x.h5"]


def test_where_a_folder_cannot_be_locked_a_file_in_it_is(tmp_path, on_a_faulty_disk):
    done = on_a_faulty_disk(HOLD_TWICE, FAKE_FLOCK_DIR=errno.EBADF)
    assert f"another run is writing to {tmp_path}; name another folder with --out\n" in done.stdout
    assert done.stderr == ""


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


@pytest.fixture
def no_renaming(monkeypatch):
    """A file system that lets no file take another's place."""

    def refuse(*_):
        raise OSError(errno.ENOSYS, "function not implemented")

    monkeypatch.setattr(os, "replace", refuse)


def write_copies_of(folder):
    """A way to write checkpoints: from the numbered files of a finished run."""

    def writer(record):
        return lambda path: files.copy(folder / f"clothingGANepoch{record.epoch}.h5", path)

    return writer


def test_where_no_file_can_be_replaced_the_one_to_go_on_from_is_not_written_over(
    small_run, tmp_path, no_renaming, capsys
):
    write = write_copies_of(small_run)
    written = []
    with run_folder.open_run_folder(tmp_path, "clothingGAN") as folder:
        for epoch in (1, 2, 3):
            record = standing(small_run, epoch, save_every=100, epochs=100)
            folder.save(record, write(record))
            written.append(folder.last_saved.name)

        def fail_half_way(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "no space left on device")

        with pytest.raises(OSError, match="no space"):
            folder.save(standing(small_run, 4, save_every=100, epochs=100), fail_half_way)
    assert written == ["clothingGANlatest.h5", "clothingGANlatest2.h5", "clothingGANlatest.h5"]
    assert "clothingGANlatest.h5 and clothingGANlatest2.h5 are written in turn" in capsys.readouterr().err
    assert run_folder.find_furthest(tmp_path).record.epoch == 3
    assert "passing over a file: " in capsys.readouterr().err


def test_a_folder_that_was_gone_and_is_back_with_another_number_is_gone_on_with(small_run, tmp_path):
    path = tmp_path / "run"
    record = standing(small_run, 1)
    with run_folder.open_run_folder(path, "clothingGAN") as folder:
        folder.save(record, write_copies_of(small_run)(record))
        path.rename(tmp_path / "gone")
        folder.make_sure(record)  # Where it is gone a write fails, and says so.
        shutil.copytree(tmp_path / "gone", path)
        folder.make_sure(record)
        with pytest.raises(ClothingGANError, match="another run is writing"), run_folder.lock_folder(path):
            pass


def test_another_folder_of_the_same_name_is_not_written_to(small_run, tmp_path):
    path = tmp_path / "run"
    record = standing(small_run, 2)
    with run_folder.open_run_folder(path, "clothingGAN") as folder:
        folder.save(record, write_copies_of(small_run)(record))
        path.rename(tmp_path / "moved")
        path.mkdir()
        with pytest.raises(MovedFolderError, match="resume there"):
            folder.make_sure(record)


def test_a_surplus_file_that_cannot_be_removed_stays_and_the_run_goes_on(
    small_run, tmp_path, monkeypatch, capsys
):
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.name == "clothingGANepoch1.h5":
            raise PermissionError(errno.EPERM, "not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    write = write_copies_of(small_run)
    numbered = []
    with run_folder.open_run_folder(tmp_path, "clothingGAN") as folder:
        for epoch in (1, 2):
            record = standing(small_run, epoch, save_every=1, keep=1, numbered=numbered)
            folder.save(record, write(record))
            numbered = record.numbered
    assert (
        f"cannot remove {tmp_path}/clothingGANepoch1.h5: operation not permitted\n" in capsys.readouterr().err
    )
    assert numbered == [2]


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
    assert run_folder.find_designs(tmp_path) == [*PRESETS, "myGAN-2"]
    assert run_folder.find_furthest(tmp_path).path.name == "myGAN-2GANepoch1.h5"
