"""The options that several commands share, what they ask for, and how errors reach the user."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from clothinggan.checkpoint.record import (
    BEST_COLUMNS,
    FITS,
    INVERSIONS,
    MAX_CLASSES,
    MAX_INTEGER,
    MAX_PREVIEWS,
    PRECISIONS,
    Record,
)
from clothinggan.cli import output
from clothinggan.data import sources
from clothinggan.data.in_memory import Arrays, is_kept
from clothinggan.data.sources import Dataset
from clothinggan.distributed.cluster import STRATEGIES, Cluster, check_source
from clothinggan.distributed.rendezvous import SECONDS_TO_WAIT
from clothinggan.environment import import_tensorflow, warnings_end_nothing
from clothinggan.errors import ClothingGANError, explain, first_line, shown
from clothinggan.presets import DEFAULT_PRESET, PRESETS
from clothinggan.version import __version__

SAVE_EVERY = 5  # epochs
FAILED = 1
INTERRUPTED = 130


class UsageError(ClothingGANError):
    """A command's options are wrong."""

    exit_status = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line on standard error, and status 2."""

    def __init__(self, command: str, description: str):
        super().__init__(
            prog=_typed_form(command),
            description=description,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"clothinggan {__version__}")

    @property
    def described(self) -> dict[str, str]:
        """What each option is for, by its name without the dashes."""
        found = {}
        for action in self._actions:
            name = max(action.option_strings, key=len, default="").removeprefix("--")
            if name and name not in ("help", "version"):
                found[name.replace("-", "_")] = action.help
        return found

    def error(self, message: str) -> None:
        """Raises the complaint, which `reporting_errors` prints."""
        raise UsageError(message, remedy=f"see {self.prog} --help")


def _typed_form(command: str) -> str:
    """Returns how the user calls a command: as a module, or by one of the installed names."""
    program = Path(sys.argv[0] or "python")
    if program.name == f"clothinggan-{command}":
        return program.name
    if program.name == "clothinggan":
        return f"clothinggan {command}"
    if program.name == "__main__.py" and program.parent.name == "clothinggan":
        return f"python -m clothinggan {command}"
    return f"python -m clothinggan.{command}"


def integer(minimum: int, maximum: int = MAX_INTEGER) -> Callable[[str], int]:
    """A type for options: a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not minimum <= number <= maximum:
            unbounded = maximum == MAX_INTEGER and (number is None or number < minimum)
            bounds = f"of at least {minimum}" if unbounded else f"from {minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number {bounds}")
        return number

    return parse


def nonempty(text: str) -> str:
    """A type for options: a name that is there; a shell leaves none of a variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def path(text: str) -> Path:
    """A type for options: a path, with `~` for the home also where the shell leaves it, as in --out=~/x."""
    try:
        expanded = Path(nonempty(text)).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {first_line(error).lower()}") from error
    # Where the program names it in a command to go on with, it is not to be taken for an option.
    return Path.cwd() / expanded if text.startswith("-") else expanded


def load_data(
    arguments: argparse.Namespace,
    record: Record | None = None,
    weights: Path | None = None,
    cluster: Cluster | None = None,
) -> Dataset:
    """Loads what --data names, else what a file was trained on, else what the environment names.

    Args:
        arguments: With what `add_data` adds.
        record: The file's record; None where it has none.
        weights: The file.
        cluster: The workers that are to train on them, if there are several.

    Raises:
        ClothingGANError: See `data.load` and `cluster.check_source`; it says who named the images if --data
            did not.
    """
    asked = arguments.data
    fit = arguments.fit or (record.fit if record else "pad")
    # What has been loaded is inverted already, if it was to be.
    inherits = record and not isinstance(asked, Dataset)
    invert = arguments.invert or (record.invert if inherits else "auto")
    if asked is not None:  # An array has no truth value.
        named, by = asked, None
    elif record:
        named = _moved_along(record.data, weights)
        by = f"which {weights} was trained on; say with --data where that is now"
    else:
        named, by = sources.default_source(), "which the environment variable CLOTHINGGAN_DATA names"
    try:
        return _load(named, fit, invert, cluster)
    except ClothingGANError as error:
        if record and asked is None and (elsewhere := sources.source_in_environment()):
            try:
                return _load(elsewhere, fit, invert, cluster)
            except ClothingGANError as another:
                raise ClothingGANError(f"{error}; and what CLOTHINGGAN_DATA names: {another}") from another
        if by is None or named in sources.KEYWORDS:
            raise
        raise ClothingGANError(f"{error} ({by})") from error


def _moved_along(source: str, weights: Path) -> str:
    """Returns where images are that a run kept beside its weights, and that went where these went."""
    beside = weights.parent / Path(source).name
    is_gone = is_kept(source) and not os.path.lexists(source)
    return str(beside) if is_gone and beside.is_file() else source


def _load(source: str | Arrays | Dataset, fit: str, invert: str, cluster: Cluster | None) -> Dataset:
    if isinstance(source, str):
        check_source(cluster, source)
        if sources.is_from_tfds(source):
            import_tensorflow()  # Before TensorFlow Datasets does it, with all that it says.
    return sources.load(source, fit, invert)


def add_model(parser: argparse.ArgumentParser, recorded: bool) -> None:
    """Adds --model; `recorded` says whether a weights file can name it."""
    says = f"default: {DEFAULT_PRESET}"
    if recorded:
        says = f"default: what the file records; where it does not say, {DEFAULT_PRESET}"
    parser.add_argument(
        "--model",
        choices=list(PRESETS),
        default=None if recorded else DEFAULT_PRESET,
        help="the design: clothing and fashion follow other projects, fashion wants a GPU; swift draws "
        f"garments in minutes, and those that are asked for ({says})",
    )


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Adds what says of a generator what its file does not say: --model and --classes."""
    parser.add_argument(
        "--model",
        choices=list(PRESETS),
        help="the design of a file that does not say it, such as one of weights alone (default: what the "
        "file records, else the only design that the weights fit)",
    )
    parser.add_argument(
        "--classes",
        metavar="N",
        dest="class_count",
        type=integer(2, MAX_CLASSES),
        help="the last N numbers that the generator takes are the class, one of them 1 and the others 0; for "
        "files that do not say it",
    )


def add_weights(parser: argparse.ArgumentParser, says: str) -> None:
    """Adds --weights, which takes one or more files and is required."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=path,
        nargs="+",
        action="extend",
        required=True,
        help=f"{says}; or example:swift, which comes with the package",
    )


def add_data(parser: argparse.ArgumentParser, recorded: bool) -> None:
    """Adds --data; `recorded` says whether a weights file can name the default."""
    default = "$CLOTHINGGAN_DATA, else fashion_mnist"
    if recorded:
        default = f"what the file was trained on, else {default}"
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        type=nonempty,
        help="a folder of pictures, whose subfolders are classes; a folder of IDX or CSV files, or an .npz, "
        "with images of 28x28; fashion_mnist (Keras's cache, else Debian's package, else its download), "
        f"tfds:NAME (from TensorFlow Datasets), or sample (built in) (default: {default})",
    )
    default = "what the file records" if recorded else FITS[0]
    parser.add_argument(
        "--fit",
        choices=FITS,
        help="pictures are trimmed to what they show and padded with their background's colour, or their "
        f"middle is cut out (default: {default})",
    )
    default = "what the file records" if recorded else INVERSIONS[0]
    parser.add_argument(
        "--invert",
        choices=INVERSIONS,
        help="whether bright becomes dark: garments are to be bright on black; auto looks at the borders of "
        f"pictures, and at what is cut out of its background (default: {default})",
    )


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """Adds --seed."""
    parser.add_argument("--seed", type=integer(0), default=0, help=f"the seed of {of} (default: 0)")


def add_devices(parser: argparse.ArgumentParser, recorded: bool) -> None:
    """Adds what decides on the devices and processes that train, and on what these compute in."""
    devices = parser.add_argument_group("devices")
    devices.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=None if recorded else PRECISIONS[0],
        help="what the networks compute in; weights, optimisers and files are float32 "
        f"(default: {'what the file records' if recorded else PRECISIONS[0]})",
    )
    devices.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="what trains: one device, all GPUs of this machine (mirrored), or the processes that TF_CONFIG "
        "names (multiworker); auto takes multiworker where TF_CONFIG names several, mirrored where there "
        "are several GPUs, else single (default: auto)",
    )
    devices.add_argument(
        "--wait",
        metavar="SECONDS",
        type=integer(1),
        default=SECONDS_TO_WAIT,
        help=f"how long to wait for other workers to start (default: {SECONDS_TO_WAIT})",
    )


def add_reports(parser: argparse.ArgumentParser, recorded: bool) -> None:
    """Adds what decides on the files that a training run writes, and on what is in them."""
    reports = parser.add_argument_group("files and reports")
    default = "what the file records" if recorded else SAVE_EVERY
    reports.add_argument(
        "--save-every",
        metavar="EPOCHS",
        type=integer(1),
        default=None if recorded else SAVE_EVERY,
        help=f"epochs between numbered files; the last epoch always gets one (default: {default})",
    )
    default = "what the file records" if recorded else "0"
    reports.add_argument(
        "--keep",
        metavar="N",
        type=integer(0),
        help=f"how many numbered files to keep, 0 for all (default: {default})",
    )
    default = "what the file records" if recorded else "the design's"
    reports.add_argument(
        "--previews",
        metavar="N",
        type=integer(0, MAX_PREVIEWS),
        help=f"single images to draw after every epoch, in images/ (default: {default})",
    )
    reports.add_argument(
        "--out", metavar="FOLDER", type=path, default=Path("."), help="for everything written (default: .)"
    )
    reports.add_argument(
        "--overwrite", action="store_true", help="replace the files of another run that are in --out"
    )
    default = "what the file records" if recorded else "0"
    reports.add_argument(
        "--evaluate-every",
        metavar="EPOCHS",
        type=integer(0),
        help="epochs between evaluations: FCD, precision and recall into the history; 0 for none "
        f"(default: {default})",
    )
    reports.add_argument(
        "--keep-best",
        metavar="COLUMN",
        nargs="?",
        const=BEST_COLUMNS[0],
        choices=BEST_COLUMNS,
        help="keep the best measured file as well: by told_apart unless another column is named, of "
        f"{', '.join(BEST_COLUMNS)} (the highest precision or recall need not be the best); goes with "
        "--evaluate-every",
    )
    reports.add_argument(
        "--stop-after",
        metavar="N",
        type=integer(1),
        help="end when so many measured epochs in a row were not the best; goes with --evaluate-every",
    )
    reports.add_argument(
        "--tensorboard", metavar="FOLDER", type=path, help="also write TensorBoard's event files there"
    )
    reports.add_argument("--show", action="store_true", help="also open the periodic images in a window")


def reporting_errors(command: Callable[[], int], trains: bool = False) -> int:
    """Runs a command; turns each way to fail into one line on standard error.

    Args:
        command: What to run; returns the exit status.
        trains: Whether it goes on for long, so that a reader of what it says who goes is worth a line.

    Returns:
        The exit status: what the command returns, that of its error, 130 after an interruption.
    """
    try:
        with warnings_end_nothing(), output.standard_streams(needs_reader=trains) as standard_output:
            status = command()
        return status or (FAILED if standard_output.lost else 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except UsageError as error:
        print(f"clothinggan: error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except Exception as error:
        if os.environ.get("CLOTHINGGAN_DEBUG") == "1":
            raise
        with contextlib.suppress(OSError):
            print(f"clothinggan: error: {shown(explain(error))}", file=sys.stderr)
        return error.exit_status if isinstance(error, ClothingGANError) else FAILED
