"""Trains a file's discriminator on while its generator stands still: could it tell, if it had the time?

    python scripts/experiments/discriminator_alone.py --weights clothingGANepoch50.h5

A `d_loss` near 0.69 says that the discriminator guesses, not why. Here it goes on from the file as it was,
with the images, learning rate and batch of its run, against a generator that no longer learns. If its loss
falls now, the images can be told apart, and in training the generator is too quick for it; if it stays, there
is nothing that this discriminator could learn from them. No file is written.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401

from clothinggan import environment
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.record import Record
from clothinggan.cli import options
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError

if TYPE_CHECKING:
    from clothinggan.gan import GAN

REPORTS = 6


def learn_alone(gan: "GAN", record: Record, dataset: Dataset, steps: int) -> Iterator[dict[str, float]]:
    """Trains the discriminator; tells its mean loss since the last report, and its accuracies.

    Raises:
        ClothingGANError: If it cannot learn from these images.
    """
    import tensorflow as tf

    from clothinggan.data.batches import arrays_to_learn, batches

    gan.generator_optimizer._learning_rate = 0.0  # Whatever it follows.
    # Nor is the average moved on.
    gan.preset = dataclasses.replace(gan.preset, averaging=0.0, averaging_width=0.0)
    if len(dataset.train_images) < record.batch_size:
        raise ClothingGANError(f"{dataset.source} has fewer images than a batch of {record.batch_size}")
    stream = iter(batches(arrays_to_learn(gan.preset, dataset), record.batch_size, gan.seed, record.epoch, 0))
    step = tf.function(gan.train_step, autograph=False)
    each = -(-steps // REPORTS)
    for done in range(0, steps, each):
        count = min(each, steps - done)
        gan.d_loss.reset_state()
        for _ in range(count):
            step(next(stream))
        real, fake = gan.accuracy(dataset.train_images, dataset.train_labels)
        yield {"steps": done + count, "d_loss": float(gan.d_loss.result()), "real": real, "fake": fake}


def main() -> int:
    """Trains and reports; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=options.path, required=True, metavar="FILE", help="of a run")
    options.add_data(parser, recorded=True)
    parser.add_argument("--steps", type=options.integer(1), default=300, help="(default: 300)")
    arguments = parser.parse_args()
    environment.import_tensorflow()
    file = read_checkpoint(arguments.weights)
    from clothinggan.checkpoint.restore import restore_gan

    gan, record = restore_gan(file), file.record  # A file without a run is refused before any download.
    dataset = options.load_data(arguments, record, arguments.weights).trained_on(record.examples)
    print("| steps | d_loss | right on real | right on generated |\n| ---: | ---: | ---: | ---: |")
    for report in learn_alone(gan, record, dataset, arguments.steps):
        print("| {steps:,} | {d_loss:.3f} | {real:.1%} | {fake:.1%} |".format(**report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(options.reporting_errors(main))
