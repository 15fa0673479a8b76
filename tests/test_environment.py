"""TensorFlow comes when it is needed, undisturbed by other settings; what is said of the processor."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clothinggan import environment
from clothinggan.environment import is_installed


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
