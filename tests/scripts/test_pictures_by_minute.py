"""A script stops runs at given minutes, and goes on with them."""

from pathlib import Path

import pytest

from clothinggan.data import sources
from clothinggan.presets import PRESETS
from clothinggan.titles import trained_seconds

SCRIPTS = Path(__file__).parents[2] / "scripts" / "experiments"


@pytest.mark.slow
def test_a_run_is_stopped_at_each_of_its_minutes_and_goes_on(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(SCRIPTS)
    import pictures_by_minute as script

    sample = sources.load("sample")
    files = [script.train_until(PRESETS["swift"], sample, tmp_path, minutes) for minutes in (0.02, 0.08)]
    first, second = (trained_seconds(file.record) for file in files)
    assert 0 < first < second
    assert files[0].record.step < files[1].record.step
