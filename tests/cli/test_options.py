"""Help and complaints come at once, and each failure is one line with the right status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clothinggan import __version__
from clothinggan.cli import options
from clothinggan.errors import ClothingGANError

COMMANDS = ["train", "resume", "display", "evaluate"]
WITHOUT_TENSORFLOW = (
    "import sys; sys.modules.update(tensorflow=None, keras=None, h5py=None)\n"
    "import importlib; importlib.import_module('clothinggan.' + sys.argv[1]).main(sys.argv[2:])"
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_without_tensorflow(name):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, name, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"usage: python -m clothinggan.{name}" in done.stdout


def test_help_comes_also_where_the_output_takes_ascii_alone(command):
    done = command("evaluate", "--help", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--epochs", "0"], "'0' is not a whole number from 1 to 100000"),
        (["train", "--batch-size", "-3"], "'-3' is not a whole number"),
        (["train", "--seed", "x"], "'x' is not a whole number of at least 0;"),
        (["train", "--seed", "4294967295"], "'4294967295' is not a whole number from 0 to 2147483647;"),
        (["train", "--model", "other"], "invalid choice: 'other'"),
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch"),
        (["resume", "--epochs", "3", "--more", "3"], "not allowed with"),
        (["resume", "--discriminator-weights", "x.h5"], "--discriminator-weights goes with --weights"),
        (["train", "--previews", "-1"], "'-1' is not a whole number from 0 to 100"),
        (["train", "--seed", "1\n2"], "1\\n2"),
        (["display"], "--weights"),
        (["display", "--weights", "x.h5", "--class", ""], "the name is empty"),
        (["train", "--fit", "stretch"], "invalid choice: 'stretch'"),
        (["train", "--invert", "perhaps"], "invalid choice: 'perhaps'"),
        (["display", "--weights", "x.h5", "--walk", "x.png"], "ends in .gif"),
        (["display", "--weights", "x.h5", "--walk", "x.gif", "--export", "x.npz"], "do not go together"),
        (["display", "--weights", "x.h5", "--walk", "x.gif", "--no-real"], "which --walk takes the place of"),
        (
            ["display", "--weights", "x.h5", "--walk", "x.gif", "--data", "y"],
            "which --walk takes the place of",
        ),
        (["display", "--weights", "x.h5", "--no-real", "--data", "y"], "which --no-real leaves out"),
        (["train", "--data", ""], "argument --data: the name is empty"),
        (["train", "--out", ""], "argument --out: the name is empty"),
        (["train", "--epochs", "100001"], "from 1 to 100000"),
        (["display", "--weights", "x.h5", "y.h5"], "several with --timelapse"),
        (["display", "--weights", "x.h5", "--timelapse", "x.png"], "ends in .gif"),
        (["display", "--weights", "x.h5", "--page", "x.png"], "ends in .html"),
        (["display", "--weights", "x.h5", "--page", "x.html", "--walk", "x.gif"], "do not go together"),
        (["display", "--weights", "x.h5", "--page", "x.html", "--count", "3"], "--count goes with --export"),
        (["evaluate", "--weights", "x.h5", "--images", "9"], "from 10 to 10000"),
        (["evaluate", "--weights", "x.h5", "--figure", "x.jpg"], "ends in .png"),
        (["display", "--weights", "x.h5", "--count", "3"], "--count goes with --export"),
        (["display", "--weights", "x.h5", "--export", "images.png"], "ends in none of .npz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line_and_status_2_without_tensorflow(arguments, says):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("clothinggan: error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def of_the_package(*arguments):
    command = [sys.executable, "-m", "clothinggan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["alone", "--help"])
def test_the_package_lists_its_commands(arguments):
    done = of_the_package(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"python -m clothinggan {name}" in done.stdout for name in COMMANDS)


def test_the_package_tells_its_version():
    done = of_the_package("--version")
    assert (done.returncode, done.stdout) == (0, f"clothinggan {__version__}\n")


def test_a_command_can_be_said_with_a_space_and_its_usage_names_that_form():
    done = of_the_package("train", "--help")
    assert done.stdout.startswith("usage: python -m clothinggan train ")
    done = of_the_package("train", "--epochs", "none")
    assert done.returncode == 2
    assert done.stderr.endswith("; see python -m clothinggan train --help\n")


def test_a_command_that_there_is_not_is_told():
    done = of_the_package("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "clothinggan: error: there is no command trian; see python -m clothinggan --help\n"


def test_a_path_begins_at_home_also_behind_an_equals_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert options.path("~/runs") == Path("/home/somebody/runs")
    assert options.path("-dash") == Path.cwd() / "-dash"


def failing(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ClothingGANError("no such thing"), 1, "clothinggan: error: no such thing\n"),
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "clothinggan: error: out of memory\n"),
        (
            ValueError("first\nsecond"),
            1,
            "clothinggan: error: unexpected ValueError: first (CLOTHINGGAN_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_a_failure_is_one_line_on_standard_error(error, status, line, capsys):
    assert options.reporting_errors(failing(error)) == status
    assert capsys.readouterr() == ("", line)


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("CLOTHINGGAN_DEBUG", "1")
    with pytest.raises(ClothingGANError, match="no such thing"):
        options.reporting_errors(failing(ClothingGANError("no such thing")))


def test_every_public_name_of_the_package_is_there():
    import clothinggan

    assert all(getattr(clothinggan, name) for name in clothinggan.__all__)
