"""Has every call of a run to its folder fail in turn, and shows that what is then said is true.

    python scripts/robustness/failing_writes.py --results failing_writes.json

A run of two steps an epoch begins, goes on, or is stopped by a signal in mid-epoch, and the first, the
second, the third … call that it makes to its folder (open, write, fsync, close, rename, unlink, …) answers
ENOSPC, EIO or EDQUOT: see `faulty_calls.c`, which takes gcc and Linux. After each:

- the run has done its work and ended with status 0 (or the signal's), or has said one line and ended with 1;
- every checkpoint that stands under its name opens, and of what was there before none is gone;
- the file that the line names is there, whole, and the furthest; where it says that nothing is saved, nothing
  is.

The networks are built once for each design, so their weights are not those of the record: it is the files
that are looked at. They are parsed in this process, which is sooner. Results are kept for each design, kind
of run and error; a script that was cut off goes on.
"""

import argparse
import contextlib
import copy
import ctypes
import dataclasses
import errno
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
import faulty
import h5py
import numpy as np
from kept_results import Results

from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.run_folder import find_checkpoints, open_run_folder
from clothinggan.data.sample import make_split
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS

KINDS = ("begun", "resumed", "stopped")
ERRORS = ("ENOSPC", "EIO", "EDQUOT")
GARMENTS = 4
OPTIONS = ["--epochs", "1", "--batch-size", "2", "--save-every", "1", "--keep", "1", "--previews", "1"]
_LIBRARY = "FAULTY_CALLS"


class Untrue(Exception):
    """Says what is not as it was said, or what is lost."""


def parse(image: bytes, _: Path) -> hdf5.Contents:
    """Does what `hdf5.parse` does, of files that are known to be ours."""
    with h5py.File(io.BytesIO(image)) as file:
        return hdf5.Contents(*hdf5._collect(file))


class Trial:
    """One design's networks, and the folders that its runs start from."""

    def __init__(self, design: str, folder: Path):
        from clothinggan import train

        hdf5.parse = parse
        garments, labels = make_split("train")
        np.savez(folder / "garments.npz", x_train=garments[:GARMENTS], y_train=labels[:GARMENTS])
        self.begun = folder / "begun"
        self.folder = folder / "run"
        options = ["--model", design, "--data", str(folder / "garments.npz"), "--out", str(self.begun)]
        with contextlib.redirect_stdout(io.StringIO()):
            self.run = train.begin(train.parse([*options, *OPTIONS]))
        self.prefix = self.run.gan.preset.file_prefix
        self.library = ctypes.CDLL(os.environ[_LIBRARY])
        self.library.faulty_failed.restype = ctypes.c_char_p

    def try_call(self, kind: str, number: int, error: int) -> tuple[int, str, str]:
        """Has one call fail; returns how many there were, which one failed, and what came of it.

        Raises:
            Untrue: If something is lost, or is not as it is said to be.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        record = copy.deepcopy(self.run.record)
        start = None
        if kind == "begun":
            record = dataclasses.replace(record, epoch=0, step=0, history=[], numbered=[])
            self.folder.mkdir()
        else:
            shutil.copytree(self.begun, self.folder)
            start = self.folder / f"{self.prefix}epoch1.h5"
            record.epochs = 2
        before = {path.name: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        said, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaints):
            self.library.faulty_arm(os.fsencode(self.folder), number, error)
            try:
                status = self._execute(kind, record, start)
            finally:
                calls = self.library.faulty_calls()
                failed = self.library.faulty_failed().decode().replace(str(self.folder), "")
                self.library.faulty_arm(b"", 0, 0)
        lines = [
            line for line in complaints.getvalue().splitlines() if line.startswith("clothinggan: error: ")
        ]
        outcome = {0: "done", 1: "refused"}.get(status, "stopped")
        try:
            self._check_status(kind, status, lines, complaints.getvalue())
            self._check_files(before, kind, status)
            self._check_sentence([*lines, *said.getvalue().splitlines()], before, record)
        except (Untrue, ClothingGANError, OSError) as flaw:
            raise Untrue(f"{flaw}; status {status}, {lines}; there is {os.listdir(self.folder)}") from flaw
        return calls, failed, outcome

    def _execute(self, kind: str, record: object, start: Path | None) -> int:
        from keras.callbacks import Callback

        from clothinggan.cli import options
        from clothinggan.run import Run

        class Stop(Callback):
            def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
                if batch == 0:
                    signal.raise_signal(signal.SIGTERM)

        def go() -> int:
            with open_run_folder(self.folder, self.prefix, record if start else None, start) as folder:
                run = Run(self.run.gan, record, self.run.dataset, folder, self.run.workers)
                run.execute(callbacks=[Stop()] if kind == "stopped" else [])
                return run.exit_status

        return options.reporting_errors(go)

    def _check_status(self, kind: str, status: int, lines: list[str], complaints: str) -> None:
        well = 128 + signal.SIGTERM if kind == "stopped" else 0
        if status not in (well, 1) or len(lines) != (status == 1) or "Traceback" in complaints:
            raise Untrue(f"status {status}, and it says {complaints!r}")

    def _check_files(self, before: dict[str, bytes], kind: str, status: int) -> None:
        whole = {path.name: read_checkpoint(path).record for path in self.folder.glob("*.h5")}
        if any(record is None for record in whole.values()):
            raise Untrue("a checkpoint has lost its record")
        furthest = max((record.epoch for record in whole.values()), default=0)
        for name in before:
            deleted = name == f"{self.prefix}epoch1.h5" and f"{self.prefix}epoch2.h5" in whole
            if name not in os.listdir(self.folder) and name.endswith(".h5") and not deleted:
                raise Untrue(f"{name} is gone")
        if status == 0 and furthest != (1 if kind == "begun" else 2):
            raise Untrue(f"it is done, and the furthest file is of epoch {furthest}")

    def _check_sentence(self, lines: list[str], before: dict[str, bytes], record: object) -> None:
        found = find_checkpoints(self.folder, self.prefix)
        position = (found[-1].read().record.epoch, found[-1].read().record.step_in_epoch) if found else None
        text = "\n".join(lines)
        if named := re.search(r"go on from (\S+) with|the run's last epoch is in (\S+?)(;|$)", text, re.M):
            path = Path(named[1] or named[2])
            there = read_checkpoint(path).record
            if (there.epoch, there.step_in_epoch) != position:
                raise Untrue(f"{path.name} is not the furthest, which is at {position}")
            if named[2] and there.epoch != record.epochs:
                raise Untrue(f"{path.name} is not of the last epoch")
        elif "nothing of this run is saved yet" in text:
            if found:
                raise Untrue(f"{found[-1].path.name} is saved")
        elif gone := re.search(r"the last file of this run, (\S+), is gone", text):
            if Path(gone[1]).exists():
                raise Untrue(f"{gone[1]} is there")
        elif any(line.startswith("clothinggan: error: ") for line in lines) and "saved" not in text:
            # It was refused before the training: all is as it was.
            after = {path.name: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
            if {name: after.get(name) for name in before} != before:
                raise Untrue("it was refused, and a file has changed")
        if (saved := re.search(r"epoch (\d+) is saved", text)) and (
            not position or position[0] < int(saved[1])
        ):
            raise Untrue(f"epoch {saved[1]} is not saved")


def try_all(trial: Trial, kind: str, error: str, every: int = 1) -> dict[str, object]:
    """Has each call fail, or one in so many; returns what came of it: counts, and what was untrue."""
    outcomes: Counter = Counter()
    flaws: list[str] = []
    calls, _, _ = trial.try_call(kind, 0, 0)
    tried = range(1, calls + 1, every)
    for number in tried:
        try:
            _, failed, outcome = trial.try_call(kind, number, getattr(errno, error))
            outcomes[f"{failed.split()[0] if failed else 'none'}: {outcome}"] += 1
        except Untrue as untrue:
            flaws.append(f"call {number}: {untrue}")
            print(f"{kind}, {error}, {flaws[-1]}", file=sys.stderr, flush=True)
    return {"calls": calls, "failed": len(tried), "outcomes": dict(sorted(outcomes.items())), "flaws": flaws}


def _preloaded(go_on: Callable[[], int]) -> int:
    """Runs with the library in the process: in this one where it is there already, else in a new one."""
    if _LIBRARY in os.environ:
        return go_on()
    if not faulty.is_possible():
        raise SystemExit("failing_writes.py makes a file system fail with gcc, on Linux")
    with tempfile.TemporaryDirectory(prefix="clothinggan-faulty-") as folder:
        library = str(faulty.build(Path(folder)))
        environment = {**os.environ, "LD_PRELOAD": library, _LIBRARY: library}
        return os.spawnve(os.P_WAIT, sys.executable, [sys.executable, *sys.argv], environment)


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--error", nargs="+", choices=ERRORS, default=ERRORS)
    parser.add_argument("--every", type=int, default=1, help="only one call in so many (default: 1)")
    parser.add_argument("--results", type=Path, help="a JSON file to keep the results in, and to go on from")
    arguments = parser.parse_args()
    return _preloaded(lambda: _try_designs(arguments))


def _try_designs(arguments: argparse.Namespace) -> int:
    results = Results(arguments.results)
    for design in arguments.model:
        names = {
            f"{design}, {kind}, {error}": (kind, error)
            for kind in arguments.kind
            for error in arguments.error
        }
        if all(name in results for name in names):
            continue
        with tempfile.TemporaryDirectory(prefix="clothinggan-failing-") as folder:
            trial = Trial(design, Path(folder))
            for name, (kind, error) in names.items():
                if name not in results:
                    began = time.monotonic()
                    found = try_all(trial, kind, error, arguments.every)
                    results.put(name, {**found, "seconds": round(time.monotonic() - began)})
    flaws = sum(len(found["flaws"]) for found in results.found.values())
    failed = sum(found["failed"] for found in results.found.values())
    outcomes = sum((Counter(found["outcomes"]) for found in results.found.values()), Counter())
    for outcome, count in sorted(outcomes.items()):
        print(f"  {count:6,} {outcome}")
    print(f"{failed:,} calls failed in turn; {flaws} lost something or were told of untruly")
    return int(flaws > 0)


if __name__ == "__main__":
    raise SystemExit(main())
