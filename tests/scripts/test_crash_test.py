"""Two kills of the many: nothing is lost."""

import crash_test
import pytest


@pytest.mark.slow
def test_two_kills_lose_nothing(tmp_path, monkeypatch):
    # Both kills come within the first three epochs.
    monkeypatch.setattr(crash_test, "LAST_EPOCH", 4)
    monkeypatch.setattr(crash_test, "TRAIN", [*crash_test.TRAIN, "--epochs", "4"])
    tally = crash_test.crash_test(kills=2, seed=4, jobs=1, folder=tmp_path)
    assert tally.kills == 2
    assert tally.files_opened >= 2
