"""`python -m clothinggan.evaluate`: measures how good the images of one or more generators are."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import environment, files
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.cli import options
from clothinggan.data.pictures import MIN_IMAGES
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, note, shown, wrong_ending
from clothinggan.evaluation.evaluator import IMAGES, Evaluator
from clothinggan.evaluation.report import Line, Report
from clothinggan.progress import show_progress
from clothinggan.signals import unwinding

if TYPE_CHECKING:
    import keras

FIGURE_IMAGES = 100
FIGURE_NEIGHBOURS = 5
FIGURE_CANDIDATES = 1_000  # Among so many the nearest to training images are looked for.


def make_parser() -> options.Parser:
    """Returns what reads the command line."""
    parser = options.Parser("evaluate", "Measures how good the images of one or more generators are.")
    options.add_weights(parser, "one or more .h5 or .keras files")
    options.add_identity(parser)
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
        help="leave out 'told apart' and GAN-train, which train a network for each file: about a minute",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument(
        "--figure",
        metavar="PNG",
        type=options.path,
        help=f"draw up to {FIGURE_IMAGES} images of the best file with their classes, and the "
        f"{FIGURE_NEIGHBOURS} that come nearest to training images, each beside that one",
    )
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.figure and arguments.figure.suffix != ".png":
        parser.error(wrong_ending("--figure", ".png", arguments.figure))
    return arguments


def evaluate(arguments: argparse.Namespace) -> int:
    """Measures and prints as the options say; returns the exit status."""
    report, evaluator = measure(arguments)
    print(report.as_json() if arguments.json else report.as_table())
    if arguments.figure:
        _draw(report.best("fcd" if arguments.quick else "told_apart"), evaluator, arguments.figure)
        print(shown(arguments.figure), file=sys.stderr if arguments.json else sys.stdout)
    return 0


def measure(arguments: argparse.Namespace) -> tuple[Report, Evaluator]:
    """Returns the measures of files as the options say, and what measured them."""
    # All are read before the first is measured; their optimisers would fill the memory.
    found = [read_checkpoint(path).without_optimizers() for path in arguments.weights]
    recorded = next((file for file in found if file.record), None)
    dataset = options.load_data(arguments, recorded and recorded.record, recorded and recorded.path)
    for line in dataset.notes:
        note(line)
    _say_where_images_differ(found, dataset)
    evaluator = Evaluator(dataset, arguments.images, arguments.quick, show_progress)
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import identify

    # What holds none is refused before others are measured.
    identified = [identify(file, arguments.model, arguments.class_count) for file in found]
    for line in (line for file, _ in identified for line in file.notes):
        note(line)
    if arguments.figure:
        files.prepare_file(arguments.figure, "--figure")
    lines = [_measure(file, generator, evaluator, arguments.seed) for file, generator in identified]
    references = [Line(name, None, scores) for name, scores in evaluator.reference_scores().items()]
    show_progress("", 0, 0)
    eyes = evaluator.eyes
    report = Report(
        lines,
        references,
        dataset.source,
        evaluator.count,
        arguments.quick,
        tuple(eyes.class_names),
        eyes.whose,
        eyes.identity,
    )
    return report, evaluator


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
    accuracy = _discriminator_accuracy(file, generator, evaluator)
    begun = file.record.step_in_epoch if file.record else 0
    return Line(str(file.path), file.epoch, scores, accuracy, first, file.title, begun)


def _classes_as_numbered(file: Checkpoint, evaluator: Evaluator) -> list[int] | None:
    """The file's classes by the numbers that the classifier has for them; None where it knows others."""
    names, known = list(file.class_names), list(evaluator.eyes.class_names)
    if not names:
        return None
    if set(names) <= set(known):
        return [known.index(name) for name in names]
    # The first files called all classes by Fashion-MNIST's names.
    if file.record and evaluator.dataset.was_trained_on(file.record) and len(names) == len(known):
        return list(file.classes)
    return None


def _discriminator_accuracy(
    file: Checkpoint, generator: "keras.Model", evaluator: Evaluator
) -> tuple[float, float] | None:
    if not file.preset or not file.state:
        return None
    try:
        dataset = evaluator.dataset
        if file.classes:
            dataset = dataset.as_learned(file.record) or dataset.classified_as(file.class_names)
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
        first,
        [evaluator.eyes.class_names[index] for index in classes],
        pairs,
        evaluator.test_distances,
        line.title,
    )
    save_png(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    with unwinding():
        return options.reporting_errors(lambda: evaluate(parse(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
