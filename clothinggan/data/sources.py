"""Where training images come from: what ``--data`` names, and the data set that is made of it.

A source is a keyword, a folder, a file or a name of TensorFlow Datasets. What a file or an array in it is,
its name tells: see `clothinggan.data.tree`. How it is read is in `clothinggan.data.formats` and
`clothinggan.data.pictures`, what its numbers mean in `clothinggan.data.arrays`.
"""

import hashlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clothinggan.checkpoint.record import Record
from clothinggan.data import formats
from clothinggan.data.arrays import SIZE, Labels, as_images
from clothinggan.data.classes import CLASS_NAMES, recognise_fashion_mnist
from clothinggan.data.download import IDX_FILES, fetch_fashion_mnist
from clothinggan.data.formats import Flaw, ForeignFileError, Npz, opened
from clothinggan.data.in_memory import FORMS, Arrays, NamedArrays, keep
from clothinggan.data.tree import File, Role, find_files, role_of
from clothinggan.dependencies import is_installed
from clothinggan.errors import ClothingGANError, did_you_mean, listed, shown

SOURCES = (
    "fashion_mnist, sample, a folder of pictures or of IDX files, a CSV or an .npz with images of 28 by 28, "
    "or tfds:NAME from TensorFlow Datasets"
)
KEYWORDS = ("fashion_mnist", "sample")
IN_MEMORY = "arrays"  # what stands for a source where a program brings the images

_TFDS = "tfds:"
_LISTED = 5  # files in a message
NO_IMAGES = (
    f"holds no training images, which are pictures, {IDX_FILES['x_train']} (or .gz) in a folder, or x_train "
    "in an .npz"
)
_PIXELS = SIZE * SIZE
_WHITISH = 200  # levels: what nobody takes for a dark border


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on and, where there are any, their labels and a test set.

    Attributes:
        source: What `load` reads these images from again; `IN_MEMORY` where a program brought them.
        train_images: uint8 of shape (n, 28, 28), from 0 (background) to 255; n is at least 1.
        train_labels: uint8, or uint16 for more than 256 classes, of shape (n,), each an index of
            `class_names`; or None.
        test_images: uint8 of shape (m, 28, 28); or None.
        test_labels: As `train_labels`, of shape (m,); or None.
        class_names: The classes' names; None where there are no labels.
        origin: What a user may want to know of where the images came from: the cache, what borders told.
        notes: Lines for the user: what was scaled, numbered anew, left out.
        labels_flaw: A line on why the labels that there are cannot be used; empty where they can.
        is_fashion_mnist: Whether these are Fashion-MNIST's images, in whatever order and division.
        taken_from: All of it, where this is what `take` took.
    """

    source: str
    train_images: np.ndarray
    train_labels: np.ndarray | None = None
    test_images: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()
    labels_flaw: str = ""
    is_fashion_mnist: bool = False
    taken_from: "Dataset | None" = None

    def __post_init__(self) -> None:
        """Calls classes by their numbers where nobody has named them."""
        if self.train_labels is not None and self.class_names is None:
            names = tuple(map(str, range(int(self.train_labels.max()) + 1)))
            object.__setattr__(self, "class_names", names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the training images and labels, wherever they came from."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels):
            if array is not None:
                digest.update(f"{array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    @property
    def class_count(self) -> int:
        """How many classes a conditional design learns: one where there are no labels."""
        return len(self.class_names or ()) or 1

    @property
    def description(self) -> str:
        """The source, where its images came from, and how many there are: a line for the user."""
        origin = f" ({self.origin})" if self.origin else ""
        count = len(self.class_names or ())
        classes = f", {count:,} {'class' if count == 1 else 'classes'}" if count else ""
        return f"{shown(self.source)}{origin}: {len(self.train_images):,} training images of 28x28{classes}"

    def check_labels(self, design: str) -> None:
        """Makes sure that a design which learns with labels can use those that there are.

        Raises:
            ClothingGANError: If it cannot.
        """
        if self.labels_flaw:
            raise ClothingGANError(
                f"{self.labels_flaw}; {design} learns with labels: mend them, or leave them out"
            )

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
        images = self.train_images[:examples]
        return replace(self, train_images=images, train_labels=labels, taken_from=self.taken_from or self)

    def trained_on(self, examples: int | None) -> "Dataset":
        """Returns what a run with ``--examples`` takes of this: all where that is None or not less."""
        return self.take(examples) if examples and examples < len(self.train_images) else self

    @property
    def is_in_memory(self) -> bool:
        """Whether a program brought the images, so that there is no source to load them from again."""
        return self.source == IN_MEMORY

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The images and labels that there are, by Keras's names for them."""
        arrays = {
            "x_train": self.train_images,
            "y_train": self.train_labels,
            "x_test": self.test_images,
            "y_test": self.test_labels,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    def keep(self, folder: Path, invert: str) -> Path:
        """Writes all of what this was taken from to a file in a folder, unless it is there; returns its path.

        `load` reads the same from it with the same `invert`.

        Raises:
            ClothingGANError: If it cannot be written.
        """
        whole = self.taken_from or self
        arrays = whole.arrays
        if invert == "yes":
            arrays |= {name: 255 - array for name, array in arrays.items() if name.startswith("x_")}
        if whole.class_names is not None:
            arrays["class_names"] = np.array(whole.class_names)
        return keep(arrays, folder)

    def classified_as(self, names: Sequence[str]) -> "Dataset":
        """Returns the same data with its classes numbered as in `names`; without labels where that is empty.

        Raises:
            ClothingGANError: If there are labels of other classes, or none.
        """
        if tuple(names) == (self.class_names or ()):
            return self
        if not names:
            return replace(self, train_labels=None, test_labels=None, class_names=None)
        if self.class_names is None:
            flaw = f": {self.labels_flaw}" if self.labels_flaw else ""
            raise ClothingGANError(f"{shown(self.source)} has no labels{flaw}")
        known = {name: number for number, name in enumerate(names)}
        strangers = [name for name in self.class_names if name not in known]
        if not strangers:
            numbers = np.array([known[name] for name in self.class_names])
        elif len(self.class_names) <= len(names) and all(name.isdecimal() for name in self.class_names):
            numbers = np.arange(len(self.class_names))
        else:
            raise ClothingGANError(
                f"{shown(self.source)} has the class {shown(strangers[0])}, which is none of "
                f"{listed(names, _LISTED)}"
            )
        numbers = numbers.astype(np.uint8 if len(names) <= 256 else np.uint16)
        test_labels = None if self.test_labels is None else numbers[self.test_labels]
        return replace(
            self, train_labels=numbers[self.train_labels], test_labels=test_labels, class_names=tuple(names)
        )

    def as_learned(self, record: Record) -> "Dataset | None":
        """Returns a run's training images, classes numbered as it learns them; None if these are others.

        A run that went on with images of some of its classes keeps its numbers for these.
        """
        taken = self.trained_on(record.examples)
        if taken.fingerprint == record.fingerprint:
            return taken
        try:
            numbered = taken.classified_as(CLASS_NAMES if record.class_names is None else record.class_names)
        except ClothingGANError:
            return None
        return numbered if numbered.fingerprint == record.fingerprint else None

    def was_trained_on(self, record: Record) -> bool:
        """Returns whether a run's training images are the first of these."""
        return self.as_learned(record) is not None


def is_from_tfds(source: str) -> bool:
    """Returns whether TensorFlow Datasets loads a source, which imports TensorFlow for it."""
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
        raise _unknown(source, source) from error


def load(
    source: str | os.PathLike[str] | Arrays | Dataset, fit: str = "pad", invert: str = "auto"
) -> Dataset:
    """Loads the images of a source.

    Args:
        source: One of

            - ``fashion_mnist``: Fashion-MNIST from Keras's cache, from Debian's package, or downloaded;
            - ``sample``: the built-in garments of `clothinggan.data.sample`;
            - the path of a folder of pictures, whose subfolders are classes;
            - the path of a folder with IDX files, CSV files or ``.npz`` files whose names tell training from
              test images and, but for CSV, images from labels; or of one of these files;
            - the path of an ``.npz``, ``.npy``, CSV or IDX file with images of 28 by 28;
            - ``tfds:NAME``, as ``tfds:fashion_mnist``: a data set of TensorFlow Datasets with the
              features `image` and `label`, in its own folder or downloaded by it.

            Only the training images are required. A file or folder that is named as one of the
            keywords can be reached as ``./sample``. A program can bring the images themselves: an array
            of them, in a form of `clothinggan.data.arrays.as_images`; a tuple of these and their labels;
            a tuple of two such tuples, of training and of test images, as Keras's ``load_data()`` returns;
            arrays by the names that an ``.npz`` has; or what this function has returned.
        fit: How pictures that are not square are made so, one of `clothinggan.checkpoint.record.FITS`.
        invert: Whether bright becomes dark, one of `clothinggan.checkpoint.record.INVERSIONS`; ``auto``
            looks at the borders of pictures, and leaves arrays as they are.

    Returns:
        The data set; its ``source`` is that of `resolve`, or `IN_MEMORY`.

    Raises:
        ClothingGANError: If there is no such source, or its images cannot be had. The message is
            one line that names the file and says what is wrong with it and what to do. Labels that cannot be
            used are no reason: `Dataset.labels_flaw` says so.
    """
    if not isinstance(source, str | os.PathLike):
        return _brought(source, invert) if isinstance(source, Dataset) else _load_arrays(source, invert)
    named = os.fspath(source)
    source = resolve(named)
    try:
        if source == "sample":
            return _load_sample()
        if source == "fashion_mnist":
            return _load_fashion_mnist(invert)
        if is_from_tfds(source):
            return _assemble(_read_tfds(source), invert)
        if os.path.isdir(source):
            return _load_folder(source, fit, invert)
        if os.path.lexists(source):
            return _assemble(_read_named_file(source), invert)
    except Flaw as flaw:
        raise _refusal(f"{source}:", flaw) from flaw
    except OSError as error:
        raise _refusal(f"{error.filename or source}:", error.strerror or error) from error
    raise _unknown(source, named)


def _load_arrays(arrays: Arrays, invert: str) -> Dataset:
    try:
        return _assemble(_read_npz(IN_MEMORY, "data", NamedArrays(arrays)), invert)
    except Flaw as flaw:
        raise ClothingGANError(f"data: {flaw}; {FORMS}") from flaw


def _brought(dataset: Dataset, invert: str) -> Dataset:
    """Returns a data set that a program has loaded, and perhaps changed, as one that it brings."""
    parts = {name: _Part(array, f"data: {name}") for name, array in dataset.arrays.items()}
    names = None if dataset.class_names is None else np.array(dataset.class_names)
    brought = _assemble(_Content(IN_MEMORY, parts, list(dataset.notes), names, are_arrays=False), invert)
    flaw = dataset.labels_flaw or brought.labels_flaw
    return replace(brought, origin=dataset.origin, labels_flaw=flaw)


def _load_sample() -> Dataset:
    from clothinggan.data.sample import make_split

    return Dataset("sample", *make_split("train"), *make_split("test"), class_names=CLASS_NAMES)


def _load_fashion_mnist(invert: str) -> Dataset:
    arrays, origin = fetch_fashion_mnist()
    parts = {name: _Part(array, "fashion_mnist:") for name, array in arrays.items()}
    content = _Content("fashion_mnist", parts, class_names=np.array(CLASS_NAMES))
    return replace(_assemble(content, invert), origin=origin, is_fashion_mnist=True)


def _load_folder(source: str, fit: str, invert: str) -> Dataset:
    with os.scandir(source) as entries:
        present = {entry.name for entry in entries if not entry.is_dir()}
    published = {
        key: os.path.join(source, next(name for name in (name, f"{name}.gz") if name in present))
        for key, name in IDX_FILES.items()
        if present & {name, f"{name}.gz"}
    }
    if "x_train" in published:
        return _assemble(_read_group(source, _Group("idx", published)), invert)
    from clothinggan.data.pictures import KINDS, files_listed, is_picture, read_pictures

    files = find_files(source)
    others = [file for file in files if not is_picture(file)]
    holds_idx = any(group.form == "idx" for group in _groups(others))
    if holds_idx or len(others) == len(files):
        content = _read_folder(source, others)
        if "x_train" not in content.parts and others:
            # Data sets have notes of these kinds beside them.
            notes = ("", ".json", ".md", ".txt")
            telling = [file for file in others if Path(file.path).suffix.lower() not in notes]
            for file in telling[:_LISTED]:
                if what := formats.describe_foreign_file(file.path):
                    raise ForeignFileError(f"holds no images that can be read; {'/'.join(file.parts)} {what}")
            raise Flaw(f"{NO_IMAGES}; what is there is no {KINDS}: {files_listed(others)}")
        return _assemble(content, invert)
    pictures = read_pictures(Path(source), files, fit, invert)
    arrays = {
        "x_train": pictures.train_images,
        "y_train": pictures.train_labels,
        "x_test": pictures.test_images,
        "y_test": pictures.test_labels,
    }
    parts = {name: _Part(array, f"{source}:") for name, array in arrays.items() if array is not None}
    names = None if pictures.class_names is None else np.array(pictures.class_names)
    content = _Content(source, parts, list(pictures.notes), names, are_arrays=False)
    return replace(_assemble(content, "no"), origin=pictures.finding)


# What a source holds, and the data set that is made of it.


@dataclass
class _Part:
    """An array of a source, or why it cannot be had, and what messages call it: a path, or more."""

    array: np.ndarray | None
    place: str
    flaw: Flaw | None = None


@dataclass
class _Content:
    """What a source holds: arrays by Keras's names for them, as they are, and the names of classes."""

    source: str
    parts: dict[str, _Part]
    notes: list[str] = field(default_factory=list)
    class_names: np.ndarray | None = None
    are_arrays: bool = True  # and no pictures, whose borders were looked at


def _assemble(content: _Content, invert: str) -> Dataset:
    """Makes a data set of what a source holds, with bright and dark exchanged where `invert` is ``yes``."""
    parts, notes = content.parts, content.notes
    if "x_train" not in parts:
        raise Flaw(NO_IMAGES)
    images = {}
    for name in ("x_train", "x_test"):
        if name in parts:
            part = parts[name]
            try:
                if part.flaw:
                    raise part.flaw
                images[name], said = as_images(part.array)
            except Flaw as flaw:
                if content.source == IN_MEMORY:
                    raise ClothingGANError(f"{part.place} {flaw}; {FORMS}") from flaw
                raise _refusal(part.place, flaw) from flaw
            if said and said not in notes:
                notes.append(said)
    if invert == "yes":
        images = {name: 255 - array for name, array in images.items()}
        notes.append("--invert yes: bright is dark, and dark is bright")
    elif invert == "auto" and content.are_arrays and _has_bright_borders(images["x_train"]):
        notes.append("their borders are bright, where garments are to be on black: --invert yes turns them")
    flaw, labels, of_classes = "", {}, None
    if "y_train" in parts:
        part = parts["y_train"]
        try:
            of_classes = Labels(_fitting(part, images["x_train"]), content.class_names)
            labels["y_train"] = of_classes.numbers
            if of_classes.are_numbered_anew:
                notes.append(f"labels are numbered anew: {_spread(of_classes.names)} are their names now")
        except Flaw as found:
            flaw = f"{shown(part.place)} {found}"
            notes.append(f"trained without labels: {flaw}")
    if "y_test" in parts and "x_test" in images and of_classes:
        part = parts["y_test"]
        try:
            labels["y_test"] = of_classes.number(_fitting(part, images["x_test"]))
        except Flaw as found:
            notes.append(f"the test images' labels are left out: {shown(part.place)} {found}")
    sets = [(images[name], labels.get(f"y{name[1:]}")) for name in images]
    is_known, has_its_labels = recognise_fashion_mnist(sets)
    class_names = of_classes.names if of_classes else None
    if has_its_labels and class_names == tuple("0123456789"):
        class_names = CLASS_NAMES
    return Dataset(
        content.source,
        images["x_train"],
        labels.get("y_train"),
        images.get("x_test"),
        labels.get("y_test"),
        class_names,
        notes=tuple(notes),
        labels_flaw=flaw,
        is_fashion_mnist=is_known,
    )


def _has_bright_borders(images: np.ndarray) -> bool:
    first = images[:1_000]
    borders = (first[:, 0], first[:, -1], first[:, :, 0], first[:, :, -1])
    return bool(np.median(np.concatenate(borders, axis=1)) > _WHITISH)


def _fitting(part: _Part, images: np.ndarray) -> np.ndarray:
    """Returns labels that are as many as the images."""
    if part.flaw:
        raise part.flaw
    if len(part.array) != len(images):
        raise Flaw(f"has the shape {part.array.shape}; a label for each of {len(images)} images is expected")
    return part.array


def _spread(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])} to {names[-1]}" if len(names) > 4 else ", ".join(names)


# Files that belong together.


@dataclass
class _Group:
    """Files of one data set.

    Attributes:
        form: "idx", "csv" or "npz".
        files: By what each holds, as x_train; in CSV, which holds both, as _train.
    """

    form: str
    files: dict[str, str]

    def add(self, role: Role, path: str) -> None:
        """Takes a file in; of two that hold the same the first one counts."""
        self.files.setdefault(f"{role.kind}_{role.split}", path)

    @property
    def training_file(self) -> str | None:
        """Where the training images are."""
        return self.files.get("x_train") or self.files.get("_train")


def _form_of(name: str) -> str | None:
    """Returns what a file is by its name, among others in a folder."""
    lower = name.lower().removesuffix(".gz")
    for ending in ("npz", "csv"):
        if lower.endswith(f".{ending}"):
            return ending
    return "idx" if re.search(r"[-._]ubyte|idx\d|\.idx$", lower) else None


def _read_folder(source: str, files: Sequence[File]) -> _Content:
    """Reads the one data set in a folder whose files are arrays."""
    groups = _groups(files)
    # Who gives the same images in two forms calls them alike.
    groups = [group for group in groups if group.form == "idx"] or groups
    if len(groups) == 1:
        return _read_group(source, groups[0])
    found = [group.training_file for group in groups]
    found = found or [file.path for file in files if _form_of(file.parts[-1]) in ("npz", "csv")]
    if len(found) > 1:
        ways = " or ".join(f"--data {shown(path)}" for path in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise ClothingGANError(f"{shown(source)}: holds several data sets; say which with {ways}{more}")
    try:
        return _read_alone(source, found[0]) if found else _Content(source, {})
    except Flaw as flaw:
        raise _refusal(f"{found[0]}:", flaw) from flaw


def _groups(files: Iterable[File]) -> list[_Group]:
    """Returns the data sets in a folder that have training images, by the names of their files."""
    groups: dict[tuple, _Group] = {}
    for file in files:
        *folders, name = file.parts
        if not (form := _form_of(name)):
            continue
        role = role_of(name)
        if not role.split or not (role.kind or form == "csv"):
            continue
        # Some tools unpack a file into a folder of its name.
        if folders and role.kind and role_of(folders[-1]) == role:
            folders.pop()
        groups.setdefault((*folders, form, role.family), _Group(form, {})).add(role, file.path)
    found = [group for group in groups.values() if group.training_file]
    return [group for group in found if group.form != "csv" or _has_images(group.training_file)]


def _has_images(path: str) -> bool:
    try:
        with opened(path) as file:
            return formats.is_csv_of_images(file)
    except Flaw:
        return False


def _read_named_file(source: str) -> _Content:
    """Reads the file that a user names, with the files beside it that belong to it."""
    folder, name = os.path.split(source)
    role, form = role_of(name), _form_of(name)
    if form and role.split and (role.kind or form == "csv"):
        group = _Group(form, {})
        group.add(role, source)
        for other in sorted(os.listdir(folder)):
            other_role = role_of(other)
            if _form_of(other) == form and other_role.split and other_role.family == role.family:
                group.add(other_role, os.path.join(folder, other))
        if group.training_file:
            return _read_group(source, group)
    return _read_alone(source, source)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Opens a file; what is wrong with one of another kind than its name says is that."""
    try:
        with opened(path) as file:
            yield file
    except Flaw as flaw:
        if what := formats.describe_foreign_file(path):
            raise ForeignFileError(what) from flaw
        raise


def _read_alone(source: str, path: str) -> _Content:
    """Reads a file that holds all there is."""
    with _opened(path) as file:
        # What calls itself so is told what is wrong with it as such.
        named = [ending for ending in ("npz", "npy") if path.lower().endswith(f".{ending}")]
        form = named[0] if named else formats.form_of(file)
        if form == "npz":
            return _read_npz(source, path, Npz(file))
    if form == "csv":
        return _read_csv_files(source, {"_train": path})
    read = formats.read_npy if form == "npy" else formats.read_idx
    return _transposed(_Content(source, {"x_train": _read_part(path, read)}), path)


def _read_group(source: str, group: _Group) -> _Content:
    files = _with_tests(group.files)
    if group.form == "csv":
        return _read_csv_files(source, files)
    read = formats.read_idx if group.form == "idx" else formats.read_only_array
    content = _Content(source, {key: _read_part(path, read) for key, path in files.items()})
    return _transposed(content, group.training_file) if group.form == "idx" else content


def _with_tests(found: dict[str, str]) -> dict[str, str]:
    """Returns what there is by its role; what is for validation is for tests where nothing else is."""
    if any(key.endswith("_test") for key in found):
        return {key: what for key, what in found.items() if not key.endswith("_val")}
    return {key.replace("_val", "_test"): what for key, what in found.items()}


def _read_part(path: str, read: Callable[[BinaryIO], np.ndarray]) -> _Part:
    try:
        with _opened(path) as file:
            return _Part(read(file), f"{path}:")
    except Flaw as flaw:
        return _Part(None, f"{path}:", flaw)


def _read_csv_files(source: str, paths: dict[str, str]) -> _Content:
    content = _Content(source, {})
    for key, path in paths.items():
        split = key.rpartition("_")[2]
        try:
            with _opened(path) as file:
                images, labels = formats.read_csv(file)
        except Flaw as flaw:
            raise _refusal(f"{path}:", flaw) from flaw
        content.parts[f"x_{split}"] = _Part(images, f"{path}:")
        if labels is not None:
            content.parts[f"y_{split}"] = _Part(labels, f"{path}:")
    return _transposed(content, next(iter(paths.values())))


def _read_npz(source: str, path: str, archive: Npz | NamedArrays) -> _Content:
    """Reads an ``.npz`` that holds all there is."""
    found: dict[str, str] = {}
    for name in archive.names:
        role = role_of(name)
        if role.kind and not role.family:
            key = f"{role.kind}_{role.split or 'train'}"
            if key in found:
                raise Flaw(f"holds both {found[key]} and {name}; leave one of them out")
            found[key] = name
    if not found and len(archive.names) == 1:
        found["x_train"] = archive.names[0]
    if not found and archive.names:
        names = listed(archive.names, _LISTED)
        raise Flaw(
            f"holds no training images by its names ({names}); save them as x_train, and labels as y_train"
        )
    found |= {name: name for name in ("classes", "class_names") if name in archive.names}
    content = _Content(source, {})
    for key, name in _with_tests(found).items():
        try:
            content.parts[key] = _Part(archive.read(name), f"{path}: {name}")
        except Flaw as flaw:
            content.parts[key] = _Part(None, f"{path}:", flaw)
    for name in ("classes", "class_names"):
        part = content.parts.pop(name, None)
        if part and part.array is not None and part.array.dtype.kind in "US":
            content.class_names = part.array
        elif part and name == "classes":  # Of each image, as `display --export` writes them.
            content.parts.setdefault("y_train", part)
    return content


def _transposed(content: _Content, path: str) -> _Content:
    """Turns the images of EMNIST, which stores them with rows and columns exchanged."""
    if not re.search(r"(?<![a-z])emnist", os.path.basename(path).lower()):
        return content
    for name in ("x_train", "x_test"):
        part = content.parts.get(name)
        if part and part.array is not None and part.array.size % _PIXELS == 0:
            images = part.array.reshape(len(part.array), SIZE, -1)
            if images.shape[2] == SIZE:
                part.array = images.swapaxes(1, 2)
    content.notes.append("EMNIST stores its images lying on their side: they are turned upright")
    return content


# TensorFlow Datasets.


def _read_tfds(source: str) -> _Content:
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
        image = dict(builder.info.features).get("image")
        if image is None or image.shape not in ((SIZE, SIZE), (SIZE, SIZE, 1), (SIZE, SIZE, 3)):
            shape = "no images" if image is None else f"images of the shape {image.shape}"
            raise Flaw(f"holds {shape}; images of {SIZE} by {SIZE} are expected")
        if not builder.is_prepared():
            _say(f"preparing {name} in {builder.data_dir}; without a network that takes minutes to fail")
            # Its own lines, and one for each of its trials, would stand among ours.
            tfds.disable_progress_bar()
            logging.getLogger("urllib3").setLevel(logging.ERROR)
            with redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
        return _transposed(_read_prepared(source, builder), name.replace("/", "-"))
    except Flaw as flaw:
        raise _refusal(f"{source}:", flaw) from flaw
    except ClothingGANError:
        raise
    except Exception as error:  # its own, the network's, TensorFlow's
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        raise ClothingGANError(
            f"{source}: TensorFlow Datasets cannot load it ({shown(reason)}); name other images with --data"
        ) from error


def _read_prepared(source: str, builder: Any) -> _Content:
    """Reads a data set that TensorFlow Datasets has made its files of."""
    import tensorflow_datasets as tfds

    content = _Content(source, {})
    splits = {f"_{split}": split for split in ("train", "test", "validation") if split in builder.info.splits}
    splits = _with_tests({key.replace("validation", "val"): split for key, split in splits.items()})
    features = {"x": "image", "y": "label"}
    # One file after the other: the images' order, and with it their fingerprint, is always the same.
    one_by_one = tfds.ReadConfig(interleave_cycle_length=1)
    for key, split in splits.items():
        count = builder.info.splits[split].num_examples
        if not 1 <= count <= formats.MAX_IMAGES:
            raise Flaw(f"declares {count} images; 1 to {formats.MAX_IMAGES} are expected")
        examples = builder.as_dataset(split=split, batch_size=1_000, read_config=one_by_one)
        held = [kind for kind, feature in features.items() if feature in builder.info.features]
        batches: dict[str, list[np.ndarray]] = {kind: [] for kind in held}
        for batch in tfds.as_numpy(examples):
            for kind in held:
                batches[kind].append(batch[features[kind]])
        for kind, arrays in batches.items():
            content.parts[kind + key] = _Part(np.concatenate(arrays), f"{source}: {features[kind]}")
    names = getattr(dict(builder.info.features).get("label"), "names", None)
    # Without names of its own it calls classes by their numbers, also those that there are none of.
    if names and names != [str(number) for number in range(len(names))]:
        content.class_names = np.array(names)
    return content


# Messages.


def _say(line: str) -> None:
    print(f"clothinggan: {line}", file=sys.stderr, flush=True)


def _refusal(place: str, why: object) -> ClothingGANError:
    what_to_do = "" if isinstance(why, ForeignFileError) else "; replace it, or name other images with --data"
    return ClothingGANError(f"{shown(place)} {why}{what_to_do}")


def _unknown(source: str, named: str) -> ClothingGANError:
    """Returns the error of a source that there is none of, from how the user named it too."""
    if "://" in named:
        return ClothingGANError(f"{shown(named)}: no such data; download it, and name the file or the folder")
    meant = did_you_mean(named.lower(), KEYWORDS)
    question = f"; {meant}" if meant else ""
    return ClothingGANError(f"{shown(source)}: no such data; --data takes {SOURCES}{question}")
