"""Ten kills of the two hundred: nothing is lost."""

import pytest
from crash_test import crash_test


@pytest.mark.slow
@pytest.mark.timeout(900)  # More than a dozen processes, each of which imports TensorFlow.
def test_ten_kills_lose_nothing(tmp_path):
    tally = crash_test(kills=10, seed=4, jobs=2, folder=tmp_path)
    assert tally.kills == 10
    assert tally.inside.total() >= 1  # All ten are aimed at a save; about half of those meet one.
    assert tally.files_opened >= 10
