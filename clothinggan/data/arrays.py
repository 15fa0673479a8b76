"""What the arrays of a source mean: images in any layout as uint8, labels as numbers of classes."""

import numpy as np

from clothinggan.checkpoint.record import MAX_CLASS_NAME, MAX_CLASSES
from clothinggan.data.formats import Flaw

SIZE = 28
_PIECE = 10_000  # images that are converted at once: the numbers of all may fill the memory
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's


def as_images(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns images as designs learn from them, and what was done to them.

    Args:
        array: (n, 28, 28), (n, 28, 28, 1), (n, 1, 28, 28), (n, 784) or in colours (n, 28, 28, 3). Floats in
            [0, 1], in [-1, 1] or from 0 to 255, integers from 0 to 255, or uint16 that use their range.

    Returns:
        The images, (n, 28, 28) uint8, and a line for the user, empty where nothing is worth saying.

    Raises:
        Flaw: If the array has another shape, or numbers of which the range does not tell what they are.
    """
    layouts = {
        (SIZE, SIZE): (SIZE, SIZE),
        (SIZE, SIZE, 1): (SIZE, SIZE),
        (1, SIZE, SIZE): (SIZE, SIZE),
        (SIZE * SIZE,): (SIZE, SIZE),
        (SIZE, SIZE, 3): (SIZE, SIZE, 3),
    }
    layout = layouts.get(array.shape[1:])
    if layout is None or array.dtype.kind not in "biuf":
        if array.shape == (SIZE, SIZE):
            raise Flaw(f"is one image; several are expected, as an array of the shape (n, {SIZE}, {SIZE})")
        shape = f"has the shape {array.shape}" if layout is None else f"holds {array.dtype.name} values"
        raise Flaw(f"{shape}; images of 28 by 28 are expected")
    factor, offset, scaled = _scale(array)
    said = [scaled] if scaled else []
    if len(layout) == 3:
        said.append("colours are made grey")
    if array.dtype == np.uint8 and len(layout) == 2:
        return np.ascontiguousarray(array).reshape(-1, *layout), ", ".join(said)
    images = np.empty((len(array), SIZE, SIZE), np.uint8)
    for start in range(0, len(array), _PIECE):
        piece = array[start : start + _PIECE].reshape(-1, *layout).astype(np.float32)
        piece = piece @ _GREY if len(layout) == 3 else piece
        images[start : start + _PIECE] = np.rint((piece + offset) * factor).clip(0, 255)
    return images, ", ".join(said)


def _scale(array: np.ndarray) -> tuple[float, float, str]:
    """Returns the factor and the offset, added first, that give numbers from 0 to 255; and a line on it."""
    low, high = array.min(), array.max()
    low, high = float(low), float(high)
    kind = array.dtype.kind
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Flaw("holds NaN or infinite numbers; images are numbers from 0 to 255, or floats from 0 to 1")
    if array.dtype == np.uint8:
        dark = "no pixel is brighter than 1 of 255: multiply by 255 what is meant to be from 0 to 1"
        return 1, 0, dark if high == 1 else ""
    if low >= 0 and high <= 1:
        return 255, 0, f"{'floats' if kind == 'f' else 'numbers'} from 0 to 1 are scaled to 255"
    if kind == "f" and -1.001 < low < -0.999 and high < 1.001:
        return 127.5, 1, "floats from -1 to 1 are scaled to 0 to 255"
    if low >= 0 and high <= 255:
        return 1, 0, "floats from 0 to 255 are rounded" if kind == "f" else ""
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and high >= 2**15:
        return 1 / 257, 0, "16 bits are made 8"
    raise Flaw(
        f"holds numbers from {low:g} to {high:g}, which may mean anything; "
        "scale them to 0 to 255 and save them as uint8"
    )


class Labels:
    """Labels of training and test images, as numbers of classes that have names.

    Whole numbers from 0 to 9 stay what they are. Others, as numbers from 1 or with gaps, and texts are
    numbered in their order, with themselves as names.

    Args:
        labels: Of the training images: (n,), (n, 1) or one-hot (n, k); whole numbers of any type, or texts.
        names: The classes' names, (k,) texts, where the source tells them.

    Attributes:
        names: The classes' names, in the order of their numbers.

    Raises:
        Flaw: If these are no labels, or there are too many classes.
    """

    def __init__(self, labels: np.ndarray, names: np.ndarray | None = None):
        values = _values(labels)
        found = np.unique(values)
        given = None if names is None else [_name(name) for name in np.ravel(names)]
        if given is not None and len(set(given)) < len(given):
            raise Flaw("has classes of the same name")
        if found.dtype.kind == "U":
            known = given if given is not None else [_name(value) for value in found]
            self._values = np.array(known) if given is not None else found
        elif given is not None and found[0] >= 0 and found[-1] < len(given):
            known, self._values = given, np.arange(len(given))
        elif given is not None and found[0] == 1 and found[-1] == len(given):
            known, self._values = given, np.arange(1, len(given) + 1)
        elif given is not None:
            raise Flaw(f"holds labels from {found[0]} to {found[-1]}, for {len(given)} names of classes")
        else:
            stays = found[0] >= 0 and found[-1] <= 9
            self._values = np.arange(found[-1] + 1) if stays else found
            known = [str(value) for value in self._values]
        if len(known) > MAX_CLASSES:
            raise Flaw(f"holds labels of {len(known):,} classes; {MAX_CLASSES} at most are expected")
        self.names = tuple(known)
        self.numbers = self.number(labels)

    def number(self, labels: np.ndarray) -> np.ndarray:
        """Returns labels as numbers of these classes: (n,) uint8, or uint16 where that is too small.

        Raises:
            Flaw: If some are of no class of the training images.
        """
        values = _values(labels)
        if values.dtype.kind != self._values.dtype.kind:
            raise Flaw("holds labels of another kind than those of the training images")
        order = np.argsort(self._values, kind="stable")
        places = np.searchsorted(self._values[order], values).clip(max=len(order) - 1)
        numbers = order[places]
        strangers = np.unique(values[self._values[numbers] != values])
        if len(strangers):
            named = ", ".join(map(str, strangers[:3])) + (" and others" if len(strangers) > 3 else "")
            raise Flaw(f"holds labels that name no class of the training images: {named}")
        return numbers.astype(np.uint8 if len(self.names) <= 256 else np.uint16)

    @property
    def are_numbered_anew(self) -> bool:
        """Returns whether whole numbers became other numbers."""
        return self._values.dtype.kind == "i" and not np.array_equal(
            self._values, np.arange(len(self._values))
        )


def _values(labels: np.ndarray) -> np.ndarray:
    """Returns one value for each image, (n,) int64 or texts, of labels in any form."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.ndim == 2 and labels.dtype.kind in "biuf":
        is_one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
        if not is_one_hot:
            raise Flaw(f"has the shape {labels.shape}, and is not one-hot; one label an image is expected")
        return labels.argmax(axis=1)
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        raise Flaw(f"has the shape {labels.shape} of {labels.dtype.name}; one label an image is expected")
    if labels.dtype.kind == "U":
        labels = np.char.strip(labels)
        try:
            labels = labels.astype(np.float64)
        except ValueError:
            return labels
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
        raise Flaw("holds labels that are no whole numbers")
    if len(labels) and not (abs(labels.min()) < 2**53 and abs(labels.max()) < 2**53):
        raise Flaw("holds labels too large to be counted")
    return labels.astype(np.int64)


def _name(value: object) -> str:
    name = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_CLASS_NAME:
        raise Flaw(f"has a class whose name has {len(name)} characters; 1 to {MAX_CLASS_NAME} are expected")
    return name
