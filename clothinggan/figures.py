"""Image grids and loss curves: arrays in, matplotlib figures out."""

import io
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from clothinggan import environment
from clothinggan.errors import ClothingGANError
from clothinggan.files import atomic_write

with environment.a_backend_that_is_there():
    from matplotlib import style
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The pictures are ours: a matplotlibrc may turn them upside down, or set type by a program that is not there.
_own_style = style.context("default")

GRID_IMAGES = 25  # of a run's sheets and of what `display` shows
GRID_INCHES = (6, 6.4)  # with a line for the title
TITLE_LENGTH = 64  # characters that fit into it
_DPI = 100
CAPTION_HEIGHT = 20  # pixels under each frame of an animation


@_own_style
def draw_grid(images: np.ndarray, title: str, figure: Figure | None = None) -> Figure:
    """Draws images in a square grid, row by row, white on black.

    Args:
        images: (n, height, width); floats in [0, 1] or uint8.
        title: Stands above the grid.
        figure: Where to draw; None makes a new figure.

    Returns:
        The figure.
    """
    figure = figure or Figure(figsize=GRID_INCHES)
    _show(figure, tile(images), title)
    return figure


def tile(images: np.ndarray) -> np.ndarray:
    """Lays images out in a square, row by row, with white gaps of one pixel.

    Args:
        images: (n, height, width); floats in [0, 1] or uint8.

    Returns:
        One picture, float32 in [0, 1]. To draw it is twenty times faster than axes for each image.
    """
    side = int(np.ceil(np.sqrt(len(images))))
    height, width = images.shape[1:]
    picture = np.ones((side * (height + 1) - 1, side * (width + 1) - 1), np.float32)
    for index, image in enumerate(_as_floats(images)):
        top, left = (index // side) * (height + 1), (index % side) * (width + 1)
        picture[top : top + height, left : left + width] = image
    return picture


@_own_style
def draw_image(image: np.ndarray, title: str, figure: Figure | None = None) -> Figure:
    """Draws one image, (height, width), as large as the figure."""
    figure = figure or Figure(figsize=GRID_INCHES)
    _show(figure, _as_floats(image), title)
    return figure


def _shortened(title: str) -> str:
    """A title that fits: it begins and ends as it did."""
    if len(title) <= TITLE_LENGTH:
        return title
    end = TITLE_LENGTH * 2 // 3  # What a path ends in tells most.
    return f"{title[: TITLE_LENGTH - end - 1]}…{title[-end:]}"


def _as_floats(images: np.ndarray) -> np.ndarray:
    return images / np.float32(255) if images.dtype == np.uint8 else images


@_own_style
def draw_classified(
    images: np.ndarray,
    classes: Sequence[str],
    pairs: Sequence[tuple[np.ndarray, np.ndarray, float]],
    title: str,
) -> Figure:
    """Draws images with their classes, and those nearest to training images beside these.

    Args:
        images: (n, 28, 28) floats in [0, 1].
        classes: The name that stands under each.
        pairs: A generated image, the training image nearest to it, and their distance.
        title: Stands above.

    Returns:
        A new figure.
    """
    figure = Figure(figsize=(10, 14), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(10, 3))
    above.suptitle(f"{_shortened(title)}: as the classifier sees it", parse_math=False)
    side = int(np.ceil(np.sqrt(len(images))))
    grid = above.subplots(side, side, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, name in zip(grid.flat, images, classes, strict=False):
        _show_small(axes, image, name)
    below.suptitle("nearest to the training images: generated above, training image below, their distance")
    below_grid = below.subplots(2, len(pairs), squeeze=False)
    for axes in below_grid.flat:
        axes.set_axis_off()
    for column, (generated, neighbour, distance) in zip(below_grid.T, pairs, strict=True):
        _show_small(column[0], generated, "")
        _show_small(column[1], _as_floats(neighbour), f"{distance:.2f}")
    return figure


# What is drawn of a history: each panel's label, and its columns with their names.
PANELS = [
    ("loss", {"d_loss": "discriminator", "g_loss": "generator"}),
    ("discriminator's accuracy", {"accuracy_real": "on real", "accuracy_fake": "on fake"}),
    ("Fréchet classifier distance", {"fcd": "FCD"}),
    (
        "share of images",
        {"told_apart": "told apart", "precision": "precision", "recall": "recall", "coverage": "coverage"},
    ),
]
# What a panel of its own is called.
_TITLES = {
    "d_loss": "discriminator's loss",
    "g_loss": "generator's loss",
    "accuracy_real": "accuracy on real",
    "accuracy_fake": "accuracy on fake",
    "fcd": "FCD",
}
_CHARACTERS_OF_A_SHEET = 40  # in a line above it
_NAMED_CLASSES = 20  # More names would not fit beside the panel.


@_own_style
def draw_comparison(
    labels: Sequence[str], histories: Sequence[Sequence[dict[str, float]]], sheets: Sequence[np.ndarray]
) -> Figure:
    """Draws runs side by side: what each draws, and the curves of all in one panel for each number.

    Args:
        labels: What to call each run.
        histories: Their histories, as `draw_losses` takes one.
        sheets: What they draw, (n, 28, 28) floats in [0, 1] each.

    Returns:
        A new figure.
    """
    told = {column for history in histories for entry in history for column in entry}
    columns = [column for _, panel in PANELS for column in panel if column in told]
    side = 2 if len(columns) <= 4 else 3
    rows = -(-len(columns) // side)
    figure = Figure(figsize=(max(10, 3.4 * len(labels)), 4 + 2.4 * rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(4, 2.4 * rows))
    for number, (axes, label, images) in enumerate(
        zip(above.subplots(1, len(labels), squeeze=False)[0], labels, sheets, strict=True)
    ):
        axes.imshow(tile(images), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        # What a run's curves look like: a legend among them would hide some.
        line = f"\N{BOX DRAWINGS HEAVY HORIZONTAL} {label}"
        title = textwrap.fill(line, _CHARACTERS_OF_A_SHEET, max_lines=3, placeholder=" …")
        axes.set_title(title, fontsize=10, color=f"C{number}", parse_math=False)
    grid = below.subplots(rows, side, squeeze=False)
    for axes in grid.flat[len(columns) :]:
        axes.set_axis_off()
    for axes, column in zip(grid.flat, columns, strict=False):
        for label, history in zip(labels, histories, strict=True):
            _draw_curve(axes, history, column, _shortened(label))
        _finish(axes, _TITLES.get(column, column.replace("_", " ")), legend=False)
        axes.set_xlabel("epoch")
    return figure


def _draw_curve(axes: Axes, history: Sequence[dict[str, float]], column: str, name: str) -> None:
    points = [(entry["epoch"], entry[column]) for entry in history if column in entry]
    # A dot makes a single point visible.
    axes.plot(
        *(zip(*points, strict=True) if points else ([], [])), "o-" if len(points) == 1 else "-", label=name
    )


def _finish(axes: Axes, label: str, legend: bool = True) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if legend:
        axes.legend()
    if not label.endswith(("loss", "distance", "FCD")):
        axes.set_ylim(0, 1.02)


@_own_style
def draw_losses(history: Sequence[dict[str, float]], class_names: Sequence[str] = ()) -> Figure:
    """Draws how the losses, the discriminator's accuracy and, where it was measured, the quality went.

    Args:
        history: An entry for each epoch, with `epoch`, `d_loss`, `g_loss`, `accuracy_real` and
            `accuracy_fake`; some may have what was measured, see `PANELS`, and `class_shares`.
        class_names: What the classes of `class_shares` are called.

    Returns:
        A new figure.
    """
    measured = any("fcd" in entry for entry in history)
    shares = [entry for entry in history if entry.get("class_shares")]
    panels = PANELS if measured else PANELS[:2]
    rows = len(panels) + bool(shares)
    figure = Figure(figsize=(8, 3 * rows), layout="constrained")
    all_axes = figure.subplots(rows, 1, sharex=True)
    for axes, (label, columns) in zip(all_axes, panels, strict=False):
        for column, name in columns.items():
            _draw_curve(axes, history, column, name)
        _finish(axes, label)
    if shares:
        axes = all_axes[-1]
        epochs = [entry["epoch"] for entry in shares]
        # Mode collapse is a band that swallows the others.
        bands = np.transpose([entry["class_shares"] for entry in shares])
        if len(epochs) == 1:
            places = np.full(len(bands), epochs[0])
            colours = [f"C{index}" for index in range(len(bands))]
            below = np.cumsum(bands[:, 0]) - bands[:, 0]
            drawn = axes.bar(places, bands[:, 0], bottom=below, color=colours)
        else:
            drawn = axes.stackplot(epochs, bands)
        if len(class_names) == len(bands) <= _NAMED_CLASSES:
            # From the top, as the bands lie.
            names = [_shortened(name) for name in class_names]
            axes.legend(
                list(drawn)[::-1], names[::-1], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8
            )
        axes.set_ylabel("share of each class")
        axes.set_ylim(0, 1)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(history) == 1:  # Between an epoch and itself there are fractions.
        axes.set_xticks([history[0]["epoch"]])
    return figure


@_own_style
def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file; it appears whole or not at all."""
    with atomic_write(path) as temporary:
        _save(figure, temporary)


@_own_style
def _save(figure: Figure, target: Path | io.BytesIO) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # A file's name may have letters that the font has not.
        figure.savefig(target, dpi=_DPI, format="png")


def save_gif(frames: Sequence[np.ndarray], path: Path, seconds: Sequence[float]) -> None:
    """Writes an animated GIF that loops for ever; it appears whole or not at all.

    Args:
        frames: Pictures of one size, floats in [0, 1]; each pixel becomes 2x2.
        path: Where to.
        seconds: How long each frame stands.
    """
    _save_animation([_enlarged(frame) for frame in frames], path, seconds)


def save_timelapse(frames: Sequence[np.ndarray], captions: Sequence[str], path: Path) -> None:
    """Writes an animated GIF as `save_gif` does, with a line of text under each frame."""
    pictures = [_captioned(_enlarged(frame), line) for frame, line in zip(frames, captions, strict=True)]
    # The last stands longer, so that one sees where it ends.
    _save_animation(pictures, path, [0.3] * (len(frames) - 1) + [2], comment="\n".join(captions))


def load_timelapse(path: Path) -> dict[str, np.ndarray]:
    """The frames of an animation that `save_timelapse` wrote, by their captions."""
    with Image.open(path) as animation:
        captions = animation.info["comment"].decode().split("\n")
        pictures = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(animation)]
    frames = [picture[:-CAPTION_HEIGHT:2, ::2] / np.float32(255) for picture in pictures]
    return dict(zip(captions, frames, strict=True))


def in_notebook() -> bool:
    """Whether this runs in a kernel, whose pictures appear in the notebook's cell."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def present(figure: Figure) -> None:
    """Shows a figure: in the notebook's cell, else in a window.

    Raises:
        ClothingGANError: If neither is there.
    """
    if in_notebook():
        from IPython.display import Image as CellImage
        from IPython.display import display

        content = io.BytesIO()
        _save(figure, content)
        display(CellImage(content.getvalue()))
        return
    if not window_possible():
        raise ClothingGANError(
            "there is neither a notebook nor a window to show images in; write them to files with "
            "python -m clothinggan.display --save FOLDER"
        )
    import matplotlib.pyplot as plt

    content = io.BytesIO()
    _save(figure, content)
    picture = np.asarray(Image.open(content))
    plt.figure(figsize=figure.get_size_inches(), dpi=_DPI).figimage(picture)
    plt.show()


def window_possible() -> bool:
    """Whether matplotlib finds a window system and a toolkit for it."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False  # Spares the import that finds out the same.
    import matplotlib.pyplot as plt

    try:
        figure = plt.figure()
    except (ImportError, RuntimeError):
        return False  # The toolkit that the user's settings name is not installed.
    framework = figure.canvas.required_interactive_framework
    plt.close(figure)
    return framework not in (None, "headless")


def _save_animation(
    pictures: Sequence[Image.Image], path: Path, seconds: Sequence[float], **options: object
) -> None:
    with atomic_write(path) as temporary:
        pictures[0].save(
            temporary,
            save_all=True,
            append_images=pictures[1:],
            duration=[round(1000 * each) for each in seconds],
            loop=0,
            optimize=True,
            **options,
        )


def _enlarged(frame: np.ndarray) -> Image.Image:
    # 64 greys look like 256 and take half the bytes.
    picture = Image.fromarray(np.uint8(np.round(frame * 63) * (255 / 63)))
    return picture.resize((2 * frame.shape[1], 2 * frame.shape[0]), Image.Resampling.NEAREST)


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    larger = Image.new("L", (picture.width, picture.height + CAPTION_HEIGHT), color=255)
    larger.paste(picture)
    middle = picture.width // 2, picture.height + CAPTION_HEIGHT // 2
    ImageDraw.Draw(larger).text(middle, caption, fill=0, anchor="mm", font=ImageFont.load_default(13))
    return larger


def _show_small(axes: Axes, image: np.ndarray, caption: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.text(0.5, -0.02, caption, transform=axes.transAxes, ha="center", va="top", fontsize=7)


def _show(figure: Figure, picture: np.ndarray, title: str) -> None:
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.90))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(_shortened(title), fontsize=11, parse_math=False)
