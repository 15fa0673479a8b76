"""The furthest checkpoint of a folder is found, and later ones stand in the way of a run."""

import shutil

import pytest

from clothinggan import folder


def test_checkpoints_are_ordered_by_how_far_they_came(small_run):
    names = [found.path.name for found in folder.find_checkpoints(small_run, "clothingGAN")]
    assert names == [f"clothingGANepoch{epoch}.h5" for epoch in (1, 2, 3, 4)] + ["clothingGANlatest.h5"]


def test_other_files_are_no_checkpoints(tmp_path):
    for name in ("clothingGANepochX.h5", "swiftGANepoch1.h5", "clothingGANepoch1.png"):
        (tmp_path / name).touch()
    assert folder.find_checkpoints(tmp_path, "clothingGAN") == []


def test_a_broken_latest_file_is_passed_over_aloud(small_run, tmp_path, capsys):
    shutil.copy(small_run / "clothingGANepoch1.h5", tmp_path)
    (tmp_path / "clothingGANlatest.h5").write_bytes(b"broken")
    assert [f.path.name for f in folder.find_checkpoints(tmp_path, "clothingGAN")] == ["clothingGANepoch1.h5"]
    assert "clothingGANlatest.h5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("position", "names"),
    [
        ((4, 0), []),
        ((3, 1), ["clothingGANepoch4.h5", "clothingGANlatest.h5"]),
        ((-1, 0), [*(f"clothingGANepoch{epoch}.h5" for epoch in (1, 2, 3, 4)), "clothingGANlatest.h5"]),
    ],
)
def test_what_is_further_on_than_a_run_is_found(small_run, position, names):
    assert [path.name for path in folder.find_later(small_run, "clothingGAN", *position)] == names
