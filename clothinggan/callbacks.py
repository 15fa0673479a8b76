"""What happens around the steps and epochs of a run, as Keras callbacks.

Each gets what it uses: the record of where the run stands, the folder that it writes to; `self.model` is
the GAN.
"""

import csv
import io
import math
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from clothinggan import files
from clothinggan.checkpoint.file import names_of_classes, save_checkpoint
from clothinggan.checkpoint.record import HISTORY_COLUMNS, MEASURED_COLUMNS, Record
from clothinggan.checkpoint.run_folder import RunFolder
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError, note, shown
from clothinggan.evaluation.evaluator import Evaluator
from clothinggan.figures import GRID_IMAGES, GRID_INCHES, draw_grid, draw_image, draw_losses, save_png
from clothinggan.gan import GAN
from clothinggan.signals import StoppedBySignal, StopRequests
from clothinggan.titles import duration, title_of, trained_seconds
from clothinggan.wording import worded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS_BETWEEN_SAVES = 300
SECONDS_TO_FIRST_SHEET = 60
SECONDS_TO_MEASURE = 3  # before a run says how long it will take
SECONDS_OF_PACE = 300  # over which it is measured how fast a run goes
SECONDS_OF_PATIENCE = 3600  # Who starts a run that takes longer is told of a faster design.
FASTEST = "swift"


class NonFiniteGuard(keras.callbacks.Callback):
    """Stops a run whose losses are NaN or infinite (as `TerminateOnNaN` does).

    `save_checkpoint` refuses weights that are.
    """

    def __init__(self, record: Record):
        super().__init__()
        self.record = record

    def on_train_batch_end(self, batch, logs=None):
        flaws = [f"{name} became {value}" for name, value in logs.items() if not math.isfinite(value)]
        if flaws:
            raise ClothingGANError(
                f"{flaws[0]} at step {self.record.step_in_epoch + 1} of epoch {self.record.epoch + 1}"
            )


class StepCounter(keras.callbacks.Callback):
    """Counts steps and epochs in the record, and the seconds that they take."""

    def __init__(self, record: Record):
        super().__init__()
        self.record = record

    def on_train_begin(self, logs=None):
        self.started = time.monotonic() - self.record.seconds_in_epoch

    def on_train_batch_end(self, batch, logs=None):
        self.record.count_step(time.monotonic() - self.started)

    def on_epoch_end(self, epoch, logs=None):
        entry = self.describe_epoch(logs)
        now = time.monotonic()
        self.record.complete_epoch({**entry, "seconds": round(now - self.started, 3)})
        self.started = now

    def describe_epoch(self, logs: dict[str, float]) -> dict[str, float]:
        """Returns what the history is to tell of the epoch that ends now."""
        return {}


class HistoryKeeper(StepCounter):
    """Notes each epoch's losses, accuracies and, where due, measures: in the record, in history.csv."""

    def __init__(self, record: Record, folder: RunFolder, dataset: Dataset, evaluator: Evaluator | None):
        super().__init__(record)
        self.folder = folder
        self.dataset = dataset
        self.evaluator = evaluator

    def on_epoch_end(self, epoch, logs=None):
        self.folder.make_sure(self.record)
        super().on_epoch_end(epoch, logs)
        write_history_csv(self.record.history, self.folder.path / "history.csv")

    def describe_epoch(self, logs: dict[str, float]) -> dict[str, float]:
        """Returns losses, accuracies and measures."""
        accuracy_real, accuracy_fake = self.model.accuracy(
            self.dataset.train_images, self.dataset.train_labels
        )
        return {
            "d_loss": logs["d_loss"],
            "g_loss": logs["g_loss"],
            "accuracy_real": accuracy_real,
            "accuracy_fake": accuracy_fake,
            **(self._measure() if self.record.is_to_be_evaluated() else {}),
        }

    def _measure(self) -> dict[str, float]:
        scores = self.evaluator.brief_scores(self.model.draw(self.evaluator.wanted))
        print(
            f"epoch {self.record.epoch + 1}: told apart {scores['told_apart']:.1%}, FCD {scores['fcd']:.3f}, "
            f"precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
            flush=True,
        )
        return scores


class ReplicaGuard(keras.callbacks.Callback):
    """Has several processes end at the same step, and makes sure that all replicas hold the same weights."""

    def __init__(self, record: Record, requests: StopRequests):
        super().__init__()
        self.record = record
        self.requests = requests

    def on_train_batch_begin(self, batch, logs=None):
        if self.requests.received:
            self.model.ask_to_stop()

    def on_epoch_end(self, epoch, logs=None):
        if not self.model.replicas_agree():
            raise ClothingGANError(
                f"the workers' weights have come to differ in epoch {self.record.epoch + 1}"
            )


class ImageSheets(keras.callbacks.Callback):
    """Draws the losses after each epoch, and 25 images: the latest ones, and those of each numbered file.

    The first come after a minute, or after the first epoch where that is sooner.
    """

    def __init__(
        self,
        record: Record,
        folder: RunFolder,
        say: Callable[[str], None],
        measured_classes: Sequence[str] = (),
    ):
        """Makes a callback that draws.

        Args:
            record: Where the run stands.
            folder: Where the pictures go.
            say: Tells the user a line.
            measured_classes: The names of the classes whose shares are measured.
        """
        super().__init__()
        self.record = record
        self.folder = folder
        self.say = say
        self.measured_classes = measured_classes
        self.latest = folder.latest.with_suffix(".png")
        self.has_drawn = False
        self.goes_on = bool(record.history)

    def on_train_begin(self, logs=None):
        # A run that was stopped before there was one does not wait as long again.
        done = 0 if self.latest.exists() else trained_seconds(self.record)
        self.next_sheet = time.monotonic() + max(0, SECONDS_TO_FIRST_SHEET - done)

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() >= self.next_sheet:
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        # Images without labels are seen by the classifier of Fashion-MNIST.
        losses = draw_losses(self.record.history, self.measured_classes or CLASS_NAMES)
        save_png(losses, self.folder.path / "losses.png")
        self._draw()
        if self.record.is_milestone():
            files.copy(self.latest, self.folder.numbered(self.record.epoch).with_suffix(".png"))

    def _draw(self) -> None:
        self.folder.make_sure(self.record)
        save_png(draw_sheet(self.model, self.record), self.latest)
        comes_alone = self.record.step_in_epoch > 0 or not self.record.is_milestone()
        if not self.has_drawn and comes_alone:
            first = "new" if self.goes_on else "the first"
            self.say(f"{first} images are in {shown(self.latest)}, and newer ones after every epoch")
        self.has_drawn = True
        self.next_sheet = time.monotonic() + SECONDS_BETWEEN_SAVES


class Previews(keras.callbacks.Callback):
    """After every epoch draws the first images of the sheet, one to a file."""

    def __init__(self, record: Record, folder: RunFolder):
        super().__init__()
        self.record = record
        self.prefix = folder.prefix
        self.folder = folder.path / "images"
        files.prepare_folder(self.folder)

    def on_epoch_end(self, epoch, logs=None):
        files.make_folder(self.folder, "--out")  # Somebody may have tidied up.
        names = names_of_classes(self.model.preset, self.record)
        for index, image in enumerate(self.model.draw(self.record.previews)):
            name = f"{self.prefix}epoch{self.record.epoch}_{index + 1}"
            what = f": {names[index % len(names)]}" if names else ""
            save_png(draw_image(image, f"{title_of(self.record)}{what}"), self.folder / f"{name}.png")


class EventFile(keras.callbacks.Callback):
    """Writes TensorBoard's events: the history's numbers and the image sheet, an epoch to a step."""

    def __init__(self, record: Record, folder: Path):
        super().__init__()
        self.record = record
        # The extra, asked for before the run began.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary, self.record_writer = Event, Summary, RecordWriter
        if record.step == 0 and any(folder.glob("events.out.tfevents.*")):
            note(
                f"{folder} has curves of an earlier run: TensorBoard shows those of this one in "
                "their place, but both where each run has a folder of its own within it"
            )
        self.path = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._add(0, file_version="brain.Event:2")
        # Has TensorBoard drop what the folder tells of this epoch and later ones: of a run gone back upon.
        self._add(record.epoch + 1, session_log=SessionLog(status=SessionLog.START))

    def on_epoch_end(self, epoch, logs=None):
        entry = self.record.history[-1]
        sheet = io.BytesIO()
        draw_sheet(self.model, self.record).savefig(sheet, format="png")
        image = self.summary.Image(encoded_image_string=sheet.getvalue())
        values = [
            self.summary.Value(tag=name, simple_value=value)
            for name, value in entry.items()
            if name not in ("epoch", "class_shares")
        ]
        values.append(self.summary.Value(tag="sheet", image=image))
        self._add(entry["epoch"], summary=self.summary(value=values))

    def _add(self, step: int, **content: object) -> None:
        files.make_folder(self.path.parent, "--tensorboard")  # Somebody may have tidied up.
        record = io.BytesIO()
        event = self.event(wall_time=time.time(), step=step, **content)
        self.record_writer(record).write(event.SerializeToString())
        files.append(self.path, record.getvalue())


class SheetWindow(keras.callbacks.Callback):
    """Shows each numbered file's 25 images in a window too."""

    def __init__(self, record: Record):
        super().__init__()
        self.record = record

    def on_epoch_end(self, epoch, logs=None):
        if not self.record.is_milestone():
            return
        import matplotlib.pyplot as plt

        draw_sheet(self.model, self.record, plt.figure(self.model.name, figsize=GRID_INCHES, clear=True))
        plt.pause(0.1)  # Shows the window, and lets it draw itself.


class StopAtSignal(keras.callbacks.Callback):
    """Ends the run after the step in which a signal came; several processes end at the same step."""

    def __init__(
        self, record: Record, requests: StopRequests, steps_per_epoch: int, several: bool, go_on: str
    ):
        """Makes a callback that ends a run.

        Args:
            record: Where the run stands.
            requests: Looked at after every step.
            steps_per_epoch: How many steps an epoch has.
            several: Whether several processes train together.
            go_on: What to tell of how to go on.
        """
        super().__init__()
        self.record = record
        self.requests = requests
        self.steps_per_epoch = steps_per_epoch
        self.several = several
        self.go_on = go_on

    def on_train_batch_end(self, batch, logs=None):
        if self.record.step_in_epoch == self.steps_per_epoch:
            return  # The epoch is noted and saved first.
        # Asked once: a signal between two questions would end the run without saving.
        reason = self.stop_reason() or ("a callback" if self.model.stop_training else None)
        self.save_in_epoch(reason)
        self._stop_for(reason)

    def on_epoch_end(self, epoch, logs=None):
        if self.record.epoch < self.record.epochs:
            self._stop_for(self.stop_reason())
        elif self.several:
            self.model.wait_for_all()

    def stop_reason(self) -> str | None:
        """Returns whose signal ends the run now, if one does."""
        if self.several and not self.model.stop_agreed:
            return None
        if self.requests.received:
            return self.requests.received.name
        return "a signal to another worker" if self.several else None

    def save_in_epoch(self, reason: str | None) -> None:
        """Does nothing: `Checkpoints` saves here, and a worker that is not the chief has no files."""

    def how_to_go_on(self) -> str:
        """Returns a line that says how to go on."""
        return self.go_on

    def _stop_for(self, reason: str | None) -> None:
        if reason:
            if self.several and self.model.stop_agreed:
                self.model.wait_for_all()
            line = f"stopped by {reason} at {self.record.position}; {self.how_to_go_on()}"
            raise StoppedBySignal(line, self.requests.received)


class Checkpoints(StopAtSignal):
    """Saves: numbered files, the latest after each epoch and every five minutes, and when asked to stop."""

    def __init__(
        self,
        record: Record,
        requests: StopRequests,
        steps_per_epoch: int,
        several: bool,
        go_on: str,
        folder: RunFolder,
    ):
        super().__init__(record, requests, steps_per_epoch, several, go_on)
        self.folder = folder
        self.last_save = time.monotonic()

    def save_in_epoch(self, reason: str | None) -> None:
        if reason or time.monotonic() - self.last_save >= SECONDS_BETWEEN_SAVES:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        self._save()
        super().on_epoch_end(epoch, logs)

    def how_to_go_on(self) -> str:
        return self.folder.how_to_go_on(self.record, self.go_on)

    def _save(self) -> None:
        if path := save(self.model, self.record, self.folder):
            entry = self.record.history[-1]
            print(
                f"epoch {entry['epoch']}: the discriminator is right on {entry['accuracy_real']:.1%} of real "
                f"and {entry['accuracy_fake']:.1%} of generated images (guessing adds up to 100%); "
                f"saved {shown(path)} and its .png",
                flush=True,
            )
        self.last_save = time.monotonic()


class BestKeeper(keras.callbacks.Callback):
    """Keeps the best measured file, and ends a run that no longer gets better (as `EarlyStopping` does).

    It comes after the saving.
    """

    def __init__(self, record: Record, folder: RunFolder):
        super().__init__()
        self.record = record
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        column = self.record.best_column
        measured = self.record.measured_epochs(column)
        if not measured or column not in self.record.history[-1]:
            return
        if self.record.keep_best and measured[-1][0] == self.record.epoch:
            self.folder.keep_best(self.folder.last_saved)
        waited = self.record.epochs_without_better()
        if self.record.stop_after and waited >= self.record.stop_after:
            print(f"no better {column} in {waited} measured epochs: the run ends", flush=True)
            self.model.stop_training = True


class Pace:
    """How fast a run goes, measured from the end of its first step on: that one also builds the graph.

    The last minutes count, so that it follows what else the machine does, and forgets where it stood still.
    """

    def __init__(self, record: Record, steps_per_epoch: int):
        self.record = record
        self.steps_per_epoch = steps_per_epoch
        # Steps and when they were done, some of them: the first is where the measuring begins.
        self.marks: deque[tuple[int, float]] = deque()

    def count(self) -> None:
        """Takes note that a step is done."""
        now = time.monotonic()
        if not self.marks or now - self.marks[-1][1] >= SECONDS_OF_PACE / 100:
            self.marks.append((self.record.step, now))
        while len(self.marks) > 1 and now - self.marks[1][1] >= SECONDS_OF_PACE:
            self.marks.popleft()

    @property
    def seconds_measured(self) -> float:
        """For how many seconds it has been measured."""
        return time.monotonic() - self.marks[0][1] if self.marks else 0.0

    @property
    def seconds_per_step(self) -> float | None:
        """The mean, with the time between epochs; None before there are two steps."""
        done = self.record.step - self.marks[0][0] if self.marks else 0
        return self.seconds_measured / done if done else None

    @property
    def seconds_left(self) -> float | None:
        """Until the run's last epoch is done; None before there are two steps."""
        record = self.record
        steps = (record.epochs - record.epoch) * self.steps_per_epoch - record.step_in_epoch
        return None if self.seconds_per_step is None else self.seconds_per_step * steps


class Forecast(keras.callbacks.Callback):
    """Says once, after the first steps, how long a run will take.

    It also counts the steps of `pace`, so it comes before the callbacks that print the time left.

    Attributes:
        is_pending: Whether it is still to be said.
        begun: What an epoch that was begun before is called.
    """

    def __init__(self, record: Record, pace: Pace, say: Callable[[str], None]):
        super().__init__()
        self.record = record
        self.pace = pace
        self.say = say
        self.is_pending = True
        self.begun = "the rest of " if record.step_in_epoch else ""

    def on_train_batch_end(self, batch, logs=None):
        self.pace.count()
        if self.is_pending and self.pace.seconds_measured >= SECONDS_TO_MEASURE and self.pace.seconds_left:
            self.is_pending = False
            self.say(worded(self.describe(self.pace.seconds_measured + self.pace.seconds_left)))

    def describe(self, seconds: float) -> str:
        """Returns the line, for so many seconds in all."""
        record = self.record
        if record.epoch + 1 == record.epochs > 1:
            epochs = f"epoch {record.epochs}"
        elif record.epoch:
            epochs = f"epochs {record.epoch + 1} to {record.epochs}"
        else:
            epochs = "1 epoch" if record.epochs == 1 else f"{record.epochs} epochs"
        line = f"{self.begun}{epochs} of {record.preset}: about {duration(seconds)} on this machine"
        line += "; Ctrl-C saves, and resume goes on"
        if record.epoch == 0 and seconds > SECONDS_OF_PATIENCE and record.preset != FASTEST:
            line += f"; --model {FASTEST} draws garments in a minute"
        return line


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras's bar, for a terminal. It comes first: other callbacks print at the end of an epoch.

    Each epoch begins with the time that is left for the whole run.
    """

    @staticmethod
    def is_possible() -> bool:
        """Whether standard output is a terminal that can show what Keras draws the bar with."""
        try:
            "━".encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return False
        return sys.stdout.isatty()

    def __init__(self, record: Record, pace: Pace):
        super().__init__()
        self.record = record
        self.pace = pace
        self.waits_for: Forecast | None = None  # which has a line to say first

    def set_params(self, params):
        # The rest of an epoch is fitted by itself; and Keras is not to say which epoch it is: see below.
        super().set_params({**params, "epochs": 1})

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        left = self.pace.seconds_left
        time_left = f", {duration(left)} left" if left is not None else ""
        print(f"Epoch {epoch + 1}/{self.record.epochs}{time_left}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        if not (self.waits_for and self.waits_for.is_pending):
            super().on_train_batch_end(batch, logs)

    def say(self, line: str) -> None:
        """Says a line between two states of the bar."""
        self.end_line()
        print(line, flush=True)

    def end_line(self) -> None:
        """Has what is said next begin on a line of its own, also where the bar is in mid-epoch."""
        if self.seen not in (0, self.target):
            print()


class PlainProgress(keras.callbacks.Callback):
    """Progress for a log: a line after each epoch, and within long ones every half minute."""

    seconds_between_lines = 30.0

    def __init__(self, record: Record, pace: Pace):
        super().__init__()
        self.record = record
        self.pace = pace

    def on_train_begin(self, logs=None):
        self.last_line = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.last_line >= self.seconds_between_lines:
            self._print_line(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._print_line(logs)

    def _print_line(self, logs: dict[str, float]) -> None:
        self.last_line = time.monotonic()
        record, pace = self.record, self.pace
        if record.step_in_epoch:
            steps = f"step {record.step_in_epoch}/{pace.steps_per_epoch}"
            where = f"epoch {record.epoch + 1}/{record.epochs}, {steps}"
        else:
            where = f"epoch {record.epoch}/{record.epochs}, done"
        line = f"{where}: d_loss {logs['d_loss']:.4f}, g_loss {logs['g_loss']:.4f}"
        if pace.seconds_left is not None:
            line += f"; {pace.seconds_per_step:.2f} s a step, {duration(pace.seconds_left)} left"
        self.say(line)

    def say(self, line: str) -> None:
        """Prints a line."""
        print(line, flush=True)


class NotebookProgress(PlainProgress):
    """Progress in a notebook's cell: one line that moves, of which the saved notebook keeps the last."""

    seconds_between_lines = 1.0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        from IPython.display import display

        self.line = display({"text/plain": ""}, raw=True, display_id=True)

    def say(self, line: str) -> None:
        """Shows a line in the place of the one before."""
        self.line.update({"text/plain": line}, raw=True)


def save(gan: GAN, record: Record, folder: RunFolder) -> Path | None:
    """Saves where a run stands; returns the path of the numbered file where one was due.

    Raises:
        ClothingGANError: If a weight is NaN or infinite, or the file cannot be written.
    """
    return folder.save(
        record, lambda path: save_checkpoint(path, gan.averaged_generator, record, gan.state())
    )


def draw_sheet(gan: GAN, record: Record, figure: "Figure | None" = None) -> "Figure":
    """Draws 25 images from the same latent vectors at every epoch of a run."""
    return draw_grid(gan.draw(GRID_IMAGES), title_of(record), names_of_classes(gan.preset, record), figure)


def write_history_csv(history: list[dict[str, float | list[float]]], path: Path) -> None:
    """Writes a row for each epoch, with the measured columns where something was measured."""
    measured = [column for column in MEASURED_COLUMNS if any(column in entry for entry in history)]
    text = io.StringIO()
    rows = csv.DictWriter(text, HISTORY_COLUMNS + measured, lineterminator="\n")
    rows.writeheader()
    for entry in history:
        lists = {name: " ".join(map(str, value)) for name, value in entry.items() if isinstance(value, list)}
        rows.writerow(entry | lists)
    files.write_text(path, text.getvalue())
