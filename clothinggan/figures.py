"""Image grids and loss curves: arrays in, matplotlib figures out."""

import io
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from clothinggan import environment
from clothinggan.errors import first_line, shown
from clothinggan.files import atomic_write

with environment.a_backend_that_is_there():
    from matplotlib import cycler, style
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

GRID_IMAGES = 25  # of a run's sheets and of what `display` shows
GRID_INCHES = (6, 6.4)  # with a line for the title
_BELOW_TITLE = (0.02, 0.02, 0.96, 0.90)  # of a figure: left, bottom, width, height
TITLE_LENGTH = 64  # characters that fit into it
_DPI = 100
_SIZE = 28  # pixels of an image's side, in animations
CAPTION_HEIGHT = 20  # pixels under each frame of an animation
FEW_EPOCHS = 10  # have a dot for each
MIN_NAMED_SHARE = 0.03  # of a class; narrower bands have no room for its name beside them
MIN_SHARE_NAMED_INSIDE = 0.2
NAME_HEIGHT = 6  # pixels, of the size of an image's, for a name under each image
# Okabe and Ito's colours, which colour-blind readers tell apart (https://jfly.uni-koeln.de/color/).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BANDS = (*COLOURS, "#999999", "#882255")  # ten classes have one each
_OVER_CURVES = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}  # behind words
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue, after ITU-R BT.709
# The pictures are ours: a matplotlibrc may turn them upside down, or set type by a program that is not there.
_own_style = style.context(["default", {"axes.prop_cycle": cycler(color=COLOURS)}])


@_own_style
def draw_grid(
    images: np.ndarray, title: str, names: Sequence[str] = (), figure: Figure | None = None
) -> Figure:
    """Draws images in a square grid, row by row, white on black.

    Args:
        images: (n, height, width); floats in [0, 1] or uint8.
        title: Stands above the grid.
        names: What stands under the images, in turns; none leaves no room for it.
        figure: Where to draw; None makes a new figure.

    Returns:
        The figure.
    """
    figure = figure or Figure(figsize=GRID_INCHES)
    axes = figure.add_axes(_BELOW_TITLE)
    draw_tiles(axes, images, names)
    axes.set_title(_shortened(title), fontsize=11, parse_math=False)
    return figure


def draw_tiles(axes: Axes, images: np.ndarray, names: Sequence[str] = ()) -> None:
    """Draws images in a square grid into axes; the arguments are those of `draw_grid`."""
    _show(axes, tile(images, NAME_HEIGHT if names else 1))
    if names:
        _write_names(axes, images, names)


def tile(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Lays images out in a square, row by row, with white gaps of one pixel.

    Args:
        images: (n, height, width); floats in [0, 1] or uint8.
        gap: How many white pixels are under each row; more than one ends with such a gap.

    Returns:
        One picture, float32 in [0, 1]. To draw it is twenty times faster than axes for each image.
    """
    side = _side(len(images))
    height, width = images.shape[1:]
    rows = side * (height + gap) - (gap == 1)
    picture = np.ones((rows, side * (width + 1) - 1), np.float32)
    for index, image in enumerate(_as_floats(images)):
        top, left = (index // side) * (height + gap), (index % side) * (width + 1)
        picture[top : top + height, left : left + width] = image
    return picture


def _side(count: int) -> int:
    """How many of so many images stand in a row."""
    return int(np.ceil(np.sqrt(count)))


def _write_names(axes: Axes, images: np.ndarray, names: Sequence[str]) -> None:
    """Writes names, in turns, into the gaps of images that were laid out with such."""
    side = _side(len(images))
    height, width = images.shape[1:]
    figure = axes.get_figure(root=True)
    extent = axes.get_window_extent()
    points = 72 / figure.dpi * min(extent.width / (width + 1), extent.height / (height + NAME_HEIGHT)) / side
    # A letter is about 0.6 times as wide as high.
    longest = max(map(len, names[: len(images)]))
    size = min(9.0, 0.8 * points * NAME_HEIGHT, points * width / (0.6 * longest))
    for index in range(len(images)):
        left, top = (index % side) * (width + 1), (index // side) * (height + NAME_HEIGHT)
        where = left + (width - 1) / 2, top + height + NAME_HEIGHT / 2 - 0.5
        name = _shortened(names[index % len(names)])
        axes.text(*where, name, ha="center", va="center", fontsize=size, parse_math=False)


@_own_style
def draw_image(image: np.ndarray, title: str, figure: Figure | None = None) -> Figure:
    """Draws one image, (height, width), as large as the figure; the title says what it is."""
    figure = figure or Figure(figsize=GRID_INCHES)
    axes = figure.add_axes(_BELOW_TITLE)
    _show(axes, _as_floats(image))
    axes.set_title(_shortened(title), fontsize=11, parse_math=False)
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
    test_distances: np.ndarray,
    title: str,
) -> Figure:
    """Draws images with their classes, and those nearest to training images beside these.

    Args:
        images: (n, 28, 28) floats in [0, 1].
        classes: The name that stands under each.
        pairs: A generated image, the training image nearest to it, and their distance.
        test_distances: (m,) floats, those of test images to the training images nearest to them.
        title: Stands above.

    Returns:
        A new figure.
    """
    figure = Figure(figsize=(10, 14), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(10, 3))
    above.suptitle(f"{_shortened(title)}: as the classifier sees it", parse_math=False)
    side = _side(len(images))
    grid = above.subplots(side, side, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, name in zip(grid.flat, images, classes, strict=False):
        _show_small(axes, image, name)
    usual, near = np.quantile(test_distances, (0.5, 0.01))
    below.suptitle(
        "nearest to the training images: generated above, training image below, their distance\n"
        f"(below {near:.2f} it counts as a copy, as one test image in a hundred does; half of them lie below "
        f"{usual:.2f})"
    )
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
    ("discriminator's accuracy", {"accuracy_real": "on real", "accuracy_fake": "on generated"}),
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
    "accuracy_fake": "accuracy on generated",
    "fcd": "FCD",
}
_CHARACTERS_OF_A_SHEET = 40  # in a line above it


@_own_style
def draw_comparison(
    labels: Sequence[str],
    histories: Sequence[Sequence[dict[str, float]]],
    sheets: Sequence[np.ndarray],
    names: Sequence[Sequence[str]],
) -> Figure:
    """Draws runs side by side: what each draws, and the curves of all in one panel for each number.

    Args:
        labels: What to call each run.
        histories: Their histories, as `draw_losses` takes one.
        sheets: What they draw, (n, 28, 28) floats in [0, 1] each.
        names: What stands under the images of each, in turns.

    Returns:
        A new figure.
    """
    told = {column for history in histories for entry in history for column in entry}
    columns = [column for _, panel in PANELS for column in panel if column in told]
    side = 2 if len(columns) <= 4 else 3
    rows = -(-len(columns) // side)
    figure = Figure(figsize=(max(10, 3.4 * len(labels)), 4 + 2.6 * rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(4, 2.6 * rows))
    for number, (axes, label, images, under) in enumerate(
        zip(above.subplots(1, len(labels), squeeze=False)[0], labels, sheets, names, strict=True)
    ):
        draw_tiles(axes, images, under)
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
        _mark_epochs(axes, histories)
    return figure


def _draw_curve(axes: Axes, history: Sequence[dict[str, float]], column: str, name: str) -> None:
    points = [(entry["epoch"], entry[column]) for entry in history if column in entry]
    # Dots make single points visible.
    line = "o-" if len(points) <= FEW_EPOCHS else "-"
    axes.plot(*(zip(*points, strict=True) if points else ([], [])), line, label=name)


def _finish(axes: Axes, label: str, legend: bool = True) -> None:
    """Says what a panel's numbers are, and marks what guessing would give: without a legend, in the panel."""
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    locator = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    if label.endswith("loss"):
        # What guessing costs, where no class loss is added.
        _mark(axes, np.log(2), "ln 2: guessing real or fake", in_panel=not legend)
        axes.set_ylim(0, 1.06 * axes.dataLim.y1)  # By itself it would cut a dot at the top in half.
    elif not label.lower().endswith(("distance", "fcd")):
        name = "one half: guessing" if "accuracy" in label or "apart" in label else "one half"
        _mark(axes, 0.5, name, in_panel=not legend)
        axes.set_ylim(0, 1.02)
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False)


def _mark(axes: Axes, height: float, name: str, in_panel: bool) -> None:
    """Draws a dashed line with a name, for the legend or, where there is none, in the panel."""
    axes.axhline(height, color="grey", linestyle="--", linewidth=1, label=name, zorder=1)
    if in_panel:
        place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom", "zorder": 3}
        axes.text(0.99, height, name, **place, fontsize=7, color="dimgrey", bbox=_OVER_CURVES)


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
        _draw_shares(all_axes[-1], shares, class_names)
    _mark_epochs(all_axes[-1], [history])
    return figure


def _mark_epochs(axes: Axes, histories: Sequence[Sequence[dict[str, float]]]) -> None:
    """Says that across are epochs, whole ones also where there are few."""
    epochs = [entry["epoch"] for history in histories for entry in history]
    if epochs and max(epochs) - min(epochs) < FEW_EPOCHS:
        axes.set_xticks(range(min(epochs), max(epochs) + 1))
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.set_xlabel("epoch")


def _draw_shares(axes: Axes, entries: Sequence[dict], class_names: Sequence[str]) -> None:
    """Draws each class's share as a band: mode collapse is one that swallows the others."""
    epochs = [entry["epoch"] for entry in entries]
    bands = np.transpose([entry["class_shares"] for entry in entries])
    tops = np.cumsum(bands, axis=0)
    # White lines part bands where the colours begin anew.
    part = {"color": BANDS, "edgecolor": "white", "linewidth": 0.8}
    if len(epochs) == 1:
        axes.bar(np.full(len(bands), epochs[0]), bands[:, 0], bottom=tops[:, 0] - bands[:, 0], **part)
    else:
        part["colors"] = part.pop("color")
        axes.stackplot(epochs, bands, **part)
    for name, band, top, colour in zip(class_names, bands, tops, cycle(BANDS), strict=False):
        middles, widest = top - band / 2, np.argmax(band)
        word = {"s": name, "va": "center", "fontsize": 8}
        if band[-1] > MIN_NAMED_SHARE:
            axes.text(1.01, middles[-1], **word, transform=axes.get_yaxis_transform())
        elif band[widest] > MIN_SHARE_NAMED_INSIDE:
            side = "left" if widest == 0 else "center"
            ink = "black" if np.dot(to_rgb(colour), LUMINANCE) > 0.4 else "white"
            axes.text(epochs[widest], middles[widest], **word, ha=side, color=ink)
    axes.set_ylabel("share of each class")
    axes.set_ylim(0, 1)


@_own_style
def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file; it appears whole or not at all."""
    with atomic_write(path) as temporary:
        _save(figure, temporary)


def save_figure(figure: Figure, path: Path, path_is_given: bool = False) -> str:
    """Writes a figure as `save_png` does.

    Args:
        figure: The figure.
        path: Where to.
        path_is_given: Whether the user named the file: then it is no surprise that it is written over.

    Returns:
        A line that names the file, and says so if it has taken another picture's place.
    """
    content = io.BytesIO()
    _save(figure, content)
    replaces = not path_is_given and path.exists() and path.read_bytes() != content.getvalue()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getvalue())
    return f"{shown(path)}{', in the place of another picture of that name' if replaces else ''}"


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


def save_timelapse(
    frames: Sequence[np.ndarray], captions: Sequence[str], path: Path, names: Sequence[str] = ()
) -> None:
    """Writes an animated GIF as `save_gif` does, with a line of text under each frame.

    Args:
        frames: What `tile` made of images of 28x28; with names, with gaps of `NAME_HEIGHT`.
        captions: The lines.
        path: Where to.
        names: What stands under the images, in turns.
    """
    named = [_with_names(_enlarged(frame), names) for frame in frames]
    pictures = [_captioned(frame, line) for frame, line in zip(named, captions, strict=True)]
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


def present(figure: Figure, place: Path, place_is_given: bool = False) -> None:
    """Shows a figure: in the notebook's cell, else in a window, else in a file, whose path is printed.

    Args:
        figure: The figure.
        place: The file.
        place_is_given: Whether the user named the file: then it is written, and nothing else is done.
    """
    if place_is_given or not (in_notebook() or window_possible()):
        print(save_figure(figure, place, place_is_given))
        return
    if in_notebook():
        from IPython.display import Image as CellImage
        from IPython.display import display

        content = io.BytesIO()
        _save(figure, content)
        display(CellImage(content.getvalue()))
        return
    import matplotlib.pyplot as plt

    content = io.BytesIO()
    _save(figure, content)
    picture = np.asarray(Image.open(content))
    plt.figure(figsize=figure.get_size_inches(), dpi=_DPI).figimage(picture)
    plt.show()


def window_possible() -> bool:
    """Whether matplotlib finds a window system and a toolkit for it."""
    return why_no_window() is None


def why_no_window() -> str | None:
    """Returns why no window can be opened; None where one can be."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # Spares the import that finds out the same.
        return "there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set"
    import matplotlib.pyplot as plt

    try:
        figure = plt.figure()
    except (ImportError, RuntimeError) as error:
        return f"matplotlib's toolkit for windows is not there: {first_line(error)}"
    framework = figure.canvas.required_interactive_framework
    plt.close(figure)
    if framework in (None, "headless"):
        backend = plt.get_backend()
        return f"matplotlib finds no toolkit for windows, such as tkinter or PyQt, and draws by {backend}"
    return None


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


def _with_names(picture: Image.Image, names: Sequence[str]) -> Image.Image:
    """Writes names, in turns, into the gaps of an enlarged picture."""
    if not names:
        return picture
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(9)
    width, height, gap = 2 * (_SIZE + 1), 2 * (_SIZE + NAME_HEIGHT), 2 * NAME_HEIGHT
    side = (picture.width + 2) // width
    for index in range(side * side):
        left, bottom = index % side * width, (index // side + 1) * height
        name = names[index % len(names)]
        while draw.textlength(name, font) > width and len(name) > 2:
            name = f"{name[:-2]}…"
        draw.rectangle((left, bottom - gap, left + width, bottom - 1), fill=255)
        draw.text((left + _SIZE, bottom - gap / 2), name, fill=0, anchor="mm", font=font)
    return picture


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    larger = Image.new("L", (picture.width, picture.height + CAPTION_HEIGHT), color=255)
    larger.paste(picture)
    middle = picture.width // 2, picture.height + CAPTION_HEIGHT // 2
    ImageDraw.Draw(larger).text(middle, caption, fill=0, anchor="mm", font=ImageFont.load_default(13))
    return larger


def _show_small(axes: Axes, image: np.ndarray, caption: str) -> None:
    _show(axes, image)
    axes.text(0.5, -0.02, caption, transform=axes.transAxes, ha="center", va="top", fontsize=7)


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
