"""`python -m clothinggan.train`: trains a GAN from the start."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clothinggan import environment, training
from clothinggan.checkpoint.record import MAX_EPOCHS, Record
from clothinggan.cli import options
from clothinggan.distributed.cluster import Cluster, find_cluster
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS, SETTINGS, Preset, as_plain_data, change, describe_settings

if TYPE_CHECKING:
    from clothinggan.checkpoint.own_networks import OwnNetworks
    from clothinggan.run import Run


def make_parser() -> options.Parser:
    """Returns what reads the command line."""
    parser = options.Parser("train", "Trains a small GAN on images of clothing.")
    options.add_model(parser, recorded=False)
    options.add_data(parser, recorded=False)
    parser.add_argument(
        "--examples", metavar="N", type=options.integer(1), help="only the first N images, for a trial"
    )
    parser.add_argument(
        "--epochs",
        type=options.integer(1, MAX_EPOCHS),
        help="train until this epoch (default: the design's, "
        f"{', '.join(f'{name} {preset.epochs}' for name, preset in PRESETS.items())})",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="a setting of the design, as generator_learning_rate=0.0004; may be said several times; "
        f"`--model swift --set help` tells them all: {', '.join(SETTINGS)}",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        help="real images a step (default: the design's)",
    )
    options.add_seed(parser, "all that is random")
    options.add_devices(parser, recorded=False)
    options.add_reports(parser, recorded=False)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    for option in ("keep_best", "stop_after"):
        if getattr(arguments, option) and not arguments.evaluate_every:
            parser.error(f"--{option.replace('_', '-')} goes with --evaluate-every")
    arguments.design = PRESETS[arguments.model]
    if "help" in arguments.settings:
        print(f"settings of {arguments.model}:\n{describe_settings(arguments.design)}")
        parser.exit()
    try:
        settings = dict(setting.split("=", 1) for setting in arguments.settings)
        arguments.design = change(arguments.design, **settings)
    except ValueError as error:
        unset = [setting for setting in arguments.settings if "=" not in setting]
        parser.error(f"--set {unset[0]}: NAME=VALUE is expected" if unset else f"--set: {error}")
    return arguments


def begin(arguments: argparse.Namespace) -> "Run":
    """Trains as the options say; returns the run."""
    cluster = find_cluster(arguments.strategy)
    dataset = options.load_data(arguments, cluster=cluster)
    preset = replace(arguments.design, classes=dataset.class_count)
    if preset.conditional:
        dataset.check_labels(preset.name)
    own, preset = _own_networks(arguments, preset, cluster)
    if arguments.examples:
        dataset = dataset.take(arguments.examples)
    batch_size = arguments.batch_size or preset.batch_size
    if batch_size > len(dataset.train_images):
        raise ClothingGANError(
            f"a batch of {batch_size} is more than the {len(dataset.train_images)} training images; "
            "add images, or choose a smaller --batch-size"
        )
    record = Record(
        preset=preset.name,
        seed=arguments.seed,
        batch_size=batch_size,
        epochs=arguments.epochs or preset.epochs,
        save_every=arguments.save_every,
        keep=arguments.keep or None,
        examples=arguments.examples,
        data=dataset.source,
        fingerprint=dataset.fingerprint,
        precision=arguments.precision,
        evaluate_every=arguments.evaluate_every or None,
        keep_best=arguments.keep_best,
        stop_after=arguments.stop_after,
        previews=preset.previews if arguments.previews is None else arguments.previews,
        class_names=list(dataset.class_names or ()),
        fit=arguments.fit or "pad",
        invert=arguments.invert or "auto",
        design=as_plain_data(preset),
        discriminator=own and own.discriminator_configuration,
    )
    return training.train(training.Start(preset, record, dataset, own=own), arguments, cluster)


def _own_networks(
    arguments: argparse.Namespace, preset: Preset, cluster: Cluster | None
) -> tuple["OwnNetworks | None", Preset]:
    """The networks that a program built itself, and the design with them; a command has none."""
    generator, discriminator = (getattr(arguments, name, None) for name in ("generator", "discriminator"))
    if generator is None and discriminator is None:
        return None, preset
    if cluster:
        raise ClothingGANError("networks of your own train in one process: TF_CONFIG names several")
    environment.import_tensorflow()
    from clothinggan.checkpoint.own_networks import take_own_networks

    return take_own_networks(generator, discriminator, preset)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    return options.reporting_errors(lambda: begin(parse(argv)).exit_status, trains=True)


if __name__ == "__main__":
    raise SystemExit(main())
