"""The ``.h5`` file: a plain Keras generator, and beside it all that a run needs to go on to the bit.

Layout:

- in front, 512 bytes of text: the format's version and the SHA-256 of everything behind them. HDF5 calls
  this a user block; h5py and Keras skip it.
- at the root, the generator as Keras saves a model in HDF5 (``model_config``, ``model_weights``), described
  in Keras 2's words where it can be, so that both Kerases open it;
- ``clothinggan/record``: a JSON text, see `Record`;
- ``clothinggan/state/NAME/I``: the arrays of the training state, see `clothinggan.gan.GAN.state`.

What is read is plain data; `clothinggan.checkpoint.restore` makes networks of it.
"""

import contextlib
import hashlib
import json
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan.checkpoint import archive, foreign, hdf5
from clothinggan.checkpoint.record import MAX_RECORD_BYTES, Record, State, decode_record
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.environment import without_absl_warnings
from clothinggan.errors import ClothingGANError, DamagedFileError, shown
from clothinggan.examples import locate_example
from clothinggan.files import atomic_write
from clothinggan.presets import Preset, as_plain_data, from_plain_data
from clothinggan.titles import title_of

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
_BLOCK_SIZE = 512
_BLOCK = re.compile(rb"ClothingGAN checkpoint, format (\d{1,9})\nSHA-256 ([0-9a-f]{64})\n")
_BEGINNING = b"ClothingGAN checkpoint, format "
_GROUP = "clothinggan"
_MAX_OVERHEAD = MAX_RECORD_BYTES + 2**21  # bytes of a file that are not its arrays'


@dataclass(frozen=True)
class Checkpoint:
    """A file that has been read and found sound.

    Attributes:
        path: The file.
        record: What it says of its run; None where it holds a generator alone.
        state: The arrays of the training state by name; empty where it holds a generator alone: another
            tool's, or an example that comes with the package.
        contents: All of the file.
        sha256: Of the file as it was read, in hexadecimal.
        design: Whose weights it holds, where it holds weights alone and this has been found.
        foreign_classes: The names of the classes of another tool's generator, where that has any.
        notes: What was concluded of it that it does not say.
    """

    path: Path
    record: Record | None
    state: State
    contents: hdf5.Contents
    sha256: str
    design: Preset | None = None
    foreign_classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without_optimizers(self) -> "Checkpoint":
        """Returns the same without what only a run that goes on needs: two thirds of the memory."""
        arrays = {name: array for name, array in self.contents.arrays.items() if "_optimizer/" not in name}
        state = {name: part for name, part in self.state.items() if not name.endswith("_optimizer")}
        return replace(self, state=state, contents=replace(self.contents, arrays=arrays))

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
    def holds_weights_alone(self) -> bool:
        """Whether it does not say what the weights in it compute."""
        return "model_config" not in self.contents.attributes[""]

    @property
    def preset(self) -> Preset | None:
        """The design that the file is a run of, if its networks are of one of those here."""
        if self.record is None:
            return None
        preset = from_plain_data(self.record.preset, self.record.design)
        if preset is None or self.record.class_names is None:
            return preset
        return replace(preset, classes=max(1, len(self.record.class_names)))

    @property
    def classes(self) -> range | None:
        """The numbers of the classes that the generator draws; None where it draws what it likes."""
        if self.preset:
            return self.preset.class_numbers
        return range(len(self.foreign_classes)) or None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names that the generator's classes can be asked for by; none where it draws what it likes."""
        return names_of_classes(self.preset, self.record) if self.preset else self.foreign_classes

    @property
    def epoch(self) -> int:
        """Epochs completed: from the record, else from the file's name, else 0."""
        return self.record.epoch if self.record else epoch_in_name(self.path) or 0

    @property
    def title(self) -> str:
        """What pictures of it are called: 'swift, epoch 5, 3 min'; its name where it tells of no run."""
        return title_of(self.record) if self.record else shown(self.path.stem)


def names_of_classes(preset: Preset, record: Record) -> tuple[str, ...]:
    """Returns what a run's classes are called; none where it takes none, or its images have no labels."""
    if not preset.conditional:
        return ()
    # The first files were all of Fashion-MNIST's classes.
    return CLASS_NAMES if record.class_names is None else tuple(record.class_names)


def file_name(prefix: str, epoch: int | None) -> str:
    """``clothingGANepoch5.h5`` for epoch 5, ``clothingGANlatest.h5`` for None."""
    return f"{prefix}latest.h5" if epoch is None else f"{prefix}epoch{epoch}.h5"


def epoch_in_name(path: Path) -> int | None:
    """The X of ``…epochX.h5``, or None."""
    match = re.search(r"epoch(\d{1,10})\.(weights\.h5|h5|hdf5|keras)$", path.name)
    return int(match[1]) if match else None


def save_checkpoint(path: Path, generator: "keras.Model", record: Record, state: State) -> None:
    """Writes a checkpoint; it appears under its name whole or not at all.

    Raises:
        ClothingGANError: If it cannot be written, or a number in it is NaN or infinite; the file is then
            as it was.
    """
    weights = [np.asarray(weight) for weight in generator.weights]
    for array in [*weights, *(array for arrays in state.values() for array in arrays)]:
        if not np.isfinite(array).all():
            raise ClothingGANError(
                f"a weight is NaN or infinite at {record.position}; {path.name} is not written"
            )
    image = hdf5_image(generator, record, state)
    with atomic_write(path) as temporary:
        temporary.write_bytes(file_image(image))


def check_size(generator: "keras.Model", state: State) -> int:
    """Makes sure that what `save` writes of a run can be read again, however long its history grows.

    Returns:
        How many bytes the arrays take, which is nearly all of a file.

    Raises:
        ClothingGANError: If it would be larger than `read` takes.
    """
    arrays = [array for part in (generator.get_weights(), *state.values()) for array in part]
    of_arrays = sum(array.nbytes for array in arrays)
    size = of_arrays + _MAX_OVERHEAD
    if size > hdf5.MAX_BYTES:
        raise ClothingGANError(
            f"the networks and their optimisers would make files of {size // 2**20} MiB, and none of more "
            f"than {hdf5.MAX_BYTES // 2**20} MiB is read; go on from a smaller generator"
        )
    return of_arrays


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, or another tool's file with a Keras model or its weights.

    Args:
        path: The file, or `example:NAME` for one that comes with the package.

    Raises:
        ClothingGANError: If the file cannot be read, is damaged, is of a newer format or of another kind,
            or holds more than a model file should.
    """
    content = _read_bytes(path)
    # Zeros are what some file systems leave after a power cut.
    if not content.strip(b"\0"):
        raise DamagedFileError(f"{path} is empty; use an earlier file")
    image = _verified(content, path)
    if image is None and not foreign.is_hdf5(content) and (what := foreign.describe_file(content, path)):
        raise ClothingGANError(f"{path} {what}")
    if archive.is_zip(content):
        contents = archive.parse(content, path)
    else:
        contents = hdf5.parse(content if image is None else image, path)
    if "model_config" not in contents.attributes[""] and not holds_weights(contents):
        raise ClothingGANError(
            f"{path} holds no Keras model (it has no 'model_config') and no weights of one; save one with "
            "model.save('NAME.keras')"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    encoded = contents.arrays.get(f"{_GROUP}/record")
    if encoded is None:
        return Checkpoint(path, None, {}, contents, sha256)
    if image is None:
        raise ClothingGANError(f"{path} is damaged: its checksum is gone")
    try:
        record = decode_record(encoded.tobytes())
        # Version 1 recorded a name alone, and version 2 may have recorded less than today.
        if preset := from_plain_data(record.preset, record.design):
            record.design = as_plain_data(preset)
    except ValueError as error:
        raise ClothingGANError(f"{path} has a record that does not make sense") from error
    return Checkpoint(path, record, _state(contents, path), contents, sha256)


def holds_weights(contents: hdf5.Contents) -> bool:
    """Whether an HDF5 file holds weights of a Keras model, in either of Keras's layouts."""
    return "layer_names" in contents.attributes[""] or any(
        "vars" in name.split("/")[:-1] for name in contents.arrays
    )


def hdf5_image(generator: "keras.Model", record: Record | None = None, state: State | None = None) -> bytes:
    """Returns the HDF5 part of a checkpoint, or a plain Keras file.

    It is laid out in memory: where a disk is full, the HDF5 library crashes.
    """
    import h5py

    from clothinggan.checkpoint.keras_2 import NotInKeras2Error, in_keras_2_words

    class File(h5py.File):
        """Keras writes to an open file too, but asks it for the ending of its name."""

        def __str__(self) -> str:
            return self.filename

    with File("checkpoint.h5", "w", driver="core", backing_store=False) as file:
        with without_absl_warnings():  # This format is 'legacy', and the one that everybody reads.
            generator.save(file)
        with contextlib.suppress(NotInKeras2Error):
            described = in_keras_2_words(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = json.dumps(described)
        if record:
            group = file.create_group(_GROUP)
            group.create_dataset("record", data=np.frombuffer(record.encode(), np.uint8))
            for name, arrays in state.items():
                for index, array in enumerate(arrays):
                    group.create_dataset(f"state/{name}/{index}", data=array)
        file.flush()
        return file.id.get_file_image()


def file_image(image: bytes) -> bytes:
    """Returns a checkpoint's bytes: its HDF5 part behind the block that has its digest."""
    return _block(image) + image


def _block(image: bytes) -> bytes:
    digest = hashlib.sha256(image).hexdigest()
    return f"ClothingGAN checkpoint, format {FORMAT_VERSION}\nSHA-256 {digest}\n".encode().ljust(
        _BLOCK_SIZE, b"\n"
    )


def _read_bytes(path: Path) -> bytes:
    place = locate_example(path)
    try:
        # Asked first: to open a named pipe is to wait for somebody to write to it.
        status = place.stat()
        if not stat.S_ISREG(status.st_mode):
            what = foreign.describe_folder(path) if stat.S_ISDIR(status.st_mode) else "is not a file"
            raise ClothingGANError(f"{path} {what}")
        if status.st_size > hdf5.MAX_BYTES:
            raise ClothingGANError(
                f"{path} is larger than {hdf5.MAX_BYTES // 2**20} MiB; if it is for an optimiser in it, save "
                f"it without: keras.models.load_model('{path.name}', compile=False).save('NAME.keras')"
            )
        return place.read_bytes()
    except FileNotFoundError as error:
        raise ClothingGANError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise ClothingGANError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _verified(content: bytes, path: Path) -> bytes | None:
    """The HDF5 part of one of our files once its digest holds, or None for another tool's file."""
    head, image = content[:_BLOCK_SIZE], content[_BLOCK_SIZE:]
    if not head.startswith(_BEGINNING):
        if content and _BEGINNING.startswith(content):
            raise DamagedFileError(f"{path} is damaged: it is cut short; use an earlier file")
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
