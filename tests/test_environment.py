"""TensorFlow comes when it is needed, without what nothing here uses, and undisturbed by other settings."""

import subprocess
import sys

import pytest

from clothinggan.environment import is_installed


def test_importing_the_package_does_not_import_tensorflow():
    program = "import sys, clothinggan; print(clothinggan.__version__, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"


def test_tensorflow_comes_without_what_nothing_here_uses_and_that_can_be_had_later():
    program = (
        "import sys; from clothinggan import surroundings; surroundings.import_tensorflow();"
        "print(*(name for name in ('sklearn', 'scipy', 'matplotlib.pyplot') if name in sys.modules));"
        "import sklearn, scipy, matplotlib.pyplot, keras; keras.Sequential([keras.layers.Dense(1)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_mere_folder_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "holiday_pictures").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("holiday_pictures")
    assert is_installed("numpy")


@pytest.mark.slow
def test_a_flag_that_ends_tensorflow_is_told(command, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_no_such_flag")
    done = command("train", "--data", "sample", "--epochs", "1")
    assert done.returncode != 0
    assert "--tf_no_such_flag" in done.stderr
