"""Draws how a run goes that goes well, one that collapses, and what of it is at fault, for docs/gans.md.

    python scripts/experiments/well_and_badly.py --data fashion_mnist

All train `swift` on the same images without their labels, so that it draws what it likes. In the second the
discriminator is far too small for the generator: it has two convolutions of 4 and 8 filters in the place of
three of 32, 64 and 128. Nothing steadies it either: no dropout, no averaging. The third has the usual
filters, and is as little steadied. Each takes some two minutes on one core. After every epoch the images are
drawn and counted by class.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import CHECKOUT

from clothinggan import environment, files
from clothinggan.cli import options
from clothinggan.data import sources
from clothinggan.presets import PRESETS

PICTURES = CHECKOUT / "docs" / "pictures"
COUNTED = 1_000
SHOWN = 25
RUNS = {
    "well": {},
    "badly": {"discriminator_filters": (4, 8), "dropout": 0.0, "averaging_width": 0.0},
    "unsteadied": {"dropout": 0.0, "averaging_width": 0.0},
}


def main() -> int:
    """Trains them and draws them; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=sources.default_source(), help="as for train")
    parser.add_argument("--examples", type=options.integer(100), default=6_000, help="default: %(default)s")
    parser.add_argument("--epochs", type=options.integer(1), default=12, help="default: %(default)s")
    parser.add_argument("--runs", choices=list(RUNS), nargs="+", default=list(RUNS))
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="where to (default: %(default)s)")
    arguments = parser.parse_args()
    files.prepare_folder(arguments.pictures, "--pictures")
    environment.import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images.npz")
        np.savez(images, x_train=sources.load(arguments.data).train_images[: arguments.examples])
        for name in arguments.runs:
            draw_run(name, images, arguments.epochs, Path(folder, name), arguments.pictures)
    return 0


def draw_run(name: str, images: Path, epochs: int, folder: Path, pictures: Path) -> None:
    """Trains a run, and draws its curves and what it drew at four of its epochs."""
    import keras
    from matplotlib.figure import Figure

    import clothinggan
    from clothinggan.data.classes import CLASS_NAMES
    from clothinggan.evaluation import classifier, metrics
    from clothinggan.figures import draw_losses, draw_tiles, save_png
    from clothinggan.titles import title

    class Watcher(keras.callbacks.Callback):
        """Draws after every epoch, and counts what is drawn by class."""

        def __init__(self):
            super().__init__()
            self.eyes = classifier.load()
            self.shares, self.sheets = [], []

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            drawn = self.model.draw(COUNTED)
            self.shares.append(metrics.class_shares(self.eyes.probabilities(drawn)).tolist())
            self.sheets.append(drawn[:SHOWN])

    watcher = Watcher()
    design = dataclasses.replace(PRESETS["swift"], **RUNS[name])
    run = clothinggan.fit(design, data=str(images), epochs=epochs, out=str(folder), callbacks=[watcher])
    history = run.record.history
    told = [entry | {"class_shares": share} for entry, share in zip(history, watcher.shares, strict=True)]
    curves = pictures / f"{name}_curves.png"
    save_png(draw_losses(told, CLASS_NAMES), curves)
    chosen = sorted({0, epochs // 4, epochs // 2, epochs - 1})
    figure = Figure(figsize=(3 * len(chosen), 3.3), layout="constrained")
    for axes, index in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        draw_tiles(axes, watcher.sheets[index])
        seconds = sum(entry["seconds"] for entry in history[: index + 1])
        axes.set_title(title("swift", f"epoch {index + 1}", seconds), fontsize=10)
    save_png(figure, pictures / f"{name}_images.png")
    for entry in told:
        print({key: np.round(value, 2).tolist() for key, value in entry.items()})
    print(curves, pictures / f"{name}_images.png", sep="\n")


if __name__ == "__main__":
    sys.exit(options.reporting_errors(main))
