"""The benchmark runs from a checkout and says what it measured. How fast anything is, is no matter here."""

import json
import subprocess
import sys
from pathlib import Path

import benchmark_epoch
import pytest
from benchmark import milliseconds
from benchmark_workers import set_up_our_generation
from workload import Settings

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark" / "benchmark.py"

pytestmark = pytest.mark.slow


def benchmark(folder, *arguments):
    """Runs it with few images; returns its numbers, and its report for a person."""
    few = ["--batch-size", "2", "--rounds", "1", "--json", folder / "x.json"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments, *few], capture_output=True, text=True, timeout=240, check=True
    )
    return json.loads((folder / "x.json").read_text()), done.stdout


def cells(report):
    """What stands in the cells of a report's tables."""
    return {cell.strip() for line in report.splitlines() if line.startswith("|") for cell in line.split("|")}


def test_steps_are_compared_in_numbers(tmp_path):
    names = ["ours-float32", "keras", "limit-float32"]
    results, report = benchmark(tmp_path, "--models", "swift", "--sections", "step", "--only", *names)
    assert results["machine"]["processor"]
    assert results["machine"]["threads"] > 0
    assert {"python", "tensorflow", "keras", "numpy"} <= set(results["versions"])
    step = results["swift"]["step"]
    # 3.1 GFLOP at the design's batch of 32.
    assert step["flops"] == pytest.approx(3.11e9 * 2 / 32, rel=0.02)
    assert list(step["variants"]) == names
    for result in step["variants"].values():
        assert len(result["seconds"]) == 1
        for key in ("median", "fastest", "slowest", "peak_bytes", "share_of_limit"):
            assert result[key] > 0, key
        assert milliseconds(result["median"]) in cells(report)
    ours, keras = (step["variants"][name]["median"] for name in names[:2])
    assert step["variants"]["ours-float32"]["times_keras"] == pytest.approx(keras / ours)


def test_the_profile_accounts_for_all_of_the_steps_operations(tmp_path):
    results, report = benchmark(tmp_path, "--models", "swift", "--profile")
    whole, limit, *parts = results["swift"]["profile"]["parts"]
    assert whole["flops"] == limit["flops"] == sum(part["flops"] for part in parts)
    assert all(part["seconds"] > 0 for part in [whole, limit, *parts])
    assert {part["part"] for part in parts} <= cells(report)


def test_an_epoch_is_told_in_its_parts():
    found = benchmark_epoch.measure("swift", steps=2, rounds=1)
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in found.values())


def test_parts_of_an_epoch_are_shares_of_a_whole_step():
    found = {"alone": [0.02], "inside": [0.03, 0.03, 9], "around": [0.01], "report": [0.5]}
    said = benchmark_epoch.report("swift", found)
    assert {"20.0", "50.0%", "30.0", "75.0%", "10.0", "25.0%"} <= cells(said)
    assert "takes 0.50 s" in said


def test_a_design_that_draws_classes_generates_too():
    assert set_up_our_generation(Settings("swift", 2, 4, 1))() == {"images": 4}
