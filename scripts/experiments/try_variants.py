"""Trains variants of swift for equal minutes and measures each: the trials that its design came from.

    python scripts/experiments/try_variants.py --minutes 2 --seeds 1

Each line of the table changes one thing of the design as it is. The minutes are those of training alone, so
that what a variant costs counts, and what it takes to start and to be measured does not.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
from tables import markdown_table

from clothinggan import environment
from clothinggan.cli import options
from clothinggan.data import sources
from clothinggan.data.sources import Dataset
from clothinggan.presets import PRESETS

environment.import_tensorflow()

import keras
import tensorflow as tf
from keras import layers

from clothinggan import models
from clothinggan.data.batches import arrays_to_learn, batches
from clothinggan.evaluation.evaluator import Evaluator
from clothinggan.gan import GAN

DESIGN = PRESETS["swift"]


def generator_at_full_size() -> keras.Model:
    """A second transposed convolution with 32 filters, then a convolution, in place of one that ends it."""
    *first_layers, _ = models.swift_generator(DESIGN).layers
    return keras.Sequential(
        [
            keras.Input((DESIGN.input_size,)),
            *first_layers,
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ]
    )


def generator_without_normalisation() -> keras.Model:
    """The generator without its batch normalisations."""
    kept = [layer for layer in models.swift_generator(DESIGN).layers if "normalization" not in layer.name]
    return keras.Sequential([keras.Input((DESIGN.input_size,)), *kept])


def generator_normalised_by_feature() -> keras.Model:
    """Each of the 6272 numbers that the first layer gives normalised by itself, and not by channel."""
    dense, reshape, normalisation, relu, *rest = models.swift_generator(DESIGN).layers
    by_feature = layers.BatchNormalization(momentum=normalisation.momentum)
    return keras.Sequential([keras.Input((DESIGN.input_size,)), dense, by_feature, relu, reshape, *rest])


@dataclass(frozen=True)
class Variant:
    """What differs from the design: values of its row in the presets' table, or networks."""

    changes: dict[str, object] = field(default_factory=dict)
    generator: Callable[[], keras.Model] | None = None


VARIANTS = {
    "swift as it is": Variant(),
    "no class loss": Variant({"class_weight": 0.0}),
    "class loss of weight 0.05": Variant({"class_weight": 0.05}),
    "class loss of weight 1": Variant({"class_weight": 1.0}),
    "fresh fakes for the generator": Variant({"shared_fakes": False}),
    "no averaging": Variant({"averaging": 0.0}),
    "batch 64": Variant({"batch_size": 64}),
    **{
        f"learning rates {rate}": Variant(
            {"generator_learning_rate": rate, "discriminator_learning_rate": rate}
        )
        for rate in (0.0002, 0.0004, 0.0016)
    },
    "output by a convolution at full size": Variant(generator=generator_at_full_size),
    "first layer normalised by feature": Variant(generator=generator_normalised_by_feature),
    "no batch normalisation": Variant(generator=generator_without_normalisation),
    "discriminator twice as wide": Variant({"discriminator_filters": (64, 128)}),
}


def trial(variant: Variant, seconds: float, seed: int, dataset: Dataset, judge: Evaluator) -> dict:
    """Trains a variant for so many seconds; returns what it did and how good its images are."""
    preset = replace(DESIGN, **variant.changes)
    generator, discriminator = models.build_networks(preset, seed)
    gan = GAN(preset, variant.generator() if variant.generator else generator, discriminator, seed)
    stream = iter(batches(arrays_to_learn(preset, dataset), preset.batch_size, seed, 0, 0))
    step = tf.function(gan.train_step, autograph=False)
    step(next(stream))  # Builds the graph.
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        step(next(stream))
    images = gan.draw(judge.wanted)
    asked = np.resize(preset.class_numbers, judge.count)
    confirmed = judge.classifier.probabilities(images[: judge.count]).argmax(axis=1) == asked
    return {
        "steps": gan.step,
        **judge.brief_scores(images),
        "confirmed": float(confirmed.mean()),
        "least_confirmed": min(float(confirmed[asked == index].mean()) for index in preset.class_numbers),
    }


def table(results: dict[str, list[dict]]) -> str:
    """The results, means over the seeds, as a Markdown table."""
    columns = {
        "steps": ("steps", ",.0f"),
        "fcd": ("FCD", ".2f"),
        "precision": ("precision", ".3f"),
        "recall": ("recall", ".3f"),
        "confirmed": ("confirmed", ".1%"),
        "least_confirmed": ("the least confirmed class", ".1%"),
    }
    rows = []
    for name, trials in results.items():
        means = {column: float(np.mean([trial[column] for trial in trials])) for column in columns}
        rows.append([name, *(format(means[column], form) for column, (_, form) in columns.items())])
    return markdown_table(["", *(title for title, _ in columns.values())], rows)


def main() -> int:
    """Tries what the options say; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=sources.default_source(), help="as for train")
    parser.add_argument("--minutes", type=float, default=2, help="of training for each (default: 2)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds for each (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    arguments = parser.parse_args()
    dataset = sources.load(arguments.data)
    judge = Evaluator(dataset)
    results: dict[str, list[dict]] = {}
    for name in arguments.only:
        for seed in range(arguments.seeds):
            found = trial(VARIANTS[name], 60 * arguments.minutes, seed, dataset, judge)
            print(f"{name}, seed {seed}: {json.dumps(found)}", file=sys.stderr, flush=True)
            results.setdefault(name, []).append(found)
            if arguments.json:
                arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(options.reporting_errors(main))
