"""`python -m clothinggan.resume`: goes on with a training run exactly where it stopped."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clothinggan import environment, training
from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.checkpoint.record import MAX_EPOCHS, Record
from clothinggan.checkpoint.run_folder import find_furthest
from clothinggan.cli import options
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.data.sources import Dataset
from clothinggan.distributed.cluster import Cluster, find_cluster
from clothinggan.errors import ClothingGANError, note
from clothinggan.presets import DEFAULT_PRESET, PRESETS, Preset, as_plain_data, from_plain_data
from clothinggan.wording import worded

if TYPE_CHECKING:
    from clothinggan.run import Run


def make_parser() -> options.Parser:
    """Returns what reads the command line."""
    parser = options.Parser("resume", "Goes on with a training run exactly where it stopped.")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=options.path,
        help="the .h5 or .keras file (default: the furthest one in --out)",
    )
    parser.add_argument(
        "--discriminator-weights",
        metavar="FILE",
        type=options.path,
        help="the discriminator's own file, where another tool saved the two apart",
    )
    options.add_model(parser, recorded=True)
    options.add_data(parser, recorded=True)
    until = parser.add_mutually_exclusive_group()
    until.add_argument(
        "--epochs",
        type=options.integer(1, MAX_EPOCHS),
        help="train until this epoch, and no further later on (default: what the run was started with; "
        "where that is reached, or not known, as many more as a new run of the design takes)",
    )
    until.add_argument(
        "--more",
        metavar="EPOCHS",
        type=options.integer(1, MAX_EPOCHS),
        help="train this many more for now, counting one that was begun",
    )
    options.add_devices(parser, recorded=True)
    options.add_reports(parser, recorded=True)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.discriminator_weights and not arguments.weights:
        parser.error("--discriminator-weights goes with --weights")
    return arguments


def begin(arguments: argparse.Namespace) -> "Run":
    """Goes on as the options say; returns the run."""
    cluster = find_cluster(arguments.strategy)
    if arguments.weights:
        found = read_checkpoint(arguments.weights)
    else:
        found = find_furthest(arguments.out, arguments.model)
    if not found.record:
        found = _identified(found, arguments.model, cluster)
    preset = _preset(found, arguments.model)
    other = _discriminator_file(found, arguments.discriminator_weights)
    record, dataset = _record_and_data(found, preset, arguments, cluster)
    if not found.record:
        preset = replace(preset, classes=dataset.class_count)
        training.check_classes(found, preset, dataset)
    return training.train(training.Start(preset, record, dataset, found, other), arguments, cluster)


def _identified(found: Checkpoint, model: str | None, cluster: Cluster | None) -> Checkpoint:
    """Another tool's file with what is known of its generator."""
    if cluster:
        # Workers have to find each other before TensorFlow computes anything.
        if found.holds_weights_alone and not model:
            raise ClothingGANError(f"{found.path} holds weights alone; name their design with --model")
        return replace(found, design=PRESETS.get(model))
    environment.import_tensorflow()
    from clothinggan.checkpoint.restore import identify

    found, _ = identify(found, model if found.holds_weights_alone else None)
    for line in found.notes:
        note(line)
    return found


def _preset(found: Checkpoint, model: str | None) -> Preset:
    if not found.record:
        return found.design or PRESETS[model or DEFAULT_PRESET]
    recorded = found.record.preset
    if model and model != recorded:
        raise ClothingGANError(f"{found.path} is a run of {recorded}, not of {model}; leave --model out")
    if found.preset is None:
        raise ClothingGANError(
            f"{found.path} is a run of '{recorded}', a design unknown here; upgrade clothinggan"
        )
    if not found.state:
        raise ClothingGANError(
            f"{found.path} holds the generator of a run alone, to draw with; go on from a file of the run"
        )
    return found.preset


def _discriminator_file(found: Checkpoint, path: Path | None) -> Checkpoint | None:
    if path is None:
        return None
    if found.record:
        raise ClothingGANError(
            f"{found.path} holds its own discriminator; leave --discriminator-weights {path} out"
        )
    return read_checkpoint(path)


def _record_and_data(
    found: Checkpoint, preset: Preset, arguments: argparse.Namespace, cluster: Cluster | None
) -> tuple[Record, Dataset]:
    """The record to go on with, as the file and the options say, and the images."""
    dataset = options.load_data(arguments, found.record, found.path, cluster)
    source = dataset.source
    if found.record:
        record = found.record
        record.save_every = arguments.save_every or record.save_every
        if arguments.keep is not None:
            record.keep = arguments.keep or None
        if arguments.evaluate_every is not None:
            record.evaluate_every = arguments.evaluate_every or None
        dataset = _check_images(dataset, record, found.path, anew=arguments.data is not None)
        record.data, record.fingerprint = source, dataset.fingerprint
        record.fit, record.invert = arguments.fit or record.fit, arguments.invert or record.invert
    else:
        if found.epoch > MAX_EPOCHS:
            raise ClothingGANError(
                f"{found.path} is of epoch {found.epoch} by its name, and no run goes beyond epoch "
                f"{MAX_EPOCHS}; rename it"
            )
        record = Record(
            preset=preset.name,
            seed=0,
            batch_size=preset.batch_size,
            epochs=found.epoch,
            save_every=arguments.save_every or options.SAVE_EVERY,
            keep=arguments.keep or None,
            evaluate_every=arguments.evaluate_every or None,
            examples=None,
            data=source,
            fingerprint=dataset.fingerprint,
            epoch=found.epoch,
            previews=preset.previews,
            class_names=list(dataset.class_names or ()),
            fit=arguments.fit or "pad",
            invert=arguments.invert or "auto",
            design=as_plain_data(preset),
        )
    if record.batch_size > len(dataset.train_images):
        raise ClothingGANError(
            f"the run's batch of {record.batch_size} is more than the {len(dataset.train_images)} images "
            f"of {source}; name a larger --data"
        )
    if record.step_in_epoch >= len(dataset.train_images) // record.batch_size:
        raise ClothingGANError(
            f"{found.path} is at step {record.step_in_epoch} of an epoch that has fewer; use an earlier file"
        )
    record.keep_best = arguments.keep_best or record.keep_best
    record.stop_after = arguments.stop_after or record.stop_after
    if (record.keep_best or record.stop_after) and not record.evaluate_every:
        raise ClothingGANError("--keep-best and --stop-after go with --evaluate-every; say how often")
    record.precision = arguments.precision or record.precision
    record.previews = record.previews if arguments.previews is None else arguments.previews
    _plan(record, arguments, preset.epochs)
    if record.epochs > MAX_EPOCHS:
        raise ClothingGANError(
            f"{found.path} is at epoch {record.epoch}; no run goes beyond epoch {MAX_EPOCHS}; say --epochs"
        )
    return record, dataset


def _check_images(dataset: Dataset, record: Record, path: Path, anew: bool) -> Dataset:
    """The images to go on with: those that the run was trained on, or others if they are named anew."""
    if learned := dataset.as_learned(record):
        return learned
    if record.examples and record.examples > len(dataset.train_images):
        record.examples = None
    dataset = dataset.trained_on(record.examples)
    if not anew:
        raise ClothingGANError(
            f"{dataset.source} holds other images or labels than {path} was trained on; "
            "name them with --data to use them all the same"
        )
    if from_plain_data(record.preset, record.design).conditional:
        try:
            dataset = dataset.classified_as(CLASS_NAMES if record.class_names is None else record.class_names)
        except ClothingGANError as error:
            error.add(remedy=f"{path} learned other classes: train anew")
            raise
    else:
        record.class_names = list(dataset.class_names or ())
    begun = ": the epoch that was begun starts anew" if record.step_in_epoch else ""
    print(f"these are other images than before{begun}")
    record.step_in_epoch, record.seconds_in_epoch = 0, 0.0
    return dataset


def _plan(record: Record, arguments: argparse.Namespace, more: int) -> None:
    """Sets where the run is to end, as the options or else the record say, or `more` epochs later."""
    if arguments.more:
        record.plan(record.epoch + arguments.more)
    elif arguments.epochs:
        if arguments.epochs <= record.epoch:
            raise ClothingGANError(
                f"epoch {arguments.epochs} is reached: the file is at {record.epoch}; say --more EPOCHS"
            )
        record.epochs, record.goal = arguments.epochs, None
    elif record.epochs <= record.epoch < (record.goal or 0):
        record.plan(record.goal)
    elif record.epochs <= record.epoch:
        begun = "the file names no end"
        if record.step:
            begun = f"the run has reached its last epoch, {record.epoch}"
        print(worded(f"{begun}: going on for {more} more (--more says another number)"))
        record.plan(record.epoch + more)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    return options.reporting_errors(lambda: begin(parse(argv)).exit_status, trains=True)


if __name__ == "__main__":
    raise SystemExit(main())
