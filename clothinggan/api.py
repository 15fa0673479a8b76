"""What the commands do, for a program or a notebook: train, measure, draw, show.

Every option of a command is a keyword, with `_` for `-`; what a command refuses raises a `ClothingGANError`.
A run that is stopped, resumed and measured here is equal to the bit to one of the commands.
"""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import environment, evaluate, train
from clothinggan import resume as resume_command
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.cli.options import UsageError
from clothinggan.data.classes import find_class
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS, SETTINGS, Preset, change

if TYPE_CHECKING:
    import keras

    from clothinggan.run import Run

StrPath = str | Path


class Measures(dict[str, object]):
    """The numbers of one file by name, as `evaluate --json` has them; prints as the table."""

    def __init__(self, numbers: dict[str, object], table: str):
        super().__init__(numbers)
        self._table = table

    def __str__(self) -> str:
        return self._table

    __repr__ = __str__


def fit(
    model: str | Preset | None = None,
    *,
    resume: StrPath | None = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    **options: object,
) -> "Run":
    """Trains a GAN, or goes on with a run, as the commands `train` and `resume` do.

    Interrupting it saves, and returns the run as it stands.

    Args:
        model: The design: its name, or a row of `PRESETS` changed with `dataclasses.replace`.
        resume: A folder or a file of a run to go on with, in place of training anew.
        callbacks: Keras callbacks of your own; their `model` is the GAN.
        options: The command's options as keywords: `data`, `epochs`, `out`, `seed` and so on; and the
            design's settings, as `generator_learning_rate=0.001`.

    Returns:
        The run: its `history`, its `generator`, the `path` of its last file; `show()` shows what it draws.

    Raises:
        ClothingGANError: If an option is wrong, a file or a folder cannot be used, or the training fails.
    """
    if resume is not None:
        path = Path(resume)
        found = {"out": path} if path.is_dir() else {"weights": path, "out": path.parent}
        options = found | options
        arguments = _arguments("resume", model=model, **options)
        begin = resume_command.begin
    else:
        settings = {name: options.pop(name) for name in SETTINGS if name in options}
        design = model if isinstance(model, Preset) else None
        named = {"model": model} if isinstance(model, str) else {}
        if design and design.name in PRESETS:
            named = {"model": design.name}
        arguments = _arguments("train", **named, **options)
        try:
            arguments.design = change(design or arguments.design, **settings)
        except ValueError as error:
            raise ClothingGANError(str(error)) from error
        begin = train.begin
    arguments.callbacks = callbacks
    return begin(arguments)


def measure(*paths: StrPath, **options: object) -> Measures | list[Measures]:
    """Measures how good the images of a generator are, as the command `evaluate` does.

    Args:
        paths: One or more files.
        options: The command's options as keywords: `data`, `images`, `quick`, `seed`.

    Returns:
        The file's numbers by name, as `fcd` and `told_apart`; a list of them for several files.

    Raises:
        ClothingGANError: If a file or the data cannot be used.
    """
    arguments = _arguments("evaluate", weights=list(paths), **options)
    report, _ = evaluate.measure(arguments)
    entries = [
        Measures(report.entry(line), dataclasses.replace(report, lines=[line]).as_table())
        for line in report.lines
    ]
    return entries[0] if len(entries) == 1 else entries


def draw(
    path: StrPath, count: int = 25, *, classes: Iterable[str | int] | None = None, seed: int = 0
) -> np.ndarray:
    """Draws images with the generator of a file.

    Args:
        path: The file.
        count: How many.
        classes: Names or numbers of those to draw, in turns; a generator that knows classes draws all by
            default.
        seed: Decides the latent vectors.

    Returns:
        (count, 28, 28) float32 in [0, 1].

    Raises:
        ClothingGANError: If the file cannot be used, or has no such class.
    """
    return _draw(path, count, classes, seed)[1]


def show(path: StrPath, *, classes: Iterable[str | int] | None = None, seed: int = 0) -> None:
    """Shows 25 images that the generator of a file draws: in the notebook's cell, or in a window.

    Args:
        path: The file.
        classes: As for `draw`.
        seed: Decides the latent vectors.

    Raises:
        ClothingGANError: If the file cannot be used, or neither a cell nor a window is there.
    """
    from clothinggan.figures import GRID_IMAGES, draw_grid, present

    file, images, drawn = _draw(path, GRID_IMAGES, classes, seed)
    present(draw_grid(images, file.title, [file.class_names[number] for number in drawn]))


def _draw(
    path: StrPath, count: int, classes: Iterable[str | int] | None, seed: int
) -> tuple[Checkpoint, np.ndarray, Sequence[int]]:
    """Returns the file, the images, and the classes that they are of in turns."""
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import draw_images, identify

    file, generator = identify(read_checkpoint(Path(path)))
    if classes is not None and not file.class_names:
        raise ClothingGANError(f"{file.path} draws what it likes and cannot be asked for a class")
    numbers = None if classes is None else [find_class(str(name), file.class_names) for name in classes]
    images, _ = draw_images(file, generator, count, seed, numbers)
    named = (file.classes if numbers is None else numbers) if file.class_names else ()
    return file, images, named


_COMMANDS = {"train": train, "resume": resume_command, "evaluate": evaluate}


def _arguments(command: str, **options: object) -> argparse.Namespace:
    """The command's options as its parser gives them: what it refuses is refused here with the same words."""
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += map(str, value) if isinstance(value, list | tuple) else [str(value)]
    try:
        return _COMMANDS[command].parse(words)
    except UsageError as error:
        raise ClothingGANError(error.message) from error
