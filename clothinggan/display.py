"""`python -m clothinggan.display`: shows what a generator draws, beside real images."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import environment, export, files
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.checkpoint.record import Record
from clothinggan.cli import options
from clothinggan.data.classes import MAX_LISTED, find_class
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, listed, note, shown, wrong_ending
from clothinggan.examples import locate_example
from clothinggan.signals import unwinding

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

EXPORTED_IMAGES = 1_000
MAX_COUNT = 1_000_000
INSTEAD = ("export", "timelapse", "walk", "page")  # of figures
ENDINGS = {"timelapse": ".gif", "walk": ".gif", "page": ".html"}
WALKERS = 9
WALK_STATIONS = 10
WALK_STEPS = 10
WALK_SECONDS = 0.08


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options.Parser(
        "display",
        "Shows 25 images that a generator draws, one of them enlarged, and 25 real ones.",
    )
    options.add_weights(parser, "the .h5 or .keras file; several for --timelapse and --page")
    options.add_identity(parser)
    options.add_data(parser, recorded=True)
    options.add_seed(parser, "the images that are drawn")
    parser.add_argument(
        "--class",
        metavar="CLASS",
        dest="classes",
        type=options.nonempty,
        nargs="+",
        action="extend",
        help="what to draw, by name or number: sneaker, 7, 'ankle boot', or as the folders of pictures were "
        "called; several take turns (default: all; only for generators that learned with the labels, such "
        "as swift's)",
    )
    parser.add_argument(
        "--save",
        metavar="FOLDER",
        type=options.path,
        help="write PNG files there and open no window (default: windows where one can be opened, else files "
        "beside the weights)",
    )
    parser.add_argument("--no-real", action="store_true", help="only the two figures of generated images")
    parser.add_argument(
        "--export",
        metavar="NAME",
        type=_export_place,
        help="instead of figures, write generated images, to an .npz file or to a folder of PNG files "
        "(FOLDER/), or the generator itself: .keras, .h5 (Keras 2 too), .onnx or .tflite, as the name ends",
    )
    parser.add_argument(
        "--count",
        metavar="N",
        type=options.integer(1, MAX_COUNT),
        help=f"how many images to export (default: {EXPORTED_IMAGES})",
    )
    parser.add_argument(
        "--timelapse",
        metavar="GIF",
        type=options.path,
        help="instead of figures, an animation of the same 25 latent vectors through the files of a run",
    )
    parser.add_argument(
        "--walk",
        metavar="GIF",
        type=options.path,
        help="instead of figures, an animation of walks between latent vectors, and, for a "
        "design that learns with the labels, between classes",
    )
    parser.add_argument(
        "--page",
        metavar="HTML",
        type=options.path,
        help="instead of figures, one page that computes the generator in any browser, without a server: to "
        "choose classes, and to move through latent space and, given several files of a run, its epochs",
    )
    arguments = parser.parse_args(argv)
    if len(arguments.weights) > 1 and not (arguments.timelapse or arguments.page):
        parser.error("--weights takes one file, or several with --timelapse or --page")
    if len([name for name in INSTEAD if getattr(arguments, name)]) > 1:
        parser.error("--export, --timelapse, --walk and --page do not go together")
    for name, ending in ENDINGS.items():
        path = getattr(arguments, name)
        if path and path.suffix != ending:
            parser.error(wrong_ending(f"--{name}", ending, path))
    instead = next((name for name in INSTEAD if getattr(arguments, name)), None)
    for name in ("save", "no_real", "data"):
        if instead and getattr(arguments, name):
            parser.error(f"--{name.replace('_', '-')} is for figures, which --{instead} takes the place of")
    if arguments.no_real and arguments.data:
        parser.error("--data names the real images, which --no-real leaves out")
    if arguments.count and not arguments.export:
        parser.error("--count goes with --export")
    if arguments.export and not arguments.export.takes_images and (arguments.count or arguments.classes):
        given = "--count" if arguments.count else "--class"
        parser.error(
            f"{given} is for images, and a name that ends in {arguments.export.form} for the generator"
        )
    return arguments


def _export_place(text: str) -> export.Place:
    try:
        return export.find_place(options.path(text), text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def display(arguments: argparse.Namespace) -> int:
    """Shows or writes what the options say; returns the exit status."""
    if arguments.timelapse:
        return make_timelapse(arguments)
    if arguments.page:
        return make_page(arguments)
    found, generator = _read(arguments.weights[0], arguments)
    if arguments.export:
        return make_export(found, generator, arguments)
    if arguments.walk:
        return make_walk(found, generator, arguments)
    from clothinggan.figures import GRID_IMAGES, in_notebook, window_possible

    folder = arguments.save or (None if in_notebook() or window_possible() else found.path.parent)
    if folder:
        files.prepare_folder(folder, "--save")
    images, _ = _draw(found, generator, GRID_IMAGES, arguments)

    names = _class_names(found, arguments)
    called = _called(found, arguments)
    gallery = Gallery(folder)
    gallery.add_grid(images, f"{found.title}: generated", f"{called}_generated.png", names)
    first = f" {names[0]}" if names else ""
    gallery.add_image(images[0], f"{found.title}: generated{first}, enlarged", f"{called}_enlarged.png")
    refusal = None
    if not arguments.no_real:
        try:
            dataset = options.load_data(arguments, found.record, found.path)
        except ClothingGANError as error:
            refusal = error
        else:
            for line in dataset.notes:
                note(line)
            real = dataset.train_images
            there = _images_of(dataset, names if arguments.classes else ())
            chosen = np.random.default_rng(arguments.seed).choice(
                there, min(GRID_IMAGES, len(there)), replace=False
            )
            chosen = np.sort(chosen)
            labels = () if dataset.train_labels is None else dataset.train_labels[chosen]
            known = [dataset.class_names[label] for label in labels]
            gallery.add_grid(real[chosen], f"real: {dataset.source}", f"{called}_real.png", known)
    gallery.show()
    if refusal:
        raise ClothingGANError(f"no real images to show: {refusal} (--no-real leaves them out)")
    return 0


def make_export(found: Checkpoint, generator: "keras.Model", arguments: argparse.Namespace) -> int:
    """Writes generated images and their latent vectors, or the generator; returns the exit status."""
    place = arguments.export
    place.prepare()
    if not place.takes_images:
        export.save_generator(place, generator)
        takes = f"{generator.input_shape[-1]} numbers"
        if found.classes:
            takes += f", of which the last {len(found.classes)} are the class"
        print(f"{shown(place.path)}: the generator, which takes {takes}")
        return 0
    images, latent_vectors = _draw(found, generator, arguments.count or EXPORTED_IMAGES, arguments)
    classes = _classes(found, arguments)
    classes = np.resize(classes, len(images)) if classes else None
    export.save_images(place, images, latent_vectors, classes, found.class_names)
    what = "PNG files" if place.form == export.FOLDER else "float32 in [0, 1], and their latent vectors"
    print(f"{shown(place.path)}: {len(images):,} images{_of_classes(found, arguments)}, {what}")
    return 0


def _of_classes(found: Checkpoint, arguments: argparse.Namespace) -> str:
    """Says of which classes images are that were drawn in turns."""
    names = _class_names(found, arguments)
    if not names:
        return ""
    turns = ", in turns" if len(names) > 1 else ""
    return f" of {listed(names, MAX_LISTED)}{turns}"


def make_timelapse(arguments: argparse.Namespace) -> int:
    """Writes an animation through checkpoints, in the order of their epochs; returns the exit status."""
    from clothinggan.figures import GRID_IMAGES, NAME_HEIGHT, save_timelapse, tile

    files_of_run = _in_order(arguments)
    files.prepare_file(arguments.timelapse, "--timelapse")
    frames, epochs = [], []
    for path in files_of_run:
        found, generator = _identified(path, arguments)
        names = _class_names(found, arguments)
        images, _ = _draw(found, generator, GRID_IMAGES, arguments)
        frames.append(tile(images, NAME_HEIGHT if names else 1))
        epochs.append(found.epoch)  # By now a run that goes on may have written its latest file anew.
    save_timelapse(frames, [f"epoch {epoch}" for epoch in epochs], arguments.timelapse, names)
    if len(epochs) == 1:
        note("an animation of one epoch stands still; name several numbered files of a run with --weights")
    print(f"{shown(arguments.timelapse)}: epochs {', '.join(map(str, epochs))}")
    return 0


def make_page(arguments: argparse.Namespace) -> int:
    """Writes a page that computes the generator of one or several files; returns the exit status."""
    files_of_run = _in_order(arguments)
    from clothinggan.models import ends_in_tanh
    from clothinggan.page.document import Drawer, render
    from clothinggan.page.plain_layers import plain_layers

    drawers = []
    for path in files_of_run:
        found, generator = _identified(path, arguments)
        _draw(found, generator, 1, arguments)  # What draws no image here would draw none there.
        try:
            drawers.append(Drawer(found.epoch, plain_layers(generator)))
        except ClothingGANError as error:
            error.add(where=path)
            raise
    page = render(
        found.title,
        drawers,
        generator.input_shape[-1],
        generator.count_params(),
        ends_in_tanh(generator),
        found.class_names,
        _classes(found, arguments) if arguments.classes else (),
        arguments.seed,
        found.record.history if found.record else (),
    )
    files.prepare_file(arguments.page, "--page")
    files.write_text(arguments.page, page)
    what = f"epochs {', '.join(str(drawer.epoch) for drawer in drawers)}" if len(drawers) > 1 else found.title
    print(f"{shown(arguments.page)}: {what}, {len(page) / 1e6:.1f} MB; open it in a browser")
    return 0


def _in_order(arguments: argparse.Namespace) -> list[Path]:
    """The files of a run, one for each epoch, the first epoch first.

    Raises:
        ClothingGANError: If they are not of one run, or cannot be read or asked for what is to be drawn.
    """
    files_read: dict[int, tuple[Path, Record | None]] = {}
    # Each is read again when it is drawn: all of a long run's files fill the memory.
    for path in arguments.weights:
        found, _ = _read(path, arguments)
        other, record = files_read.setdefault(found.epoch, (path, found.record))
        # The last numbered file and the latest may be of the same epoch.
        alike = locate_example(path).samefile(locate_example(other)) or (
            record and found.record and record.leads_to(found.record)
        )
        if not alike:
            raise ClothingGANError(
                f"{other} and {path} are both of epoch {found.epoch}, as far as can be told, and not of one "
                "run; leave one out, or rename what another program saved: "
                "generator_epoch10.h5 is of epoch 10"
            )
    ordered = [files_read[epoch] for epoch in sorted(files_read)]
    of_runs = [(path, record) for path, record in ordered if record]
    for (earlier, record), (later, next_record) in itertools.pairwise(of_runs):
        if not record.leads_to(next_record):
            raise ClothingGANError(f"{earlier} and {later} are not of one run; name the files of one")
    return [path for path, _ in ordered]


def make_walk(found: Checkpoint, generator: "keras.Model", arguments: argparse.Namespace) -> int:
    """Writes an animation of several walks side by side that ends where it began; returns the exit status."""
    files.prepare_file(arguments.walk, "--walk")
    from clothinggan.figures import save_gif, tile
    from clothinggan.models import class_names, draw_latent_vectors, generate, walk

    size = generator.input_shape[-1]
    # Each walker sets out from another class, and all take the classes in their order.
    turns = np.add.outer(np.arange(WALK_STATIONS), np.arange(WALKERS)).ravel()
    classes = _classes(found, arguments)
    names = class_names(generator)
    asked = [names[number] for number in np.take(classes, turns, mode="wrap")] if classes else None
    stations = draw_latent_vectors(WALK_STATIONS * WALKERS, generator, arguments.seed, asked)
    way = walk(stations.reshape(WALK_STATIONS, WALKERS, size), WALK_STEPS, len(names))
    images = generate(generator, way.reshape(-1, size)).reshape(-1, WALKERS, 28, 28)
    save_gif([tile(frame) for frame in images], arguments.walk, [WALK_SECONDS] * len(images))
    print(f"{shown(arguments.walk)}: {WALKERS} walks through {WALK_STATIONS} latent vectors each")
    return 0


def _read(path: Path, arguments: argparse.Namespace) -> tuple[Checkpoint, "keras.Model"]:
    """A file and its generator, which can be asked for what the options say."""
    found, generator = _identified(path, arguments)
    _classes(found, arguments)
    for line in found.notes:
        note(line)
    return found, generator


def _identified(path: Path, arguments: argparse.Namespace) -> tuple[Checkpoint, "keras.Model"]:
    found = read_checkpoint(path)
    if found.record:
        _classes(found, arguments)  # What a run's file cannot be asked for is said at once.
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import identify

    return identify(found, arguments.model, arguments.class_count)


def _classes(found: Checkpoint, arguments: argparse.Namespace) -> Sequence[int] | None:
    """The classes to draw, in turns; None for a generator that draws what it likes."""
    if arguments.classes and not found.class_names:
        raise ClothingGANError(
            f"{found.path} draws what it likes and cannot be asked for a class; leave --class out, or name "
            "a file of --model swift that learned from images with classes"
            + ("" if found.record else ", or say with --classes how many of its last numbers are the class")
        )
    try:
        return [find_class(text, found.class_names) for text in arguments.classes or ()] or found.classes
    except ClothingGANError as error:
        error.add(where=f"--class, {found.path}")
        raise


def _class_names(found: Checkpoint, arguments: argparse.Namespace) -> list[str]:
    """The names of the classes to draw, in turns; none where they have none."""
    return [found.class_names[number] for number in _classes(found, arguments) or () if found.class_names]


def _images_of(dataset: Dataset, names: Sequence[str]) -> np.ndarray:
    """Which training images are of classes of these names; all where none is, or none is named."""
    numbers = [number for number, name in enumerate(dataset.class_names or ()) if name in names]
    found = np.flatnonzero(np.isin(dataset.train_labels, numbers)) if numbers else []
    if names and not len(found):
        note(f"{shown(dataset.source)} has no images of these classes: the real ones are of any")
    return found if len(found) else np.arange(len(dataset.train_images))


def _called(found: Checkpoint, arguments: argparse.Namespace) -> str:
    """What pictures' names begin with: another for each request."""
    asked = _class_names(found, arguments) if arguments.classes else ()
    return export.picture_name(found.path, asked, arguments.seed)


def _draw(
    found: Checkpoint, generator: "keras.Model", count: int, arguments: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    from clothinggan.checkpoint.restore import draw_images

    return draw_images(found, generator, count, arguments.seed, _classes(found, arguments))


class Gallery:
    """Figures in windows, in a notebook's cell, or in PNG files of a folder."""

    def __init__(self, folder: Path | None):
        """Makes an empty gallery; without a folder it is one of windows, or of a notebook's cell."""
        self.folder = folder

    def add_grid(self, images: np.ndarray, title: str, name: str, names: Sequence[str]) -> None:
        """Adds images in a square grid; `name` is the file's, and `names` stand under the images in turns."""
        from clothinggan.figures import draw_grid

        self._add(draw_grid(images, title, names, self._new_window(title)), name)

    def add_image(self, image: np.ndarray, title: str, name: str) -> None:
        """Adds one image, enlarged."""
        from clothinggan.figures import draw_image

        self._add(draw_image(image, title, self._new_window(title)), name)

    def show(self) -> None:
        """Shows the windows until all are closed; files and a cell's pictures are there already."""
        from clothinggan.figures import in_notebook

        if self.folder is None and not in_notebook():
            import matplotlib.pyplot as plt

            plt.show()

    def _new_window(self, title: str) -> "Figure | None":
        from clothinggan.figures import GRID_INCHES, in_notebook

        if self.folder is not None or in_notebook():
            return None
        import matplotlib.pyplot as plt

        return plt.figure(title, figsize=GRID_INCHES)

    def _add(self, figure: "Figure", name: str) -> None:
        from clothinggan.figures import in_notebook, present, save_figure

        if self.folder is None and in_notebook():
            present(figure, Path(name))
        if self.folder is not None:
            print(save_figure(figure, self.folder / name))


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    with unwinding():
        return options.reporting_errors(lambda: display(parse(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
