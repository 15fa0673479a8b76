"""A training run: the loop around the GAN's steps, from where the run stands to its last epoch."""

import contextlib
import functools
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from clothinggan import environment, fast_layers
from clothinggan.callbacks import (
    BestKeeper,
    Checkpoints,
    EventFile,
    Forecast,
    HistoryKeeper,
    ImageSheets,
    NonFiniteGuard,
    NotebookProgress,
    Pace,
    PlainProgress,
    Previews,
    ProgressBar,
    ReplicaGuard,
    SheetWindow,
    StepCounter,
    StopAtSignal,
    draw_sheet,
    save,
)
from clothinggan.checkpoint.file import check_size, file_name, names_of_classes
from clothinggan.checkpoint.record import Record
from clothinggan.checkpoint.run_folder import RunFolder
from clothinggan.data.batches import arrays_to_learn, batches
from clothinggan.data.classes import CLASS_NAMES, MAX_LISTED
from clothinggan.data.sources import Dataset
from clothinggan.distributed.workers import Workers
from clothinggan.errors import ClothingGANError, MovedFolderError, explain, note, shown
from clothinggan.evaluation.evaluator import Evaluator
from clothinggan.figures import in_notebook, present, why_no_window, window_possible
from clothinggan.gan import GAN
from clothinggan.models import tell_classes
from clothinggan.presets import Preset, differences
from clothinggan.progress import show_progress
from clothinggan.signals import StoppedBySignal, StopRequests, stop_requests
from clothinggan.wording import worded

_BYTES_TO_TRAIN = 800 * 2**20  # beside what a step's numbers take
_BYTES_OF_A_THREAD = 150 * 2**20
MUCH_ROOM = 100e6  # bytes, of a run's numbered files


class Run:
    """A GAN, its images and its folder put together.

    Attributes:
        gan: The networks and their optimisers.
        record: Where the run stands; kept up to date from step to step.
        dataset: What it learns from.
        folder: Where files go; None for a worker that is not the chief, which writes none.
        workers: Who trains; of several processes only the chief reports and writes files.
        evaluator: Measures generated images; None where that is not asked for.
        steps_per_epoch: How many whole batches an epoch has.
        exit_status: What a command ends with: 0, or after a signal 128 and its number.
    """

    def __init__(
        self, gan: GAN, record: Record, dataset: Dataset, folder: RunFolder | None, workers: Workers
    ):
        self.gan = gan
        self.record = record
        self.dataset = dataset
        self.folder = folder
        self.workers = workers
        self._arrays = arrays_to_learn(gan.preset, dataset)
        if names := names_of_classes(gan.preset, record):
            for generator in (gan.generator, gan.averaged_generator):
                tell_classes(generator, names)
        replicas = workers.strategy.num_replicas_in_sync
        if record.batch_size < replicas:
            what = "workers" if workers.cluster else "devices"
            raise ClothingGANError(
                f"a batch of {record.batch_size} cannot be shared by {replicas} {what}; "
                "use fewer of them, or train with a larger --batch-size"
            )
        self._file_bytes = check_size(gan.averaged_generator, gan.state()) if folder else 0
        # Made first, so that data without test images is refused before the training and not after it.
        self.evaluator = (
            Evaluator(dataset, progress=show_progress) if record.evaluate_every and folder else None
        )
        self.steps_per_epoch = len(dataset.train_images) // record.batch_size
        self.exit_status = 0
        record.versions = environment.library_versions()
        record.processor = environment.device_names()
        record.threads = environment.thread_count()

    @property
    def history(self) -> dict[str, list[float]]:
        """What each epoch came to: losses, accuracies and measures by name, a number for each epoch."""
        names = dict.fromkeys(name for entry in self.record.history for name in entry)
        return {name: [entry.get(name, math.nan) for entry in self.record.history] for name in names}

    @property
    def generator(self) -> keras.Model:
        """The generator that draws: latent vectors (n, input_size) to images (n, 28, 28, 1) in [0, 1]."""
        return self.gan.averaged_generator

    @property
    def path(self) -> Path:
        """The last file that the run has saved, or began from; raises ClothingGANError if there is none."""
        if self.folder is None or self.folder.last_saved is None:
            raise ClothingGANError("this run has no file: it was ended at once, or the files are the chief's")
        return self.folder.last_saved

    def __repr__(self) -> str:
        where = f" in {self.folder.path}" if self.folder else ""
        losses = [f", {name} {values[-1]:.3f}" for name, values in self.history.items() if "loss" in name]
        return f"<a run of {self.record.preset}{where}, at {self.record.position}{''.join(losses)}>"

    def show(self) -> None:
        """Shows the 25 images of the run's sheet: in the notebook's cell, in a window, or in a file."""
        folder = self.folder.path if self.folder else Path()
        present(draw_sheet(self.gan, self.record), folder / f"{self.record.preset}GAN_shown.png")

    def execute(
        self,
        show: bool = False,
        tensorboard: Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Says what is about to happen, trains, and says how it ended.

        `exit_status` is 0 afterwards, or after a signal 128 and its number.

        Args:
            show: Whether to open the periodic images in a window.
            tensorboard: Where TensorBoard's event files go, if there are to be any.
            callbacks: The caller's own, called before those of the run save.

        Raises:
            ClothingGANError: If a loss is no number, or a file cannot be written.
        """
        if environment.memory_is_limited():
            remedy = "or train with a smaller --batch-size"
            environment.ask_for_memory(self._bytes_to_train(), "training", remedy)
        with stop_requests() as requests:
            print(self.describe(), flush=True)
            for line in self.notes():
                note(line)
            if show and not window_possible():
                note(f"--show: no window can be opened here ({why_no_window()}); the images are in files")
                show = False
            if self.evaluator:
                self.evaluator.prepare()
            try:
                self._train(requests, show, tensorboard, callbacks)
            except StoppedBySignal as stopped:
                print(worded(shown(stopped)))
                self.exit_status = stopped.exit_status
                return
        print(worded(self.describe_end()))

    def _bytes_to_train(self) -> int:
        """About how much address space the steps take: measured, and rounded up."""
        generated, judged = (
            sum(
                math.prod(size or 1 for size in output.shape[1:])
                for layer in network.layers
                for output in keras.tree.flatten(layer.output)
            )
            for network in (self.gan.generator, self.gan.discriminator)
        )
        # Forwards and backwards; the discriminator sees real and fake images.
        in_a_step = 2 * self.record.batch_size * (generated + 2 * judged) * np.float32().nbytes
        threads = environment.thread_count()
        return _BYTES_TO_TRAIN + (threads - 1) * _BYTES_OF_A_THREAD + in_a_step

    def _train(
        self,
        requests: StopRequests,
        show: bool,
        tensorboard: Path | None,
        extra: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains until the record's last epoch."""
        record = self.record
        begun = record.step_in_epoch > 0
        self.gan.keeps_sums = begun
        with self._explaining_failures(), contextlib.ExitStack() as at_the_end:
            pace = Pace(record, self.steps_per_epoch)
            bar = ProgressBar(record, pace) if self.folder and ProgressBar.is_possible() else None
            if bar:
                at_the_end.callback(bar.end_line)
            callbacks = self._callbacks(requests, show, tensorboard, extra, pace, bar)
            # Keras counts the steps of an epoch from 0, so the rest of a begun one is a fit of its own.
            for last_epoch in sorted({record.epoch + 1, record.epochs} if begun else {record.epochs}):
                self.gan.fit(
                    batches(self._arrays, record.batch_size, record.seed, record.epoch, record.step_in_epoch),
                    initial_epoch=record.epoch,
                    epochs=last_epoch,
                    steps_per_epoch=self.steps_per_epoch - record.step_in_epoch,
                    callbacks=callbacks,
                    shuffle=False,  # The stream is shuffled.
                    verbose=int(bar is not None),
                )
                if self.gan.stop_training:  # Keras forgets it when the next fit begins.
                    break

    def _callbacks(
        self,
        requests: StopRequests,
        show: bool,
        tensorboard: Path | None,
        extra: Sequence[keras.callbacks.Callback],
        pace: Pace,
        bar: ProgressBar | None,
    ) -> list[keras.callbacks.Callback]:
        """What happens around steps and epochs, in this order."""
        record, folder, steps = self.record, self.folder, self.steps_per_epoch
        several = self.workers.cluster is not None
        callbacks = [bar] if bar else []
        callbacks.append(NonFiniteGuard(record))
        if self.workers.strategy.num_replicas_in_sync > 1:
            callbacks.append(ReplicaGuard(record, requests))
        if folder is None:
            ending = StopAtSignal(record, requests, steps, several, self._how_to_go_on())
            return [*callbacks, StepCounter(record), *extra, ending]
        say = bar.say if bar else functools.partial(print, flush=True)
        forecast = Forecast(record, pace, say)
        callbacks += [
            HistoryKeeper(record, folder, self.dataset, self.evaluator),
            ImageSheets(record, folder, say, self.evaluator.eyes.class_names if self.evaluator else ()),
            forecast,
        ]
        if show:
            callbacks.append(SheetWindow(record))
        if record.previews:
            callbacks.append(Previews(record, folder))
        if tensorboard:
            callbacks.append(EventFile(record, tensorboard))
        if bar:
            bar.waits_for = forecast
        else:
            callbacks.append((NotebookProgress if in_notebook() else PlainProgress)(record, pace))
        callbacks += [*extra, Checkpoints(record, requests, steps, several, self.workers.everywhere, folder)]
        if record.keep_best or record.stop_after:
            callbacks.append(BestKeeper(record, folder))
        return callbacks

    def describe(self) -> str:
        """Returns what is about to happen, some lines."""
        record, gan = self.record, self.gan
        to_go = "" if record.goal is None else f" of {record.goal}"
        kept = f", kept in {shown(record.data)}" if self.dataset.is_in_memory and self.folder else ""
        who = self.workers.describe()
        device = environment.describe_device(self.workers.local_replicas)
        return (
            f"data:     {self.dataset.description}{kept}\n"
            + (f"classes:  {counted}\n" if (counted := self._count_classes()) else "")
            + f"networks: {gan.preset.name}: generator {gan.generator.count_params():,} parameters, "
            f"discriminator {gan.discriminator.count_params():,}{_settings(gan.preset)}\n"
            f"device:   {device}, {record.precision}\n"
            + (f"workers:  {who}\n" if who else "")
            + f"files:    {self._describe_files()}\n"
            f"training: to epoch {record.epochs}{to_go}, {self.describe_epoch()}; seed {record.seed}; "
            "Ctrl-C saves and stops"
        )

    def _describe_files(self) -> str:
        """Which files there will be, and where there are several numbered ones, how much room they take."""
        record, folder, every = self.record, self.folder, self.record.save_every
        if folder is None:
            return "the chief's alone"
        first = min(every * (record.epoch // every + 1), record.epochs)
        line = f"{shown(folder.path.resolve())}: {folder.latest.name} after every epoch, "
        line += file_name(folder.prefix, first)
        count = -(-record.epochs // every) - record.epoch // every
        if count == 1:
            return line
        kept = min(count, record.keep or count)
        size = kept * self._file_bytes
        fewer = "; --keep 3 keeps the last 3 alone" if size > MUCH_ROOM and not record.keep else ""
        return f"{line} and so on every {every} ({kept} files, {size / 1e6:,.0f} MB{fewer})"

    def _count_classes(self) -> str:
        """How many images each class has, for the user's own classes: 'hats (108), scarves (97)'."""
        names, labels = self.dataset.class_names, self.dataset.train_labels
        if labels is None or not names or len(names) > MAX_LISTED or tuple(names) == tuple(CLASS_NAMES):
            return ""
        counts = np.bincount(labels, minlength=len(names))
        return ", ".join(f"{shown(name)} ({count:,})" for name, count in zip(names, counts, strict=True))

    def describe_epoch(self) -> str:
        """Returns what an epoch is: '60,000 images, 1,875 steps of 32'."""
        images, steps, size = len(self.dataset.train_images), self.steps_per_epoch, self.record.batch_size
        rest = images - steps * size
        waiting = f" ({rest} wait for another epoch)" if rest else ""
        return f"each of {images:,} images, {steps:,} {'step' if steps == 1 else 'steps'} of {size}{waiting}"

    def notes(self) -> Iterator[str]:
        """Yields what of this run may surprise, a line each."""
        record, folder = self.record, self.folder
        yield from self.dataset.notes
        if folder and folder.later:
            numbered = [path.name for path in folder.later if path != folder.latest]
            yield f"--overwrite: {folder.latest.name} is replaced at the first save" + (
                f", and when an epoch is done these go: {', '.join(numbered)}" if numbered else ""
            )
        going = [path.name for path in folder.surplus(record)] if folder else []
        if len(going) > 1:
            yield f"--keep {record.keep}: with the next numbered file these go: {', '.join(going)}"
        if self.gan.preset.conditional and self.dataset.class_names:
            occurring = set(self.dataset.train_labels.tolist())
            absent = [name for index, name in enumerate(self.dataset.class_names) if index not in occurring]
            if absent:
                yield (
                    f"there are no images of {', '.join(absent)}: what is drawn for these is not learned; "
                    "ask for others with display --class"
                )
        if record.precision == "bfloat16" and not fast_layers.has_bfloat16():
            yield (
                "there are no instructions for bfloat16 here: numbers are rounded to it "
                "all the same, but that is no faster than --precision float32"
            )

    def describe_end(self) -> str:
        """Returns how the run ended, and what to do next."""
        if self.folder is None:
            return f"done, at epoch {self.record.epochs}; the files are the chief's"
        lines = []
        measured = [entry for entry in self.record.history if "fcd" in entry]
        if measured:
            best = min(measured, key=lambda entry: entry["fcd"])
            kept = self.folder.numbered(best["epoch"]).exists()
            lines.append(
                f"best of the {len(measured)} epochs measured: {best['epoch']}, FCD {best['fcd']:.3f}"
                + ("" if kept else "; there is no file of it here: --save-every and --keep decide on that")
            )
        if apart := self.record.measured_epochs("told_apart"):
            least = next(entry for entry in measured if entry["epoch"] == apart[-1][0])
            lines.append(
                f"hardest to tell from real images: {least['epoch']}, told apart {least['told_apart']:.1%}"
            )
        display = f"python -m clothinggan.display --weights {shlex.quote(str(self.folder.last_saved))}"
        to_go = "" if self.record.goal is None else f" of {self.record.goal} (resume goes on)"
        lines.append(f"done, at epoch {self.record.epoch}{to_go}; look at the images with: {shown(display)}")
        return "\n".join(lines)

    def _how_to_go_on(self) -> str:
        if self.folder is None:
            return "go on from the chief's last file with: python -m clothinggan.resume on every worker"
        return self.folder.how_to_go_on(self.record, self.workers.everywhere)

    @contextlib.contextmanager
    def _explaining_failures(self) -> Iterator[None]:
        """Has every failure of the training say what is saved, and how to go on."""
        begun_at = self.record.epoch
        try:
            yield
        except (StoppedBySignal, MovedFolderError):
            raise
        except Exception as error:
            what = explain(error, self.workers.names, self.record.batch_size)
            failure = error if isinstance(error, ClothingGANError) else ClothingGANError(what)
            if self._rescue_epoch(begun_at):
                failure.add(remedy=f"epoch {self.record.epoch} is saved, without all that is drawn of it")
            raise failure.add(remedy=self._how_to_go_on()) from error

    def _rescue_epoch(self, begun_at: int) -> bool:
        """Saves a complete epoch of which a picture could not be written; whether there was one to save."""
        record = self.record
        is_new = record.epoch > begun_at and record.step_in_epoch == 0
        if not (self.folder and is_new) or self.folder.has_saved(record.epoch):
            return False
        try:
            save(self.gan, record, self.folder)
        except Exception:
            return False
        return True


def _settings(preset: Preset) -> str:
    """What differs from the design as it is, for a line that goes on with it."""
    differing = ", ".join(f"{name} {value}" for name, value in differences(preset).items())
    return f"; {differing}" if differing else ""
