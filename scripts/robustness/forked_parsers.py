"""HDF5 files are parsed in a process of their own as ever, but it is forked from one that has imported h5py.

The child does the same within the same limits; to start Python and import NumPy and h5py for each file takes
longer than to parse it.
"""

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
import numpy as np

from clothinggan.checkpoint import hdf5


class Parsers:
    """Stands in for `subprocess` in `checkpoint.hdf5`."""

    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self):
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environment = {**os.environ, **hdf5._ENVIRONMENT}
        # As a process of `hdf5.parse`, it hears no Ctrl-C, and ends with its parent's pipe.
        words = [sys.executable, __file__]
        self._process = subprocess.Popen(words, **pipes, env=environment, start_new_session=True)

    def close(self) -> None:
        """Ends the process that forks."""
        with self._process:
            os.killpg(self._process.pid, signal.SIGKILL)  # With the child that may be parsing.

    def run(
        self, command: list[str], *, input: bytes, timeout: float, **_: object
    ) -> subprocess.CompletedProcess:
        """Does what `subprocess.run` does where `hdf5.parse` calls it."""
        with self._lock:
            try:
                self._process.stdin.write(b"%d\n" % len(input) + input)
                self._process.stdin.flush()
                answers = self._process.stdout
                if not select.select([answers], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(command, timeout)
                status, *sizes = map(int, answers.readline().split())
                return subprocess.CompletedProcess(command, status, *[answers.read(size) for size in sizes])
            except BaseException:
                # What was asked for last is not to be the answer to what is asked for next.
                self.close()
                self._start()
                raise


def answer() -> None:
    """Forks a child for each file that comes in; says how it ended, and what it said."""
    import h5py

    # What is made ready at the first use is there for all children then.
    with h5py.File("first", "w", driver="core", backing_store=False) as file:
        file["x"] = np.zeros(1)
        np.savez(io.BytesIO(), x=file["x"][()])
    while line := sys.stdin.buffer.readline():
        image = sys.stdin.buffer.read(int(line))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                parse(image, out.fileno(), err.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read())
        sys.stdout.buffer.write(b"%d %d %d\n" % (status, *map(len, said)) + b"".join(said))
        sys.stdout.buffer.flush()


def parse(image: bytes, out: int, err: int) -> None:
    """Parses a file, and ends this process."""
    status = 1
    with contextlib.suppress(BaseException):
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin = io.TextIOWrapper(io.BytesIO(image))
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
        status = hdf5.child_main()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    answer()
