"""Cuts runs off, and has another number of threads and other instructions go on with them.

    python scripts/robustness/other_processors.py --runs 100 --seed 0 --results other_processors.json

One processor stands for several: TF_NUM_INTRAOP_THREADS says how many threads an operation has, and
ONEDNN_MAX_CPU_ISA up to which instructions oneDNN may go, as on older processors. Both are read when the
first thing is computed, so the processes are forked from one that has imported TensorFlow. A run on a few
drawn garments is ended at a random moment after its first save, with SIGKILL or SIGTERM; `resume`, told of
other settings, must name both differences, and train to the end.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
from checkout import CHECKOUT
from forked_commands import ForkedProcess
from kept_results import Results

from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.data.sample import make_split
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS

EPOCHS = 3
GARMENTS = 8
THREADS = (1, 2, 3, 4)
INSTRUCTIONS = ("SSE41", "AVX", "AVX2", "AVX512_CORE")
MOMENT_SECONDS = 2.0  # after the first save, at the most: about the rest of the run
PROCESS_SECONDS = 300.0


def try_run(number: int, seed: int, folder: Path) -> dict[str, object]:
    """Cuts one run off and goes on with it; returns what it was, and under "flaw" what was wrong with it."""
    chance = random.Random(f"{seed} processor {number}")
    garments, labels = make_split("train")
    np.savez(folder / "garments.npz", x_train=garments[:GARMENTS], y_train=labels[:GARMENTS])
    model = chance.choice(list(PRESETS))
    threads, instructions = chance.sample(THREADS, 2), chance.sample(INSTRUCTIONS, 2)
    ending = chance.choice([signal.SIGKILL, signal.SIGTERM])
    options = ["--model", model, "--data", folder / "garments.npz", "--batch-size", 2, "--epochs", EPOCHS]
    found = {"model": model, "threads": threads, "instructions": instructions, "signal": ending.name}

    first = _start(["train", *options, "--out", folder / "run"], threads[0], instructions[0])
    deadline = time.monotonic() + PROCESS_SECONDS
    while first.poll() is None and not any((folder / "run").glob("[!.]*.h5")) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        first.wait(chance.uniform(0, MOMENT_SECONDS))
    except subprocess.TimeoutExpired:
        first.send_signal(ending)
    _, said = first.communicate()
    if first.returncode not in (0, -signal.SIGKILL, 128 + signal.SIGTERM):
        return {**found, "flaw": f"train ended with {first.returncode}: {said}"}
    latest = folder / "run" / f"{model}GANlatest.h5"
    try:
        reached = read_checkpoint(latest).record.epoch
        found["cut off"] = reached < EPOCHS
        # A run that has come to its end can go on beyond it.
        last = EPOCHS if found["cut off"] else EPOCHS + 1
        options = ["--out", folder / "run", "--epochs", last]
        second = _start(["resume", *options], threads[1], instructions[1])
        _, said = second.communicate()
        reached = read_checkpoint(latest).record.epoch
    except ClothingGANError as error:
        return {**found, "flaw": str(error)}
    differences = (
        f"threads {threads[0]} is now {threads[1]}",
        f"onednn on up to {instructions[0]} is now on up to {instructions[1]}",
    )
    unsaid = [difference for difference in differences if difference not in said]
    if second.returncode or unsaid or reached < last:
        return {**found, "flaw": f"resume ended with {second.returncode} at epoch {reached}: {said}"}
    return found


def _start(arguments: list[object], threads: int, instructions: str) -> ForkedProcess:
    settings = {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_ENABLE_ONEDNN_OPTS": "1",  # Without oneDNN its instructions are nobody's.
        "ONEDNN_MAX_CPU_ISA": instructions,
    }
    command, *options = arguments
    return ForkedProcess(
        "-m", f"clothinggan.{command}", *options, cwd=CHECKOUT, env={**os.environ, **settings}
    )


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, help="how many runs (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="decides all of them (default: 0)")
    parser.add_argument("--results", type=Path, help="a JSON file to keep the results in, and to go on from")
    arguments = parser.parse_args()
    results = Results(arguments.results)
    names = [f"seed {arguments.seed}, run {number}" for number in range(arguments.runs)]
    for number, name in enumerate(names):
        if name not in results:
            with tempfile.TemporaryDirectory(prefix="clothinggan-processors-") as folder:
                results.put(name, try_run(number, arguments.seed, Path(folder)))
        if "flaw" in results.found[name]:
            print(f"{name}: {results.found[name]}", file=sys.stderr, flush=True)
    found = [results.found[name] for name in names]
    flaws = sum("flaw" in run for run in found)
    cut_off = sum(run.get("cut off", False) for run in found)
    print(
        f"{len(found)} runs, of which {cut_off} were cut off before their end, went on with other threads "
        f"and instructions; {flaws} did not, or did not say so"
    )
    return int(flaws > 0)


if __name__ == "__main__":
    raise SystemExit(main())
