#!/usr/bin/env python3
"""Makes example weights again, from the data to the tables; run it again after any cut-off.

    python scripts/experiments/make_weights.py --model clothing --data fashion_mnist
    python scripts/experiments/make_weights.py --model swift --data fashion_mnist

trains the design for its example's epochs in runs/ (`clothing` seven to twenty-one hours on two threads,
`swift` one; after Ctrl-C or a crash the next call goes on), then measures the files of several epochs and
writes what belongs into weights/: the last file, its history, pictures, and a README with all figures.
`--publish-only` leaves the training out and does the rest with the files that are there so far: another
machine goes on from what is in weights/. `--example-only` does nothing but write the generator that the
package brings, `example:swift`, from the file in weights/.
"""

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import CHECKOUT
from tables import markdown_table

from clothinggan import evaluate, files
from clothinggan.checkpoint import run_folder
from clothinggan.checkpoint.file import (
    Checkpoint,
    epoch_in_name,
    read_checkpoint,
)
from clothinggan.cli.options import INTERRUPTED, reporting_errors
from clothinggan.data.sources import load
from clothinggan.environment import import_tensorflow, processor_name
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation.report import BETTER, best_of, explanation
from clothinggan.evaluation.report import COLUMNS as COLUMNS_OF_EVALUATE
from clothinggan.figures import load_timelapse, save_timelapse
from clothinggan.presets import PRESETS, Preset
from clothinggan.signals import unwinding
from clothinggan.titles import duration

WEIGHTS = CHECKOUT / "weights"
PACKAGED = CHECKOUT / "clothinggan" / "examples"
MAX_PACKAGED = 3_000_000  # bytes: a wheel is to have less than 4 MB
IMAGES = 10_000  # that each file is measured with
WRITTEN_BY_HAND = ("clothing.md", "trials.md")
RAREST = "The rarest class is the one that the classifier sees least, with its share of the images."
CHANCE = (
    "Where a network is trained, chance moves a number by more than its standard error tells, and FCD moves "
    "too, with [the latent vectors that are drawn](../docs/measuring.md)."
)


@dataclass(frozen=True)
class Example:
    """What is made of a design.

    Attributes:
        preset: The design.
        epochs: How long it trains.
        measured: The epochs whose files are measured.
        names: What the names of the files about it begin with.
        precision: What its networks are computed in.
        commit: Whose code trained what is in weights/: with a new run it is named anew.
        instructions: What its processor computed with, which decides on the last bits: named anew too.
        is_packaged: Whether its generator comes with the package.
    """

    preset: Preset
    epochs: int
    measured: tuple[int, ...]
    names: str
    precision: str = "float32"
    commit: str = ""
    instructions: str = ""
    is_packaged: bool = False

    @property
    def weights(self) -> Path | None:
        """The example that is there."""
        return next(WEIGHTS.glob(f"{self.preset.file_prefix}epoch*.h5"), None)

    def path(self, name: str) -> Path:
        """A file about it."""
        return WEIGHTS / f"{self.names}{name}"


EXAMPLES = {
    "clothing": Example(
        PRESETS["clothing"],
        200,
        tuple(range(5, 201, 5)),
        "",
        precision="bfloat16",
        commit="33017f1",
        instructions="AVX-512",
    ),
    "swift": Example(
        PRESETS["swift"],
        40,
        (5, 10, 20, 30, 40),
        "swift_",
        commit="fe898b2",
        instructions="AVX2",
        is_packaged=True,
    ),
}


def main() -> int:
    """Trains as far as is left to train, and publishes; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(EXAMPLES), required=True)
    parser.add_argument("--data", default="fashion_mnist", help="as for train (default: fashion_mnist)")
    parser.add_argument("--runs", type=Path, help="where the run's files are (default: runs/MODEL)")
    parser.add_argument("--publish-only", action="store_true", help="train no further")
    parser.add_argument(
        "--example-only", action="store_true", help="only write the generator that the package brings"
    )
    arguments = parser.parse_args()
    example = EXAMPLES[arguments.model]
    if arguments.example_only:
        print(write_example(example))
        return 0
    runs = arguments.runs or Path("runs", arguments.model)
    check_images(example, arguments.data, runs)
    if not arguments.publish_only:
        status = train(example, arguments.data, runs)
        if status:
            return status
    publish(example, arguments.data, runs)
    return 0


def check_images(example: Example, data: str, runs: Path) -> None:
    """Makes sure that a run that was begun is one on these images.

    Raises:
        ClothingGANError: If it is not.
    """
    found = run_folder.find_checkpoints(runs, example.preset.file_prefix)
    if found and not load(data).was_trained_on(found[-1].read().record):
        raise ClothingGANError(
            f"{found[-1].path} was trained on other images than {data}; name another folder with --runs"
        )


def train(example: Example, data: str, runs: Path) -> int:
    """Starts the run, or goes on with it; returns the exit status."""
    found = run_folder.find_checkpoints(runs, example.preset.file_prefix)
    if found and found[-1].epoch >= example.epochs:
        return 0
    options = ("--data", data, "--epochs", example.epochs, "--out", runs)
    model = ("--model", example.preset.name)
    if found:
        return call("resume", *model, *options)
    if is_unfinished(example, data):
        return call("resume", *model, *options, "--weights", example.weights)
    return call("train", *model, *options, "--precision", example.precision)


def is_unfinished(example: Example, data: str) -> bool:
    """Whether the example that is there has epochs left to train on these images."""
    if not example.weights:
        return False
    record = read_checkpoint(example.weights).record
    return record.epoch < example.epochs and load(data).was_trained_on(record)


def publish(example: Example, data: str, runs: Path) -> None:
    """Copies and makes what belongs into weights/."""
    prefix = example.preset.file_prefix
    found = [file.path for file in run_folder.find_checkpoints(runs, prefix)]
    numbered = [path for path in found if epoch_in_name(path) is not None]
    if not numbered:
        raise SystemExit(f"there is no numbered file in {runs}")
    last = read_checkpoint(numbered[-1])
    before, frames = told_before(example, last)
    write_history(example, last)
    make_timelapse(numbered, frames, example.path("timelapse.gif"))
    call("display", "--weights", last.path, "--walk", example.path("walk.gif"), check=True)
    call("display", "--weights", last.path, "--page", example.path("page.html"), check=True)
    with tempfile.TemporaryDirectory() as pictures:
        call("display", "--weights", last.path, "--no-real", "--save", pictures, check=True)
        # A name that stays, whatever the epoch: the project's README shows it.
        shutil.copy(Path(pictures, f"{last.path.stem}_generated.png"), example.path("generated.png"))
    measured = {path for path in numbered if epoch_in_name(path) in example.measured} | {last.path}
    report = measure(data, sorted(measured, key=epoch_in_name), before)
    files.write_text(example.path("evaluation.json"), json.dumps(report, indent=2) + "\n")
    # Last: by this file `told_before` knows of which run the others tell.
    published = WEIGHTS / last.path.name
    files.copy(last.path, published)
    for old in WEIGHTS.glob(f"{prefix}epoch*"):
        if old != published:
            old.unlink()
    if example.is_packaged:
        write_example(example)
    files.write_text(WEIGHTS / "README.md", readme())


def write_example(example: Example) -> Path:
    """Writes the example's generator, with the run's record, into the package; returns where.

    Its weights are rounded to as few bits as change no pixel by more than half of one of 255 levels, so
    that they take less room.

    Raises:
        ClothingGANError: If it is too large for the package all the same.
    """
    import_tensorflow()
    from clothinggan.checkpoint.file import file_image, hdf5_image
    from clothinggan.checkpoint.restore import draw_images, identify

    found, generator = identify(read_checkpoint(example.weights))
    wanted, _ = draw_images(found, generator, 1_000, seed=0)
    image = hdf5_image(generator, found.record, {})
    path = PACKAGED / f"{example.preset.name}.h5"
    for bits in range(10, 24):
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(file_image(compressed(image, bits)))
        drawn, _ = draw_images(*identify(read_checkpoint(path)), 1_000, seed=0)
        if np.abs(drawn - wanted).max() <= 0.5 / 255:
            break
    if path.stat().st_size > MAX_PACKAGED:
        raise ClothingGANError(f"{path} has {path.stat().st_size:,} bytes, more than {MAX_PACKAGED:,}")
    return path


def compressed(image: bytes, bits: int) -> bytes:
    """Returns an HDF5 file with its float32 arrays rounded to so many bits behind the first, and packed."""
    with (
        h5py.File(io.BytesIO(image)) as whole,
        h5py.File("packed", "w", driver="core", backing_store=False) as packed,
    ):

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                new = packed.require_group(name)
            elif item.dtype == np.float32 and item.size > 1:
                # Shuffled, the bytes that are zero in every number lie side by side.
                options = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
                new = packed.create_dataset(name, data=rounded(item[()], bits), **options)
            else:
                new = packed.create_dataset(name, data=item[()])
            new.attrs.update(item.attrs)

        packed.attrs.update(whole.attrs)
        whole.visititems(copy)
        packed.flush()
        return packed.id.get_file_image()


def rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """Returns float32 numbers of which only so many bits of the 23 behind the first are not zero."""
    dropped = np.uint32(23 - bits)
    half = np.uint32(1 << (dropped - 1)) if dropped else np.uint32(0)
    return ((array.view(np.uint32) + half) >> dropped << dropped).view(np.float32)


def told_before(example: Example, last: Checkpoint) -> tuple[dict | None, dict[str, np.ndarray]]:
    """What weights/ tells of the run's earlier epochs: a report, and frames by caption.

    Nothing if what is there is of another run.
    """
    if not example.weights or not read_checkpoint(example.weights).record.leads_to(last.record):
        return None, {}
    report = json.loads(example.path("evaluation.json").read_text())
    epochs = {*example.measured} - {last.record.epoch}
    report["files"] = [line for line in report["files"] if line["epoch"] in epochs]
    return report, load_timelapse(example.path("timelapse.gif"))


def make_timelapse(numbered: list[Path], before: dict[str, np.ndarray], path: Path) -> None:
    """Writes the animation of the numbered files, behind the frames that there were of earlier ones."""
    with tempfile.TemporaryDirectory() as pictures:
        new = Path(pictures, path.name)
        call("display", "--weights", *numbered, "--timelapse", new, check=True)
        added = load_timelapse(new)
    size = next(iter(added.values())).shape
    frames = {caption: frame for caption, frame in before.items() if frame.shape == size} | added
    names = read_checkpoint(numbered[-1]).class_names
    save_timelapse(list(frames.values()), list(frames), path, names)


def write_history(example: Example, last: Checkpoint) -> None:
    """Writes history.csv and losses.png from the record in the file."""
    import_tensorflow()
    from clothinggan.callbacks import write_history_csv
    from clothinggan.figures import draw_losses, save_png

    write_history_csv(last.record.history, example.path("history.csv"))
    save_png(draw_losses(last.record.history), example.path("losses.png"))


def measure(data: str, paths: list[Path], before: dict | None) -> dict:
    """The report of `evaluate --json`, with names in place of paths, and with the lines of earlier files.

    A file that has such a line is not measured again. But lines that another classifier measured do not
    compare: they are left out, and their files, if they are there, are measured.
    """
    told = {line["name"] for line in before["files"]} if before else {}
    new = [path for path in paths if path.name not in told]
    options = ["--data", data, "--images", str(IMAGES), "--weights", *map(str, new)]
    measured, _ = evaluate.measure(evaluate.parse(options))
    report = json.loads(measured.as_json())
    report["data"] = data
    for line in report["files"]:
        line["name"] = Path(line["name"]).name
    if before and before["classifier"] != report["classifier"]:
        return measure(data, paths, None)
    if before:
        report["files"] = sorted(before["files"] + report["files"], key=lambda line: line["epoch"])
    of_training = report["references"][0]
    report["best"] = {
        column: report["files"][place]["name"]
        for column in BETTER
        if (place := best_of(column, [line.get(column) for line in report["files"]], of_training[column]))
        is not None
    }
    return report


def readme() -> str:
    """The text of weights/README.md: but for those in `WRITTEN_BY_HAND`, no figure in it is typed by hand."""
    sections = [section(example) for example in EXAMPLES.values() if example.weights]
    columns = explanation([*COLUMNS.values(), "confirmed"])
    sections.append(f"## The columns\n\n```\n{columns}\n```\n\n{RAREST} {CHANCE}\n")
    notes = [WEIGHTS / name for name in WRITTEN_BY_HAND]
    sections += [path.read_text() for path in notes if path.exists()]
    listed = sorted(path for path in WEIGHTS.iterdir() if path.is_file() and path.suffix != ".md")
    sums = "\n".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in listed)
    body = "\n".join(sections)
    return f"""# The example weights

Made by `train` and `resume` alone.

{body}
## SHA-256

```
{sums}
```
"""


def section(example: Example) -> str:
    """What weights/README.md says of one example."""
    import_tensorflow()
    from clothinggan.evaluation import evaluator, gan_train, two_sample_test

    last = read_checkpoint(example.weights)
    page = example.path("page.html")
    on_a_page = f"`{page.name}` draws in any browser.\n" if page.exists() else ""
    record, report = last.record, json.loads(example.path("evaluation.json").read_text())
    seconds = sum(entry["seconds"] for entry in record.history)
    options = f"--model {record.preset} --data {report['data']} --epochs {example.epochs}"
    if record.precision != "float32":
        options += f" --precision {record.precision}"
    commit = f", trained by the code of commit `{example.commit}`" if example.commit else ""
    instructions = f" with {example.instructions}" if example.instructions else ""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return f"""## `{last.path.name}`

`{record.preset}` after {record.epoch} of {example.epochs} epochs. One command makes all of it, from the data
to this page, and goes on after any cut-off:

```sh
python scripts/experiments/make_weights.py --model {record.preset} --data {report["data"]}
```

It trains with
`python -m clothinggan.train {options}`
and, after each cut-off, `python -m clothinggan.resume`.

| | |
| --- | --- |
| training images | {report["data"]}, fingerprint `{record.fingerprint[:16]}` |
| seed, batch, precision | {record.seed}, {record.batch_size}, {record.precision} |
| epochs, steps | {record.epoch}, {record.step:,} |
| time | {duration(seconds)} of training, beside what else the machine did |
| machine | {record.processor or processor_name()}{instructions}, {record.threads} threads |
| versions | {versions}{commit} |

{table(report)}

{report["images"]:,} images each ({evaluator.NEAREST_IMAGES:,} for `near` and `copies`,
{two_sample_test.IMAGES:,} for 'told apart', {gan_train.IMAGES:,} for GAN-train), by
`evaluate`{said_of_best(report)}. Training
images in place of generated ones show what to aim at (but in `near` and `copies`, where they are what a
copyist would have), and uniform noise what is worthless.
[What the columns say](#the-columns); all numbers: `{example.path("evaluation.json").name}`.

![generated images]({example.path("generated.png").name}) ![losses]({example.path("losses.png").name})

`{example.path("timelapse.gif").name}` shows the same 25 latent vectors over the epochs,
`{example.path("walk.gif").name}` walks between latent vectors.
{on_a_page}"""


# What the table shows of an evaluation, by the names in its JSON.
COLUMNS = {name: title for name, (title, _) in COLUMNS_OF_EVALUATE.items() if name != "confidence"}


def said_of_best(report: dict) -> str:
    """Which files are best, where there is more than one to choose from."""
    if len(report["files"]) == 1:
        return ""
    by_fcd, by_told_apart = best(report, "fcd"), best(report, "told_apart")
    return f"; the lowest FCD is that of {by_fcd}, the lowest 'told apart' that of {by_told_apart}"


def best(report: dict, column: str) -> str:
    """The files whose number is as good as the best one's, to the digits that the table shows."""
    if column not in report["best"]:
        return "not measured"
    shown = {
        line["name"]: COLUMNS_OF_EVALUATE[column][1](SimpleNamespace(**line)) for line in report["files"]
    }
    return " and ".join(
        f"**{name}**" for name, number in shown.items() if number == shown[report["best"][column]]
    )


def table(report: dict) -> str:
    """The evaluation as a Markdown table."""
    rows = []
    for line in [*report["files"], *report["references"]]:
        scores = SimpleNamespace(**line)
        cells = [
            "" if line.get(column) is None else COLUMNS_OF_EVALUATE[column][1](scores) for column in COLUMNS
        ]
        rarest = min(range(10), key=line["class_shares"].__getitem__)
        share_of_rarest = f"{line['class_shares'][rarest]:.1%} {report['classes'][rarest]}"
        confirmed = [share for share in line["confirmed"] if share is not None]
        mean = f"{sum(confirmed) / len(confirmed):.1%}" if confirmed else ""
        rows.append([line["name"], *cells, share_of_rarest, mean])
    return markdown_table(["", *COLUMNS.values(), "rarest class", "confirmed"], rows)


def call(command: str, *arguments: object, check: bool = False) -> int:
    """Runs a command of the package; returns its exit status."""
    words = [sys.executable, "-m", f"clothinggan.{command}", *map(str, arguments)]
    interrupted = False
    with subprocess.Popen(words) as process:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True  # The command hears it too, and takes its time to save.
            except SystemExit:  # Of SIGTERM or SIGHUP, which this process alone may have got.
                process.terminate()
                raise
    status = process.returncode or (INTERRUPTED if interrupted else 0)
    if check and status:
        raise SystemExit(status)
    return status


if __name__ == "__main__":
    with unwinding():
        sys.exit(reporting_errors(main))
