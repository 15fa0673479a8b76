"""A small share of the fuzzing: each damaged file is read, or refused with one line."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "robustness" / "fuzz.py"


@pytest.mark.slow
def test_damaged_files_are_read_or_refused():
    # A process of its own: it forks, which a process with TensorFlow in it is better not asked to.
    done = subprocess.run(
        [sys.executable, SCRIPT, "--h5", "20", "--data", "200", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("     0 failures") == 2
