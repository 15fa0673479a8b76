"""What a checkpoint says of its run: plain data. It imports no other module of the package."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

PRECISIONS = ("float32", "bfloat16")
MAX_INTEGER = 2**31 - 1  # of an epoch, a seed, a size; options keep to it too
MAX_EPOCHS = 100_000  # of a run; options keep to it too
HISTORY_COLUMNS = ["epoch", "d_loss", "g_loss", "accuracy_real", "accuracy_fake", "seconds"]
BEST_COLUMNS = ("told_apart", "fcd", "precision", "recall", "coverage")  # that a best file can be kept by
MEASURED_COLUMNS = ["fcd", "precision", "recall", "coverage", "told_apart", "class_shares"]
MAX_PREVIEWS = 100
MAX_CLASSES = 1_000
MAX_CLASS_NAME = 100  # characters
FITS = ("pad", "crop")  # of pictures that are not square
INVERSIONS = ("auto", "yes", "no")
MAX_RECORD_BYTES = 2**26  # holds a history of MAX_EPOCHS, measured in each
MAX_CONFIGURATION_LENGTH = 2**20  # of a network's layers, as a text
_MAX_DESIGN_LENGTH = 10_000
_MAX_NUMBER = 1e39  # more than any float32

# The arrays of a run's training state by name: see `clothinggan.gan.GAN.state`.
State = dict[str, list[np.ndarray]]


@dataclass
class Record:
    """What a checkpoint says of its run.

    Attributes:
        preset: Name of the design.
        epoch: Epochs completed.
        step_in_epoch: Steps done of the epoch it is in.
        step: Steps done in all.
        seed: All randomness follows from it.
        batch_size: Real images a step.
        epochs: The epoch at which the run is to end.
        goal: The later epoch that it was begun for, where it is to end earlier for now; None where not.
        save_every: Epochs between numbered files.
        keep: How many numbered files to keep; None is all.
        examples: How many of the first training images are used; None is all.
        data: The source of the training images.
        fingerprint: SHA-256 of the training images and their labels.
        seconds_in_epoch: Seconds spent on the epoch it is in.
        history: An entry for each completed epoch: numbers by `HISTORY_COLUMNS`, and where the images
            were measured by `MEASURED_COLUMNS`.
        numbered: The epochs whose numbered files this run has written and not deleted.
        versions: Library versions by name.
        threads: How many threads an operation may use.
        processor: The name of what computed, processor or GPUs; empty where it is not known.
        precision: "float32" or "bfloat16": what the networks compute in.
        evaluate_every: Epochs between evaluations; None is never.
        previews: How many single images are drawn after every epoch.
        class_names: The names of the images' classes; empty where they have no labels, None in the first
            files, which did not say.
        fit: How pictures that are not square were made so; see `clothinggan.data.pictures`.
        invert: Whether bright was made dark.
        keep_best: By which measure the best file is kept; None is not at all.
        stop_after: After how many measured epochs without a better one the run ends; None is never.
        design: The design's row, as `clothinggan.presets.as_plain_data` gives it; files of version 1 have
            none, and get theirs when they are read.
        discriminator: The configuration of a discriminator that is not the design's own, as Keras saves it.
    """

    preset: str
    seed: int
    batch_size: int
    epochs: int
    save_every: int
    keep: int | None
    examples: int | None
    data: str
    fingerprint: str
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    seconds_in_epoch: float = 0.0
    history: list[dict[str, float | list[float]]] = field(default_factory=list)
    numbered: list[int] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    processor: str = ""
    precision: str = "float32"
    evaluate_every: int | None = None
    previews: int = 0
    class_names: list[str] | None = None
    fit: str = "pad"
    invert: str = "auto"
    keep_best: str | None = None
    stop_after: int | None = None
    design: dict[str, object] = field(default_factory=dict)
    discriminator: str | None = None
    goal: int | None = None

    @property
    def position(self) -> str:
        """How far the run has come, for a person to read."""
        if self.step_in_epoch:
            return f"step {self.step_in_epoch} of epoch {self.epoch + 1}"
        return f"the end of epoch {self.epoch}"

    def terms(self, digests: Sequence[str] = ()) -> str:
        """Returns a digest of all that decides on the numbers: what all workers have to agree on.

        Args:
            digests: Those of the files that the run goes on from.
        """
        names = [
            "preset",
            "design",
            "discriminator",
            "seed",
            "batch_size",
            "epochs",
            "fingerprint",
            "precision",
        ]
        names += ["epoch", "step_in_epoch", "step"]
        decisive = {name: getattr(self, name) for name in names}
        return hashlib.sha256(json.dumps([decisive, *digests]).encode()).hexdigest()

    def leads_to(self, other: "Record") -> bool:
        """Whether this is an earlier state of the run `other`, as far as both histories tell."""
        names = ["preset", "design", "seed", "batch_size"]
        if not self.history:
            names.append("fingerprint")
        same_run = all(getattr(self, name) == getattr(other, name) for name in names)
        # A run that began with somebody else's generator counts on from that one's epoch.
        same_beginning = self.epoch - len(self.history) == other.epoch - len(other.history)
        return same_run and same_beginning and self.history == other.history[: len(self.history)]

    def count_step(self, seconds_in_epoch: float) -> None:
        """Counts one more step; the epoch it is in has taken so many seconds by now."""
        self.step += 1
        self.step_in_epoch += 1
        self.seconds_in_epoch = seconds_in_epoch

    def complete_epoch(self, entry: dict[str, float | list[float]]) -> None:
        """Counts the epoch as complete.

        Args:
            entry: Numbers by `HISTORY_COLUMNS` but for the epoch, and perhaps by `MEASURED_COLUMNS`.
        """
        self.epoch += 1
        self.step_in_epoch = 0
        self.seconds_in_epoch = 0.0
        self.history.append({"epoch": self.epoch, **entry})

    def plan(self, last_epoch: int) -> None:
        """Has the run end at this epoch for now: one that was begun for a later one can go on to that."""
        goal = max(self.epochs, self.goal or 0)
        self.epochs, self.goal = last_epoch, goal if goal > last_epoch else None

    def is_milestone(self) -> bool:
        """Whether the epoch just completed gets a numbered file."""
        return self.epoch % self.save_every == 0 or self.epoch == self.epochs

    def is_to_be_evaluated(self) -> bool:
        """Whether the images are to be measured at the end of the epoch now in progress."""
        return bool(self.evaluate_every) and (self.epoch + 1) % self.evaluate_every == 0

    def measured_epochs(self, column: str) -> list[tuple[int, float]]:
        """Returns the measured epochs, the best last: each with what it lacks of the best there can be."""
        found = [
            (entry["epoch"], {"told_apart": abs(value - 0.5), "fcd": value}.get(column, 1 - value))
            for entry in self.history
            if (value := entry.get(column)) is not None
        ]
        return sorted(found, key=lambda epoch_and_lack: (-epoch_and_lack[1], -epoch_and_lack[0]))

    @property
    def best_column(self) -> str:
        """The measure by which epochs are compared."""
        return self.keep_best or BEST_COLUMNS[0]

    def epochs_without_better(self) -> int:
        """Returns how many epochs were measured after the best of them."""
        measured = self.measured_epochs(self.best_column)
        return sum(epoch > measured[-1][0] for epoch, _ in measured) if measured else 0

    def encode(self) -> bytes:
        """Returns the record as JSON."""
        return json.dumps(dataclasses.asdict(self)).encode()


def decode_record(encoded: bytes) -> Record:
    """Returns the record that `Record.encode` wrote.

    Raises:
        ValueError: If these bytes are not such a record, or a field is out of range.
    """
    try:
        if len(encoded) > MAX_RECORD_BYTES:
            raise ValueError("longer than any record")
        record = Record(**json.loads(encoded))
        _check_record(record)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("the record does not make sense") from error
    return record


def _check_record(record: Record) -> None:
    """Raises ValueError or TypeError where a field is not of its type or a number out of range."""
    if [type(field) for field in (record.history, record.numbered, record.versions)] != [list, list, dict]:
        raise TypeError
    counts = [record.step_in_epoch, record.step, record.threads]
    epochs = [record.epoch, *record.numbered, *(entry["epoch"] for entry in record.history)]
    sizes = [record.batch_size, record.epochs, record.save_every]
    limits = (record.keep, record.examples, record.evaluate_every, record.stop_after, record.goal)
    sizes += [size for size in limits if size is not None]
    texts = [record.preset, record.data, record.fingerprint, record.processor]
    texts += [*record.versions, *record.versions.values(), record.fit, record.invert]
    names = [] if record.class_names is None else record.class_names
    sound = (
        _are_integers(counts, 0, 2**63 - 1)
        and _are_integers(epochs, 0, MAX_INTEGER)
        and _are_integers(sizes, 1, MAX_INTEGER)
        and _are_integers([record.seed], 0, MAX_INTEGER)
        and all(type(text) is str for text in texts)
        and 0 <= record.seconds_in_epoch < _MAX_NUMBER
        and record.precision in PRECISIONS
        and _are_integers([record.previews], 0, MAX_PREVIEWS)
        and type(names) is list
        and len(names) <= MAX_CLASSES
        and all(type(name) is str and 1 <= len(name) <= MAX_CLASS_NAME for name in names)
        and len(set(names)) == len(names)
        and record.fit in FITS
        and record.invert in INVERSIONS
        and record.keep_best in (None, *BEST_COLUMNS)
    )
    if not sound:
        raise ValueError
    if type(record.design) is not dict or len(json.dumps(record.design)) > _MAX_DESIGN_LENGTH:
        raise ValueError
    own = record.discriminator
    if own is not None and (type(own) is not str or len(own) > MAX_CONFIGURATION_LENGTH):
        raise ValueError
    for entry in record.history:
        if not set(HISTORY_COLUMNS) <= set(entry) <= {*HISTORY_COLUMNS, *MEASURED_COLUMNS}:
            raise ValueError
        numbers = entry | {"class_shares": 0}
        shares = entry.get("class_shares", [])
        if type(shares) is not list or len(shares) > MAX_CLASSES:
            raise ValueError
        if not all(-_MAX_NUMBER < value < _MAX_NUMBER for value in [*numbers.values(), *shares]):
            raise ValueError


def _are_integers(values: list[object], minimum: int, maximum: int) -> bool:
    return all(type(value) is int and minimum <= value <= maximum for value in values)
