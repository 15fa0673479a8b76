"""The package as it is built: a wheel that works where nothing of the checkout is."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from clothinggan.data.sample import make_split

CHECKOUT = Path(__file__).parents[1]
COMMANDS = ("train", "resume", "display", "evaluate")


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory):
    """The folder of a virtual environment with the wheel in it, and with what it needs from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CHECKOUT]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", with_pip=False)
    (packages,) = (folder / "environment").glob("lib/python*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, wheel],
        check=True,
        capture_output=True,
    )
    # Its dependencies are gigabytes: they are lent by this environment, without the checkout that is in it.
    lent = folder / "lent"
    lent.mkdir()
    for path in next(Path(sys.prefix).glob("lib/python*/site-packages")).iterdir():
        if "clothinggan" not in path.name:
            (lent / path.name).symlink_to(path)
    (packages / "lent.pth").write_text(f"{lent}\n")
    return folder / "environment"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_wheel_has_all_that_its_commands_need(bare_environment, command, small_swift, tmp_path):
    options = {
        "train": ["--data", "sample", "--examples", "64", "--epochs", "1", "--model", "swift"],
        "resume": ["--weights", small_swift, "--more", "1"],
        "display": ["--weights", small_swift, "--page", "page.html"],
        "evaluate": ["--weights", small_swift, "--data", "images.npz", "--images", "50", "--quick"],
    }
    images = make_split("test")[0][:200]
    np.savez(tmp_path / "images.npz", x_train=images[:100], x_test=images[100:])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [bare_environment / "bin" / "python", "-m", f"clothinggan.{command}", *options[command]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
