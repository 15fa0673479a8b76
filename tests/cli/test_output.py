"""Standard output that nobody reads any more."""

import os
import sys

import pytest

from clothinggan.cli.options import reporting_errors


@pytest.fixture
def unread(capsys, monkeypatch):
    """Standard output is a pipe whose reader, as `head` does, has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield


def say_much() -> int:
    print("a line\n" * 10_000, flush=True)
    return 0


def test_a_reader_that_has_read_enough_is_no_failure(unread, capsys):
    assert reporting_errors(say_much) == 0
    assert capsys.readouterr().err == ""


def test_a_training_says_that_its_reader_is_gone_and_goes_on(unread, capsys):
    assert reporting_errors(say_much, trains=True) == 1
    assert "standard output cannot be written to (broken pipe); going on" in capsys.readouterr().err
