"""Files of the user's that are called like modules of Python's own do a command no harm, and are named."""

import subprocess
import sys
from pathlib import Path

import pytest

from clothinggan import environment
from clothinggan.errors import ClothingGANError
from clothinggan.own_modules import describe_own_modules


def test_a_command_runs_beside_own_modules_that_are_called_like_pythons(tmp_path):
    for name in ("random", "queue", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    done = subprocess.run(
        [sys.executable, "-m", "clothinggan.train", "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_where_tensorflow_cannot_be_imported_an_own_module_is_named(tmp_path, monkeypatch):
    (tmp_path / "queue.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        ClothingGANError, match=r"queue\.py takes the place of Python's own module of that name"
    ):
        environment.import_tensorflow()


def test_modules_that_are_called_otherwise_are_nobodys_business(tmp_path, monkeypatch):
    Path("wardrobe.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert describe_own_modules() is None
