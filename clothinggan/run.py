"""A training run: a GAN, its images and its folder put together, from where it stands to its last epoch."""

import contextlib
import os
import platform
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from clothinggan import __version__, fast_layers, files
from clothinggan.callbacks import (
    Checkpoints,
    EventFile,
    Follower,
    HistoryKeeper,
    ImageSheets,
    KeepingStep,
    NumberGuard,
    PlainProgress,
    Previews,
    ProgressBar,
    SheetWindow,
)
from clothinggan.checkpoint.file import check_size, file_name, read_checkpoint, save_checkpoint
from clothinggan.checkpoint.record import Record
from clothinggan.data.sources import CLASS_NAMES, Dataset
from clothinggan.distributed.workers import Workers, gone
from clothinggan.environment import core_count, processor_name
from clothinggan.errors import ClothingGANError, MovedFolderError, described, shown
from clothinggan.evaluation.evaluator import Judge
from clothinggan.figures import window_possible
from clothinggan.gan import GAN, arrays_to_learn, batches
from clothinggan.signals import StoppedBySignal, StopRequests, stop_requests


class Run:
    """What the callbacks of a run share: where it stands, and where its files go.

    Attributes:
        gan: The networks and their optimisers.
        record: Where the run stands; kept up to date from step to step.
        images: Training images, (n, 28, 28) uint8.
        labels: Their classes, (n,) uint8, if they are known.
        judge: Measures generated images; None where that is not asked for.
        folder: Where files go.
        last_saved: The last file that the run can go on from, if there is one.
        stale: Checkpoints that are further on, to be removed once an epoch of this run is saved.
        overwrites: Whether the user lets this run replace what is in its folder; until an epoch of it is
            done there may be files of another run.
        tensorboard: Where TensorBoard's event files go, if there are to be any.
        workers: Who trains; of several processes only the chief reports and writes files.
    """

    def __init__(
        self,
        gan: GAN,
        record: Record,
        dataset: Dataset,
        folder: Path,
        start: Path | None,
        stale: list[Path],
        tensorboard: Path | None,
        workers: Workers,
        overwrites: bool = False,
    ):
        self.gan = gan
        self.record = record
        self.images = dataset.train_images
        self.labels = dataset.train_labels
        self._arrays = arrays_to_learn(gan.preset, dataset)
        replicas = workers.strategy.num_replicas_in_sync
        if record.batch_size < replicas:
            what = "workers" if workers.cluster else "devices"
            raise ClothingGANError(
                f"a batch of {record.batch_size} cannot be shared by {replicas} {what}; "
                "use fewer of them, or train with a larger --batch-size"
            )
        if workers.is_chief:
            check_size(gan.averaged_generator, gan.state())
        self.workers = workers
        # Made first, so that data without test images is refused before the training and not after it.
        self.judge = Judge(dataset) if record.evaluate_every and workers.is_chief else None
        self.folder = folder
        self._folder_itself = folder.stat() if workers.is_chief else None
        self.stale = stale
        self.overwrites = overwrites
        self.last_saved = start
        self._has_saved = False
        self._epoch_is_unsaved = False
        self.tensorboard = tensorboard
        self.steps_per_epoch = len(self.images) // record.batch_size
        record.versions = library_versions()
        record.processor = device_names()
        record.threads = thread_count()
        self._written: set[int] = set()

    @property
    def prefix(self) -> str:
        """What the names of the run's files begin with."""
        return self.gan.preset.file_prefix

    @property
    def latest(self) -> Path:
        """The file that is written most often."""
        return self.folder / file_name(self.prefix, None)

    def is_milestone(self) -> bool:
        """Whether the epoch just completed gets a numbered file."""
        epoch = self.record.epoch
        return epoch % self.record.save_every == 0 or epoch == self.record.epochs

    def how_to_go_on(self) -> str:
        """A line that names the file and the command to go on with."""
        if not self.workers.is_chief:
            return "go on from the chief's last file with: python -m clothinggan.resume on every worker"
        if self.last_saved is None:
            return "nothing of this run is saved yet"
        with contextlib.suppress(OSError):  # A disk that fails does not tell.
            if not self.last_saved.exists():
                return f"the last file of this run, {self.last_saved}, is gone"
        if self._has_saved and self.record.epoch == self.record.epochs:
            return f"the run's last epoch is in {self.last_saved}"
        everywhere = " on every worker" if self.workers.cluster else ""
        if not self._has_saved:  # What this run was told to change is in no file.
            return f"go on from {self.last_saved} with the same command again{everywhere}"
        # These are the user's to name: a file does not say where to write.
        options = {
            "--out": self.folder if self.folder != Path(".") else None,
            "--tensorboard": self.tensorboard,
            "--strategy": self.workers.asked_for if self.workers.asked_for != "auto" else None,
        }
        named = "".join(f" {option} {shlex.quote(str(value))}" for option, value in options.items() if value)
        weights = shlex.quote(str(self.last_saved))
        overwrite = " --overwrite" if self.overwrites else ""
        command = f"python -m clothinggan.resume --weights {weights}{named}{overwrite}"
        return f"go on from {self.last_saved} with: {command}{everywhere}"

    def stop_reason(self, requests: StopRequests) -> str | None:
        """Whose signal ends the run now, if one does; several processes end at the same step."""
        if self.workers.cluster is None:
            return requests.received.name if requests.received else None
        if not self.gan.stop_agreed:
            return None
        return requests.received.name if requests.received else "a signal to another worker"

    def is_to_be_evaluated(self) -> bool:
        """Whether the epoch that ends now is one whose images are measured."""
        every = self.record.evaluate_every
        return bool(every) and (self.record.epoch + 1) % every == 0

    def count_step(self) -> None:
        """Takes note of one more step."""
        self.record.step += 1
        self.record.step_in_epoch += 1
        self.record.seconds_in_epoch = time.monotonic() - self._started

    def make_sure_of_folder(self) -> None:
        """Makes sure that the folder is the one which this run alone may write to.

        Raises:
            MovedFolderError: If it was moved away, and another one has its name.
        """
        if self.folder.exists() and not os.path.samestat(self.folder.stat(), self._folder_itself):
            raise MovedFolderError(
                f"{self.folder.resolve()} is another folder than the one that this run began to write to, "
                "which was moved with what the run has saved; resume there"
            )

    def complete_epoch(self, entry: dict[str, float]) -> None:
        """Takes note that the epoch is over, with its losses and accuracies."""
        now = time.monotonic()
        self.record.epoch += 1
        self.record.step_in_epoch = 0
        self.record.seconds_in_epoch = 0.0
        self.record.history.append(
            {"epoch": self.record.epoch, **entry, "seconds": round(now - self._started, 3)}
        )
        self._started = now
        self._epoch_is_unsaved = True

    def save(self) -> Path | None:
        """Writes the file to go on from, and a numbered one where that is due, whose path it returns."""
        self.make_sure_of_folder()
        if self.record.step_in_epoch == 0 and self.is_milestone():
            return self._save_numbered()
        return self._save_latest()

    def _save_latest(self) -> None:
        save_checkpoint(self.latest, self.gan.averaged_generator, self.record, self.gan.state())
        self._note_saved(self.latest)
        # In mid-epoch there is not much yet: --overwrite that was a mistake has cost no numbered file.
        if self.record.step_in_epoch == 0:
            self._take_folder_over(self.latest)

    def _save_numbered(self) -> Path:
        """The numbered file of the epoch just completed, and the same as the latest.

        The numbered one comes first: a run cut off between the two goes on from it, and none is missing.
        """
        record = self.record
        record.numbered = [epoch for epoch in record.numbered if epoch < record.epoch] + [record.epoch]
        path = self._numbered(record.epoch)
        save_checkpoint(path, self.gan.averaged_generator, record, self.gan.state())
        self._note_saved(path)
        self._written.add(record.epoch)
        files.copy(path, self.latest)
        self._take_folder_over(path, self.latest)
        # What is to be deleted is in the record just saved: a run cut off here deletes it later.
        surplus = record.numbered[: -record.keep] if record.keep else []
        for epoch in surplus:
            if epoch in self._written or self._is_of_this_run(self._numbered(epoch)):
                self._numbered(epoch).unlink(missing_ok=True)
        record.numbered = record.numbered[len(surplus) :]
        return path

    def _note_saved(self, path: Path) -> None:
        self.last_saved = path
        self._has_saved = True
        self._epoch_is_unsaved = False

    def _numbered(self, epoch: int) -> Path:
        return self.folder / file_name(self.prefix, epoch)

    def _is_of_this_run(self, path: Path) -> bool:
        """Whether a file is an earlier state of this run: only the record of the file resumed from says so.

        That record may come from a stranger, who does not know the losses of the files in this folder.
        """
        try:
            record = read_checkpoint(path).record
        except ClothingGANError:
            return False
        return bool(record and record.history) and record.leads_to(self.record)

    def execute(self, show: bool) -> int:
        """Says what is about to happen, trains, and says how it ended.

        Args:
            show: Whether to open the periodic images in a window.

        Returns:
            The exit status: 0, or 130 after a signal.

        Raises:
            ClothingGANError: If a loss is no number, or a file cannot be written.
        """
        with stop_requests() as requests:
            self._print_plan()
            if show and not window_possible():
                print("note:     --show: no window can be opened here; the images are in files", flush=True)
                show = False
            if self.judge:
                self.judge.prepare()
            try:
                self._train(requests, [SheetWindow(self)] if show else [], not ProgressBar.is_possible())
            except StoppedBySignal as stopped:
                print(shown(stopped))
                return 130
        if not self.workers.is_chief:
            print(f"done, at epoch {self.record.epochs}; the files are the chief's")
            return 0
        measured = [entry for entry in self.record.history if "fcd" in entry]
        if measured:
            best = min(measured, key=lambda entry: entry["fcd"])
            kept = self._numbered(best["epoch"]).exists()
            print(
                f"best of the {len(measured)} epochs measured: {best['epoch']}, FCD {best['fcd']:.3f}"
                + ("" if kept else "; there is no file of it here: --save-every and --keep decide on that")
            )
        print(f"done, at epoch {self.record.epochs}; look at the images with: {self._display_command()}")
        return 0

    def _train(
        self, requests: StopRequests, extra_callbacks: list[keras.callbacks.Callback], plain_lines: bool
    ) -> None:
        """Trains until the record's last epoch. The folder must be this run's alone.

        Args:
            requests: Looked at after every step.
            extra_callbacks: Called after the run's own.
            plain_lines: Report progress as a line now and then, for a log, and not as Keras's bar.

        Raises:
            StoppedBySignal: After a signal, once the state is saved.
            ClothingGANError: If a loss is no number, or a file cannot be written.
        """
        record = self.record
        plain_lines = plain_lines and self.workers.is_chief
        begun = record.step_in_epoch > 0
        self.gan.keeps_sums = begun
        with self._naming_the_last_file(), contextlib.ExitStack() as at_the_end:
            callbacks = self._callbacks(requests, extra_callbacks, plain_lines)
            shows_bar = self.workers.is_chief and not plain_lines
            if shows_bar:
                bar = ProgressBar(self)
                callbacks.insert(0, bar)
                at_the_end.callback(bar.end_line)
            self._started = time.monotonic() - record.seconds_in_epoch
            # Keras counts the steps of an epoch from 0, so the rest of a begun one is a fit of its own.
            for last_epoch in sorted({record.epoch + 1, record.epochs} if begun else {record.epochs}):
                self.gan.fit(
                    batches(self._arrays, record.batch_size, record.seed, record.epoch, record.step_in_epoch),
                    initial_epoch=record.epoch,
                    epochs=last_epoch,
                    steps_per_epoch=self.steps_per_epoch - record.step_in_epoch,
                    callbacks=callbacks,
                    shuffle=False,  # The stream is shuffled.
                    verbose=int(shows_bar),
                )

    def _callbacks(
        self, requests: StopRequests, extra: list[keras.callbacks.Callback], plain_lines: bool
    ) -> list[keras.callbacks.Callback]:
        """What happens around steps and epochs, in this order."""
        callbacks = [NumberGuard(self)]
        if self.workers.strategy.num_replicas_in_sync > 1:
            callbacks.append(KeepingStep(self, requests))
        if not self.workers.is_chief:
            return [*callbacks, Follower(self, requests)]
        callbacks += [HistoryKeeper(self), ImageSheets(self), *extra]
        if self.record.previews:
            callbacks.append(Previews(self))
        if self.tensorboard:
            callbacks.append(EventFile(self, self.tensorboard))
        if plain_lines:
            callbacks.append(PlainProgress(self))
        return [*callbacks, Checkpoints(self, requests)]

    def _print_plan(self) -> None:
        record, gan = self.record, self.gan
        files_line = "the chief's alone"
        if self.workers.is_chief:
            first = min(record.save_every * (record.epoch // record.save_every + 1), record.epochs)
            files_line = (
                f"{shown(self.folder.resolve())}: {self.latest.name} after every epoch, "
                f"{file_name(self.prefix, first)}"
                + (f" and so on every {record.save_every}" if first < record.epochs else "")
            )
        who = self.workers.describe()
        print(
            f"data:     {shown(record.data)}: {len(self.images):,} training images of 28x28\n"
            f"networks: {gan.preset.name}: generator {gan.generator.count_params():,} parameters, "
            f"discriminator {gan.discriminator.count_params():,}\n"
            f"device:   {describe_device(self.workers.local_replicas)}, {record.precision}\n"
            + (f"workers:  {who}\n" if who else "")
            + f"files:    {files_line}\n"
            f"training: to epoch {record.epochs}, {self.steps_per_epoch} steps of {record.batch_size} images "
            f"an epoch, seed {record.seed}; Ctrl-C saves and stops",
            flush=True,
        )
        for note in self._notes():
            print(f"note:     {note}", flush=True)

    def _notes(self) -> Iterator[str]:
        """What of this run may surprise."""
        record = self.record
        if self.stale:
            numbered = [path.name for path in self.stale if path != self.latest]
            yield f"--overwrite: {self.latest.name} is replaced at the first save" + (
                f", and when an epoch is done these go: {', '.join(numbered)}" if numbered else ""
            )
        # Beside the next one, one fewer stays; to keep one is to keep none of these.
        surplus = record.numbered[: 1 - record.keep or None] if record.keep else []
        going = [path.name for path in map(self._numbered, surplus) if path.exists()]
        if len(going) > 1 and self.workers.is_chief:
            yield f"--keep {record.keep}: with the next numbered file these go: {', '.join(going)}"
        if self.gan.preset.conditional:
            absent = [name for index, name in enumerate(CLASS_NAMES) if index not in self.labels]
            if absent:
                yield (
                    f"there are no images of {', '.join(absent)}: what is drawn for these is not learned; "
                    "ask for others with display --class"
                )
        if record.precision == "bfloat16" and not fast_layers.has_bfloat16():
            yield (
                "this processor has no instructions for bfloat16: numbers are rounded to it "
                "all the same, but that is no faster than --precision float32"
            )

    def _display_command(self) -> str:
        return f"python -m clothinggan.display --weights {shown(shlex.quote(str(self.last_saved)))}"

    @contextlib.contextmanager
    def _naming_the_last_file(self) -> Iterator[None]:
        try:
            yield
        except (StoppedBySignal, MovedFolderError):
            raise
        except Exception as error:
            what = gone(self.workers.cluster, error) or described(error)
            if isinstance(error, tf.errors.ResourceExhaustedError):
                what = (
                    f"out of memory, with batches of {self.record.batch_size}: free some, or train anew with "
                    "a smaller --batch-size"
                )
            if self._rescue_epoch():
                what += f"; epoch {self.record.epoch} is saved, without all that is drawn of it"
            raise ClothingGANError(f"{what}; {self.how_to_go_on()}") from error

    def _rescue_epoch(self) -> bool:
        """Saves a complete epoch of which a picture could not be written; whether there was one to save."""
        if not (self._epoch_is_unsaved and self.workers.is_chief):
            return False
        try:
            self.save()
        except Exception:
            return False
        return True

    def _take_folder_over(self, *written: Path) -> None:
        """Removes what is further on than this run: from now on all that is here is its own."""
        for path in self.stale:
            if path not in written:
                path.unlink(missing_ok=True)
        self.stale = []
        self.overwrites = False


def library_versions() -> dict[str, str]:
    """The versions that the bits of a run depend on, by name; and whether oneDNN computes."""
    return {
        "clothinggan": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "onednn": "off" if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false") else "on",
    }


def thread_count() -> int:
    """How many threads one TensorFlow operation may use."""
    from_environment = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    asked_for = int(from_environment) if from_environment.isdecimal() else 0
    return tf.config.threading.get_intra_op_parallelism_threads() or asked_for or core_count()


def describe_device(replicas: int) -> str:
    """What this process trains on, one device for each replica of its own, for a person to read."""
    if tf.config.list_physical_devices("GPU"):
        return f"GPU ({device_names(replicas)})"
    return f"CPU ({thread_count()} threads)"


def device_names(count: int | None = None) -> str:
    """The GPUs here, or the first so many of them; where there are none, the processor."""
    gpus = tf.config.list_physical_devices("GPU")[:count]
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or processor_name()
