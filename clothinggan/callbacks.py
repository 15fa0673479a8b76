"""What happens around the steps and epochs of a run, as Keras callbacks."""

import csv
import io
import math
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import keras
from matplotlib.figure import Figure

from clothinggan import files
from clothinggan.checkpoint.record import HISTORY_COLUMNS, MEASURED_COLUMNS
from clothinggan.errors import ClothingGANError, shown
from clothinggan.figures import GRID_IMAGES, GRID_INCHES, draw_grid, draw_image, draw_losses, save_png
from clothinggan.signals import StoppedBySignal, StopRequests

if TYPE_CHECKING:
    from clothinggan.run import Run

SECONDS_BETWEEN_SAVES = 300
SECONDS_BETWEEN_LINES = 30


class RunCallback(keras.callbacks.Callback):
    """A callback that knows the run it belongs to."""

    def __init__(self, run: "Run"):
        super().__init__()
        self.run = run


class NumberGuard(RunCallback):
    """Stops a run whose losses or weights are no longer numbers, before anything of it is saved."""

    def on_train_batch_end(self, batch, logs=None):
        flaws = [f"{name} became {value}" for name, value in logs.items() if not math.isfinite(value)]
        if not self.run.gan.sound:
            flaws.append("a weight became NaN or infinite")
        if flaws:
            record = self.run.record
            raise ClothingGANError(
                f"{flaws[0]} at step {record.step_in_epoch + 1} of epoch {record.epoch + 1}"
            )


class HistoryKeeper(RunCallback):
    """Counts steps, and after each epoch notes losses and accuracies: in the record, in history.csv."""

    def on_train_batch_end(self, batch, logs=None):
        self.run.count_step()

    def on_epoch_end(self, epoch, logs=None):
        self.run.make_sure_of_folder()
        accuracy_real, accuracy_fake = self.run.gan.accuracy(self.run.images, self.run.labels)
        self.run.complete_epoch(
            {
                "d_loss": logs["d_loss"],
                "g_loss": logs["g_loss"],
                "accuracy_real": accuracy_real,
                "accuracy_fake": accuracy_fake,
                **(self._measure() if self.run.is_to_be_evaluated() else {}),
            }
        )
        write_history_csv(self.run.record.history, self.run.folder / "history.csv")

    def _measure(self) -> dict[str, float]:
        scores = self.run.judge.brief_scores(self.run.gan.draw(self.run.judge.count))
        print(
            f"epoch {self.run.record.epoch + 1}: FCD {scores['fcd']:.3f}, "
            f"precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
            flush=True,
        )
        return scores


class KeepingStep(RunCallback):
    """Has several processes end at the same step, and makes sure that all replicas hold the same weights."""

    def __init__(self, run: "Run", requests: StopRequests):
        super().__init__(run)
        self.requests = requests

    def on_train_batch_begin(self, batch, logs=None):
        if self.requests.received:
            self.run.gan.ask_to_stop()

    def on_epoch_end(self, epoch, logs=None):
        if not self.run.gan.replicas_agree():
            raise ClothingGANError(
                f"the workers' weights have come to differ in epoch {self.run.record.epoch + 1}"
            )


class ImageSheets(RunCallback):
    """Draws the losses after each epoch, and with each numbered file 25 images."""

    def on_epoch_end(self, epoch, logs=None):
        record = self.run.record
        save_png(draw_losses(record.history), self.run.folder / "losses.png")
        if self.run.is_milestone():
            save_png(draw_sheet(self.run), self.run.folder / f"{self.run.prefix}epoch{record.epoch}.png")


class Previews(RunCallback):
    """After every epoch draws the first images of the sheet, one to a file."""

    def __init__(self, run: "Run"):
        super().__init__(run)
        self.folder = run.folder / "images"
        files.prepare_folder(self.folder)

    def on_epoch_end(self, epoch, logs=None):
        record = self.run.record
        files.prepare_folder(self.folder)  # Somebody may have tidied up.
        for number, image in enumerate(self.run.gan.draw(record.previews), start=1):
            name = f"{self.run.prefix}epoch{record.epoch}_{number}"
            save_png(draw_image(image, name), self.folder / f"{name}.png")


class EventFile(RunCallback):
    """Writes TensorBoard's events: the history's numbers and the image sheet, an epoch to a step."""

    def __init__(self, run: "Run", folder: Path):
        super().__init__(run)
        # The extra, asked for before the run began.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary, self.record_writer = Event, Summary, RecordWriter
        if run.record.step == 0 and any(folder.glob("events.out.tfevents.*")):
            print(
                f"note:     {folder} has curves of an earlier run: TensorBoard shows those of this one in "
                "their place, but both where each run has a folder of its own within it",
                flush=True,
            )
        self.path = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._add(0, file_version="brain.Event:2")
        # Has TensorBoard drop what the folder tells of this epoch and later ones: of a run gone back upon.
        self._add(run.record.epoch + 1, session_log=SessionLog(status=SessionLog.START))

    def on_epoch_end(self, epoch, logs=None):
        entry = self.run.record.history[-1]
        sheet = io.BytesIO()
        draw_sheet(self.run).savefig(sheet, format="png")
        image = self.summary.Image(encoded_image_string=sheet.getvalue())
        values = [
            self.summary.Value(tag=name, simple_value=value)
            for name, value in entry.items()
            if name != "epoch"
        ]
        values.append(self.summary.Value(tag="sheet", image=image))
        self._add(entry["epoch"], summary=self.summary(value=values))

    def _add(self, step: int, **content: object) -> None:
        files.prepare_folder(self.path.parent, "--tensorboard")  # Somebody may have tidied up.
        record = io.BytesIO()
        event = self.event(wall_time=time.time(), step=step, **content)
        self.record_writer(record).write(event.SerializeToString())
        files.append(self.path, record.getvalue())


class SheetWindow(RunCallback):
    """Shows each numbered file's 25 images in a window too."""

    def on_epoch_end(self, epoch, logs=None):
        if not self.run.is_milestone():
            return
        import matplotlib.pyplot as plt

        figure = plt.figure(self.run.prefix, figsize=GRID_INCHES, clear=True)
        draw_sheet(self.run, figure)
        plt.pause(0.1)  # Shows the window, and lets it draw itself.


class Checkpoints(RunCallback):
    """Saves: numbered files, the latest after each epoch and every five minutes, and when asked to stop."""

    def __init__(self, run: "Run", requests: StopRequests):
        super().__init__(run)
        self.requests = requests
        self.last_save = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        at_epoch_end = self.run.record.step_in_epoch == self.run.steps_per_epoch
        if at_epoch_end:
            return  # The epoch is noted and saved first.
        # Asked once: a signal between two questions would end the run without saving.
        reason = self.run.stop_reason(self.requests)
        if reason or time.monotonic() - self.last_save >= SECONDS_BETWEEN_SAVES:
            self._save()
        self._stop_for(reason)

    def on_epoch_end(self, epoch, logs=None):
        self._save()
        if self.run.record.epoch < self.run.record.epochs:
            self._stop_for(self.run.stop_reason(self.requests))

    def _save(self) -> None:
        if path := self.run.save():
            entry = self.run.record.history[-1]
            print(
                f"epoch {entry['epoch']}: the discriminator is right on {entry['accuracy_real']:.1%} of real "
                f"and {entry['accuracy_fake']:.1%} of generated images; saved {shown(path)} and its .png",
                flush=True,
            )
        self.last_save = time.monotonic()

    def _stop_for(self, reason: str | None) -> None:
        if reason:
            raise StoppedBySignal(
                f"stopped by {reason} at {self.run.record.position}; {self.run.how_to_go_on()}"
            )


class Follower(Checkpoints):
    """What a worker does that is not the chief: it counts, and ends with the others."""

    def on_train_batch_end(self, batch, logs=None):
        self.run.count_step()
        super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.run.complete_epoch({})
        super().on_epoch_end(epoch, logs)

    def _save(self) -> None:
        """The files are the chief's."""


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras's bar, for a terminal. It comes before all that speaks at the end of an epoch."""

    @staticmethod
    def is_possible() -> bool:
        """Whether standard output is a terminal that can show what Keras draws the bar with."""
        try:
            "━".encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return False
        return sys.stdout.isatty()

    def __init__(self, run: "Run"):
        super().__init__()
        self.run = run

    def set_params(self, params):
        # The rest of an epoch is fitted by itself.
        super().set_params({**params, "epochs": self.run.record.epochs})

    def end_line(self) -> None:
        """Has what is said next begin on a line of its own, when a run ends in mid-epoch."""
        if self.seen not in (0, self.target):
            print()


class PlainProgress(RunCallback):
    """Progress for a log: a line after each epoch, and within long ones every half minute."""

    def on_train_begin(self, logs=None):
        self.measured_from = None
        self.last_line = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if self.measured_from is None:
            # The first step also builds the graph: it says nothing of those to come.
            self.measured_from = self.run.record.step, time.monotonic()
        if time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self._print_line(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._print_line(logs)

    def _print_line(self, logs: dict[str, float]) -> None:
        now = time.monotonic()
        self.last_line = now
        record, steps_per_epoch = self.run.record, self.run.steps_per_epoch
        first_step, started = self.measured_from
        done = record.step - first_step
        if record.step_in_epoch:
            where = f"epoch {record.epoch + 1}/{record.epochs}, step {record.step_in_epoch}/{steps_per_epoch}"
        else:
            where = f"epoch {record.epoch}/{record.epochs}, done"
        line = f"{where}: d_loss {logs['d_loss']:.4f}, g_loss {logs['g_loss']:.4f}"
        if done:
            seconds = (now - started) / done
            steps_left = (record.epochs - record.epoch) * steps_per_epoch - record.step_in_epoch
            line += f"; {seconds:.2f} s a step, {duration(seconds * steps_left)} left"
        print(line, flush=True)


def write_history_csv(history: list[dict[str, float]], path: Path) -> None:
    """Writes a row for each epoch, with the measured columns where something was measured."""
    measured = MEASURED_COLUMNS if any("fcd" in entry for entry in history) else []
    text = io.StringIO()
    rows = csv.DictWriter(text, HISTORY_COLUMNS + measured, lineterminator="\n")
    rows.writeheader()
    rows.writerows(history)
    files.write_text(path, text.getvalue())


def draw_sheet(run: "Run", figure: Figure | None = None) -> Figure:
    """Draws 25 images from the same latent vectors at every epoch of a run."""
    return draw_grid(run.gan.draw(GRID_IMAGES), f"{run.prefix}, epoch {run.record.epoch}", figure)


def duration(seconds: float) -> str:
    """Seconds as a person says them: '45 s', '12 min', '3 h 20 min'."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{round(seconds)} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
