"""One of the hundred runs that another processor goes on with."""

import other_processors
import pytest


@pytest.mark.slow
def test_a_run_goes_on_with_other_threads_and_instructions_and_says_so(tmp_path):
    found = other_processors.try_run(10, 0, tmp_path)
    assert "flaw" not in found
    assert found["threads"][0] != found["threads"][1]
