"""Builds the library that makes a file system fail, see `faulty_calls.c`."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_calls.c")


def is_possible() -> bool:
    """Whether the library can be built and preloaded here."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


def build(folder: Path) -> Path:
    """Builds the library in a folder; returns its path."""
    library = folder / "faulty_calls.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library
