"""The ``.h5`` file: a plain Keras generator, and beside it all that a run needs to go on to the bit.

Layout:

- in front, 512 bytes of text: the format's version and the SHA-256 of everything behind them. HDF5 calls
  this a user block; h5py and Keras skip it.
- at the root, the generator exactly as Keras saves a model in HDF5 (``model_config``, ``model_weights``);
- ``clothinggan/record``: a JSON text, see `Record`;
- ``clothinggan/state/NAME/I``: the arrays of the training state, see `clothinggan.training.GAN.state`.
"""

import dataclasses
import hashlib
import json
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import hdf5
from clothinggan.errors import ClothingGANError, DamagedFileError
from clothinggan.files import replacing
from clothinggan.presets import PRESETS, Preset

if TYPE_CHECKING:
    import keras

    from clothinggan.data import Dataset
    from clothinggan.training import GAN

FORMAT_VERSION = 1
PRECISIONS = ("float32", "bfloat16")
MAX_INTEGER = 2**31 - 1  # of an epoch, a seed, a size; options keep to it too
MAX_EPOCHS = 100_000  # of a run; options keep to it too
HISTORY_COLUMNS = ["epoch", "d_loss", "g_loss", "accuracy_real", "accuracy_fake", "seconds"]
MEASURED_COLUMNS = ["fcd", "precision", "recall"]
MAX_PREVIEWS = 100
_BLOCK_SIZE = 512
_BLOCK = re.compile(rb"ClothingGAN checkpoint, format (\d{1,9})\nSHA-256 ([0-9a-f]{64})\n")
_GROUP = "clothinggan"
_MAX_RECORD_BYTES = 2**25  # holds a history of MAX_EPOCHS, measured in each
_MAX_OVERHEAD = _MAX_RECORD_BYTES + 2**21  # bytes of a file that are not its arrays'
_MAX_NUMBER = 1e39  # more than any float32

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
    history: list[dict[str, float]] = field(default_factory=list)
    numbered: list[int] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    processor: str = ""
    precision: str = "float32"
    evaluate_every: int | None = None
    previews: int = 0

    @property
    def position(self) -> str:
        """How far the run has come, for a person to read."""
        if self.step_in_epoch:
            return f"step {self.step_in_epoch} of epoch {self.epoch + 1}"
        return f"the end of epoch {self.epoch}"

    def terms(self, digests: Sequence[str] = ()) -> str:
        """What all workers of a run have to be started alike in, as a digest: what decides on the numbers.

        Args:
            digests: Those of the files that the run goes on from.
        """
        names = ["preset", "seed", "batch_size", "epochs", "fingerprint", "precision"]
        names += ["epoch", "step_in_epoch", "step"]
        decisive = {name: getattr(self, name) for name in names}
        return hashlib.sha256(json.dumps([decisive, *digests]).encode()).hexdigest()

    def was_trained_on(self, dataset: "Dataset") -> bool:
        """Whether the run's training images are those of a dataset."""
        return dataset.trained_on(self.examples).fingerprint == self.fingerprint

    def leads_to(self, other: "Record") -> bool:
        """Whether a run that stands at `other` has been here, as far as their histories tell."""
        names = ["preset", "seed", "batch_size"]
        if not self.history:
            names.append("fingerprint")
        same_run = all(getattr(self, name) == getattr(other, name) for name in names)
        # A run that began with somebody else's generator counts on from that one's epoch.
        same_beginning = self.epoch - len(self.history) == other.epoch - len(other.history)
        return same_run and same_beginning and self.history == other.history[: len(self.history)]


@dataclass(frozen=True)
class Checkpoint:
    """A ``.h5`` file that has been read and found sound.

    Attributes:
        path: The file.
        record: What it says of its run; None where it holds a generator alone.
        state: The arrays of the training state by name; empty where it holds a generator alone.
        contents: All of the file.
        sha256: Of the file as it was read, in hexadecimal.
    """

    path: Path
    record: Record | None
    state: State
    contents: hdf5.Contents
    sha256: str

    @cached_property
    def generator(self) -> "keras.Model":
        """The generator: latent vectors (n, k) to images (n, 28, 28, 1).

        Raises:
            ClothingGANError: If the model in the file is not such a generator, or not acceptable.
        """
        # Imports TensorFlow, which reading a record does without.
        from clothinggan.keras_file import MAX_LATENT_SIZE, build_model

        model = build_model(self.contents, self.path)
        if len(model.input_shape) != 2 or model.output_shape[1:] != (28, 28, 1):
            raise ClothingGANError(
                f"{self.path} is not a generator of 28x28x1 images: "
                f"it maps {model.input_shape[1:]} to {model.output_shape[1:]}; use another file, or save it "
                "anew with a Reshape((28, 28, 1)) at its end where only the shape differs"
            )
        if model.input_shape[1] > MAX_LATENT_SIZE:
            raise ClothingGANError(
                f"{self.path} takes latent vectors of {model.input_shape[1]:,} numbers, which is more than "
                f"{MAX_LATENT_SIZE:,}; use another file"
            )
        if self.classes and model.input_shape[1] <= len(self.classes):
            raise ClothingGANError(
                f"{self.path} has no room for a class in {model.input_shape[1]} numbers; use another file"
            )
        return model

    @cached_property
    def discriminator(self) -> "keras.Model":
        """The model of a file that another tool saved a discriminator in: images (n, 28, 28, 1) to (n, 1).

        Raises:
            ClothingGANError: If the model in the file is not such a discriminator, or not acceptable.
        """
        from clothinggan.keras_file import build_model

        model = build_model(self.contents, self.path)
        if model.input_shape[1:] != (28, 28, 1) or model.output_shape[1:] != (1,):
            raise ClothingGANError(
                f"{self.path} is not a discriminator of 28x28x1 images: "
                f"it maps {model.input_shape[1:]} to {model.output_shape[1:]}; use another file"
            )
        return model

    def has_changed(self) -> bool:
        """Whether the file holds something else by now.

        Raises:
            ClothingGANError: If it can no longer be read.
        """
        return hashlib.sha256(_read_bytes(self.path)).hexdigest() != self.sha256

    @property
    def digest(self) -> str:
        """The SHA-256 of all arrays in the file but the record."""
        digest = hashlib.sha256()
        for name, array in sorted(self.contents.arrays.items()):
            if name != f"{_GROUP}/record":
                digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    @property
    def preset(self) -> Preset | None:
        """The design that the file is a run of, if it is of one of those here."""
        return PRESETS.get(self.record.preset) if self.record else None

    @property
    def classes(self) -> range | None:
        """The classes that the generator can be asked for; None where it draws what it likes."""
        return self.preset.classes if self.preset else None

    def draw(
        self,
        count: int,
        seed: int,
        classes: Sequence[int] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws images with the generator.

        Args:
            count: How many.
            seed: Decides the latent vectors.
            classes: Those to draw, in turns; a generator that can be asked for a class draws all by default.
            progress: Called with the number of images done, now and then.

        Returns:
            The images, (count, 28, 28) float32 in [0, 1], and their latent vectors, (count, k) float32.

        Raises:
            ClothingGANError: See `generator`, and `clothinggan.models.generate`.
        """
        from clothinggan.models import draw_latent_vectors, generate

        size = self.generator.input_shape[-1]
        vectors = draw_latent_vectors(count, size, seed, self.classes if classes is None else classes)
        try:
            return generate(self.generator, vectors, progress=progress), vectors
        except ClothingGANError as error:
            raise ClothingGANError(f"{self.path}: {error}") from error

    def restore(self, gan: "GAN") -> None:
        """Gives a GAN the training state.

        Raises:
            ClothingGANError: If it is not the state of such a GAN.
        """
        try:
            gan.load_state(self.state)
        except ClothingGANError as error:
            raise ClothingGANError(f"{self.path}: {error}; use another file") from error

    def gan(self) -> "GAN":
        """The run's networks, optimisers and precision as they were.

        Raises:
            ClothingGANError: If the file is not of a run of a design here, or its state does not fit it.
        """
        from clothinggan.models import build_networks
        from clothinggan.training import GAN

        if not self.preset:
            raise ClothingGANError(f"{self.path} holds a generator alone; use a file of a run")
        _, discriminator = build_networks(self.preset, self.record.seed)
        gan = GAN(self.preset, self.generator, discriminator, self.record.seed, self.record.precision)
        self.restore(gan)
        return gan

    @property
    def epoch(self) -> int:
        """Epochs completed: from the record, else from the file's name, else 0."""
        return self.record.epoch if self.record else epoch_in_name(self.path) or 0


def file_name(prefix: str, epoch: int | None) -> str:
    """``clothingGANepoch5.h5`` for epoch 5, ``clothingGANlatest.h5`` for None."""
    return f"{prefix}latest.h5" if epoch is None else f"{prefix}epoch{epoch}.h5"


def epoch_in_name(path: Path) -> int | None:
    """The X of ``…epochX.h5``, or None."""
    match = re.search(r"epoch(\d{1,10})\.(h5|hdf5)$", path.name)
    return int(match[1]) if match else None


def save(path: Path, generator: "keras.Model", record: Record, state: State) -> None:
    """Writes a checkpoint; it appears under its name whole or not at all.

    Raises:
        ClothingGANError: If it cannot be written, or a number in it is NaN or infinite; the file is then
            as it was.
    """
    weights = [np.asarray(weight) for weight in generator.weights]
    for array in [*weights, *(array for arrays in state.values() for array in arrays)]:
        if not np.isfinite(array).all():
            raise ClothingGANError(f"{path.name} is not written: a weight has become NaN or infinite")
    image = _hdf5_image(generator, record, state)
    with replacing(path) as temporary:
        temporary.write_bytes(_block(image) + image)


def check_size(generator: "keras.Model", state: State) -> None:
    """Makes sure that what `save` writes of a run can be read again, however long its history grows.

    Raises:
        ClothingGANError: If it would be larger than `read` takes.
    """
    arrays = [array for part in (generator.get_weights(), *state.values()) for array in part]
    size = sum(array.nbytes for array in arrays) + _MAX_OVERHEAD
    if size > hdf5.MAX_BYTES:
        raise ClothingGANError(
            f"the networks and their optimisers would make files of {size // 2**20} MiB, and none of more "
            f"than {hdf5.MAX_BYTES // 2**20} MiB is read; go on from a smaller generator"
        )


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint, or another tool's HDF5 file with a Keras generator.

    Raises:
        ClothingGANError: If the file cannot be read, is damaged, is of a newer format, or holds more
            than a model file should.
    """
    content = _read_bytes(path)
    # Zeros are what some file systems leave after a power cut.
    if not content.strip(b"\0"):
        raise DamagedFileError(f"{path} is empty; use an earlier file")
    image = _verified(content, path)
    if content.startswith(b"PK"):
        raise ClothingGANError(f"{path} is a .keras or another zip file; save one with model.save('NAME.h5')")
    contents = hdf5.parse(content if image is None else image, path)
    if "model_config" not in contents.attributes[""]:
        raise ClothingGANError(
            f"{path} holds no Keras model (it has no 'model_config'); save one with model.save()"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    encoded = contents.arrays.get(f"{_GROUP}/record")
    if encoded is None:
        return Checkpoint(path, None, {}, contents, sha256)
    if image is None:
        raise ClothingGANError(f"{path} is damaged: its checksum is gone")
    return Checkpoint(path, _decode_record(encoded, path), _state(contents, path), contents, sha256)


def load_generator(path: str | Path) -> "keras.Model":
    """Reads the generator of a checkpoint, or of another tool's HDF5 file.

    Args:
        path: The ``.h5`` file.

    Returns:
        A model from latent vectors (n, k) float32 to images (n, 28, 28, 1).

    Raises:
        ClothingGANError: See `read`.
    """
    return read(Path(path)).generator


def _hdf5_image(generator: "keras.Model", record: Record, state: State) -> bytes:
    """Lays out the HDF5 part of a checkpoint in memory: where a disk is full, the HDF5 library crashes."""
    import h5py

    class File(h5py.File):
        """Keras writes to an open file too, but asks it for the ending of its name."""

        def __str__(self) -> str:
            return self.filename

    with File("checkpoint.h5", "w", driver="core", backing_store=False) as file:
        generator.save(file)
        group = file.create_group(_GROUP)
        encoded = json.dumps(dataclasses.asdict(record)).encode()
        group.create_dataset("record", data=np.frombuffer(encoded, np.uint8))
        for name, arrays in state.items():
            for index, array in enumerate(arrays):
                group.create_dataset(f"state/{name}/{index}", data=array)
        file.flush()
        return file.id.get_file_image()


def _block(image: bytes) -> bytes:
    digest = hashlib.sha256(image).hexdigest()
    return f"ClothingGAN checkpoint, format {FORMAT_VERSION}\nSHA-256 {digest}\n".encode().ljust(
        _BLOCK_SIZE, b"\n"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        # Asked first: to open a named pipe is to wait for somebody to write to it.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ClothingGANError(f"{path} is not a file; --weights takes an .h5 file")
        if status.st_size > hdf5.MAX_BYTES:
            raise ClothingGANError(f"{path} is larger than {hdf5.MAX_BYTES // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ClothingGANError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise ClothingGANError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _verified(content: bytes, path: Path) -> bytes | None:
    """The HDF5 part of one of our files once its digest holds, or None for another tool's file."""
    head, image = content[:_BLOCK_SIZE], content[_BLOCK_SIZE:]
    if not head.startswith(b"ClothingGAN checkpoint, format "):
        return None
    match = _BLOCK.match(head)
    if match and int(match[1]) > FORMAT_VERSION:
        raise ClothingGANError(
            f"{path} has format {int(match[1])}, this program knows {FORMAT_VERSION}; upgrade clothinggan"
        )
    if head != _block(image):
        raise DamagedFileError(
            f"{path} is damaged: its content does not match its checksum; use an earlier file"
        )
    return image


def _decode_record(encoded: np.ndarray, path: Path) -> Record:
    try:
        if encoded.nbytes > _MAX_RECORD_BYTES:
            raise ValueError
        record = Record(**json.loads(encoded.tobytes()))
        _check_record(record)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ClothingGANError(f"{path} has a record that does not make sense") from error
    return record


def _check_record(record: Record) -> None:
    """Raises ValueError or TypeError where a field is not of its type or a number out of range."""
    if [type(field) for field in (record.history, record.numbered, record.versions)] != [list, list, dict]:
        raise TypeError
    counts = [record.step_in_epoch, record.step, record.threads]
    epochs = [record.epoch, *record.numbered, *(entry["epoch"] for entry in record.history)]
    sizes = [record.batch_size, record.epochs, record.save_every]
    sizes += [size for size in (record.keep, record.examples, record.evaluate_every) if size is not None]
    texts = [record.preset, record.data, record.fingerprint, record.processor]
    texts += [*record.versions, *record.versions.values()]
    sound = (
        _are_integers(counts, 0, 2**63 - 1)
        and _are_integers(epochs, 0, MAX_INTEGER)
        and _are_integers(sizes, 1, MAX_INTEGER)
        and _are_integers([record.seed], 0, MAX_INTEGER)
        and all(type(text) is str for text in texts)
        and 0 <= record.seconds_in_epoch < _MAX_NUMBER
        and record.precision in PRECISIONS
        and _are_integers([record.previews], 0, MAX_PREVIEWS)
    )
    if not sound:
        raise ValueError
    for entry in record.history:
        if set(entry) not in (set(HISTORY_COLUMNS), {*HISTORY_COLUMNS, *MEASURED_COLUMNS}):
            raise ValueError
        if not all(-_MAX_NUMBER < value < _MAX_NUMBER for value in entry.values()):
            raise ValueError


def _are_integers(values: list[object], minimum: int, maximum: int) -> bool:
    return all(type(value) is int and minimum <= value <= maximum for value in values)


def _state(contents: hdf5.Contents, path: Path) -> State:
    found: dict[str, dict[int, np.ndarray]] = {}
    prefix = f"{_GROUP}/state/"
    for name, array in contents.arrays.items():
        if name.startswith(prefix):
            part, _, index = name.removeprefix(prefix).partition("/")
            if not index.isdecimal() or not np.isfinite(array).all():
                raise ClothingGANError(f"{path} has a training state with '{name}' broken in it")
            found.setdefault(part, {})[int(index)] = array
    return {part: [arrays[index] for index in sorted(arrays)] for part, arrays in found.items()}
