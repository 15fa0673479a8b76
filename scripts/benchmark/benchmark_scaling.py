"""Measures what a second worker brings: two processes of one thread each against one, on this machine.

    python scripts/benchmark/benchmark_scaling.py --rounds 3

One and two take turns. Each trains two epochs of noise by `train`; the second is timed, with
the reports of one. What passes between the two is counted at the loopback interface, where Linux does.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark import NotMeasured, Result, describe_machine, environment, ours, say, summarise
from tables import markdown_table
from workload import random_images

from clothinggan.cli.options import integer
from clothinggan.presets import PRESETS

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")
LONGEST = 1800  # seconds for a training


def second_epoch(count: int, model: str, steps: int, data: Path) -> tuple[float, int | None]:
    """Trains with so many workers; returns the second epoch's seconds, and the bytes sent meanwhile."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        options = ["--model", model, "--data", data, "--epochs", 2, "--out", folder]
        processes = []
        for index, core in zip(range(count), sorted(os.sched_getaffinity(0)), strict=False):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *ours("train", *options)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**environment(), "TF_CONFIG": json.dumps(config)},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        history = folder / "history.csv"
        deadline = time.monotonic() + LONGEST
        while processes[0].poll() is None and not history.exists():
            if time.monotonic() > deadline:
                raise NotMeasured(f"no epoch of {steps} steps in {LONGEST} s")
            time.sleep(0.01)
        before = bytes_sent()
        complaints = [process.communicate()[1] for process in processes]
        if any(process.returncode for process in processes):
            raise NotMeasured(" ".join(complaints).strip())
        with history.open(newline="") as rows:
            seconds = float(list(csv.DictReader(rows))[1]["seconds"])
        return seconds, None if before is None else bytes_sent() - before


def bytes_sent() -> int | None:
    """What has been sent over the loopback interface since the machine started."""
    return int(LOOPBACK.read_text()) if LOOPBACK.exists() else None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, below those that a system hands out: nobody is given them meanwhile."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(10_000, 32_000), 1_000):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and reports; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(PRESETS), default=["clothing", "swift"])
    parser.add_argument("--steps", type=integer(1), default=24, help="in an epoch (default: 24)")
    parser.add_argument("--rounds", type=integer(1), default=3, help="turns of each (default: 3)")
    arguments = parser.parse_args(argv)
    machine = describe_machine()
    if machine["threads"] < 2:
        say("benchmark: error: two workers need two processors")
        return 1
    if not shutil.which("taskset"):
        say("benchmark: error: there is no taskset, which gives each worker a processor of its own on Linux")
        return 1
    rows = []
    for model in arguments.models:
        preset = PRESETS[model]
        found: dict[int, Result] = {count: {"seconds": [], "bytes": []} for count in (1, 2)}
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "noise.npz")
            save_noise(data, arguments.steps * preset.batch_size)
            for each in range(arguments.rounds):
                for count, result in found.items():
                    try:
                        seconds, sent = second_epoch(count, model, arguments.steps, data)
                    except NotMeasured as reason:
                        say(f"benchmark: error: {reason}")
                        return 1
                    result["seconds"].append(seconds / arguments.steps)
                    result["bytes"].append(sent)
                    say(f"round {each + 1} of {arguments.rounds}, {model}, {count}: {seconds:.1f} s")
        for count, result in found.items():
            summarise(result)
            sent = result["bytes"][-1]
            rows.append(
                [
                    f"{model}, {count} of one thread",
                    f"{1000 * result['median']:,.0f}",
                    f"{1000 * result['fastest']:,.0f} to {1000 * result['slowest']:,.0f}",
                    f"{found[1]['median'] / result['median']:.2f} x" if count > 1 else "1",
                    f"{sent / count / arguments.steps / 1e6:.1f}" if count > 1 and sent is not None else "",
                ]
            )
    print(f"Machine: {machine['processor']}, {machine['threads']} threads, {machine['system']}\n")
    print(
        markdown_table(
            ["workers", "ms a step", "fastest to slowest", "throughput", "MB sent a step by each"], rows
        )
    )
    return 0


def save_noise(path: Path, count: int) -> None:
    """Writes images of noise, with labels."""
    import numpy as np

    labels = np.arange(count) % 10
    np.savez(path, x_train=random_images(count), y_train=labels.astype(np.uint8))


if __name__ == "__main__":
    sys.exit(main())
