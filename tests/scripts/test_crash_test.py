"""Two kills of the many: nothing is lost."""

import pytest
from crash_test import crash_test


@pytest.mark.slow
@pytest.mark.timeout(600)  # Half a dozen processes, each of which imports TensorFlow.
def test_two_kills_lose_nothing(tmp_path):
    tally = crash_test(kills=2, seed=4, jobs=1, folder=tmp_path)
    assert tally.kills == 2
    assert tally.files_opened >= 2
