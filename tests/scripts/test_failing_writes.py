"""A share of the calls that fail in turn: what is said is true, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

import faulty
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "robustness" / "failing_writes.py"


@pytest.mark.slow
@pytest.mark.skipif(not faulty.is_possible(), reason="a failing file system is made with gcc, on Linux")
def test_after_a_call_that_fails_what_is_said_is_true():
    # A process of its own: the library has to be there when it starts.
    some = ["--model", "clothing", "--error", "EDQUOT", "--every", "100"]
    done = subprocess.run([sys.executable, SCRIPT, *some], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "calls failed in turn; 0 lost something or were told of untruly" in done.stdout
