"""Files appear whole or not at all, and one run at a time writes to a folder."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import start

from clothinggan import files
from clothinggan.errors import ClothingGANError


def test_a_file_is_replaced_when_all_is_written(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with files.atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def fail_half_way(path):
    with files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_folder_that_is_gone_is_named_with_the_reason(tmp_path):
    with pytest.raises(ClothingGANError, match=r"cannot write .*x\.txt: no such file or directory"):
        files.write_text(tmp_path / "gone" / "x.txt", "text")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    # A limit on the size of files stands in for a full disk: the write fails half way just the same.
    program = (
        "import resource; from pathlib import Path; from clothinggan import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "files.write_text(Path('x.txt'), 'new' * 1000)"
    )
    (tmp_path / "x.txt").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "cannot write x.txt: file too large" in done.stderr
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.txt", "old")]


def test_a_folder_is_made_where_there_is_none(tmp_path):
    files.prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_folder_that_cannot_be_is_refused(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClothingGANError, match="name another with --out"):
        files.prepare_folder(tmp_path / name)


def hold(folder: Path) -> subprocess.Popen:
    """A process that holds the folder until it is killed."""
    program = (
        "from pathlib import Path; from clothinggan import files\n"
        f"with files.sole_writer(Path({str(folder)!r})): print('held', flush=True); input()"
    )
    return begin(program)


def begin(program: str) -> subprocess.Popen:
    """A process that has come to where its program waits for a line."""
    process = start(sys.executable, "-c", program, stdin=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    process = hold(tmp_path)
    with pytest.raises(ClothingGANError, match="another run is writing"), files.sole_writer(tmp_path):
        pass
    process.communicate("\n")


def test_a_killed_run_leaves_no_lock(tmp_path):
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with files.sole_writer(tmp_path):
        pass


def test_where_nobody_knows_locks_a_run_goes_on_without(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(files.fcntl, "flock", unknown)
    with files.sole_writer(tmp_path):
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
    with files.sole_writer(tmp_path):
        assert list(tmp_path.iterdir()) == [whole]


def test_what_a_killed_run_of_the_same_process_number_left_is_removed(tmp_path):
    with files.atomic_write(tmp_path / "x.h5") as temporary:
        temporary.touch()
        left_over = temporary.rename(temporary.with_name(temporary.name.replace("x.h5", "y.h5")))
        temporary.touch()
    with files.sole_writer(tmp_path):
        assert not left_over.exists()
        assert (tmp_path / "x.h5").exists()


def test_what_another_process_is_writing_stays(tmp_path):
    process = begin_to_write(tmp_path / "x.npz")
    with files.sole_writer(tmp_path):
        process.communicate("\n")
    assert process.returncode == 0
    assert (tmp_path / "x.npz").exists()
