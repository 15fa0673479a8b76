"""`python -m clothinggan.evaluate`: measures how good the images of one or more generators are."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import environment, files
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.cli import options
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, note, shown
from clothinggan.evaluation.evaluator import IMAGES, MIN_IMAGES, Evaluator, Scores
from clothinggan.progress import show_progress
from clothinggan.signals import unwinding

if TYPE_CHECKING:
    import keras

EXPLANATION = """\
FCD, KCD: Fréchet and kernel distance (KCD times 1000, with its standard error) in the features of the
  classifier named above. They are not Inception FID and KID, and compare only with numbers from the same
  classifier, the same test images and as many generated ones. Lower is better.
precision, density: how many generated images look real; a few far-out real images let even noise pass
  for precise, so look at density too. recall, coverage: how much of what is real they cover.
sure: the classifier's mean certainty.
near: median distance to the nearest training image, divided by that of unseen test images; far below 1
  and with many copies, it means memorising. copies: share of images that are nearer to a training image
  than 99 % of the test images are.
confirmed: of the images drawn for a class, how many the classifier takes for it; of training images, how
  many of each class it recognises.
told apart: how often a network that is trained for it tells unseen generated images from real ones; 50 % is
  perfect. It sees what the classifier's features do not, but not copies of training images.
GAN-train: how many real test images a network recognises that has learned from the generated ones alone;
  for training images, from as many real ones.
D real, D fake: how often the file's own discriminator is right."""
# The table's columns: each score's title, and its text.
COLUMNS: dict[str, tuple[str, Callable[[Scores], str]]] = {
    "fcd": ("FCD", lambda s: f"{s.fcd:.3f}"),
    "kcd": ("KCD", lambda s: f"{1000 * s.kcd:.2f} ± {1000 * s.kcd_error:.2f}"),
    "told_apart": ("told apart", lambda s: f"{s.told_apart:.1%} ± {s.told_apart_error:.1%}"),
    "gan_train": ("GAN-train", lambda s: f"{s.gan_train:.1%} ± {s.gan_train_error:.1%}"),
    "precision": ("precision", lambda s: f"{s.precision:.3f}"),
    "recall": ("recall", lambda s: f"{s.recall:.3f}"),
    "density": ("density", lambda s: f"{s.density:.3f}"),
    "coverage": ("coverage", lambda s: f"{s.coverage:.3f}"),
    "confidence": ("sure", lambda s: f"{s.confidence:.3f}"),
    "nearness": ("near", lambda s: f"{s.nearness:.3f}"),
    "copies": ("copies", lambda s: f"{s.copies:.1%}"),
}
# What is better where one can say so: more of this.
BETTER: dict[str, Callable[[float], float]] = {
    "fcd": lambda value: -value,
    "kcd": lambda value: -value,
    "told_apart": lambda value: -abs(value - 0.5),
    "gan_train": lambda value: value,
    "precision": lambda value: value,
    "recall": lambda value: value,
    "density": lambda value: -abs(value - 1),
    "coverage": lambda value: value,
}
MAX_CLASS_COLUMNS = 16  # of the tables of classes
MAX_CLASS_LINES = 40
FIGURE_IMAGES = 100
FIGURE_NEIGHBOURS = 5
FIGURE_CANDIDATES = 1_000  # Among so many the nearest to training images are looked for.


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        name: The file, or what stands in its place.
        epoch: Epochs completed; None for a reference.
        scores: How good its images are.
        discriminator: Its discriminator's accuracy on real and on generated images, if it has one.
        images: The first of its images, (n, 28, 28) float32 in [0, 1]; None for a reference.
    """

    name: str
    epoch: int | None
    scores: Scores
    discriminator: tuple[float, float] | None = None
    images: np.ndarray | None = None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options.Parser("evaluate", "Measures how good the images of one or more generators are.")
    options.add_weights(parser, "one or more .h5 files")
    options.add_data(parser, recorded=True)
    options.add_seed(parser, "the images that are drawn")
    parser.add_argument(
        "--images",
        metavar="N",
        type=options.integer(MIN_IMAGES, IMAGES),
        default=IMAGES,
        help=f"how many generated images to compare with as many test images (default: {IMAGES}, or as many "
        "as there are; fewer make the Fréchet distance larger)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave out 'told apart' and GAN-train, which train a network for each file: a minute and a half",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument(
        "--figure",
        metavar="PNG",
        type=options.path,
        help=f"draw up to {FIGURE_IMAGES} images of the best file with their classes, and the "
        f"{FIGURE_NEIGHBOURS} that come nearest to training images, each beside that one",
    )
    arguments = parser.parse_args(argv)
    if arguments.figure and arguments.figure.suffix != ".png":
        parser.error(f"--figure takes a name that ends in .png, not '{arguments.figure}'")
    return arguments


def evaluate(arguments: argparse.Namespace) -> int:
    """Measures as the options say; returns the exit status."""
    # All are read before the first is measured; their optimisers would fill the memory.
    found = [read_checkpoint(path).without_optimizers() for path in arguments.weights]
    recorded = next((file for file in found if file.record), None)
    dataset = options.load_data(arguments, recorded and recorded.record, recorded and recorded.path)
    for line in dataset.notes:
        note(line)
    _say_where_images_differ(found, dataset)
    evaluator = Evaluator(dataset, arguments.images, arguments.quick, show_progress)
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import restore_generator

    # What holds none is refused before others are measured.
    generators = [restore_generator(file) for file in found]
    if arguments.figure:
        files.prepare_file(arguments.figure, "--figure")
    lines = [
        _measure(file, generator, evaluator, arguments.seed)
        for file, generator in zip(found, generators, strict=True)
    ]
    references = [Line(name, None, scores) for name, scores in evaluator.reference_scores().items()]
    show_progress("", 0, 0)
    if arguments.json:
        print(_as_json(lines, references, evaluator, dataset.source))
    else:
        print(_as_table(lines, references, evaluator, dataset.source))
    if arguments.figure:
        _draw(_best(lines, "fcd" if arguments.quick else "told_apart"), evaluator, arguments.figure)
        print(shown(arguments.figure), file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _say_where_images_differ(found: list[Checkpoint], dataset: Dataset) -> None:
    others = [str(file.path) for file in found if file.record and not dataset.was_trained_on(file.record)]
    if others:
        print(
            f"note: trained on other images than the training images of {shown(dataset.source)}: "
            f"{shown(', '.join(others))}; test images may be among them, and such a file compares only with "
            "those that were trained on the same",
            file=sys.stderr,
        )


def _measure(file: Checkpoint, generator: "keras.Model", evaluator: Evaluator, seed: int) -> Line:
    what = f"{file.path.name}: generating"
    from clothinggan.checkpoint.restore import draw_images

    def show(done: int) -> None:
        show_progress(what, done, evaluator.wanted)

    images, _ = draw_images(file, generator, evaluator.wanted, seed, progress=show)
    known = _classes_as_numbered(file, evaluator)
    scores = evaluator.scores(images, None if known is None else np.resize(known, len(images)))
    first = images[:FIGURE_CANDIDATES].copy()
    return Line(
        str(file.path), file.epoch, scores, _discriminator_accuracy(file, generator, evaluator), first
    )


def _classes_as_numbered(file: Checkpoint, evaluator: Evaluator) -> list[int] | None:
    """The file's classes by the numbers that the classifier has for them; None where it knows others."""
    names, known = list(file.class_names), list(evaluator.eyes.class_names)
    if not names:
        return None
    if set(names) <= set(known):
        return [known.index(name) for name in names]
    # The first files called all classes by Fashion-MNIST's names.
    if evaluator.dataset.was_trained_on(file.record) and len(names) >= len(known):
        return list(file.classes)
    return None


def _discriminator_accuracy(
    file: Checkpoint, generator: "keras.Model", evaluator: Evaluator
) -> tuple[float, float] | None:
    if not file.preset:
        return None
    try:
        dataset = evaluator.dataset
        if file.classes and not dataset.was_trained_on(file.record):
            dataset = dataset.classified_as(file.class_names)
    except ClothingGANError:
        return None  # It has not learned what these images are.
    from clothinggan.checkpoint.restore import restore_discriminator
    from clothinggan.gan import discriminator_accuracy

    # Of the images that it was trained on, as during the training.
    trained_on = slice(file.record.examples)
    labels = None if dataset.train_labels is None else dataset.train_labels[trained_on]
    return discriminator_accuracy(
        restore_discriminator(file),
        generator,
        file.preset,
        file.record.seed,
        evaluator.train_images[trained_on],
        labels,
    )


def _best(lines: list[Line], column: str) -> Line | None:
    """The line that is best by a column of `BETTER`; None where it is not measured."""
    measured = [line for line in lines if getattr(line.scores, column) is not None]
    return max(measured, key=lambda line: BETTER[column](getattr(line.scores, column)), default=None)


def _as_table(lines: list[Line], references: list[Line], evaluator: Evaluator, source: str) -> str:
    best = {column: _best(lines, column) for column in BETTER} if len(lines) > 1 else {}

    def cell(line: Line, column: str, text: str) -> str:
        return text + (" *" if best.get(column) is line else "  " if best.get(column) else "")

    rows = [["", "epoch", *(title for title, _ in COLUMNS.values()), "D real", "D fake"]]
    for line in [*lines, *references]:
        numbers = (
            cell(line, column, "" if getattr(line.scores, column) is None else text(line.scores))
            for column, (_, text) in COLUMNS.items()
        )
        accuracies = [f"{share:.1%}" for share in line.discriminator or ()] or ["", ""]
        epoch = "" if line.epoch is None else str(line.epoch)
        rows.append([shown(line.name), epoch, *numbers, *accuracies])
    if evaluator.quick:
        learned = [index for index, row in enumerate(rows[0]) if row.strip() in ("told apart", "GAN-train")]
        rows = [[cell for index, cell in enumerate(row) if index not in learned] for row in rows]
    names = [shown(name.split("/")[0]) for name in evaluator.eyes.class_names]
    shares = [["share of", *names]]
    shares += [
        [shown(line.name), *(f"{share:.1%}" for share in line.scores.class_shares)]
        for line in [*lines, *references]
    ]
    parts = [
        f"{evaluator.count:,} generated images against as many test images of {shown(source)}, seen by "
        f"{evaluator.eyes.whose}",
        _align(rows),
        _align(_in_columns(shares)),
    ]
    if any(line.scores.confirmed for line in lines):
        confirmed = [["confirmed", *shares[0][1:]]]
        confirmed += [
            [shown(line.name), *("" if share is None else f"{share:.1%}" for share in line.scores.confirmed)]
            for line in [*lines, *references]
            if line.scores.confirmed
        ]
        parts.append(_align(_in_columns(confirmed)))
    if len(lines) > 1:
        parts.append("* the best of its column; columns can disagree: see what each says")
    if evaluator.count < IMAGES:
        parts.append(f"With fewer than {IMAGES:,} images the Fréchet distance is biased upwards.")
    return "\n\n".join([*parts, EXPLANATION])


def _in_columns(rows: list[list[str]]) -> list[list[str]]:
    """A table of many classes with a line for each, and not a column; of hundreds the first ones."""
    if len(rows[0]) <= MAX_CLASS_COLUMNS:
        return rows
    lines = [list(column) for column in zip(*rows, strict=True)]
    more = len(lines) - 1 - MAX_CLASS_LINES
    if more <= 0:
        return lines
    rest = [f"and {more:,} more: --json has them", *[""] * (len(rows) - 1)]
    return [*lines[: 1 + MAX_CLASS_LINES], rest]


def _align(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _as_json(lines: list[Line], references: list[Line], evaluator: Evaluator, source: str) -> str:
    def entry(line: Line) -> dict[str, object]:
        accuracies = line.discriminator or (None, None)
        return {
            "name": line.name,
            "epoch": line.epoch,
            **dataclasses.asdict(line.scores),
            "accuracy_real": accuracies[0],
            "accuracy_fake": accuracies[1],
        }

    report = {
        "data": source,
        "images": evaluator.count,
        "classifier": evaluator.eyes.identity,
        "seen_by": evaluator.eyes.whose,
        "classes": list(evaluator.eyes.class_names),
        "best": {column: line.name for column in BETTER if (line := _best(lines, column))},
        "files": [entry(line) for line in lines],
        "references": [entry(line) for line in references],
    }
    return json.dumps(report, indent=2)


def _draw(line: Line, evaluator: Evaluator, path: Path) -> None:
    from clothinggan.figures import draw_classified, save_png

    images = line.images
    first = images[:FIGURE_IMAGES]
    classes = evaluator.classifier.probabilities(first).argmax(axis=1)
    near = evaluator.nearest_training_images(images)
    nearest = np.argsort(near.distances)[:FIGURE_NEIGHBOURS]
    pairs = [(images[i], evaluator.train_images[near.indices[i]], float(near.distances[i])) for i in nearest]
    show_progress("", 0, 0)
    figure = draw_classified(
        first, [evaluator.eyes.class_names[index] for index in classes], pairs, line.name
    )
    save_png(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    with unwinding():
        return options.reporting_errors(lambda: evaluate(parse(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
