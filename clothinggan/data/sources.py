"""Where training images come from: Fashion-MNIST, files in its formats, or the built-in garments.

Two formats are read. IDX, which Fashion-MNIST is published in, is described on Yann LeCun's MNIST
page (http://yann.lecun.com/exdb/mnist/) and named in Fashion-MNIST's own README
(https://github.com/zalandoresearch/fashion-mnist): two zero bytes, a byte for the type, a byte for
the number of dimensions, each dimension as a big-endian 32-bit integer, and then the values.
``.npz`` is NumPy's, with Keras's names for the arrays: ``x_train``, ``y_train``, ``x_test`` and
``y_test``.

A file may be cut short, or made to do harm. So in both formats the header is checked first, exactly
what it promises is read, in small pieces, and nothing may follow. Nothing is ever unpickled.
"""

import gzip
import hashlib
import http.client
import io
import logging
import math
import os
import re
import stat
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from clothinggan import files
from clothinggan.checkpoint.record import Record
from clothinggan.environment import is_installed
from clothinggan.errors import ClothingGANError, shown

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

SOURCES = (
    "fashion_mnist, sample, a folder with the four IDX files, an .npz as Keras lays it out, "
    "or tfds:NAME from TensorFlow Datasets"
)

# Keras's name of each array, and the IDX file that holds it.
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

DOWNLOAD_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
DOWNLOAD_TIMEOUT = 30.0  # seconds: to connect, and to wait for each piece

_SIZE = 28
_MAX_IMAGES = 1_000_000  # more than this in a header is taken for a broken file
_MAX_DOWNLOAD = 64 * 2**20  # bytes; the largest of the four files has 26 million
_PIECE = 2**20  # bytes

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_Result = TypeVar("_Result")

# Judges the shape and dtype that a header declares, then reads that array from the stream.
_Receive = Callable[[BinaryIO, tuple[int, ...], np.dtype], np.ndarray]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on and, where there are any, their labels and a test set.

    Attributes:
        source: What `load` reads these images from again.
        train_images: uint8 of shape (n, 28, 28), from 0 (background) to 255; n is at least 1.
        train_labels: uint8 of shape (n,), each an index of `CLASS_NAMES`; or None.
        test_images: uint8 of shape (m, 28, 28); or None.
        test_labels: uint8 of shape (m,); or None.
    """

    source: str
    train_images: np.ndarray
    train_labels: np.ndarray | None = None
    test_images: np.ndarray | None = None
    test_labels: np.ndarray | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the training images and labels, wherever they came from."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels):
            if array is not None:
                digest.update(f"{array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def take(self, examples: int) -> "Dataset":
        """Returns the same data with the first ``examples`` training images only, as views.

        Raises:
            ClothingGANError: If ``examples`` is less than 1 or more than there are.
        """
        available = len(self.train_images)
        if not 1 <= examples <= available:
            raise ClothingGANError(
                f"--examples {examples}: {shown(self.source)} has {available} training images; "
                f"give a number from 1 to {available}"
            )
        labels = None if self.train_labels is None else self.train_labels[:examples]
        return replace(self, train_images=self.train_images[:examples], train_labels=labels)

    def trained_on(self, examples: int | None) -> "Dataset":
        """Returns what a run with ``--examples`` takes of this: all where that is None or not less."""
        return self.take(examples) if examples and examples < len(self.train_images) else self

    def was_trained_on(self, record: Record) -> bool:
        """Returns whether a run's training images are the first of these."""
        return self.trained_on(record.examples).fingerprint == record.fingerprint


def is_from_tfds(source: str) -> bool:
    """Whether TensorFlow Datasets loads a source, which imports TensorFlow for it."""
    return source.startswith(_TFDS)


def default_source() -> str:
    """Returns the source where none is named: ``$CLOTHINGGAN_DATA``, else ``fashion_mnist``."""
    return source_in_environment() or "fashion_mnist"


def source_in_environment() -> str | None:
    """Returns what ``$CLOTHINGGAN_DATA`` names, if it names anything."""
    return os.environ.get("CLOTHINGGAN_DATA") or None


def resolve(source: str) -> str:
    """Returns the name to record for a source: a keyword or ``tfds:NAME`` as it is, a path made absolute.

    Raises:
        ClothingGANError: If ``source`` is neither a keyword nor text that a path can be made of.
    """
    if source in KEYWORDS or is_from_tfds(source):
        return source
    try:
        return os.path.abspath(os.path.expanduser(source))
    except (OSError, ValueError) as error:
        raise _unknown(source) from error


def load(source: str) -> Dataset:
    """Loads the images of a source.

    Args:
        source: One of

            - ``fashion_mnist``: Fashion-MNIST from Keras's cache, which is filled by download;
            - ``sample``: the built-in garments of `clothinggan.data.sample`;
            - the path of a folder with the files of `IDX_FILES`, each gzipped (``.gz``) or not;
            - the path of an ``.npz`` with arrays named as Keras does;
            - ``tfds:NAME``, as ``tfds:fashion_mnist``: a data set of TensorFlow Datasets with the
              features `image` and `label`, in its own folder or downloaded by it.

            Only the training images are required. A file or folder that is named as one of the
            keywords can be reached as ``./sample``.

    Returns:
        The data set; its ``source`` is that of `resolve`.

    Raises:
        ClothingGANError: If there is no such source, or its images cannot be had. The message is
            one line that names the file and says what is wrong with it and what to do.
    """
    source = resolve(source)
    if source in KEYWORDS:
        return KEYWORDS[source]()
    if is_from_tfds(source):
        return _load_tfds(source)
    if os.path.isdir(source):
        return _load_folder(source)
    if os.path.lexists(source):
        return _load_npz(source)
    raise _unknown(source)


def _load_sample() -> Dataset:
    from clothinggan.data.sample import make_split

    return Dataset("sample", *make_split("train"), *make_split("test"))


def _load_fashion_mnist() -> Dataset:
    cache = os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")
    return _gather("fashion_mnist", partial(_read_cached, Path(cache, "datasets", "fashion-mnist")))


def _load_folder(source: str) -> Dataset:
    try:
        present = set(os.listdir(source))
    except OSError as error:
        raise _refusal(source, error.strerror) from error

    def read(name: str, receive: _Receive) -> np.ndarray | None:
        for ending in ("", ".gz"):
            if IDX_FILES[name] + ending in present:
                path = Path(source, IDX_FILES[name] + ending)
                return _read_file(path, partial(_read_idx, receive, ending == ".gz"))
        return None

    return _gather(source, read)


def _load_npz(source: str) -> Dataset:
    return _read_file(Path(source), partial(_read_npz, source))


def _load_tfds(source: str) -> Dataset:
    name = source.removeprefix(_TFDS)
    # What else TensorFlow Datasets takes for a name leads to other people's programs.
    if not re.fullmatch(r"\w+(/[\w.+-]+)?(:\d[\w.*]*)?", name, re.ASCII):
        raise ClothingGANError(f"{shown(source)}: not the name of a data set; give one as tfds:fashion_mnist")
    if not is_installed("tensorflow_datasets"):
        raise ClothingGANError(
            f"--data {source} needs TensorFlow Datasets; get it with: pip install 'clothinggan[tfds]'"
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
        features = dict(builder.info.features)
        image = features.get("image")
        if image is None or image.shape not in ((_SIZE, _SIZE), (_SIZE, _SIZE, 1)):
            shape = "no images" if image is None else f"images of the shape {image.shape}"
            raise _Flaw(f"holds {shape}; images of {_SIZE} by {_SIZE} are expected")
        classes = getattr(features.get("label"), "num_classes", None) or 0
        if classes > len(CLASS_NAMES):
            raise _Flaw(f"has {classes} classes; {len(CLASS_NAMES)} at most are expected")
        if not builder.is_prepared():
            _say(f"preparing {name} in {builder.data_dir}; without a network that takes minutes to fail")
            # Its own lines, and one for each of its trials, would stand among ours.
            tfds.disable_progress_bar()
            logging.getLogger("urllib3").setLevel(logging.ERROR)
            with redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
        return _gather(source, partial(_read_prepared, builder))
    except _Flaw as flaw:
        raise _refusal(source, flaw) from flaw
    except ClothingGANError:
        raise
    except Exception as error:  # its own, the network's, TensorFlow's
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        raise ClothingGANError(
            f"{source}: TensorFlow Datasets cannot load it ({shown(reason)}); name other images with --data"
        ) from error


_TFDS = "tfds:"
KEYWORDS = {"fashion_mnist": _load_fashion_mnist, "sample": _load_sample}


def _gather(source: str, read: Callable[[str, _Receive], np.ndarray | None]) -> Dataset:
    """Makes a data set of what ``read`` returns for each name of `IDX_FILES`: None if absent."""

    def read_split(split: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        images = read(f"x_{split}", _receive_images)
        if images is None:
            return None, None
        return images, read(f"y_{split}", partial(_receive_labels, count=len(images)))

    train_images, train_labels = read_split("train")
    if train_images is None:
        raise ClothingGANError(
            f"{shown(source)}: holds no training images, which are {IDX_FILES['x_train']} "
            "(or .gz) in a folder and x_train in an .npz; name other images with --data"
        )
    return Dataset(source, train_images, train_labels, *read_split("test"))


def _read_prepared(builder: Any, name: str, receive: _Receive) -> np.ndarray | None:
    """Reads one array of a data set of TensorFlow Datasets: the feature of one split."""
    import tensorflow_datasets as tfds

    part, split = name.split("_")
    feature = {"x": "image", "y": "label"}[part]
    if split not in builder.info.splits or feature not in builder.info.features:
        return None
    count = builder.info.splits[split].num_examples
    if not 1 <= count <= _MAX_IMAGES:
        raise _Flaw(f"declares {count} images; 1 to {_MAX_IMAGES} are expected")
    # One file after the other: the images' order, and with it their fingerprint, is always the same.
    one_by_one = tfds.ReadConfig(interleave_cycle_length=1)
    examples = builder.as_dataset(split=split, batch_size=1_000, read_config=one_by_one)
    array = np.concatenate([batch[feature] for batch in tfds.as_numpy(examples)])
    return receive(io.BytesIO(array.tobytes()), array.shape, array.dtype)


# Keras's cache, and the download into it.


def _read_cached(folder: Path, name: str, receive: _Receive) -> np.ndarray:
    """Reads a file of Keras's cache, and downloads it where it is missing or broken.

    Keras trusts whatever lies there: on a file that a crash cut short it fails for ever after.
    """
    path = folder / f"{IDX_FILES[name]}.gz"
    read = partial(_read_idx, receive, True)
    broken = ""
    if os.path.lexists(path):
        try:
            with _opened(path) as file:
                return read(file)
        except _Flaw as flaw:
            _say(f"{shown(path)}: {flaw}; downloading it again")
            broken = f"{shown(path)}: {flaw}, and "
    url = DOWNLOAD_URL + path.name
    try:
        content = _download(url)
        array = read(io.BytesIO(content))
    except _Flaw as flaw:
        raise ClothingGANError(
            f"{broken}the download {url} {flaw}; try again, or use "
            "--data FOLDER with Fashion-MNIST's four files, or --data sample"
        ) from flaw
    _keep(content, path)
    return array


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as response:
            size = f" ({response.length:,} bytes)" if response.length else ""
            _say(f"downloading {url}{size}")
            return response.read(_MAX_DOWNLOAD)
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last of a proxy's address
        # A plain URLError wraps what happened; an HTTPError is what happened.
        is_http = isinstance(error, urllib.error.HTTPError)
        reason = error if is_http else getattr(error, "reason", error)
        raise _Flaw(f"failed ({shown(reason)})") from error


def _keep(content: bytes, path: Path) -> None:
    """Writes a download to the cache; where that cannot be, this run can still go on without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except (OSError, ClothingGANError) as error:
        _say(f"not kept for the next time: {shown(error)}")


def _say(line: str) -> None:
    print(f"clothinggan: {line}", file=sys.stderr, flush=True)


# The two formats.


class _Flaw(Exception):
    """What is wrong with the content of a file; the message goes on from the file's name."""


def _read_idx(receive: _Receive, gzipped: bool, file: BinaryIO) -> np.ndarray:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if gzipped else file
    try:
        shape, dtype = _read_idx_header(stream)
        promised = math.prod(shape) * dtype.itemsize
        # Or else gigabytes of padding, or of empty gzip members, would be read to the end.
        if size > 1.01 * promised + 1000:
            raise _Flaw("is larger than its header says")
        return receive(stream, shape, dtype)
    except EOFError as error:
        raise _Flaw("is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _Flaw("is damaged: it cannot be gunzipped") from error


def _read_idx_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise EOFError
    if magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or magic[3] > 4:
        raise _Flaw("is not an IDX file of images or labels")
    dimensions = stream.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise EOFError
    return tuple(np.frombuffer(dimensions, ">u4").tolist()), np.dtype(_IDX_TYPES[magic[2]])


def _read_npz(source: str, file: BinaryIO) -> Dataset:
    try:
        with zipfile.ZipFile(file) as archive:
            return _gather(source, partial(_read_member, archive))
    except (_Flaw, ClothingGANError, MemoryError):
        raise
    except Exception as error:  # on garbage, zipfile and NumPy raise a dozen unrelated exceptions
        raise _Flaw("is not an .npz file, or a damaged one") from error


def _read_member(archive: zipfile.ZipFile, name: str, receive: _Receive) -> np.ndarray | None:
    """Reads one array of an ``.npz``; `numpy.load` would take the memory first and check later."""
    if f"{name}.npy" not in archive.namelist():
        return None
    member = archive.getinfo(f"{name}.npy")
    # What NumPy writes, and what zipfile inflates no further than asked.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Flaw(f"{name} is compressed in a way that NumPy does not use")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise _Flaw(f"{name} is not an array in version 1.0 of NumPy's format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran_order:
            raise _Flaw(f"{name} is in Fortran order; save numpy.ascontiguousarray({name}) instead")
        try:
            return receive(stream, shape, dtype)
        except _Flaw as flaw:
            raise _Flaw(f"{name} {flaw}") from flaw


# What both formats have in common: a header that declares an array, and the array.


def _receive_images(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype != np.uint8:
        raise _Flaw(f"holds {dtype.name} values; images are expected as uint8 from 0 to 255")
    if shape[1:] not in ((_SIZE, _SIZE), (_SIZE, _SIZE, 1)):
        raise _Flaw(f"has the shape {shape}; images of {_SIZE} by {_SIZE} are expected")
    if not 1 <= shape[0] <= _MAX_IMAGES:
        raise _Flaw(f"declares {shape[0]} images; 1 to {_MAX_IMAGES} are expected")
    return _read_exactly(stream, shape, dtype).reshape(-1, _SIZE, _SIZE)


def _receive_labels(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, count: int) -> np.ndarray:
    classes = len(CLASS_NAMES)
    if dtype.kind not in "iu":
        raise _Flaw(f"holds {dtype.name} values; labels are expected as integers")
    if shape != (count,):
        raise _Flaw(f"has the shape {shape}; one label for each of the {count} images is expected")
    labels = _read_exactly(stream, shape, dtype)
    if labels.min() < 0 or labels.max() >= classes:
        raise _Flaw(f"holds {labels.min()} to {labels.max()}; labels are from 0 to {classes - 1}")
    return labels.astype(np.uint8, copy=False)


def _read_exactly(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = np.empty(shape, dtype)  # takes no memory until it is filled: an empty promise is cheap
    content = memoryview(array.reshape(-1).view(np.uint8))
    for start in range(0, len(content), _PIECE):
        piece = content[start : start + _PIECE]
        if stream.readinto(piece) < len(piece):
            raise _Flaw(f"is cut short: its header promises {len(content)} bytes")
    if stream.read(1):
        raise _Flaw(f"goes on after the {len(content)} bytes that its header promises")
    return array


# Files and messages.


def _read_file(path: Path, read: Callable[[BinaryIO], _Result]) -> _Result:
    try:
        with _opened(path) as file:
            return read(file)
    except _Flaw as flaw:
        raise _refusal(path, flaw) from flaw


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # Opening a pipe would wait for somebody to write to it; a device may have no end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _refusal(path, "is not a regular file")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise _refusal(path, error.strerror or error) from error
    except MemoryError as error:
        raise _refusal(path, "does not fit into memory") from error


def _refusal(path: Path | str, why: object) -> ClothingGANError:
    return ClothingGANError(f"{shown(path)}: {why}; replace it, or name other images with --data")


def _unknown(source: str) -> ClothingGANError:
    return ClothingGANError(f"{shown(source)}: no such data; --data takes {SOURCES}")
