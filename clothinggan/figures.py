"""Image grids and loss curves: arrays in, matplotlib figures out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
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


def draw_losses(history: Sequence[dict[str, float]], figure: Figure | None = None) -> Figure:
    """Draws how the losses and the discriminator's accuracy went.

    Args:
        history: An entry for each epoch, with `epoch`, `d_loss`, `g_loss`, `accuracy_real` and
            `accuracy_fake`.
        figure: Where to draw; None makes a new figure.

    Returns:
        The figure.
    """
    figure = figure or Figure(figsize=(8, 6), layout="constrained")
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    panels = [
        (losses, "loss", {"d_loss": "discriminator", "g_loss": "generator"}),
        (accuracies, "discriminator's accuracy", {"accuracy_real": "on real", "accuracy_fake": "on fake"}),
    ]
    for axes, label, columns in panels:
        for column, name in columns.items():
            # A dot makes a history of one epoch visible.
            style = "o-" if len(history) == 1 else "-"
            axes.plot([e["epoch"] for e in history], [e[column] for e in history], style, label=name)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend()
    accuracies.set_ylim(0, 1.02)
    accuracies.set_xlabel("epoch")
    accuracies.xaxis.get_major_locator().set_params(integer=True)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file; it appears whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _show(figure: Figure, picture: np.ndarray, title: str) -> None:
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.90))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
