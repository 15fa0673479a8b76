"""What several test modules share: small runs, real processes, and files to open."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import faulty
import h5py
import numpy as np
import pytest
from forked_commands import ForkedProcess
from forked_parsers import Parsers
from hypothesis import settings
from matplotlib import pyplot

from clothinggan import environment, errors
from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import _block
from clothinggan.data import sample, sources
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import own_classifier
from clothinggan.presets import PRESETS

# Of tests run side by side each has a core: threads of two that share all cores mostly wait for each other.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
if WORKER and CORES:
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})

# Processes started here hear a terminal that hangs up and a Ctrl-C, also where the tests themselves do not:
# under nohup, or in a script's background. (What a process ignores its children do too.)
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# All is computed on the processor, as for a user who has said nothing; but ONEDNN_MAX_CPU_ISA and
# TF_ENABLE_ONEDNN_OPTS are heard: with them one processor stands for others.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
ONEDNN_IS_OFF = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"
unheard = ("TF_CONFIG", "TF_NUM_INTRAOP_THREADS", "TF_XLA_FLAGS", "XLA_FLAGS")
for name in unheard:
    os.environ.pop(name, None)
FASHION_MNIST = os.environ.get("CLOTHINGGAN_DATA", "")

environment.import_tensorflow()

# All garments are drawn once, and not for each test.
sample.make_split = functools.cache(sample.make_split)

SMALL = ["--data", "sample", "--examples", "40", "--batch-size", "16"]  # 2 steps an epoch, 8 images left over

SMALL_BATCHES = {name: dataclasses.replace(preset, batch_size=16) for name, preset in PRESETS.items()}

MATPLOTLIBS_FONTS = Path(tempfile.gettempdir(), f"clothinggan-tests-matplotlib-{os.getuid()}")

# As many examples as a property test tries, the same ones each time.
few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
fewer = settings(few, max_examples=15)

needs_a_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")


@pytest.fixture(autouse=True)
def _own_environment(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with a home of its own and no display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(MATPLOTLIBS_FONTS)))
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    for name in (*displays, "CLOTHINGGAN_DATA", "CLOTHINGGAN_DEBUG", "KERAS_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # What is said once in a process is said once in each test.
    monkeypatch.setattr(errors, "_noted", set())
    # A classifier of a test's own images is to be there, not to be good.
    monkeypatch.setattr(own_classifier, "STEPS", 10)
    monkeypatch.setattr(own_classifier, "MIN_STEPS", 10)


@pytest.fixture(scope="session")
def _parsers() -> Iterator[Parsers]:
    parsers = Parsers()
    yield parsers
    parsers.close()


@pytest.fixture(autouse=True)
def _forked_parsers(_parsers, request, monkeypatch):
    """The many files that tests read are parsed sooner, but for where the process is what is tested."""
    if request.path.stem not in ("test_hdf5", "test_hostile"):
        monkeypatch.setattr(hdf5, "subprocess", _parsers)


@pytest.fixture(scope="session")
def fashion_mnist() -> sources.Dataset:
    """All of Fashion-MNIST, where a folder of it is at hand."""
    if not os.path.isdir(FASHION_MNIST):
        pytest.skip("CLOTHINGGAN_DATA names no folder")
    return sources.load(FASHION_MNIST)


@pytest.fixture(scope="session")
def few_garments(tmp_path_factory) -> Path:
    """A file of 165 drawn garments: a process reads them sooner than it draws all of the sample."""
    path = tmp_path_factory.mktemp("few_garments") / "garments.npz"
    images, labels = sample.make_split("train")
    np.savez(path, x_train=images[:165], y_train=labels[:165])
    return path


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """The folder of a finished run of four epochs with a numbered file each."""
    from clothinggan import train

    folder = tmp_path_factory.mktemp("small_run")
    assert train.main([*SMALL, "--epochs", "4", "--save-every", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def small_swift(tmp_path_factory) -> str:
    """A file of an epoch of the design that learns with the labels."""
    from clothinggan import train

    folder = tmp_path_factory.mktemp("small_swift")
    options = ["--data", "sample", "--examples", "40", "--epochs", "1", "--out", str(folder)]
    assert train.main(["--model", "swift", *options]) == 0
    return str(folder / "swiftGANepoch1.h5")


def stranger(source: Path, path: Path, change=lambda file: None, **fields) -> Path:
    """Writes a checkpoint with a good checksum that no run of ours has written: a changed copy of one."""
    path.write_bytes(source.read_bytes()[512:])
    with h5py.File(path, "r+") as file:
        record = json.loads(file["clothinggan/record"][()].tobytes())
        del file["clothinggan/record"]
        file["clothinggan/record"] = np.frombuffer(json.dumps({**record, **fields}).encode(), np.uint8)
        change(file)
    path.write_bytes(_block(path.read_bytes()) + path.read_bytes())
    return path


def ten_terabytes(name: str):
    """A change to an open HDF5 file: an array that is said to hold ten million million numbers."""
    return lambda file: file.create_dataset(name, (10**13,), "f4", chunks=(10**6,), compression="gzip")


@contextlib.contextmanager
def refused_in_one_line():
    said = ""
    try:
        yield
    except ClothingGANError as error:
        said = str(error)
    assert said.isprintable()


Process = subprocess.Popen | ForkedProcess
_STARTED: list[Process] = []


def start(*command: object, **keywords) -> subprocess.Popen:
    """Starts a process that does not outlive the test, with pipes to what it says."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([str(word) for word in command], **{**pipes, **keywords})
    _STARTED.append(process)
    return process


def fork(*words: object, **keywords) -> ForkedProcess:
    """Starts a process of ours that does not outlive the test, without what TensorFlow's import takes."""
    _STARTED.append(process := ForkedProcess(*words, **keywords))
    return process


@pytest.fixture(autouse=True)
def _no_process_outlives_a_test() -> Iterator[None]:
    yield
    for process in _STARTED:
        with process:
            process.kill()
    _STARTED.clear()


def wait_for_words(words: str, process: Process, stream: TextIO | None = None) -> str:
    """Reads what a process says, on its standard output unless told, until a line has these words in it."""
    while words not in (line := (stream or process.stdout).readline()):
        assert process.poll() is None
    return line


def wait_for(path: Path, process: Process) -> None:
    """Waits until a process has written a file."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture
def windows(monkeypatch):
    """A screen on which windows can be opened: their titles, as they are shown."""
    shown = []
    for user in ("clothinggan.figures", "clothinggan.run"):
        monkeypatch.setattr(f"{user}.window_possible", lambda: True)
    monkeypatch.setattr(pyplot, "show", lambda **_: shown.extend(pyplot.get_figlabels()))
    yield shown
    pyplot.close("all")


@pytest.fixture(scope="session")
def faulty_calls(tmp_path_factory) -> Path:
    """A library that, preloaded, has the file system fail: see scripts/robustness/faulty_calls.c."""
    if not faulty.is_possible():
        pytest.skip("a failing file system is made with gcc, on Linux")
    return faulty.build(tmp_path_factory.mktemp("faulty_calls"))


@pytest.fixture
def on_a_faulty_disk(faulty_calls):
    """Runs a program in a process whose file system answers calls with errors: FAKE_FLOCK=5 and so on."""

    def run(program: str, *arguments: object, **fakes: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(faulty_calls), **{k: str(v) for k, v in fakes.items()}},
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def command():
    """Runs a command of ours in a process of its own, as a user does."""

    def run(name: str, *arguments: object, **keywords) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", f"clothinggan.{name}", *map(str, arguments)],
            capture_output=True,
            text=True,
            **{"timeout": 120, **keywords},
        )

    return run
