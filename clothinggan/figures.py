"""Image grids and loss curves: arrays in, matplotlib figures out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clothinggan.files import replacing


def draw_grid(images: np.ndarray, title: str, figure: Figure | None = None) -> Figure:
    """Draws images in a square grid, row by row, white on black.

    Args:
        images: (n, height, width); floats in [0, 1] or uint8.
        title: Stands above the grid.
        figure: Where to draw; None makes a new figure.

    Returns:
        The figure.
    """
    figure = figure or Figure(figsize=(6, 6.4))
    side = int(np.ceil(np.sqrt(len(images))))
    height, width = images.shape[1:]
    # One picture with a one-pixel gap between the images draws twenty times faster than many axes.
    sheet = np.ones((side * (height + 1) - 1, side * (width + 1) - 1), np.float32)
    scale = 255 if images.dtype == np.uint8 else 1
    for index, image in enumerate(images):
        top, left = (index // side) * (height + 1), (index % side) * (width + 1)
        sheet[top : top + height, left : left + width] = image / scale
    _show(figure, sheet, title)
    return figure


def draw_image(image: np.ndarray, title: str, figure: Figure | None = None) -> Figure:
    """Draws one image, (height, width), as large as the figure."""
    figure = figure or Figure(figsize=(6, 6.4))
    _show(figure, image / (255 if image.dtype == np.uint8 else 1), title)
    return figure


def draw_judged(
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
    above.suptitle(f"{title}: as the classifier sees it")
    side = int(np.ceil(np.sqrt(len(images))))
    for axes, image, name in zip(above.subplots(side, side).flat, images, classes, strict=False):
        _show_small(axes, image, name)
    below.suptitle("nearest to the training images: generated above, training image below, their distance")
    for column, (generated, neighbour, distance) in zip(below.subplots(2, len(pairs)).T, pairs, strict=True):
        _show_small(column[0], generated, "")
        _show_small(column[1], neighbour / 255, f"{distance:.2f}")
    return figure


def draw_losses(history: Sequence[dict[str, float]], figure: Figure | None = None) -> Figure:
    """Draws how the losses, the discriminator's accuracy and, where it was measured, the quality went.

    Args:
        history: An entry for each epoch, with `epoch`, `d_loss`, `g_loss`, `accuracy_real` and
            `accuracy_fake`; some may have `fcd`, `precision` and `recall`.
        figure: Where to draw; None makes a new figure.

    Returns:
        The figure.
    """
    panels = [
        ("loss", {"d_loss": "discriminator", "g_loss": "generator"}),
        ("discriminator's accuracy", {"accuracy_real": "on real", "accuracy_fake": "on fake"}),
        ("Fréchet classifier distance", {"fcd": "FCD"}),
        ("share of images", {"precision": "precision", "recall": "recall"}),
    ]
    if not any("fcd" in entry for entry in history):
        panels = panels[:2]
    figure = figure or Figure(figsize=(8, 3 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True)
    for axes, (label, columns) in zip(all_axes, panels, strict=True):
        for column, name in columns.items():
            points = [(entry["epoch"], entry[column]) for entry in history if column in entry]
            # A dot makes a single point visible.
            axes.plot(*zip(*points, strict=True), "o-" if len(points) == 1 else "-", label=name)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend()
        if not label.endswith(("loss", "distance")):
            axes.set_ylim(0, 1.02)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file; it appears whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _show_small(axes: Axes, image: np.ndarray, caption: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.text(0.5, -0.02, caption, transform=axes.transAxes, ha="center", va="top", fontsize=7)


def _show(figure: Figure, picture: np.ndarray, title: str) -> None:
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.90))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
