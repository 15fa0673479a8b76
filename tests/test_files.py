"""Files appear whole or not at all, and a folder that cannot be written to is refused."""

import errno
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


WRITE = """
from pathlib import Path; from clothinggan import files; from clothinggan.errors import ClothingGANError
try:
    files.prepare_folder(Path("out"))
    for text in ("old", "new"):
        files.write_text(Path("out/x.txt"), text)
except ClothingGANError as error:
    print(error)
"""


def written(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("fakes", "says"),
    [
        ({"FAKE_FSYNC_DIR": errno.EIO}, "input/output error"),
        ({"FAKE_FSYNC": errno.ENOTSUP}, "operation not supported"),
        ({"FAKE_FSYNC": 524, "FAKE_FSYNC_DIR": errno.EINVAL}, "operation not supported, error 524"),
    ],
    ids=["a share under WSL", "a mounted object store", "neither"],
)
def test_where_nothing_can_be_put_on_the_disk_at_once_files_are_written_and_that_is_said_once(
    fakes, says, tmp_path, on_a_faulty_disk
):
    done = on_a_faulty_disk(WRITE, **fakes)
    assert (done.stdout, written(tmp_path / "out")) == ("", {"x.txt": "new"})
    what = f"a power cut may cost the last files in {tmp_path}/out: it cannot be told to put them on the disk"
    assert done.stderr == f"note:     {what} at once ({says})\n"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.ENOSYS, errno.EEXIST])
def test_where_nothing_can_be_renamed_a_file_is_written_under_its_own_name(
    number, tmp_path, on_a_faulty_disk
):
    done = on_a_faulty_disk(WRITE, FAKE_RENAME=number)
    assert (done.stdout, done.stderr) == ("", "")
    assert written(tmp_path / "out") == {"x.txt": "new"}


@pytest.mark.parametrize(
    ("fakes", "says"),
    [
        ({"FAKE_FSYNC": errno.EIO}, "input/output error"),
        ({"FAKE_CLOSE": errno.ENOSPC}, "no space left on device"),
        ({"FAKE_CLOSE": errno.EDQUOT}, "disk quota exceeded"),
        ({"FAKE_RENAME": errno.EIO}, "input/output error"),
    ],
    ids=["at the flush", "full at the end", "quota at the end", "at the renaming"],
)
def test_a_folder_whose_files_are_lost_is_refused_before_anything_is_written(
    fakes, says, tmp_path, on_a_faulty_disk
):
    done = on_a_faulty_disk(WRITE, **fakes)
    assert done.stdout == f"cannot write to the folder out: {says}; name another with --out\n"
    assert (done.stderr, written(tmp_path / "out")) == ("", {})


def test_one_file_that_cannot_be_replaced_stays_as_it_is(tmp_path, monkeypatch):
    replace = os.replace

    def refuse(source, target):
        if str(target).endswith("x.txt"):
            raise PermissionError(errno.EPERM, "not permitted")
        replace(source, target)

    (tmp_path / "x.txt").write_text("old")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ClothingGANError, match=r"cannot write .*x\.txt: operation not permitted"):
        files.write_text(tmp_path / "x.txt", "new")
    assert written(tmp_path) == {"x.txt": "old"}
