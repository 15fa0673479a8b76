"""A run hears a signal once, and Ctrl-C again ends it."""

import signal
import subprocess
import sys

import pytest

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


@pytest.fixture
def run():
    """Starts such a run; `prefix` stands before its command."""
    processes = []

    def start(*prefix):
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", RUN],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "begun\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def stop(process, number):
    process.send_signal(number)
    assert "stopping" in process.stderr.readline() + process.stderr.readline()


# A shell whose terminal closes, and `timeout`, send theirs twice.
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_comes_twice_is_one(number, run):
    process = run()
    stop(process, number)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == f"saved by {number.name}\n"


def test_ctrl_c_after_any_signal_ends_at_once(run):
    process = run()
    stop(process, signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == -signal.SIGINT


def test_a_ctrl_c_is_not_meant_for_what_a_script_has_put_into_the_background(run):
    process = run("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "saved by SIGTERM\n"


def test_nohup_outlives_the_terminal(run):
    process = run("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "saved by SIGTERM\n"
