"""A folder of pictures of any size and kind as 28x28 greys, bright on black.

A picture is fitted into the square as Fashion-MNIST was made (Xiao et al., 2017, section 2): edges of the
background's colour are trimmed, the longer side is resized to 28 pixels, and the background's colour is laid
around what is there. Fashion-MNIST took every so-manieth pixel and sharpened; here pixels are averaged. A
picture of 28x28 stays as it is. What is transparent has no colour, and becomes black.

Files may be broken, or made to do harm: a header bounds what is decoded, and what cannot be read is left out.
"""

import hashlib
import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

import numpy as np
import PIL
from PIL import Image, ImageChops, ImageOps

from clothinggan import cache
from clothinggan.checkpoint.record import MAX_CLASS_NAME
from clothinggan.data.arrays import SIZE
from clothinggan.data.formats import MAX_IMAGES, Flaw
from clothinggan.data.tree import File
from clothinggan.data.trimming import BRIGHT, MIN_SIDE, find_background, fitted
from clothinggan.environment import core_count
from clothinggan.errors import listed
from clothinggan.progress import show_progress

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff")
KINDS = "PNG, JPEG, GIF, BMP, WebP or TIFF"

MAX_PIXELS = 2**26
MAX_BYTES = 2**28  # of a file
MAX_LEFT_OUT = 0.1  # of all pictures
HELD_OUT = 10  # one of so many is a test image
MIN_IMAGES = 10  # With fewer test images nothing is measured.

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "TIFF")
_ENOUGH = 256  # pixels of the longer side: a picture is looked at no finer than twice this
_DARK = 64  # levels: what would hardly be seen on black
_CUT_OUT = 0.05  # of the pixels are transparent, at least: rounded corners alone are fewer
_NAMED = 5  # files in a line
_BATCH = 32  # pictures that a thread reads at once
_CACHE_VERSION = 4
_TRAINING = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")
# What turns a picture upright, by its EXIF orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder.

    Attributes:
        train_images: (n, 28, 28) uint8, in an order that follows from what they show.
        train_labels: (n,) integers, each an index of `class_names`; None where there are no subfolders.
        test_images: (m, 28, 28) uint8; None where a single picture is all there is.
        test_labels: (m,) integers; or None.
        class_names: In the order of the classes; None where there are no subfolders.
        finding: What the borders told, and what was done about them and about what is cut out, for the line
            that names the source.
        notes: Lines for the user: what was left out, what was held out.
    """

    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    finding: str
    notes: tuple[str, ...]


def is_picture(file: File) -> bool:
    """Returns whether a file is a picture by its name."""
    return file.parts[-1].lower().endswith(ENDINGS)


def read_pictures(folder: Path, files: Sequence[File], fit: str, invert: str) -> Pictures:
    """Reads the pictures of a folder.

    Args:
        folder: Where they are, for messages.
        files: All files in it, of which some are pictures.
        fit: One of `record.FITS`: whether pictures get a border or are cut to be square.
        invert: One of `record.INVERSIONS`: whether bright becomes dark; `auto` looks at the borders.

    Raises:
        Flaw: If more than a tenth of the pictures cannot be read, or none can.
    """
    layout = _arrange([file for file in files if is_picture(file)])
    notes = list(layout.notes)
    if strangers := [file for file in files if not is_picture(file)]:
        note = f"left out, being no {KINDS}: {files_listed(strangers)}"
        with_pictures = {picture.file.parts[:-1] for picture in layout.pictures}
        without = {file.parts[:-1] for file in strangers} - with_pictures - {()}
        if layout.class_names and without:
            empty = sorted("/".join(parts) + "/" for parts in without)
            note += f"; so there is no class of {listed(empty, _NAMED)}"
        notes.append(note)
    decoded = _read_all(folder, [picture.file for picture in layout.pictures], fit)
    flaws = {
        "/".join(picture.file.parts): reason
        for picture, reason in zip(layout.pictures, decoded.reasons.tolist(), strict=True)
        if reason
    }
    if flaws:
        lost = listed([f"{name} ({reason})" for name, reason in flaws.items()], _NAMED)
        if len(flaws) > MAX_LEFT_OUT * len(layout.pictures):
            raise Flaw(f"{len(flaws):,} of {len(layout.pictures):,} pictures cannot be read: {lost}")
        notes.append(f"left out, {len(flaws):,} of {len(layout.pictures):,} pictures: {lost}")
    sound = np.flatnonzero(decoded.reasons == "")
    if not_plain := (~decoded.are_plain).sum():
        what = "trimmed (make it transparent, or crop)" if fit == "pad" else "evened out"
        notes.append(
            f"{not_plain:,} of {len(layout.pictures):,} pictures have no plain background: it is not {what}"
        )
    images, finding = _made_bright_on_black(decoded, invert)
    images = images[sound]
    pictures = [layout.pictures[index] for index in sound]
    names = layout.class_names
    numbers = {name: number for number, name in enumerate(names or ())}
    # Of test images the class may not be known.
    classes = np.array([numbers.get(picture.class_name, 0) for picture in pictures])
    digests = [hashlib.sha256(image).digest() for image in images]
    order = np.array(sorted(range(len(pictures)), key=lambda index: (digests[index], classes[index])))
    if layout.is_divided:
        of_test = np.array([picture.is_test for picture in pictures])[order]
        if of_test.all():
            raise Flaw("has no picture to train on that can be read")
    else:
        of_test = _held_out(classes[order])
        too_few = f"; evaluate needs {MIN_IMAGES}: add pictures, or make folders train/ and test/"
        notes.append(
            f"{of_test.sum():,} of {len(order):,} pictures are held out as test images"
            + (too_few if of_test.sum() < MIN_IMAGES else "")
        )
    train, test = order[~of_test], order[of_test]
    has_test_labels = names and all(pictures[index].class_name for index in test)
    return Pictures(
        images[train],
        classes[train] if names else None,
        images[test] if len(test) else None,
        classes[test] if len(test) and has_test_labels else None,
        names,
        finding,
        tuple(notes),
    )


# Which folders are classes, and which are test images.


@dataclass(frozen=True)
class _Picture:
    file: File
    class_name: str | None
    is_test: bool = False


@dataclass(frozen=True)
class _Layout:
    pictures: list[_Picture]
    class_names: tuple[str, ...] | None
    is_divided: bool  # into training and test images, by folders
    notes: tuple[str, ...]


def _arrange(files: list[File]) -> _Layout:
    """Tells by the folders which class each picture is of, and whether it is for training or for tests."""
    depth = _depth_of_contents(files)
    if not files:
        raise Flaw("holds no pictures")
    parts = {file.parts[depth].lower(): file.parts[depth] for file in files if len(file.parts) > depth + 1}
    training = next((parts[name] for name in _TRAINING if name in parts), None)
    if training is None:
        pictures, notes = _classified(files, depth, False)
        return _Layout(pictures, _class_names(pictures), False, tuple(notes))
    test = next((parts[name] for name in _TEST if name in parts), None)
    used = [name for name in (training, test) if name]
    inside = {name: [file for file in files if _folder(file, depth) == name] for name in used}
    pictures, notes = _classified(inside[training], depth + 1, False)
    names = _class_names(pictures)
    if test:
        of_test, more = _classified(inside[test], depth + 1, True)
        unknown = {picture.class_name for picture in of_test if picture.class_name} - set(names or ())
        if names and unknown:
            lost = files_listed(picture.file for picture in of_test if picture.class_name in unknown)
            more.append(f"left out, of no class in {training}/: {lost}")
            of_test = [picture for picture in of_test if picture.class_name not in unknown]
        pictures, notes = pictures + of_test, notes + more
    if outside := [file for file in files if _folder(file, depth) not in used]:
        folders = " and ".join(f"{name}/" for name in used)
        notes.append(f"left out, outside {folders}: {files_listed(outside)}")
    return _Layout(pictures, names, bool(test), tuple(notes))


def _depth_of_contents(files: Sequence[File]) -> int:
    """Returns how many folders that hold nothing but one folder of folders stand around the pictures."""
    depth = 0
    while True:
        folders = {_folder(file, depth) for file in files}
        if len(folders) != 1 or None in folders or next(iter(folders)).lower() in _TRAINING:
            return depth
        if any(_folder(file, depth + 1) is None for file in files):
            return depth
        depth += 1


def _folder(file: File, depth: int) -> str | None:
    """Returns the folder so deep within which a file lies; None where it lies no deeper."""
    return file.parts[depth] if len(file.parts) > depth + 1 else None


def _classified(files: Sequence[File], depth: int, is_test: bool) -> tuple[list[_Picture], list[str]]:
    """Returns pictures with their classes, the names of folders, and lines about those left out."""
    folders = [_folder(file, depth) for file in files]
    names = {folder: _class_name(folder) for folder in set(folders)}
    pictures = [_Picture(file, names[folder], is_test) for file, folder in zip(files, folders, strict=True)]
    classified = [picture for picture in pictures if picture.class_name is not None]
    outside = [picture for picture in pictures if picture.class_name is None]
    if not classified or not outside:
        return pictures, []
    lost = files_listed(picture.file for picture in outside)
    return classified, [f"left out, outside the folders that are classes: {lost}"]


def _class_name(folder: str | None) -> str | None:
    if folder is None:
        return None
    readable = folder.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(readable.split())[:MAX_CLASS_NAME]


def _class_names(pictures: Sequence[_Picture]) -> tuple[str, ...] | None:
    names = {picture.class_name for picture in pictures} - {None}
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name))) or None
    return tuple(sorted(names))


def files_listed(files: Iterable[File]) -> str:
    """Returns files by where they are in their folder, in one line: of many the first ones."""
    return listed(["/".join(file.parts) for file in files], _NAMED)


def _held_out(classes: np.ndarray) -> np.ndarray:
    """Returns which pictures are test images: a tenth, and of each class its part.

    Args:
        classes: (n,) integers, in the pictures' order, which decides on those of a class.

    Returns:
        (n,) booleans.
    """
    counts, seen = Counter(classes.tolist()), Counter()
    turns = np.empty(len(classes))
    for index, number in enumerate(classes.tolist()):
        turns[index] = (seen[number] + 0.5) / counts[number]
        seen[number] += 1
    chosen = np.zeros(len(classes), bool)
    count = max(1, len(classes) // HELD_OUT) if len(classes) > 1 else 0
    chosen[np.argsort(turns, kind="stable")[:count]] = True
    return chosen


# Reading, several at once, and keeping what was read.


@dataclass(frozen=True)
class _Decoded:
    images: np.ndarray  # (n, 28, 28) uint8
    are_bright: np.ndarray  # (n,) booleans: whether the border is
    are_plain: np.ndarray  # (n,) booleans: whether the background is
    are_cut_out: np.ndarray  # (n,) booleans
    inverted: np.ndarray  # (m, 28, 28) uint8: those that are cut out, with other colours
    shades: np.ndarray  # (m, 2) floats: theirs, the dark ones and the bright ones
    reasons: np.ndarray  # (n,) texts: why a picture cannot be read; empty where it can


def _read_all(folder: Path, files: Sequence[File], fit: str) -> _Decoded:
    if len(files) > MAX_IMAGES:
        raise Flaw(f"holds {len(files):,} pictures; {MAX_IMAGES:,} at most are expected")
    digest = hashlib.sha256(f"{_CACHE_VERSION} {PIL.__version__} {fit} {folder}".encode(errors="replace"))
    for file in files:
        digest.update(repr((file.parts, file.size, file.times)).encode())
    kept = cache.folder() / f"pictures-{digest.hexdigest()[:32]}.npz"
    names = [field.name for field in fields(_Decoded)]
    cached = cache.read(kept, names)
    if cached and len(cached["images"]) == len(files):
        return _Decoded(**cached)
    pictures: list[ReadPicture | None] = [None] * len(files)
    reasons = [""] * len(files)

    def read(start: int) -> None:
        for index in range(start, min(start + _BATCH, len(files))):
            try:
                pictures[index] = read_picture(files[index].path, fit)
            except Flaw as flaw:
                reasons[index] = str(flaw)

    what = f"reading {len(files):,} pictures"
    with _quiet_libraries() as terminal, ThreadPoolExecutor(core_count()) as readers:
        try:
            for done, _ in enumerate(readers.map(read, range(0, len(files), _BATCH)), start=1):
                show_progress(what, min(done * _BATCH, len(files)), len(files), terminal)
        except BaseException:
            readers.shutdown(cancel_futures=True)
            raise
        finally:
            show_progress("", 0, 0, terminal)
    nothing = np.zeros((SIZE, SIZE), np.uint8)
    cut_out = [picture for picture in pictures if picture and picture.inverted is not None]
    decoded = _Decoded(
        images=np.array([picture.image if picture else nothing for picture in pictures]),
        are_bright=np.array([picture is not None and picture.has_bright_border for picture in pictures]),
        are_plain=np.array([picture is None or picture.has_plain_background for picture in pictures]),
        are_cut_out=np.array([picture is not None and picture.inverted is not None for picture in pictures]),
        inverted=np.array([picture.inverted for picture in cut_out]).reshape(-1, SIZE, SIZE),
        shades=np.array([picture.shades for picture in cut_out]).reshape(-1, 2),
        reasons=np.array(reasons, dtype=str),
    )
    cache.write(kept, {name: getattr(decoded, name) for name in names})
    return decoded


@contextmanager
def _quiet_libraries() -> Iterator[TextIO | None]:
    """Keeps what Pillow and its libraries say of odd files from the user; yields standard error as it was.

    The library that reads TIFF writes to the process's standard error itself, past Python's.
    """
    with warnings.catch_warnings(), ExitStack() as at_the_end:
        warnings.simplefilter("ignore")
        try:
            original = os.dup(2)
        except OSError:  # There is none.
            yield None
            return
        terminal = at_the_end.enter_context(open(original, "w"))
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        at_the_end.callback(os.dup2, original, 2)
        yield terminal


# One picture.


@dataclass(frozen=True)
class ReadPicture:
    """A picture as it was read.

    Attributes:
        image: (28, 28) uint8, bright and dark as they are; what is transparent is black.
        has_bright_border: Whether it has one. What is cut out has none.
        has_plain_background: Whether one was found, so that the object could be trimmed.
        inverted: Of what is cut out, the same with dark and bright exchanged, on black too; else None.
        shades: Of what is cut out, the greys that a tenth of it is darker and brighter than.
    """

    image: np.ndarray
    has_bright_border: bool = False
    has_plain_background: bool = True
    inverted: np.ndarray | None = None
    shades: tuple[float, float] = (0, 0)


def read_picture(path: Path | str, fit: str = "pad") -> ReadPicture:
    """Reads a picture.

    Raises:
        Flaw: If it cannot be read; the message is a few words.
    """
    try:
        status = os.stat(path)
        # Opening a pipe would wait for somebody to write to it; a device may have no end.
        if not stat.S_ISREG(status.st_mode):
            raise Flaw("no regular file")
        if not status.st_size:
            raise Flaw("empty")
        if status.st_size > MAX_BYTES:
            raise Flaw(f"monstrous: {status.st_size:,} bytes")
        with Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            if min(width, height) < MIN_SIDE:
                raise Flaw(f"tiny: {width}x{height}")
            if width * height > MAX_PIXELS:
                raise Flaw(f"monstrous: {width}x{height}")
            if picture.format in ("JPEG", "MPO"):
                picture.draft("L", (_ENOUGH, _ENOUGH))
            grey, alpha = (_upright(_smaller(side), picture) for side in _grey_and_alpha(picture))
    except Flaw:
        raise
    except Image.DecompressionBombError as error:
        raise Flaw("monstrous") from error
    except MemoryError as error:
        raise Flaw("does not fit into memory") from error
    except OSError as error:
        raise Flaw(error.strerror.lower() if error.errno and error.strerror else "broken") from error
    except Exception as error:  # on garbage, Pillow raises a dozen unrelated exceptions
        raise Flaw("broken") from error
    opaque = np.asarray(alpha) > 127
    if opaque.any() and opaque.mean() <= 1 - _CUT_OUT:
        dark, bright = np.percentile(np.asarray(grey)[opaque], [10, 90])
        on_black = (ImageChops.multiply(side, alpha) for side in (grey, ImageOps.invert(grey)))
        image, inverted = (fitted(side, 0, fit, alpha) for side in on_black)
        return ReadPicture(image, inverted=inverted, shades=(dark, bright))
    background = find_background(ImageChops.multiply(grey, alpha))
    image = fitted(background.evened, background.level, fit, background.evened)
    return ReadPicture(image, background.level > BRIGHT, background.is_plain)


def _grey_and_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Decodes a picture; returns its greys, of 8 bits, and how opaque they are, from 0 to 255."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype(np.float64)
        low, high = values.min(), values.max()
        if not (np.isfinite(low) and low >= 0 and high < 2**16):
            raise Flaw(f"numbers from {low:g} to {high:g}")
        if picture.mode == "F":
            values *= 255 if high <= 1 else 1 if high <= 255 else 1 / 257
        elif picture.mode != "I" or high > 255:  # Of 16 bits, as all that Pillow calls so.
            values /= 257
        picture = Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return picture.convert("L"), picture.getchannel("A")
    if picture.mode not in ("1", "L", "RGB", "P"):
        picture = picture.convert("RGB")
    return picture.convert("L"), Image.new("L", picture.size, 255)


def _smaller(grey: Image.Image) -> Image.Image:
    """Returns a picture as fine as it is looked at."""
    return grey.reduce(max(1, min(max(grey.size) // _ENOUGH, min(grey.size) // MIN_SIDE)))


def _upright(grey: Image.Image, picture: Image.Image) -> Image.Image:
    """Turns a picture as the camera noted that it was held."""
    try:
        turn = _UPRIGHT.get(picture.getexif().get(0x0112))
    except Exception:  # Notes may be garbage where the picture is none.
        turn = None
    return grey if turn is None else grey.transpose(turn)


# Bright on black.

_MIXED = 0.05  # of the pictures: fewer whose border is unlike the others' fill the frame with what they show


def _made_bright_on_black(decoded: _Decoded, invert: str) -> tuple[np.ndarray, str]:
    """Returns the images, bright on black, and what the borders told.

    Where nearly all borders are alike, they decide for all; where some are bright and others dark, each
    decides for its own picture. What is cut out has no background that could tell: all of it is treated as
    most other pictures are, so that the same thing is as bright in both; without others it is made bright.
    """
    images, are_bright, are_cut_out = decoded.images.copy(), decoded.are_bright, decoded.are_cut_out
    with_border = ~are_cut_out & (decoded.reasons == "")
    share = are_bright[with_border].mean() if with_border.any() else 0.0
    if invert == "auto":
        is_mixed = _MIXED <= share <= 1 - _MIXED
        chosen = with_border & (are_bright if is_mixed else share > 0.5)
    else:
        chosen = with_border & (invert == "yes")
    images[chosen] = 255 - images[chosen]
    exchanged = _exchanged(decoded.shades, invert, share if with_border.any() else None)
    images[np.flatnonzero(are_cut_out)[exchanged]] = decoded.inverted[exchanged]
    if invert != "auto":
        return images, f"--invert {invert}"
    found = []
    if with_border.any():
        if not chosen.any():
            found.append("dark borders")
        elif chosen[with_border].all():
            found.append("bright borders: inverted")
        else:
            found.append(f"bright borders in {share:.0%}: these are inverted")
    if are_cut_out.any():
        few = f", {exchanged.sum():,} of them inverted" if exchanged.any() else ""
        how = ", inverted" if exchanged.all() else few
        found.append(f"{are_cut_out.sum():,} with transparent background: black{how}")
    return images, "; ".join(found)


def _exchanged(shades: np.ndarray, invert: str, share: float | None) -> np.ndarray:
    """Returns of which pictures that are cut out dark and bright are exchanged.

    Args:
        shades: (m, 2) floats: the dark greys and the bright ones of each.
        invert: One of `record.INVERSIONS`.
        share: Of the other pictures, those with a bright border; None if there are no others.
    """
    if invert != "auto":
        return np.full(len(shades), invert == "yes")
    dark, bright = shades.T
    usual = share > 0.5 if share is not None else bool(len(shades)) and np.median(bright) <= BRIGHT
    is_seen, other_is_seen = (255 - dark, bright) if usual else (bright, 255 - dark)
    return np.where((is_seen < _DARK) & (other_is_seen >= _DARK), not usual, usual).astype(bool)
