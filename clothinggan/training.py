"""One way to start a training run, for `train`, for `resume` and for a program."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clothinggan import environment, files
from clothinggan.checkpoint.file import Checkpoint
from clothinggan.checkpoint.record import Record
from clothinggan.checkpoint.run_folder import RunFolder, open_run_folder
from clothinggan.data.in_memory import is_kept
from clothinggan.data.sources import Dataset
from clothinggan.distributed import workers
from clothinggan.distributed.cluster import Cluster
from clothinggan.errors import ClothingGANError, lost_worker, shown
from clothinggan.presets import Preset

if TYPE_CHECKING:
    import keras

    from clothinggan.checkpoint.own_networks import OwnNetworks
    from clothinggan.gan import GAN
    from clothinggan.run import Run


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        preset: The design.
        record: Where it stands, and what it was told.
        dataset: What it learns from.
        checkpoint: The file that it goes on from; None for new networks.
        discriminator: The discriminator's own file, where another tool saved the two apart.
        own: The networks that a program built itself for a new run.
    """

    preset: Preset
    record: Record
    dataset: Dataset
    checkpoint: Checkpoint | None = None
    discriminator: Checkpoint | None = None
    own: "OwnNetworks | None" = None


def train(start: Start, arguments: argparse.Namespace, cluster: Cluster | None) -> "Run":
    """Puts networks, folder and loop together and trains; returns the run.

    Args:
        start: What the run starts from.
        arguments: What `options.add_devices` and `options.add_reports` add, and perhaps Keras `callbacks`.
        cluster: The workers of the run; None for one process.

    Raises:
        ClothingGANError: If a file or a folder cannot be used, a worker is missing, or the training fails.
    """
    preset, record, found = start.preset, start.record, start.checkpoint
    with environment.warnings_end_nothing(), _folder(start, arguments, cluster) as folder:
        # It was read before the folder was this run's alone.
        if found and found.has_changed():
            raise ClothingGANError(f"{found.path} was written anew while it was read; resume again")
        environment.import_tensorflow()
        from clothinggan.gan import GAN
        from clothinggan.run import Run

        digests = [file.digest for file in (found, start.discriminator) if file and cluster]
        team = workers.gather(arguments.strategy, cluster, record.terms(digests), arguments.wait)
        with team.strategy.scope():
            generator, discriminator = _networks(start)
        gan = GAN(preset, generator, discriminator, record.seed, record.precision, team.strategy)
        if found:
            _restore(start, gan)
        run = Run(gan, record, start.dataset, folder, team)
        if found:
            print(f"going on from {shown(found.path)}, {record.position}")
        # Also what an earlier run kept: this one may be in another folder.
        if folder and (start.dataset.is_in_memory or is_kept(record.data)):
            record.data = str(start.dataset.keep(folder.path, record.invert))
        run.execute(arguments.show, arguments.tensorboard, getattr(arguments, "callbacks", ()))
        return run


def _networks(start: Start) -> tuple["keras.Model", "keras.Model"]:
    """The generator and the discriminator to train: the design's, a file's, or a program's own."""
    from clothinggan.checkpoint.restore import build_run_networks, identify, restore_discriminator
    from clothinggan.models import build_networks

    preset, record, found, own = start.preset, start.record, start.checkpoint, start.own
    if found and found.record:
        generator, discriminator = build_run_networks(found)
    else:
        generator, discriminator = build_networks(preset, record.seed)
    # Made second: the seed decides on their dropout too.
    if found:
        found, generator = identify(found)
        check_classes(found, preset, start.dataset)
    if own and own.generator:
        _, generator = identify(own.generator)
    if own and own.discriminator:
        discriminator = restore_discriminator(own.discriminator, preset)
    return generator, discriminator


def check_classes(found: Checkpoint, preset: Preset, dataset: Dataset) -> None:
    """Makes sure that another tool's generator can learn with the classes of the images.

    Raises:
        ClothingGANError: If it takes a class that they, or the design, have not.
    """
    if found.record or not found.classes:
        return
    if not preset.conditional:
        raise ClothingGANError(
            f"{found.path} takes a class, which {preset.name} does not learn with; go on with --model swift, "
            "whose discriminator starts afresh"
        )
    if len(found.classes) != dataset.class_count:
        raise ClothingGANError(
            f"{found.path} takes one of {len(found.classes)} classes, and {dataset.source} has "
            f"{dataset.class_count}; name other images with --data"
        )


@contextlib.contextmanager
def _folder(
    start: Start, arguments: argparse.Namespace, cluster: Cluster | None
) -> Iterator[RunFolder | None]:
    """Prepares the folders that the run writes to, and holds --out for it; None where it writes none."""
    with _naming_the_lost(cluster), contextlib.ExitStack() as held:
        if cluster and not cluster.is_chief:
            yield None
            return
        if arguments.tensorboard:
            if not environment.is_installed("tensorboard"):
                raise ClothingGANError(
                    "--tensorboard needs TensorBoard; get it with: pip install 'clothinggan[tensorboard]'"
                )
            files.prepare_folder(arguments.out)
            files.prepare_folder(arguments.tensorboard, "--tensorboard")
        found = start.checkpoint
        folder = open_run_folder(
            arguments.out,
            start.preset.file_prefix,
            start.record if found else None,
            # A third-party file may be the only copy: never overwrite it.
            found.path if found and found.record else None,
            arguments.overwrite,
            {
                "--tensorboard": arguments.tensorboard,
                "--strategy": arguments.strategy if arguments.strategy != "auto" else None,
            },
        )
        yield held.enter_context(folder)


@contextlib.contextmanager
def _naming_the_lost(cluster: Cluster | None) -> Iterator[None]:
    """Names a worker that is lost before the run can say from where to go on."""
    try:
        yield
    except ClothingGANError:
        raise
    except Exception as error:
        lost = cluster and lost_worker(error, cluster.names)
        if not lost:
            raise
        raise ClothingGANError(lost, remedy="start all workers again") from error


def _restore(start: Start, gan: "GAN") -> None:
    """Gives the GAN what the file has beside its generator, and says what it has not."""
    from clothinggan.checkpoint.restore import restore_discriminator, restore_state
    from clothinggan.models import transfer_weights

    found, other = start.checkpoint, start.discriminator
    if found.record:
        restore_state(found, gan)
        _say_what_differs(found.record)
    elif other:
        if not transfer_weights(restore_discriminator(other, start.preset), gan.discriminator):
            raise ClothingGANError(
                f"{other.path} holds another discriminator than {start.preset.name}'s; name its design with "
                "--model, or leave --discriminator-weights out to start a discriminator afresh"
            )
        apart = f"{shown(found.path)} and {shown(other.path)} hold a network each"
        print(f"{apart}: the optimisers start afresh")
    else:
        alone = f"{shown(found.path)} holds a generator alone"
        print(f"{alone}: the discriminator and the optimisers start afresh")


def _say_what_differs(record: Record) -> None:
    then = {**record.versions, "threads": record.threads, "processor": record.processor}
    now = environment.library_versions() | {
        "threads": environment.thread_count(),
        "processor": environment.device_names(),
    }
    # The first files did not tell everything.
    told = [name for name in now if then.get(name)]
    differing = [f"{name} {then[name]} is now {now[name]}" for name in told if then[name] != now[name]]
    if differing:
        print(
            f"note: {shown(', '.join(differing))}; the run goes on, but may differ from an uninterrupted one "
            "in the last bits",
            file=sys.stderr,
        )
