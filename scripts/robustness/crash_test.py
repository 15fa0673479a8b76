"""Kills training runs at random moments, and shows that nothing of them is lost.

    python scripts/robustness/crash_test.py --kills 1000 --seed 0 --results kills.json
    python scripts/robustness/crash_test.py --kills 200 --precision bfloat16 --results kills.json

The designs take turns, `KILLS_OF_A_TURN` kills each; what a turn has found is kept, and a script that was
cut off goes on with the next. A run trains on a few drawn garments and writes its files after every epoch.
Processes of `train`, and then of `resume`, are ended with SIGKILL: most of them a random moment after a
hidden temporary file has appeared, which is often inside a save; the others at any moment after the start.
They are forked from one that has imported TensorFlow: before a process has done that, there is nothing
that it could lose. After each kill, every file that stands under its own name must open. The next process
goes on, until the run is complete; then its last checkpoint must equal, bit for bit, that of a run that was
never cut off, and so must its history but for the seconds. Whether a kill fell inside a save is seen
afterwards: a new temporary file is left over.
"""

import argparse
import csv
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import CHECKOUT
from compare_files import CLOCKS, differences
from forked_commands import ForkedProcess
from kept_results import Results

from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.record import PRECISIONS
from clothinggan.data.sample import make_split
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS

KILLS_OF_A_TURN = 20
LAST_EPOCH = 12
GARMENTS = 4
TRAIN = ["--epochs", str(LAST_EPOCH), "--batch-size", "2", "--save-every", "1", "--previews", "0"]
SAVES_AIMED_AT = 8  # A process is let live for one to this many temporary files: about two epochs.
SHARE_INSIDE_SAVES = 0.75  # of the kills are aimed there; not all of them hit.
SAVE_SECONDS = 0.04  # about how long a temporary file stays
PROCESS_SECONDS = 5.0  # about how long a process takes to start and to complete an epoch


class Lost(Exception):
    """Says what a killed run has lost."""


@dataclass
class Tally:
    """What has been done and seen."""

    kills: int = 0
    inside: Counter = field(default_factory=Counter)  # by the ending of the file that was being written
    completed: int = 0
    files_opened: int = 0


class Lane:
    """One run after another, killed again and again, until there have been enough kills."""

    def __init__(self, folder: Path, options: list[str], reference: Path, kills: int, seed: int):
        self.folder = folder
        self.options = options
        self.reference = reference
        self.last_file = _last_file(reference).name
        self.kills = kills
        self.random = random.Random(seed)
        self.tally = Tally()
        self._opened: dict[str, tuple[int, int]] = {}

    def execute(self) -> Tally:
        """Kills as often as asked, completes the last run, and returns what happened."""
        while self.tally.kills < self.kills:
            self._one_run(self.folder / f"run{self.tally.completed}")
            self.tally.completed += 1
        return self.tally

    def _one_run(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._opened = {}
        complete = False
        while not complete:
            # Of an earlier kill, if this process is killed before it has cleared up.
            earlier = _temporary_files(folder)
            process = start(folder, self.options)
            if self.tally.kills < self.kills:
                self._await_moment(process, folder)
                process.kill()
            _, said = process.communicate()
            left_over = _temporary_files(folder)
            if process.returncode == -signal.SIGKILL:
                self.tally.kills += 1
                self.tally.inside.update({name.suffix for name in left_over - earlier})
            elif process.returncode or left_over:
                raise Lost(f"{folder}: status {process.returncode}, leaving {left_over}: {said.strip()}")
            self._open_all(folder)
            # A process that is killed after the last save has nothing left to do.
            complete = (folder / self.last_file).exists()
            print(f"{folder.name} of {folder.parent.name}: {self.tally}", file=sys.stderr)
        self._compare(folder)

    def _await_moment(self, process: ForkedProcess, folder: Path) -> None:
        """Returns at the moment to kill, or when the process has ended by itself."""
        if self.random.random() >= SHARE_INSIDE_SAVES:
            _wait(process, self.random.uniform(0, 1.5 * PROCESS_SECONDS))
            return
        left_over = _temporary_files(folder)
        seen: set[Path] = set()
        wanted = self.random.randint(1, SAVES_AIMED_AT)
        while process.poll() is None and len(seen) < wanted:
            seen |= _temporary_files(folder) - left_over
            time.sleep(0.001)
        _wait(process, self.random.uniform(0, SAVE_SECONDS))

    def _open_all(self, folder: Path) -> None:
        """Opens every file under its own name that is not the one that was opened before."""
        for path in sorted(folder.iterdir()):
            status = path.stat()
            identity = (status.st_ino, status.st_mtime_ns)
            if path.name.startswith(".") or self._opened.get(path.name) == identity:
                continue
            try:
                open_file(path)
            except (ClothingGANError, ValueError, OSError, KeyError, SyntaxError) as error:
                raise Lost(f"{path} does not open: {error}") from error
            self._opened[path.name] = identity
            self.tally.files_opened += 1

    def _compare(self, folder: Path) -> None:
        differing = differences(folder / self.last_file, self.reference / self.last_file)
        if differing:
            raise Lost(
                f"{folder / self.last_file} differs from the run never cut off: {', '.join(differing)}"
            )
        if _rows(folder) != _rows(self.reference):
            raise Lost(f"{folder / 'history.csv'} differs from that of the run never cut off")


def _last_file(folder: Path) -> Path:
    (found,) = folder.glob(f"*epoch{LAST_EPOCH}.h5")
    return found


def start(folder: Path, options: list[str]) -> ForkedProcess:
    """Starts a process that trains in a folder: from where it stands, or with options from the start."""
    # What a kill within the first save has left is hidden, and nothing to go on from.
    command = ["resume"] if any(folder.glob("[!.]*.h5")) else ["train", *TRAIN, *options]
    return ForkedProcess("-m", f"clothinggan.{command[0]}", *command[1:], "--out", folder, cwd=CHECKOUT)


def open_file(path: Path) -> None:
    """Opens a file that a run writes, whole; raises what its format's reader does if it is not sound."""
    if path.suffix == ".h5":
        record = read_checkpoint(path).record
        if len(record.history) != record.epoch:
            raise ValueError(f"{record.epoch} epochs, a history of {len(record.history)}")
    elif path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".csv":
        epochs = [int(row["epoch"]) for row in _rows(path.parent)]
        if epochs != list(range(1, len(epochs) + 1)):
            raise ValueError(f"its epochs are {epochs}")
    else:
        raise ValueError("it is no file that a run writes")


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="") as file:
        return [
            {key: row[key] for key in row if key not in CLOCKS} for row in csv.DictReader(file, strict=True)
        ]


def _temporary_files(folder: Path) -> set[Path]:
    return {Path(name) for name in os.listdir(folder) if name.startswith(".") and not name.endswith("-probe")}


def _wait(process: ForkedProcess, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def crash_test(
    kills: int, seed: int, jobs: int, folder: Path, model: str = "clothing", precision: str = "float32"
) -> Tally:
    """Kills `kills` processes, `jobs` at a time, working in a folder; returns what happened.

    Raises:
        Lost: If anything was.
    """
    # A process reads a few garments sooner than it draws all of the sample.
    data = folder / "garments.npz"
    garments, labels = make_split("train")
    np.savez(data, x_train=garments[:GARMENTS], y_train=labels[:GARMENTS])
    options = ["--data", str(data), "--model", model, "--precision", precision]
    reference = folder / "never_cut_off"
    reference.mkdir()
    process = start(reference, options)
    _, said = process.communicate()
    if process.returncode:
        raise Lost(f"the run that is not cut off fails: {said.strip()}")
    shares = [kills // jobs + (lane < kills % jobs) for lane in range(jobs)]
    lanes = [
        Lane(folder / f"lane{number}", options, reference, share, seed * 1000 + number)
        for number, share in enumerate(shares)
    ]
    with ThreadPoolExecutor(jobs) as threads:
        tallies = list(threads.map(Lane.execute, lanes))
    return _total(tallies)


def _total(tallies: Sequence[Tally]) -> Tally:
    return Tally(
        kills=sum(tally.kills for tally in tallies),
        inside=sum((Counter(tally.inside) for tally in tallies), Counter()),
        completed=sum(tally.completed for tally in tallies),
        files_opened=sum(tally.files_opened for tally in tallies),
    )


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--model", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--results", type=Path, help="a JSON file to keep the results in, and to go on from")
    arguments = parser.parse_args()
    results = Results(arguments.results)
    tallies: dict[str, list[Tally]] = {}
    lost = 0
    for turn in range(math.ceil(arguments.kills / KILLS_OF_A_TURN)):
        model = arguments.model[turn % len(arguments.model)]
        kills = min(KILLS_OF_A_TURN, arguments.kills - turn * KILLS_OF_A_TURN)
        name = f"{model}, {arguments.precision}, seed {arguments.seed}, turn {turn}, {kills} kills"
        if name not in results:
            results.put(name, _take_turn(model, kills, arguments.seed * 10_000 + turn, arguments))
        found = results.found[name]
        if "lost" in found:
            lost += 1
            print(f"LOST: {name}: {found['lost']}")
        else:
            tallies.setdefault(model, []).append(Tally(**found))
    for model, found in tallies.items():
        print(f"{model}, {arguments.precision}: {_described(_total(found))}")
    print(f"in all: {_described(_total(list(chain(*tallies.values()))))}; {lost} turns lost something")
    return int(lost > 0)


def _take_turn(model: str, kills: int, seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="clothinggan-crash-") as folder:
        try:
            tally = crash_test(kills, seed, arguments.jobs, Path(folder), model, arguments.precision)
        except Lost as lost:
            return {"lost": str(lost)}
        return {**vars(tally), "inside": dict(tally.inside)}


def _described(tally: Tally) -> str:
    inside = ", ".join(f"{count} in {ending[1:]}" for ending, count in sorted(tally.inside.items()))
    return (
        f"{tally.kills} kills, {tally.inside.total()} of them inside a save ({inside}); "
        f"{tally.files_opened} files opened; {tally.completed} runs went on to the end and equal the one "
        "never cut off, bit for bit"
    )


if __name__ == "__main__":
    raise SystemExit(main())
