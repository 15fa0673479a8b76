"""Standard output that nobody reads any more."""

import os
import sys

import pytest

from clothinggan.cli.options import reporting_errors


def say_much_to_nobody(trains: bool) -> int:
    """A command's exit status that says much to a pipe whose reader, as `head` does, has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        return reporting_errors(lambda: print("a line\n" * 10_000, flush=True) or 0, trains)


def test_a_reader_that_has_read_enough_is_no_failure(capsys):
    assert say_much_to_nobody(trains=False) == 0
    assert capsys.readouterr().err == ""


def test_a_training_says_that_its_reader_is_gone_and_goes_on(capsys):
    assert say_much_to_nobody(trains=True) == 1
    assert "standard output cannot be written to (broken pipe); going on" in capsys.readouterr().err
