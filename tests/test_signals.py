"""A run hears a signal once, and Ctrl-C again ends it."""

import signal
import subprocess
import sys

import pytest
from conftest import start

RUN = """
import sys, time
from clothinggan.signals import stop_requests

with stop_requests() as requests:
    print("begun", flush=True)
    while not requests.received:
        time.sleep(0.01)
    sys.stdin.read()  # The step is ended, and the state saved.
    print("saved by", requests.received.name, flush=True)
"""


def start_run(*prefix):
    """Starts such a run; `prefix` stands before its command."""
    process = start(*prefix, sys.executable, "-c", RUN, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "begun\n"
    return process


def stop(process, number):
    process.send_signal(number)
    assert "stopping" in process.stderr.readline() + process.stderr.readline()


# A shell whose terminal closes, and `timeout`, send theirs twice.
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_comes_twice_is_one(number):
    process = start_run()
    stop(process, number)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == f"saved by {number.name}\n"


def test_ctrl_c_after_any_signal_ends_at_once():
    process = start_run()
    stop(process, signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == -signal.SIGINT


def test_a_ctrl_c_is_not_meant_for_what_a_script_has_put_into_the_background():
    process = start_run("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "saved by SIGTERM\n"


def test_nohup_outlives_the_terminal():
    process = start_run("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "saved by SIGTERM\n"
