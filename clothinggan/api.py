"""What the commands do, for a program or a notebook: train, measure, draw, show.

Every option of a command is a keyword, with `_` for `-`; what a command refuses raises a `ClothingGANError`.
A run that is stopped, resumed and measured here is equal to the bit to one of the commands.
"""

import argparse
import contextlib
import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, overload

import numpy as np

from clothinggan import environment, evaluate, files, train
from clothinggan import resume as resume_command
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.cli.options import UsageError
from clothinggan.data.classes import find_classes
from clothinggan.data.in_memory import Arrays
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, did_you_mean, wrong_ending
from clothinggan.evaluation.report import COLUMNS
from clothinggan.presets import PRESETS, SETTINGS, Preset, change
from clothinggan.wording import Keywords, told_as

if TYPE_CHECKING:
    import keras
    from typing_extensions import Unpack

    from clothinggan.run import Run

StrPath = str | Path
Data = StrPath | Arrays | Dataset
Classes = Iterable[str | int] | str | None  # A name or several, or numbers.
Images = np.ndarray[Any, np.dtype[np.float32]]
_COMMANDS = {"train": train, "resume": resume_command, "evaluate": evaluate}


class FitOptions(TypedDict, total=False):
    """The options of the commands `train` and `resume`, and the settings of the designs, by their names."""

    data: Data
    fit: str
    invert: str
    examples: int
    epochs: int
    more: int
    batch_size: int
    seed: int
    precision: str
    strategy: str
    wait: int
    save_every: int
    keep: int
    previews: int
    out: StrPath
    overwrite: bool
    evaluate_every: int
    keep_best: str | bool
    stop_after: int
    tensorboard: StrPath
    show: bool
    discriminator_weights: StrPath
    latent_size: int
    generator_filters: Sequence[int]
    discriminator_filters: Sequence[int]
    dropout: float
    dropout_for_generator: bool
    label_noise: float
    generator_learning_rate: float
    discriminator_learning_rate: float
    beta_1: float
    class_weight: float
    class_loss_for_generator: bool
    shared_fakes: bool
    averaging: float
    averaging_width: float
    rate_decay_start: int


class MeasureOptions(TypedDict, total=False):
    """The options of the command `evaluate`, by their names."""

    data: Data
    fit: str
    invert: str
    seed: int
    images: int
    quick: bool
    model: str
    classes: int


class Measures(dict[str, Any]):
    """The numbers of one file by name, as `evaluate --json` has them; prints as the table."""

    def __init__(self, numbers: Mapping[str, Any], table: str):
        super().__init__(numbers)
        self._table = table

    def __str__(self) -> str:
        return self._table

    __repr__ = __str__

    def __missing__(self, name: str) -> None:
        columns = {title: name for name, (title, _) in COLUMNS.items()}
        meant = f": {columns[name]!r} is meant" if name in columns else ""
        raise KeyError(f"there is no {name!r}{meant}; there are {', '.join(self)}")


@contextlib.contextmanager
def _in_keywords(options: type = dict, **others: str) -> Iterator[None]:
    """Has errors, and what is printed, name keywords where a command names options.

    Args:
        options: The options whose keywords are called as they are.
        others: The keywords of options that are called otherwise.
    """
    words = Keywords(getattr(options, "__annotations__", {}), others)
    try:
        with told_as(words):
            yield
    except ClothingGANError as error:
        error.message, error.remedies = words(error.message), [words(remedy) for remedy in error.remedies]
        raise


_IN_MEMORY = (
    "; or the images themselves: an array of them, a tuple of images and labels, training and test images as "
    "Keras's load_data() returns them, arrays by the names that an .npz has, or what clothinggan.load_data() "
    "returns"
)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _with_options(options: type, *described: Mapping[str, str]) -> Callable[[_Function], _Function]:
    """Has `help()` and completion show a function's options, with what the commands say of them."""
    texts: dict[str, str] = {}
    for each in described:
        texts |= {name: text for name, text in each.items() if name not in texts}
    texts["data"] += _IN_MEMORY

    def add(function: _Function) -> _Function:
        signature = inspect.signature(function)
        kinds = options.__annotations__
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in kinds.items()
        ]
        named = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]
        function.__signature__ = signature.replace(parameters=[*named, *keywords])
        lines = "".join(f"    {name}: {texts[name]}\n" for name in kinds)
        function.__doc__ = f"{inspect.getdoc(function)}\n\nOptions:\n{lines}"
        return function

    return add


@_with_options(
    FitOptions,
    train.make_parser().described,
    resume_command.make_parser().described,
    {name: f"{setting.help}; {setting.expected}" for name, setting in SETTINGS.items()},
)
@_in_keywords(FitOptions, weights="resume", model="model")
def fit(
    model: str | Preset | None = None,
    *,
    resume: StrPath | None = None,
    generator: "keras.Model | None" = None,
    discriminator: "keras.Model | None" = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    **options: "Unpack[FitOptions]",
) -> "Run":
    """Trains a GAN, or goes on with a run, as the commands `train` and `resume` do.

    Interrupting it saves, and returns the run as it stands.

    Args:
        model: The design: its name, or a row of `PRESETS` changed with `dataclasses.replace`.
        resume: A folder or a file of a run to go on with, in place of training anew.
        generator: A network of your own in the place of the design's: latent vectors (n, k) to images
            (n, 28, 28, 1); for a design that learns with labels the last of the k numbers are the class. It
            is built of Keras's own layers. A copy of it is trained, all of its layers; `run.generator` is
            that copy, or its average where the design averages.
        discriminator: The same: images (n, 28, 28, 1) to a probability, or for a design that learns with
            labels to one for each class; it ends in a sigmoid.
        callbacks: Keras callbacks of your own; their `model` is the GAN.
        options: Options of the commands, and settings of the design.

    Returns:
        The run: its `history`, its `generator`, the `path` of its last file; `show()` shows what it draws.

    Raises:
        ClothingGANError: If an option is wrong, a file or a folder cannot be used, a network is not as
            described, or the training fails.
    """
    given = _known(options, FitOptions, "fit")
    own = {"generator": generator, "discriminator": discriminator}
    if resume is not None:
        path = Path(resume)
        for name in given.keys() & SETTINGS.keys():
            raise ClothingGANError(f"{name} is what {path} was trained with; a run goes on as it began")
        if any(network is not None for network in own.values()):
            raise ClothingGANError(f"{path} holds networks; leave generator and discriminator out")
        found = {"out": path} if path.is_dir() else {"weights": path, "out": path.parent}
        if isinstance(model, Preset):
            raise ClothingGANError(f"{path} says its design; leave model out")
        arguments = _arguments("resume", **{"model": model, **found, **given})
        begin = resume_command.begin
    else:
        settings = {name: given.pop(name) for name in SETTINGS if name in given}
        design = model if isinstance(model, Preset) else None
        named = {"model": model} if isinstance(model, str) else {}
        if design and design.name in PRESETS:
            named = {"model": design.name}
        arguments = _arguments("train", **named, **given)
        try:
            arguments.design = change(design or arguments.design, **settings)
        except ValueError as error:
            raise ClothingGANError(str(error)) from error
        for name, network in own.items():
            of_layers = {"generator": ("latent_size",)}.get(name, ("dropout",))
            for setting in (*of_layers, f"{name}_filters"):
                if network is not None and setting in settings:
                    raise ClothingGANError(f"{setting} is of the design's {name}, and you bring your own")
            setattr(arguments, name, network)
        begin = train.begin
    arguments.callbacks = callbacks
    return begin(arguments)


@overload
def measure(path: StrPath, /, **options: "Unpack[MeasureOptions]") -> Measures: ...


@overload
def measure(
    path: StrPath, other: StrPath, /, *others: StrPath, **options: "Unpack[MeasureOptions]"
) -> list[Measures]: ...


@_with_options(MeasureOptions, evaluate.make_parser().described)
@_in_keywords(MeasureOptions, weights="path")
def measure(*paths: StrPath, **options: Any) -> Measures | list[Measures]:
    """Measures how good the images of a generator are, as the command `evaluate` does.

    Args:
        paths: One or more files.
        options: Options of the command.

    Returns:
        The file's numbers by name, which are those of `evaluate --json`: `list` of it tells them, and the
        table on docs/python.md which column each is. A list of such for several files.

    Raises:
        ClothingGANError: If a file or the data cannot be used.
    """
    given = _known(options, MeasureOptions, "measure")
    if not paths:
        raise ClothingGANError("measure() takes a file, or several")
    arguments = _arguments("evaluate", weights=list(paths), **given)
    report, _ = evaluate.measure(arguments)
    entries = [
        Measures(report.entry(line), dataclasses.replace(report, lines=[line]).as_table())
        for line in report.lines
    ]
    return entries[0] if len(entries) == 1 else entries


def draw(
    path: StrPath,
    count: int = 25,
    *,
    classes: Classes = None,
    seed: int = 0,
    model: str | None = None,
    class_count: int | None = None,
) -> Images:
    """Draws images with the generator of a file.

    Args:
        path: The file.
        count: How many.
        classes: Names or numbers of those to draw, in turns; a generator that knows classes draws all by
            default.
        seed: Decides the latent vectors.
        model: The design's name, where the file holds weights alone that fit several.
        class_count: How many of the last numbers that its generator takes say the class, where the file does
            not say it.

    Returns:
        (count, 28, 28) float32 in [0, 1].

    Raises:
        ClothingGANError: If the file cannot be used, or has no such class.
    """
    _, images, _ = _draw(path, count, classes, seed, model, class_count)
    return images


def show(
    path: StrPath,
    *,
    classes: Classes = None,
    seed: int = 0,
    model: str | None = None,
    class_count: int | None = None,
    save: StrPath | None = None,
) -> None:
    """Shows 25 images that the generator of a file draws: in the notebook's cell, in a window, or in a file.

    Where there is neither a notebook nor a screen, they are written beside the file, and their path printed.

    Args:
        path: The file.
        classes: As for `draw`.
        seed: Decides the latent vectors.
        model: As for `draw`.
        class_count: As for `draw`.
        save: A PNG file to write them to instead.

    Raises:
        ClothingGANError: If the file cannot be used, or the PNG file not be written or not named so.
    """
    from clothinggan.export import picture_name
    from clothinggan.figures import GRID_IMAGES, draw_grid, present

    if save is not None:
        if Path(save).suffix != ".png":
            raise ClothingGANError(wrong_ending("save", ".png", save))
        files.prepare_file(Path(save), "save")
    file, images, names = _draw(path, GRID_IMAGES, classes, seed, model, class_count)
    called = picture_name(file.path, names if classes is not None else (), seed)
    place = file.path.with_name(f"{called}_shown.png") if save is None else Path(save)
    present(draw_grid(images, file.title, names), place, place_is_given=save is not None)


@_in_keywords(weights="path", model="model", classes="class_count", **{"class": "classes"})
def _draw(
    path: StrPath, count: int, classes: Classes, seed: int, model: str | None, class_count: int | None
) -> tuple[Checkpoint, Images, list[str]]:
    """Returns the file, the images, and the names of the classes that they are of in turns."""
    file = read_checkpoint(Path(path))
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import identify
    from clothinggan.models import class_names, draw_latent_vectors, generate

    file, generator = identify(file, model, class_count)
    names = class_names(generator)
    try:
        images = generate(generator, draw_latent_vectors(count, generator, seed, classes))
        drawn = names if classes is None else [names[number] for number in find_classes(classes, names)]
    except ClothingGANError as error:
        raise error.add(where=file.path) from None
    return file, images, list(drawn)


def _known(options: Mapping[str, Any], known: type, function: str) -> dict[str, Any]:
    """The options that are given; those that there are not get the nearest."""
    names = list(known.__annotations__)
    for name in options:
        if name not in names:
            hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
            raise ClothingGANError(f"{function}() has no option '{name}'; {hint}")
    return {name: value for name, value in options.items() if value is not None}


def _arguments(command: str, **options: object) -> argparse.Namespace:
    """The command's options as its parser gives them: what it refuses is refused here with the same words."""
    words = []
    data = options.get("data")
    is_in_memory = not isinstance(data, str | os.PathLike | None)
    for name, value in options.items():
        if value is None or value is False or (name == "data" and is_in_memory):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list | tuple):
            words += [option, *map(str, value)]
        else:
            words.append(option if value is True else f"{option}={value}")
    try:
        arguments = _COMMANDS[command].parse(words)
    except UsageError as error:
        raise ClothingGANError(error.message) from error
    if is_in_memory:
        arguments.data = data
    return arguments
