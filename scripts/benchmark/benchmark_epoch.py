"""Measures what a run takes beside its steps: the loop around them, the stream of images, an epoch's report.

    python scripts/benchmark/benchmark_epoch.py --model swift --rounds 5

A run trains on noise, by `clothinggan.fit`. Within each epoch the time in the compiled step, which takes its
images from the stream, is told from the time around it; after each epoch as many steps are computed from
images that lie ready. The first epoch, in which the step is traced, is not counted.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmark import describe_machine, milliseconds
from tables import markdown_table
from workload import random_images, random_labels

import clothinggan
from clothinggan.cli.options import integer
from clothinggan.presets import PRESETS

STEPS = 100  # an epoch


def measure(model: str, steps: int, rounds: int) -> dict[str, list[float]]:
    """Trains; returns for each epoch the seconds of a step in parts, and those of the report."""
    from clothinggan.environment import import_tensorflow

    import_tensorflow()
    import keras
    import tensorflow as tf

    batch_size = PRESETS[model].batch_size
    images, labels = random_images(batch_size * steps), random_labels(batch_size * steps)
    ready = tf.constant(images[:batch_size]), tf.constant(labels[:batch_size])
    found: dict[str, list[float]] = {name: [] for name in ("alone", "inside", "around", "report")}

    class Clock(keras.callbacks.Callback):
        """Tells the time in the step from that around it."""

        def on_train_begin(self, logs: object = None) -> None:
            step = self.model.train_function

            def timed(stream: object) -> object:
                began = time.perf_counter()
                told = step(stream)
                self.inside += time.perf_counter() - began
                return told

            self.model.train_function = timed
            self.step = tf.function(self.model.train_step, autograph=False)

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.began = self.last = time.perf_counter()
            self.inside = 0.0

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.last = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            report = time.perf_counter() - self.last
            in_turns = time.perf_counter()
            for _ in range(steps):
                self.step(ready)
            alone = time.perf_counter() - in_turns
            if epoch > 0:  # In the first both steps are traced.
                found["alone"].append(alone / steps)
                found["inside"].append(self.inside / steps)
                found["around"].append((self.last - self.began - self.inside) / steps)
                found["report"].append(report)

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "noise.npz")
        np.savez(data, x_train=images, y_train=labels)
        with contextlib.redirect_stdout(io.StringIO()):
            clothinggan.fit(model, data=data, epochs=rounds + 1, out=Path(folder, "run"), callbacks=[Clock()])
    return found


def report(model: str, found: dict[str, list[float]]) -> str:
    """What was measured, as Markdown: medians, and shares of a whole step."""
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    whole = medians["inside"] + medians["around"]
    rows = [
        ["a step whose images lie ready", medians["alone"]],
        ["a step of a run, with the stream", medians["inside"]],
        ["around it: `fit`, callbacks, the reading of losses", medians["around"]],
    ]
    table = markdown_table(
        [f"`{model}`", "ms", "of the time a step"],
        [[title, milliseconds(seconds), f"{seconds / whole:.1%}"] for title, seconds in rows],
    )
    return f"{table}\n\nThe report at an epoch's end takes {medians['report']:.2f} s."


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(PRESETS), default="swift")
    parser.add_argument(
        "--steps", type=integer(1, 100_000), default=STEPS, help=f"an epoch (default: {STEPS})"
    )
    parser.add_argument("--rounds", type=integer(1, 1_000), default=5, help="epochs that count (default: 5)")
    arguments = parser.parse_args(argv)
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['threads']} threads\n")
    print(report(arguments.model, measure(arguments.model, arguments.steps, arguments.rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
