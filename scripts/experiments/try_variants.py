"""Trains variants of swift and measures each at several points: the trials that its design came from.

    python scripts/experiments/try_variants.py --minutes 1 5 --seeds 3
    python scripts/experiments/try_variants.py --steps 6000 --only "the design" "the design, dropout 0.1"

A variant changes one thing of what its name begins with. The minutes are those of training alone, so that
what a variant costs counts, and what it takes to start and to be measured does not. Minutes compare variants
that had the machine to themselves; beside other work, compare equal steps.

What was measured is kept in a file, a line for each, and is not measured again: after a cut-off the same
command tries what is left. A trial of five minutes takes about eight, with its measurements.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401
from tables import markdown_table

from clothinggan import environment
from clothinggan.cli import options
from clothinggan.data import sources
from clothinggan.data.sources import Dataset
from clothinggan.presets import PRESETS, VERSION_1, Preset, as_plain_data

environment.import_tensorflow()

import keras
import tensorflow as tf
from keras import layers

from clothinggan import models
from clothinggan.data.batches import arrays_to_learn, batches
from clothinggan.evaluation import gan_train
from clothinggan.evaluation.evaluator import Evaluator
from clothinggan.figures import save_png
from clothinggan.gan import GAN

DESIGN = PRESETS["swift"]
EARLIER = "swift of version 1"


def generator_at_full_size(preset: Preset) -> keras.Model:
    """A second transposed convolution with 32 filters, then a convolution, in place of one that ends it."""
    *first_layers, _ = models.swift_generator(preset).layers
    return keras.Sequential(
        [
            keras.Input((preset.input_size,)),
            *first_layers,
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ]
    )


def generator_without_normalisation(preset: Preset) -> keras.Model:
    """The generator without its batch normalisations."""
    kept = [layer for layer in models.swift_generator(preset).layers if "normalization" not in layer.name]
    return keras.Sequential([keras.Input((preset.input_size,)), *kept])


def generator_normalised_by_feature(preset: Preset) -> keras.Model:
    """Each of the numbers that the first layer gives normalised by itself, and not by channel."""
    dense, reshape, normalisation, relu, *rest = models.swift_generator(preset).layers
    by_feature = layers.BatchNormalization(momentum=normalisation.momentum)
    return keras.Sequential([keras.Input((preset.input_size,)), dense, by_feature, relu, reshape, *rest])


class Relativistic(GAN):
    """Both learn how much more real an image is than one of the other kind (Jolicoeur-Martineau, 2019).

    An image is compared with the one of the other kind that stands for the same class at the same place.
    """

    def _train_discriminator(
        self, real: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor, total: tf.Tensor
    ) -> tf.Tensor:
        count = tf.shape(real)[0]
        self.real = real
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            logits = self.composite.logits(tf.concat([real, fakes], axis=0), training=True)
            answers = self._answers(logits, labels)
            loss = self._mean_softplus(answers[count:] - answers[:count], total)
            loss += self._class_loss(logits[:count], labels, total)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.discriminator_optimizer.apply(gradients, variables)
        return loss

    def _train_generator(
        self, tape: tf.GradientTape, fakes: tf.Tensor, labels: tf.Tensor, total: tf.Tensor
    ) -> tf.Tensor:
        variables = self.composite.trainable_variables
        of_real = self._answers(self.composite.discriminate(self.real, training=True), labels)
        with tape:
            logits = self.composite.discriminate(fakes, training=True)
            loss = self._mean_softplus(of_real - self._answers(logits, labels), total)
            if self.preset.class_loss_for_generator:
                loss += self._class_loss(logits, labels, total)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.generator_optimizer.apply(gradients, variables)
        return loss

    @staticmethod
    def _mean_softplus(differences: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.nn.softplus(differences)) / tf.cast(total, tf.float32)


class WeaklyClassed(GAN):
    """The class loss counts for the generator a quarter of what it counts for the discriminator."""

    share = 1.0

    def _train_generator(self, *arguments: object) -> tf.Tensor:
        self.share = 0.25
        try:
            return super()._train_generator(*arguments)
        finally:
            self.share = 1.0

    def _class_loss(self, *arguments: object) -> tf.Tensor:
        return self.share * super()._class_loss(*arguments)


class Translated(GAN):
    """The discriminator sees all images moved by up to 3 pixels each way (DiffAugment, Zhao et al., 2020)."""

    FURTHEST = 3

    def _train_discriminator(self, real: tf.Tensor, fakes: tf.Tensor, *arguments: object) -> tf.Tensor:
        return super()._train_discriminator(self._moved(real, 1), self._moved(fakes, 2), *arguments)

    def _train_generator(self, tape: tf.GradientTape, fakes: tf.Tensor, *arguments: object) -> tf.Tensor:
        with tape:
            moved = self._moved(fakes, 3)
        return super()._train_generator(tape, moved, *arguments)

    def _moved(self, images: tf.Tensor, use: int) -> tf.Tensor:
        far = self.FURTHEST
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int64)
        key = tf.stack([tf.constant(self.seed + 10_000, tf.int64), 4 * step + use])
        shifts = tf.random.stateless_uniform((tf.shape(images)[0], 2), key, 0, 2 * far + 1, tf.int32)
        padded = tf.pad(images, [[0, 0], [far, far], [far, far], [0, 0]])
        for axis in (1, 2):
            places = shifts[:, axis - 1 : axis] + tf.range(tf.shape(images)[axis])
            padded = tf.gather(padded, places, axis=axis, batch_dims=1)
        return padded


class ShortMemory(GAN):
    """Adam averages squared gradients over some 100 steps, not 1,000 (StyleGAN, Karras et al., 2019)."""

    def __init__(self, *arguments: object):
        super().__init__(*arguments)
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            optimizer.beta_2 = 0.99


@dataclass(frozen=True)
class Variant:
    """What differs from the design: values of its row in the presets' table, the generator, or the step."""

    changes: dict[str, object] = field(default_factory=dict)
    generator: Callable[[Preset], keras.Model] | None = None
    gan: type[GAN] = GAN
    design: Preset = DESIGN

    def build(self, seed: int) -> GAN:
        """Returns it with fresh networks."""
        preset = replace(self.design, **self.changes)
        networks = models.build_networks(preset, seed)
        if self.generator:
            keras.utils.set_random_seed(seed)
            networks = self.generator(preset), networks[1]
        return self.gan(preset, *networks, seed)


EARLIER_DESIGN = Variant(design=VERSION_1["swift"])


def rates(rate: float, start: int) -> dict[str, object]:
    """Both learning rates, and the step from which they fall."""
    return {
        "generator_learning_rate": rate,
        "discriminator_learning_rate": rate,
        "rate_decay_start": start,
    }


# What the design came from: A from that of version 1, and each other from the one before.
A = {
    "discriminator_filters": (32, 64, 128),
    "dropout": 0.15,
    "averaging": 0.0,
    "averaging_width": 0.1,
    **rates(0.0012, 4_000),
}
B = A | {"dropout_for_generator": False}
C = B | rates(0.0016, 2_000)
D = C | {"class_loss_for_generator": False}
VARIANTS = {
    "the design": Variant(),
    "the design, dropout 0.1": Variant({"dropout": 0.1}),
    "the design, the class loss for the generator": Variant({"class_loss_for_generator": True}),
    "the design, half of the class loss, for both": Variant(
        {"class_loss_for_generator": True, "class_weight": 0.1}
    ),
    "the design, a quarter of the class loss for the generator": Variant(
        {"class_loss_for_generator": True}, gan=WeaklyClassed
    ),
    "the design, a quarter of the class loss for the generator, dropout 0.1": Variant(
        {"class_loss_for_generator": True, "dropout": 0.1}, gan=WeaklyClassed
    ),
    "the design, translated": Variant(gan=Translated),
    "the design, second moments over 100 steps": Variant(gan=ShortMemory),
    "the design, discriminator at twice the rate": Variant({"discriminator_learning_rate": 0.0032}),
    "the design, two convolutions at 14x14": Variant({"generator_filters": (96, 48, 48, 48)}),
    "A": replace(EARLIER_DESIGN, changes=A),
    "A, rates 0.0016 from 2,000": replace(EARLIER_DESIGN, changes=A | rates(0.0016, 2_000)),
    "A, rates 0.0008 from 8,000": replace(EARLIER_DESIGN, changes=A | rates(0.0008, 8_000)),
    "B": replace(EARLIER_DESIGN, changes=B),
    "B, relativistic": replace(EARLIER_DESIGN, changes=B, gan=Relativistic),
    "B, no class loss for the generator": replace(
        EARLIER_DESIGN, changes=B | {"class_loss_for_generator": False}
    ),
    "C": replace(EARLIER_DESIGN, changes=C),
    "D": replace(EARLIER_DESIGN, changes=D),
    "D, dropout 0.05": replace(EARLIER_DESIGN, changes=D | {"dropout": 0.05}),
    EARLIER: EARLIER_DESIGN,
    **{
        f"{EARLIER}, {name}": replace(EARLIER_DESIGN, **changes)
        for name, changes in {
            "no class loss": {"changes": {"class_weight": 0.0}},
            "class loss of weight 0.05": {"changes": {"class_weight": 0.05}},
            "class loss of weight 1": {"changes": {"class_weight": 1.0}},
            "fresh fakes for the generator": {"changes": {"shared_fakes": False}},
            "no averaging": {"changes": {"averaging": 0.0}},
            "batch 64": {"changes": {"batch_size": 64}},
            "rates 0.0002": {"changes": rates(0.0002, 0)},
            "rates 0.0004": {"changes": rates(0.0004, 0)},
            "rates 0.0016": {"changes": rates(0.0016, 0)},
            "output by a convolution at full size": {"generator": generator_at_full_size},
            "first layer normalised by feature": {"generator": generator_normalised_by_feature},
            "no batch normalisation": {"generator": generator_without_normalisation},
            "discriminator twice as wide": {"changes": {"discriminator_filters": (64, 128)}},
        }.items()
    },
}


def measure(gan: GAN, judge: Evaluator, dataset: Dataset) -> dict[str, object]:
    """Returns how good its images are: see `COLUMNS`."""
    classes = gan.preset.class_numbers
    images = gan.draw(max(judge.wanted, gan_train.IMAGES))
    asked = np.resize(classes, len(images))
    named = judge.classifier.probabilities(images[: judge.count]).argmax(axis=1) == asked[: judge.count]
    taught = gan_train.gan_train_accuracy(
        images, asked, dataset.test_images, dataset.test_labels, len(classes)
    )
    return {
        **judge.brief_scores(images[: judge.wanted]),
        "gan_train": taught.accuracy,
        "confirmed": float(named.mean()),
        "least_confirmed": min(float(named[asked[: judge.count] == number].mean()) for number in classes),
    }


def trial(
    variant: Variant, seed: int, marks: Sequence[float], by_minutes: bool, dataset: Dataset, judge: Evaluator
) -> Iterator[dict[str, object]]:
    """Trains a variant; yields what was measured at each mark, of minutes or steps."""
    gan = variant.build(seed)
    stream = iter(batches(arrays_to_learn(gan.preset, dataset), gan.preset.batch_size, seed, 0, 0))
    step = tf.function(gan.train_step, autograph=False)
    step(next(stream))  # Builds the graph, which is no part of the minutes.
    seconds = 0.0
    for mark in marks:
        started = time.perf_counter() - seconds
        while seconds < 60 * mark if by_minutes else gan.step < mark:
            step(next(stream))
            seconds = time.perf_counter() - started
        yield {"steps": gan.step, "seconds": seconds, **measure(gan, judge, dataset)}


COLUMNS = {
    "steps": ("steps", ",.0f"),
    "told_apart": ("told apart", ".1%"),
    "fcd": ("FCD", ".3f"),
    "gan_train": ("GAN-train", ".1%"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "confirmed": ("confirmed", ".1%"),
    "least_confirmed": ("the least confirmed class", ".1%"),
}


def table(results: Sequence[dict[str, object]]) -> str:
    """The results, means over the seeds, as a Markdown table."""
    rows = []
    for name, mark in dict.fromkeys((result["variant"], result["mark"]) for result in results):
        of_it = [result for result in results if (result["variant"], result["mark"]) == (name, mark)]
        means = {column: float(np.mean([result[column] for result in of_it])) for column in COLUMNS}
        rows.append(
            [f"{name}, {mark}", *(format(means[column], form) for column, (_, form) in COLUMNS.items())]
        )
    return markdown_table(["", *(title for title, _ in COLUMNS.values())], rows)


def draw(results: Sequence[dict[str, object]]) -> Figure:
    """Told apart against FCD, a point for each variant and mark, the mean over its seeds."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    axes = figure.subplots()
    marks = list(dict.fromkeys(result["mark"] for result in results))
    points = dict.fromkeys((result["variant"], result["mark"]) for result in results)
    for number, (name, mark) in enumerate(points, 1):
        of_it = [result for result in results if (result["variant"], result["mark"]) == (name, mark)]
        fcd, apart = (
            float(np.mean([result[column] for result in of_it])) for column in ("fcd", "told_apart")
        )
        index = marks.index(mark)
        label = f"{number}: {name}, {mark}"
        axes.plot(fcd, 100 * apart, "o^sDv"[index % 5], color=f"C{index}", label=label)
        # A number has room beside neighbours that a name would cover.
        axes.annotate(f"{number}", (fcd, 100 * apart), (5, 3), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    for axis_format in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_format("{x:g}")
    axes.set_xlabel("FCD: lower is better")
    axes.set_ylabel("told apart, %: at 50 the network finds no difference")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, handletextpad=0)
    return figure


def main() -> int:
    """Tries what the options say; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=sources.default_source(), help="as for train")
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument(
        "--minutes", type=float, nargs="+", default=[1, 5], help="of training, to measure at (default: 1 5)"
    )
    how_long.add_argument("--steps", type=int, nargs="+", help="to measure at, in the place of minutes")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds for each (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument(
        "--results", type=Path, default=Path("runs/trials.jsonl"), help="(default: runs/trials.jsonl)"
    )
    parser.add_argument("--figure", type=Path, help="draw told apart against FCD there, a PNG file")
    arguments = parser.parse_args()
    unit = "steps" if arguments.steps else "min"
    marks = {f"{mark:,g} {unit}": mark for mark in sorted(arguments.steps or arguments.minutes)}
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.touch()
    text = arguments.results.read_text()
    if not text.endswith("\n"):  # The last line was cut off.
        arguments.results.write_text(text[: text.rfind("\n") + 1])
    dataset = sources.load(arguments.data)
    judge = Evaluator(dataset)

    def kept() -> list[dict[str, object]]:
        return [
            result
            for result in map(json.loads, arguments.results.read_text().splitlines())
            if result["variant"] in arguments.only
            and result["mark"] in marks
            and result["seed"] < arguments.seeds
            and result["made_from"] == made_from(result["variant"])
        ]

    def made_from(name: str) -> list[object]:
        variant = VARIANTS[name]
        return [dataset.fingerprint, as_plain_data(replace(variant.design, **variant.changes))]

    for name in arguments.only:
        for seed in range(arguments.seeds):
            done = {
                result["mark"] for result in kept() if (result["variant"], result["seed"]) == (name, seed)
            }
            left = [called for called in marks if called not in done]
            if not left:
                continue
            measured = trial(
                VARIANTS[name], seed, [marks[called] for called in left], unit == "min", dataset, judge
            )
            for called, found in zip(left, measured, strict=True):
                told = {"variant": name, "seed": seed, "mark": called, **found}
                line = json.dumps({**told, "made_from": made_from(name)})
                print(line, file=sys.stderr, flush=True)
                with arguments.results.open("a") as file:
                    file.write(line + "\n")
    results = sorted(kept(), key=lambda result: arguments.only.index(result["variant"]))
    print(table(results))
    if arguments.figure:
        save_png(draw(results), arguments.figure)
    return 0


if __name__ == "__main__":
    sys.exit(options.reporting_errors(main))
