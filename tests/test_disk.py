"""Disks that are full, read-only or gone: what was there stays, and a line says what to go on from."""

import contextlib
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import SMALL, needs_a_full_device

from clothinggan import resume, train
from clothinggan.checkpoint.file import ClothingGANError, read_checkpoint, save_checkpoint
from clothinggan.checkpoint.restore import restore_generator
from clothinggan.gan import GAN


@pytest.fixture
def run_folder(small_run, tmp_path):
    """A folder with a run of two epochs."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in small_run.glob("*epoch[12].*"):
        shutil.copy(path, folder)
    shutil.copy(small_run / "clothingGANepoch2.h5", folder / "clothingGANlatest.h5")
    return folder


def checkpoints(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def go_on(folder, capsys):
    """Resumes in the folder, which must fail; returns the line that is said."""
    assert resume.main(["--out", str(folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clothinggan: error: ")
    assert said.count("\n") == 1
    return said


@contextlib.contextmanager
def largest_file(size):
    """Lets no file of this process grow beyond a size: a write fails half way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "name"),
    [(100, "history.csv"), (2_000, "losses.png"), (1_000_000, "clothingGANepoch3.h5")],
)
def test_a_write_that_fails_half_way_leaves_what_was_there(size, name, run_folder, capsys):
    before = checkpoints(run_folder)
    with largest_file(size):
        said = go_on(run_folder, capsys)
    assert f"cannot write {run_folder / name}: file too large; go on from {run_folder}/clothingGAN" in said
    assert checkpoints(run_folder) == before
    assert not list(run_folder.glob(".*"))


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system in memory: gives its folder, and a function that changes an option of it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        subprocess.run(command, capture_output=True, check=True)

    try:
        mount("size=50m")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here, which takes root on Linux: {error}")
    yield folder, lambda option: mount(f"remount,{option}")
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_up_ends_the_run_with_the_last_file(run_folder, small_disk, capsys):
    folder, _ = small_disk
    shutil.copytree(run_folder, folder / "run")  # Three checkpoints of 14.5 MB: there is no place for more.
    before = checkpoints(folder / "run")
    assert "no space left on device; go on from" in go_on(folder / "run", capsys)
    assert checkpoints(folder / "run") == before


def test_a_full_disk_does_not_crash_whatever_the_room_that_is_left(small_run, small_disk):
    # Written to a full disk by the HDF5 library itself, some of these sizes end the process.
    folder, change = small_disk
    found = read_checkpoint(small_run / "clothingGANepoch1.h5")
    for room in (100, 5_000, 10_000, 13_000, 14_000, 14_090):
        change(f"size={room}k")
        with pytest.raises(ClothingGANError, match="no space left on device"):
            save_checkpoint(folder / "x.h5", restore_generator(found), found.record, found.state)
    assert list(folder.iterdir()) == []


def test_a_read_only_folder_is_refused_before_training(small_disk, capsys):
    folder, change = small_disk
    change("ro")
    assert train.main([*SMALL, "--out", str(folder)]) == 1
    assert "read-only file system; name another with --out" in capsys.readouterr().err


def then(happens, call):
    """A function that lets something happen before it does what `call` does."""

    def replacement(*arguments, **keywords):
        happens()
        return call(*arguments, **keywords)

    return replacement


def test_a_folder_that_becomes_read_only_ends_the_run(run_folder, small_disk, monkeypatch, capsys):
    folder, change = small_disk
    shutil.move(run_folder, folder)
    before = checkpoints(folder / "run")
    monkeypatch.setattr(GAN, "accuracy", then(lambda: change("ro"), GAN.accuracy))
    assert "history.csv: read-only file system; go on from" in go_on(folder / "run", capsys)
    assert checkpoints(folder / "run") == before


def test_a_folder_that_vanishes_before_a_save_does_not_come_back(run_folder, monkeypatch, capsys):
    save = then(lambda: shutil.rmtree(run_folder), save_checkpoint)
    monkeypatch.setattr("clothinggan.callbacks.save_checkpoint", save)
    assert "clothingGANepoch3.h5: no such file or directory" in go_on(run_folder, capsys)
    assert not run_folder.exists()


def test_a_folder_in_the_place_of_a_file_ends_the_run_with_the_last_file(run_folder, capsys):
    blocked = run_folder / "clothingGANepoch3.h5"
    blocked.mkdir()
    (blocked / "x").touch()
    arguments = ["--weights", str(run_folder / "clothingGANlatest.h5"), "--out", str(run_folder)]
    assert resume.main([*arguments, "--overwrite"]) == 1
    assert "clothingGANepoch3.h5: is a directory; go on from" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_goes_on_where_a_network_drive_lacks_what_costs_nothing(tmp_path, faulty_calls, command):
    lacks = ["FLOCK=524", "FSYNC=22", "FSYNC_DIR=5", "RENAME=95", "CHMOD=1", "LINK=1"]
    fakes = dict(f"FAKE_{lack}".split("=") for lack in lacks)
    done = command("train", *SMALL, "--epochs", 1, env={**os.environ, **fakes, "LD_PRELOAD": faulty_calls})
    assert done.returncode == 0, done.stderr
    for words in ("knows no locks", "a power cut may cost", "can take another's place"):
        assert done.stderr.count(words) == 1
    assert done.stderr.count("\n") == 3
    assert read_checkpoint(tmp_path / "clothingGANepoch1.h5").record.epoch == 1
    assert read_checkpoint(tmp_path / "clothingGANlatest.h5").record.epoch == 1


@needs_a_full_device
def test_training_goes_on_without_a_standard_output_that_is_full(tmp_path, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert train.main([*SMALL, "--epochs", "2", "--save-every", "1"]) == 1
    said = capsys.readouterr().err
    assert said.count("standard output cannot be written to (no space left on device); going on") == 1
    assert read_checkpoint(tmp_path / "clothingGANepoch2.h5").record.epoch == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "status"),
    [
        pytest.param("> /dev/full", 1, marks=needs_a_full_device),
        (">&-", 0),
        (">&- 2>&-", 0),
    ],
)
def test_a_command_whose_output_is_lost_does_its_work(redirection, status, small_run, tmp_path):
    weights = small_run / "clothingGANepoch1.h5"
    command = [sys.executable, "-m", "clothinggan.display", "--no-real", "--save", "."]
    command += ["--weights", weights]
    redirected = ["sh", "-c", f'"$@" {redirection}', "sh", *command]
    done = subprocess.run(redirected, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.count("\n") == status
    assert len(list(tmp_path.glob("*.png"))) == 2


@needs_a_full_device
def test_a_run_goes_on_without_a_standard_error_that_is_full(small_run, tmp_path, monkeypatch):
    shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path)
    (tmp_path / "clothingGANlatest.h5").write_bytes(b"")  # Is passed over, with a line.
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert resume.main(["--epochs", "2"]) == 0
    assert read_checkpoint(tmp_path / "clothingGANepoch2.h5").record.epoch == 2


def test_event_files_that_cannot_be_written_end_the_run_with_the_last_file(run_folder, small_disk, capsys):
    pytest.importorskip("tensorboard")
    events, change = small_disk
    change("size=12k")
    options = ["--out", str(run_folder), "--epochs", "4", "--tensorboard", str(events)]
    assert resume.main(options) == 1
    said = capsys.readouterr().err
    assert "no space left on device; epoch 3 is saved, without all that is drawn of it; go on from" in said


@pytest.mark.slow
def test_a_terminal_that_hangs_up_ends_a_run_once_it_is_saved(tmp_path):
    arguments = ["--data", "sample", "--examples", "200", "--batch-size", "4"]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "clothinggan.train", *arguments])
    said = b""
    while b"Epoch 2" not in said:
        said += os.read(terminal, 10_000)
    os.close(terminal)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert os.waitstatus_to_exitcode(ended[1]) == 128 + signal.SIGHUP
    record = read_checkpoint(tmp_path / "clothingGANlatest.h5").record
    assert (record.epoch, record.step_in_epoch) >= (1, 1)
