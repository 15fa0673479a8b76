"""Files appear whole or not at all, and a folder that cannot be written to is refused."""

import os
import subprocess
import sys

import pytest

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
