"""The benchmark runs from a checkout and says what it measured. How fast anything is, is no matter here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark.py"

pytestmark = pytest.mark.slow


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=240, check=True
    )


def test_steps_are_compared_in_numbers():
    names = ["ours-float32", "limit-float32"]
    done = benchmark(
        "--sections", "step", "--only", *names, "--batch-size", "2", "--rounds", "1", "--json", "-"
    )
    results = json.loads(done.stdout)
    assert results["machine"]["processor"]
    assert results["machine"]["threads"] > 0
    assert {"python", "tensorflow", "keras", "numpy"} <= set(results["versions"])
    # 75 GFLOP at the design's batch of 128.
    assert results["step"]["flops"] == pytest.approx(75e9 * 2 / 128, rel=0.02)
    assert list(results["step"]["variants"]) == names
    for result in results["step"]["variants"].values():
        assert len(result["seconds"]) == 1
        for key in ("median", "fastest", "slowest", "peak_bytes", "share_of_limit"):
            assert result[key] > 0, key


def test_the_profile_accounts_for_all_of_the_steps_operations():
    done = benchmark("--profile", "--batch-size", "2", "--rounds", "1", "--json", "-")
    whole, limit, *parts = json.loads(done.stdout)["profile"]["parts"]
    assert whole["flops"] == limit["flops"] == sum(part["flops"] for part in parts)
    assert all(part["seconds"] > 0 for part in [whole, limit, *parts])
