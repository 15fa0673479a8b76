"""A worker lost while TensorFlow connects all is noticed, all hear of it, and who waits for it is ended."""

import os
import socket
import subprocess
import sys

import pytest
from conftest import needs_a_full_device

from clothinggan.distributed.watchdog import CONNECTED, watch

# TensorFlow's part, to wait for ever, is played by `sleep`.
LOSES_A_WORKER = """
import socket, time
from clothinggan.distributed import rendezvous
from clothinggan.distributed.cluster import Cluster
cluster = Cluster(("here:1", "there:2"), ("", ""), 0)
ours, theirs = socket.socketpair()
print("said before")
with rendezvous.watched(cluster, {1: ours}, 30):
    theirs.close()
    time.sleep(60)
"""


@pytest.fixture
def own_end(monkeypatch):
    """What to write to, or to close, in place of the process that a watchdog was started by."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as standard_input, os.fdopen(writing, "wb") as end:
        monkeypatch.setattr(sys, "stdin", standard_input)
        yield end


@pytest.fixture
def others():
    """The other ends of the connections to two workers, and the workers' names by descriptor."""
    pairs = [socket.socketpair() for _ in range(2)]
    names = {ours.detach(): f"worker {index}" for index, (ours, _) in enumerate(pairs, 1)}
    ends = [theirs for _, theirs in pairs]
    yield ends, names
    for end in ends:
        end.close()


def test_it_ends_with_the_process_that_started_it(own_end, others):
    own_end.close()
    assert watch(others[1], wait=30) is None


def test_who_hangs_up_is_named_to_the_others(own_end, others):
    (first, second), names = others
    first.close()
    assert watch(names, wait=30) == "worker 1 is gone"
    assert second.recv(100) == b"worker 1 is gone"


def test_what_another_watchdog_has_found_is_said_too(own_end, others):
    (first, _), names = others
    first.sendall(CONNECTED + b"worker 7 is gone")
    assert watch(names, wait=30) == "worker 7 is gone"


def test_who_hangs_up_when_connected_is_not_lost(own_end, others):
    (first, second), names = others
    first.sendall(CONNECTED)
    first.close()
    second.sendall(CONNECTED)
    assert watch(names, wait=0.2) == "TensorFlow could not connect all workers in 0.2 s (--wait)"


@pytest.mark.parametrize("writable", [True, pytest.param(False, marks=needs_a_full_device)])
def test_a_process_that_waits_for_one_who_is_lost_ends_with_status_1_and_a_line(writable):
    with open(os.devnull if writable else "/dev/full", "w") as unwritable:
        done = subprocess.run(
            [sys.executable, "-c", LOSES_A_WORKER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if writable else unwritable,
            text=True,
            timeout=50,
        )
    assert (done.returncode, done.stdout) == (1, "said before\n")
    if writable:
        assert done.stderr == "clothinggan: error: worker 1 (there:2) is gone; start all workers again\n"
