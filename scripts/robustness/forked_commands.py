"""Processes of our commands, forked from one that has imported TensorFlow.

A command imports TensorFlow first, which takes longer than all that most tests have it do. In everything else
such a process is like one that a shell starts: it has arguments, environment, folder, output, signals and an
exit status of its own, and as many threads as its environment asks for. What TensorFlow reads when it is
imported, such as `TF_ENABLE_ONEDNN_OPTS`, it has from the process that asked for the first one.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from multiprocessing import connection, forkserver
from pathlib import Path

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload([__name__])
# Of two threads that learn at the same time that a process has ended only one would learn how.
_ASKING = threading.Lock()
_IS_WHAT_FORKS = "CLOTHINGGAN_FORKS_COMMANDS"


@contextlib.contextmanager
def _as_what_forks() -> Iterator[None]:
    """Has the process that is started meanwhile find this module, and import TensorFlow by it."""
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), _IS_WHAT_FORKS: "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


class ForkedProcess:
    """A process that runs `python -m MODULE …` or `python -c PROGRAM …`; used as `subprocess.Popen` is.

    Its output is text, and comes by the pipes `stdout` and `stderr`; nothing is to be read on its input.
    """

    def __init__(
        self, *words: object, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> None:
        readers, writers = zip(*(_FORKING.Pipe(duplex=False) for _ in range(2)), strict=True)
        self.args = [str(word) for word in words]
        with _ASKING:
            state = (self.args, dict(os.environ if env is None else env), str(cwd or os.getcwd()))
            self._process = _FORKING.Process(target=_run, args=(*state, writers), daemon=True)
            with _as_what_forks():
                forkserver.ensure_running()
            self._process.start()
        for writer in writers:
            writer.close()
        self.stdout, self.stderr = (open(os.dup(reader.fileno())) for reader in readers)  # noqa: SIM115
        for reader in readers:
            reader.close()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the number of the signal that ended it with a minus; None while it runs."""
        with _ASKING:
            return self._process.exitcode

    def poll(self) -> int | None:
        """Returns `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns `returncode` once there is one.

        Raises:
            subprocess.TimeoutExpired: If it has not ended after so many seconds.
        """
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Returns what it has said, once it has ended: on standard output, and on standard error.

        Raises:
            subprocess.TimeoutExpired: If it has not ended after so many seconds.
        """
        said = ["", ""]

        def read(index: int) -> None:
            said[index] = (self.stdout, self.stderr)[index].read()

        threads = [threading.Thread(target=read, args=(index,), daemon=True) for index in range(2)]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "ForkedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self.stdout.close()
        self.stderr.close()


def run_forked(*words: object, timeout: float = 120, **keywords: object) -> subprocess.CompletedProcess:
    """Runs a `ForkedProcess` to its end, within so many seconds; returns what `subprocess.run` does."""
    with ForkedProcess(*words, **keywords) as process:
        try:
            said = process.communicate(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def _run(
    words: list[str],
    environment: dict[str, str],
    folder: str,
    writers: tuple[connection.Connection, connection.Connection],
) -> None:
    os.environ.clear()
    os.environ |= environment
    os.chdir(folder)
    for number, writer in enumerate(writers, start=1):
        os.dup2(writer.fileno(), number)
        writer.close()
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    threading_of_tensorflow = sys.modules["tensorflow"].config.threading
    threading_of_tensorflow.set_inter_op_parallelism_threads(0)  # To be decided anew, by this environment.
    threading_of_tensorflow.set_intra_op_parallelism_threads(0)
    how, what, *arguments = words
    sys.argv = [how, *arguments]
    if how == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[0] = f"{what.replace('.', '/')}.py"
        raise SystemExit(import_module(what).main())


if _IS_WHAT_FORKS in os.environ:
    from clothinggan import environment as _environment

    _environment.import_tensorflow()
    import_module("clothinggan.evaluate")
    import_module("clothinggan.training")
