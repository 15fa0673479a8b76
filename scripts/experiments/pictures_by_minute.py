"""Draws what designs have learned after the same minutes of training, and what their examples draw.

    python scripts/experiments/pictures_by_minute.py --data fashion_mnist --minutes 1 5

Each design trains by `train` and `resume` alone, in runs/minutes/. A run is stopped (SIGTERM) at each of the
minutes, its latest file is set aside, drawn and measured, and `resume` goes on. The seconds are those that
the run counts itself: from the first step, with its reports. Run it again after a cut-off: it goes on.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import CHECKOUT
from make_weights import EXAMPLES
from matplotlib.figure import Figure

from clothinggan import environment, files
from clothinggan.checkpoint.file import (
    Checkpoint,
    file_name,
    read_checkpoint,
)
from clothinggan.cli import options
from clothinggan.data import sources
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation.evaluator import Evaluator
from clothinggan.figures import draw_tiles, save_png
from clothinggan.presets import Preset
from clothinggan.signals import unwinding
from clothinggan.titles import trained_seconds

PICTURE = CHECKOUT / "weights" / "pictures" / "minutes.png"
IMAGES = 25
LONGEST_STEP = 15  # seconds
TERMINATED = 128 + signal.SIGTERM


def minutes_of_training(text: str) -> float:
    """A type for options: a number of minutes that a run can be stopped at."""
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise ValueError
    return minutes


def train_until(preset: Preset, dataset: Dataset, folder: Path, minutes: float) -> Checkpoint:
    """Trains a design for so many minutes in all; returns the file that the run is stopped at.

    Raises:
        ClothingGANError: If the folder has another run, or the run there is further on.
    """
    stopped_at = folder / f"after{minutes:g}minutes.h5"
    if stopped_at.exists():
        return read(stopped_at, dataset)
    seconds = 60 * minutes
    latest = folder / file_name(preset.file_prefix, None)
    trained = trained_seconds(read(latest, dataset).record) if latest.exists() else 0.0
    # A run stops at the end of a step, which may be a moment early or late.
    if trained > seconds + LONGEST_STEP:
        raise ClothingGANError(
            f"{latest} has trained for {trained / 60:.1f} minutes already; name another folder with --runs"
        )
    if trained < seconds - 1:
        command = "resume" if latest.exists() else "train"
        train(command, preset, dataset.source, folder, seconds - trained)
    files.copy(latest, stopped_at)
    return read(stopped_at, dataset)


def read(path: Path, dataset: Dataset) -> Checkpoint:
    """Reads a file of a run on these images."""
    file = read_checkpoint(path)
    if not dataset.was_trained_on(file.record):
        raise ClothingGANError(
            f"{path} was trained on other images than {dataset.source}; name another folder with --runs"
        )
    return file


def train(command: str, preset: Preset, source: str, folder: Path, seconds: float) -> None:
    """Has `train` or `resume` work for so many seconds."""
    arguments = ["--model", preset.name, "--data", source, "--epochs", "10000", "--out", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", f"clothinggan.{command}", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            print(line, end="")
            if line.startswith("training:"):
                break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
    finally:  # At a signal to this process too.
        process.terminate()
        process.communicate()
    if process.returncode != TERMINATED:
        raise ClothingGANError(f"training ended with status {process.returncode}")


def main() -> int:
    """Trains, measures and draws; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=sources.default_source(), help="as for train")
    parser.add_argument("--minutes", type=minutes_of_training, nargs="+", default=[1, 5])
    parser.add_argument("--models", choices=list(EXAMPLES), nargs="+", default=["swift", "clothing"])
    parser.add_argument("--runs", type=Path, default=Path("runs/minutes"), help="where the runs' files are")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="what to write (default: %(default)s)")
    arguments = parser.parse_args()
    files.prepare_file(arguments.picture, "--picture")
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import draw_images, restore_generator

    dataset = sources.load(arguments.data)
    judge = Evaluator(dataset)
    columns, rows = len(arguments.minutes) + 1, len(arguments.models)
    figure = Figure(figsize=(3 * columns, 3.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for model, row in zip(arguments.models, grid, strict=True):
        example, folder = EXAMPLES[model], arguments.runs / model
        found = [
            train_until(example.preset, dataset, folder, minutes) for minutes in sorted(arguments.minutes)
        ]
        for file, axes in zip([*found, read_checkpoint(example.weights)], row, strict=True):
            images, _ = draw_images(file, restore_generator(file), judge.count, seed=0)
            fcd = judge.brief_scores(images)["fcd"]
            print(f"{file.title}: FCD {fcd:.2f}, step {file.record.step}", flush=True)
            draw_tiles(axes, images[:IMAGES], file.class_names)
            axes.set_title(f"{file.title}\nFCD {fcd:.2f}", fontsize=9)
    save_png(figure, arguments.picture)
    print(arguments.picture)
    return 0


if __name__ == "__main__":
    with unwinding():
        sys.exit(options.reporting_errors(main))
