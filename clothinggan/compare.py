"""`python -m clothinggan.compare`: runs side by side: their curves in one picture, and what they draw."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from clothinggan import environment, files
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.checkpoint.run_folder import find_furthest
from clothinggan.cli import options
from clothinggan.errors import ClothingGANError, shown, wrong_ending
from clothinggan.signals import unwinding

MAX_RUNS = 8
# What of a record is a setting that may make a difference, beside the design's own.
COMPARED = ("preset", "batch_size", "seed", "precision", "data", "examples")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options.Parser(
        "compare", "Shows how runs differ: their curves and what they draw, side by side."
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=options.path, help="a folder of a run, or one of its files"
    )
    parser.add_argument(
        "--save",
        metavar="PNG",
        type=options.path,
        help="the picture (default: a window or the notebook's cell, else a file in the first run's folder, "
        "named after the runs)",
    )
    options.add_seed(parser, "the images that are drawn")
    arguments = parser.parse_args(argv)
    if not 2 <= len(arguments.runs) <= MAX_RUNS:
        parser.error(f"from 2 to {MAX_RUNS} runs are compared, not {len(arguments.runs)}")
    if arguments.save and arguments.save.suffix != ".png":
        parser.error(wrong_ending("--save", ".png", arguments.save))
    return arguments


def compare(arguments: argparse.Namespace) -> int:
    """Compares as the options say; returns the exit status."""
    found = [find_furthest(path) if path.is_dir() else read_checkpoint(path) for path in arguments.runs]
    for file in found:
        if not file.record:
            raise ClothingGANError(f"{file.path} holds a generator alone, without a history to compare")
    labels = label_runs(found)
    if arguments.save:
        files.prepare_file(arguments.save, "--save")
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import draw_images, identify
    from clothinggan.figures import GRID_IMAGES, draw_comparison, present

    sheets, names = [], []
    for file in found:
        described, generator = identify(file)
        sheets.append(draw_images(described, generator, GRID_IMAGES, arguments.seed)[0])
        names.append(described.class_names)
    figure = draw_comparison(labels, [file.record.history for file in found], sheets, names)
    place = arguments.save or _default_place(arguments.runs, arguments.seed)
    present(figure, place, place_is_given=bool(arguments.save))
    for label, file in zip(labels, found, strict=True):
        print(f"{label}: {shown(file.path)}, {file.record.position}")
    return 0


def _default_place(runs: Sequence[Path], seed: int) -> Path:
    """A file in the first run's folder that another comparison is not called like."""
    names = [run.resolve().name if run.is_dir() else run.stem for run in runs]
    folder = runs[0] if runs[0].is_dir() else runs[0].parent
    # A colon, as of example:swift, not all systems know in names.
    together = "_".join(names).replace(":", "-")[: files.MAX_NAME]
    return folder / f"comparison_{together}{f'_seed{seed}' if seed else ''}.png"


def label_runs(found: Sequence[Checkpoint]) -> list[str]:
    """Returns what to call each run: what it was told otherwise than the others, or where it is."""
    told = [
        {name: getattr(file.record, name) for name in COMPARED} | dict(file.record.design) for file in found
    ]
    names = dict.fromkeys(name for each in told for name in each)
    differing = [name for name in names if len({str(each.get(name)) for each in told}) > 1]
    labels = [
        ", ".join(f"{name.replace('_', ' ')} {_as_text(each.get(name))}" for name in differing)
        for each in told
    ]
    if len(set(labels)) < len(labels):  # Told the same, they are told apart by their place.
        labels = [shown(file.path) for file in found]
    return labels


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if value is None:
        return "all"
    return shown(Path(value).name) if isinstance(value, str) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    with unwinding():
        return options.reporting_errors(lambda: compare(parse(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
