"""The file formats of images and labels: IDX, NumPy's ``.npz`` and ``.npy``, CSV. Open files in, arrays out.

IDX is what MNIST and Fashion-MNIST are published in (http://yann.lecun.com/exdb/mnist/): two zero bytes, a
byte for the type, a byte for the number of dimensions, each dimension as a big-endian 32-bit integer, and
then the values. NumPy's formats are described at
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. A CSV holds an image in each line, as
Kaggle's ``fashion-mnist_train.csv`` does.

A file may be cut short, or made to do harm. So the header bounds what is read, exactly that much is read, in
small pieces, and nothing may follow. Nothing is ever unpickled. What an array means is not looked at here:
see `clothinggan.data.arrays`.
"""

import gzip
import math
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clothinggan.data import foreign
from clothinggan.errors import first_line
from clothinggan.file_kinds import BEGINNING

MAX_IMAGES = 1_000_000  # more than this in a header is taken for a broken file
MAX_VALUES = 3 * 28 * 28  # of an image in colours
_MAX_BYTES = 2**32  # of one array
_MAX_TEXT = 100  # characters of a label
_MAX_LINE = 2**16  # bytes; 785 numbers of 17 digits have 15,000
_PIECE = 2**20  # bytes
_PIXELS = 28 * 28
_LINES = 1000  # of a CSV that are parsed at once
_SEPARATORS = (b",", b";", b"\t")
_LABEL_COLUMNS = ("label", "labels", "class", "target", "y", "category")
_NUMBER_COLUMNS = ("", "unnamed: ", "unnamed: 0", "index", "id", "imageid")

_GZIP = b"\x1f\x8b"
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Flaw(Exception):
    """What is wrong with the content of a file; the message goes on from the file's name."""


class ForeignFileError(Flaw):
    """A file is of a kind that is not read here; the message says what to do with it."""


@contextmanager
def opened(path: Path | str) -> Iterator[BinaryIO]:
    """Opens a regular file to be read.

    Raises:
        Flaw: If it is none, cannot be read, or its content does not fit into memory.
    """
    try:
        # Opening a pipe would wait for somebody to write to it; a device may have no end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Flaw("is not a regular file")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise Flaw(error.strerror or first_line(error)) from error
    except MemoryError as error:
        raise Flaw("does not fit into memory") from error


def read_idx(file: BinaryIO) -> np.ndarray:
    """Returns the array of an IDX file, gzipped or not, as its first bytes say.

    Raises:
        Flaw: If it is no such file, a damaged one, or declares more than images or labels need.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        stream = _unpacked(file)
        shape, dtype = _read_idx_header(stream)
        check_size(shape, dtype)
        # Or else gigabytes of padding, or of empty gzip members, would be read to the end.
        if size > 1.01 * math.prod(shape) * dtype.itemsize + 1000:
            raise Flaw("is larger than its header says")
        return _read_exactly(stream, shape, dtype)
    except EOFError as error:
        raise Flaw("is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Flaw("is damaged: it cannot be gunzipped") from error


def _unpacked(file: BinaryIO) -> BinaryIO:
    """Returns a stream of what a file holds, whether it is gzipped or not; names do not tell that."""
    file.seek(0)
    gzipped = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if gzipped else file


def _read_idx_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise EOFError
    if magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not 1 <= magic[3] <= 4:
        raise Flaw("is not an IDX file of images or labels")
    dimensions = stream.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise EOFError
    return tuple(np.frombuffer(dimensions, ">u4").tolist()), np.dtype(_IDX_TYPES[magic[2]])


class Npz:
    """The arrays of an open ``.npz``, of which none is read before it is asked for.

    `numpy.load` would take the memory first and check later.

    Args:
        file: The file, open for as long as arrays are asked for.

    Attributes:
        names: Of the arrays, as the archive has them.

    Raises:
        Flaw: If it is no such file, or a damaged one.
    """

    def __init__(self, file: BinaryIO):
        with _DamagedArchives():
            self._archive = zipfile.ZipFile(file)
            members = self._archive.namelist()
        self.names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if members and not self.names:
            raise ForeignFileError(foreign.describe_archive(members))

    def read(self, name: str) -> np.ndarray:
        """Returns an array of the archive.

        Raises:
            Flaw: If it is damaged, or declares more than images or labels need.
        """
        with _DamagedArchives():
            member = self._archive.getinfo(f"{name}.npy")
            # What NumPy writes, and what zipfile inflates no further than asked.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Flaw(f"{name} is compressed in a way that NumPy does not use")
            with self._archive.open(member) as stream:
                try:
                    return _read_npy(stream)
                except Flaw as flaw:
                    raise Flaw(f"{name} {flaw}") from flaw


def read_only_array(file: BinaryIO) -> np.ndarray:
    """Returns the array of an ``.npz`` that holds one alone.

    Raises:
        Flaw: If it holds none or several; or see `Npz`.
    """
    archive = Npz(file)
    if len(archive.names) != 1:
        raise Flaw(f"holds {len(archive.names)} arrays; one is expected where names of files tell what it is")
    return archive.read(archive.names[0])


class _DamagedArchives:
    """Turns what is raised on garbage into a `Flaw`: zipfile and NumPy have a dozen unrelated exceptions."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, Flaw | MemoryError):
            raise Flaw("is not an .npz file, or a damaged one") from error


def read_npy(file: BinaryIO) -> np.ndarray:
    """Returns the array of an ``.npy`` file.

    Raises:
        Flaw: If it is no such file, a damaged one, or declares more than images or labels need.
    """
    try:
        return _read_npy(file)
    except (Flaw, MemoryError):
        raise
    except Exception as error:  # NumPy's, on garbage
        raise Flaw("is not an .npy file, or a damaged one") from error


def _read_npy(stream: BinaryIO) -> np.ndarray:
    if np.lib.format.read_magic(stream) != (1, 0):
        raise Flaw("is not an array in version 1.0 of NumPy's format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    check_size(shape, dtype)
    if fortran_order:
        return _read_exactly(stream, shape[::-1], dtype).T
    return _read_exactly(stream, shape, dtype)


def check_size(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises `Flaw` where a header declares no numbers or texts, or more than images or labels have."""
    if dtype.kind not in "biufUS":
        raise Flaw(f"holds {dtype.name} values; images and labels are numbers, or labels are texts")
    if not shape or not 1 <= len(shape) <= 4:
        raise Flaw(f"has the shape {shape}; images of 28 by 28, or their labels, are expected")
    if not 1 <= shape[0] <= MAX_IMAGES:
        raise Flaw(f"declares {shape[0]} images; 1 to {MAX_IMAGES} are expected")
    characters = dtype.itemsize // (4 if dtype.kind == "U" else 1) if dtype.kind in "US" else 1
    fits = all(length >= 0 for length in shape) and math.prod(shape[1:]) * characters <= MAX_VALUES
    if not fits or characters > _MAX_TEXT or math.prod(shape) * dtype.itemsize > _MAX_BYTES:
        raise Flaw(f"has the shape {shape} of {dtype}; images of 28 by 28, or their labels, are expected")


def _read_exactly(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = np.empty(shape, dtype)  # takes no memory until it is filled: an empty promise is cheap
    if not array.nbytes:
        raise Flaw(f"has the shape {shape}, and holds nothing")
    content = memoryview(array.reshape(-1).view(np.uint8))
    for start in range(0, len(content), _PIECE):
        piece = content[start : start + _PIECE]
        if stream.readinto(piece) < len(piece):
            raise Flaw(f"is cut short: its header promises {len(content)} bytes")
    if stream.read(1):
        raise Flaw(f"goes on after the {len(content)} bytes that its header promises")
    return array


# CSV.


def read_csv(file: BinaryIO) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the images and labels of a CSV, gzipped or not, that has an image in each line.

    The 784 pixels may have a label before or behind them, and their lines' numbers before all. Names in the
    first line tell which is which; without names a column more than the pixels is the label, before them.

    Returns:
        The pixels, (n, 784), uint8 where all are whole numbers from 0 to 255, else float32; and the labels,
        (n,) texts, or None where there are none.

    Raises:
        Flaw: If it is no such file, or a damaged one.
    """
    try:
        return _read_csv(_unpacked(file))
    except EOFError as error:
        raise Flaw("is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Flaw("is damaged: it cannot be gunzipped") from error


def _read_csv(stream: BinaryIO) -> tuple[np.ndarray, np.ndarray | None]:
    first = stream.readline(_MAX_LINE).removeprefix(b"\xef\xbb\xbf")
    separator = max(_SEPARATORS, key=first.count)
    before, behind, label, is_named = _columns(first.rstrip(b"\r\n").split(separator))
    lines = [] if is_named else [first]
    pieces, labels, done = [], [], int(is_named)
    while lines := lines + [line for _ in range(_LINES) if (line := stream.readline(_MAX_LINE))]:
        fields = []
        for number, line in enumerate(lines, done + 1):
            line = line.strip(b"\r\n")
            if not line:
                continue
            columns = before + _PIXELS + behind
            if line.count(separator) != columns - 1:
                found = line.count(separator) + 1
                raise Flaw(f"has {found} columns in line {number}, and {columns} in the first")
            *head, rest = line.split(separator, before)
            rest, *tail = rest.rsplit(separator, behind) if behind else [rest]
            if label is not None:
                labels.append((head + tail)[label].strip(b'" '))
            fields.append((number, rest))
        if fields:
            pieces.append(_parse_numbers(fields, separator))
        done += len(lines)
        lines = []
        if done > MAX_IMAGES + 1:
            raise Flaw(f"has more than {MAX_IMAGES} lines")
    if not pieces:
        raise Flaw("holds no images")
    texts = [text.decode("utf-8", "replace") for text in labels]
    if any(len(text) > _MAX_TEXT for text in texts):
        raise Flaw(f"has labels of more than {_MAX_TEXT} characters")
    return np.concatenate(pieces), np.array(texts) if texts else None


def _columns(fields: list[bytes]) -> tuple[int, int, int | None, bool]:
    """Returns what the first line tells of the columns.

    Returns:
        How many there are before the pixels, and how many behind them; which of those is the label, if one
        is; and whether the line holds names.
    """
    more = len(fields) - _PIXELS
    if not 0 <= more <= 3:
        found = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
        raise Flaw(f"has {found}; an image in each line is expected: a label, and 784 pixels")
    names = [field.decode("utf-8", "replace").strip('" ').lower() for field in fields]
    if sum(_is_number(name) for name in names) > _PIXELS // 2:
        if more > 1:
            raise Flaw(f"has {len(fields)} columns without names; leave all but the label and the pixels out")
        return more, 0, 0 if more else None, False
    # Pixels are called pixel1, pixel2 and so on, or 1x1, 1x2; what is called otherwise is none of them.
    stems = [re.sub(r"\d+", "", name) for name in names]
    usual = max(set(stems), key=stems.count)
    before = next(index for index, stem in enumerate(stems) if stem == usual)
    behind = more - before
    if behind < 0 or any(stem != usual for stem in stems[before : before + _PIXELS]):
        raise Flaw("does not have its 784 pixels side by side, by the names in its first line")
    others = names[:before] + names[before + _PIXELS :]
    found = [index for index, name in enumerate(others) if name in _LABEL_COLUMNS]
    found = found or [index for index, name in enumerate(others) if name not in _NUMBER_COLUMNS]
    if len(found) > 1:
        raise Flaw(f"has several columns that may be labels ({', '.join(others)}); call one of them 'label'")
    return before, behind, found[0] if found else None, True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_numbers(fields: list[tuple[int, bytes]], separator: bytes) -> np.ndarray:
    """Returns the pixels of some lines, given with their numbers: (n, 784), uint8 or float32."""
    pixels = _parse_bytes(separator.join(line for _, line in fields) + separator, separator[0])
    if pixels is not None:
        return pixels.reshape(-1, _PIXELS)
    rows = np.empty((len(fields), _PIXELS), np.float32)
    for row, (number, line) in zip(rows, fields, strict=True):
        try:
            row[:] = line.replace(b'"', b"").split(separator)
        except ValueError as error:
            raise Flaw(f"holds what is no number in line {number}") from error
    return rows


def _parse_bytes(text: bytes, separator: int) -> np.ndarray | None:
    """Returns numbers of one to three digits, each with a separator behind it, as uint8; None if others are.

    All at once: number by number a file of 60,000 images would take a minute.
    """
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters == separator)
    digits = characters - np.uint8(ord("0"))
    lengths = np.diff(ends, prepend=-1) - 1
    if (digits > 9).sum() != len(ends) or lengths.min() < 1 or lengths.max() > 3:
        return None
    numbers = digits[ends - 1].astype(np.int16)
    for place in (2, 3):
        chosen = np.flatnonzero(lengths >= place)
        numbers[chosen] += np.int16(10 ** (place - 1)) * digits[ends[chosen] - place]
    return numbers.astype(np.uint8) if numbers.max() <= 255 else None


# What a file is.


def form_of(file: BinaryIO) -> str:
    """Returns what a file is by its first bytes, gzipped or not: "npz", "npy", "idx" or "csv".

    Raises:
        Flaw: If it is none of these.
    """
    try:
        start = _unpacked(file).read(BEGINNING)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Flaw("is damaged: it cannot be gunzipped") from error
    finally:
        file.seek(0)
    if start.startswith(b"PK"):
        return "npz"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"\0\0"):
        return "idx"
    if what := foreign.describe_file(start):
        raise ForeignFileError(what)
    if start and all(byte >= 32 or byte in b"\t\r\n" for byte in start[:8]):
        return "csv"
    raise Flaw("is no .npz, .npy, CSV or IDX file; name one, or the folder that pictures are in")


def describe_foreign_file(path: str) -> str | None:
    """Returns what a file is that is not read here, and what to do with it; None if that is not known."""
    try:
        with opened(path) as file:
            if form_of(file) == "npz":
                Npz(file)
    except ForeignFileError as error:
        return str(error)
    except Flaw:
        pass
    return None


def is_csv_of_images(file: BinaryIO) -> bool:
    """Returns whether a CSV has an image in each line, by its first."""
    try:
        first = _unpacked(file).readline(_MAX_LINE)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return max(first.count(separator) for separator in _SEPARATORS) >= _PIXELS - 1
