"""TensorFlow comes when it is needed, undisturbed by other settings; what is said of the processor."""

import contextlib
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL

from clothinggan import environment, train
from clothinggan.dependencies import is_installed
from clothinggan.errors import ClothingGANError

CHECKOUT = Path(__file__).parents[1]


def test_importing_the_package_does_not_import_tensorflow():
    program = "import sys, clothinggan; print(clothinggan.__version__, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"


def test_tensorflow_comes_without_what_nothing_here_uses_and_that_can_be_had_later():
    program = (
        "import sys; from clothinggan import environment; environment.import_tensorflow();"
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


@pytest.mark.parametrize("module", ["clothinggan.train", "clothinggan"])
def test_a_python_without_what_is_needed_says_so_in_one_line(module):
    # Without site-packages, as the system's Python is in a new terminal.
    done = subprocess.run(
        [sys.executable, "-S", "-m", module, "train"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"clothinggan: error: {sys.executable} has no h5py, no keras,")
    assert "activate" in line or "pip install" in line


@pytest.mark.slow
def test_a_flag_that_ends_tensorflow_is_told(command, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_no_such_flag")
    done = command("train", "--data", "sample", "--epochs", "1")
    assert done.returncode != 0
    assert "--tf_no_such_flag" in done.stderr


@pytest.fixture
def unknown_system(monkeypatch):
    """A system that has neither /proc nor processor affinity: macOS."""

    def absent(*_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with forgetting():
        yield


@contextlib.contextmanager
def forgetting():
    """Has what was found out of the processor found out again, before and after."""
    for found in (environment._cpuinfo, environment.processor_name):
        found.cache_clear()
    try:
        yield
    finally:
        for found in (environment._cpuinfo, environment.processor_name):
            found.cache_clear()


def test_there_are_cores():
    assert 1 <= environment.core_count() <= os.cpu_count()


def test_another_system_has_cores_and_a_processor_too(unknown_system):
    assert environment.core_count() == os.cpu_count()
    assert environment.processor_name()
    assert environment.processor_instructions() == set()


def test_two_kinds_of_arm_processors_have_different_names(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    names = []
    for part in ("0xd0c", "0xd40"):
        text = f"processor : 0\nFeatures : asimd bf16\nCPU implementer : 0x41\nCPU part : {part}\n"
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        with forgetting():
            names.append(environment.processor_name())
            assert environment.processor_instructions() == {"asimd", "bf16"}
    assert [name.split()[1:] for name in names] == [["0x41", "0xd0c"], ["0x41", "0xd40"]]


def test_macos_is_asked_for_the_name(unknown_system, tmp_path, monkeypatch):
    (tmp_path / "sysctl").write_text('#!/bin/sh\n[ "$*" = "-n machdep.cpu.brand_string" ] && echo Apple M9\n')
    (tmp_path / "sysctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.processor_name() == "Apple M9"


SHADOWS = ("queue", "random", "typing", "pkgutil", "tempfile", "json", "numpy", "keras")


def test_a_file_of_a_modules_name_where_a_command_is_called_is_nobodys_module(tmp_path, command):
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py was run')")
    done = command("train", "--epochs", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("clothinggan: error: argument --epochs: '0' is not a whole number")


def test_a_folder_of_the_packages_name_beside_a_program_is_not_the_package(tmp_path):
    (tmp_path / "clothinggan").mkdir()  # As a clone is called.
    (tmp_path / "program.py").write_text("import clothinggan; print(clothinggan.fit)")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("<function fit"), done.stderr


IMPORT = """
import clothinggan
try: clothinggan.GAN
except clothinggan.ClothingGANError as error: print(error)
"""


@pytest.mark.parametrize("name", ["queue.py", "numpy/__init__.py"])
def test_a_file_beside_a_program_that_is_taken_for_a_module_is_named(name, tmp_path):
    shadow = tmp_path / name
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("x = 1")
    (tmp_path / "program.py").write_text(IMPORT)
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=False)
    path = shadow if shadow.parent == tmp_path else shadow.parent
    what = f"{path} is taken for the module '{path.stem}' that others need, by its name; give it another one"
    assert (done.stdout, done.stderr) == (what + "\n", "")


@pytest.mark.slow
def test_warnings_that_are_errors_end_no_run(tmp_path, command):
    done = command("train", *SMALL, "--epochs", 1, env={**os.environ, "PYTHONWARNINGS": "error"})
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "clothingGANepoch1.h5").exists()


@contextlib.contextmanager
def limited(size):
    """Lets this process map no more than so many bytes beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses this limit")
def test_too_little_memory_to_train_is_told_before_the_training(tmp_path, capsys):
    with limited(700 * 2**20):
        assert train.main([*SMALL, "--epochs", "1"]) == 1
    said = capsys.readouterr()
    assert re.search(
        r"error: training takes about [\d,]+ MiB of address space more, which the limit of", said.err
    )
    assert "raise it (ulimit -v); or train with a smaller --batch-size\n" in said.err
    assert "training:" not in said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses this limit")
def test_too_little_memory_for_tensorflow_is_told_before_its_import(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")
    with (
        limited(500 * 2**20),
        pytest.raises(ClothingGANError, match="TensorFlow takes about 1,280 MiB of address"),
    ):
        environment.import_tensorflow()
