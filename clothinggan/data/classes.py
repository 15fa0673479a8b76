"""The names of classes: those of Fashion-MNIST, how it is recognised, and which class a user means."""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from clothinggan.errors import ClothingGANError, listed, shown

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
MAX_LISTED = 12  # names of classes in a message


class UnknownClassError(ClothingGANError):
    """A class was asked for that there is not."""

    exit_status = 2


# Of Fashion-MNIST, by `_digests`: what its training and its test images add up to.
_TRAINING = 0x8A33AF840B002E0DFADDFBC1C8A505F3, 0x81BC853B125C71ABD9DB5930B27AA4FD
_TEST = 0x05C8952917DB904399208630A57EBBD7, 0xEC18B489F48762E8BA8F28A820A51770
_MODULUS = 2**128
_ALL = tuple((training + test) % _MODULUS for training, test in zip(_TRAINING, _TEST, strict=True))
_PUBLISHED = {60_000: _TRAINING, 10_000: _TEST, 70_000: _ALL}  # by the number of images


def recognise_fashion_mnist(
    parts: Sequence[tuple[np.ndarray, np.ndarray | None]],
) -> tuple[bool, bool]:
    """Tells Fashion-MNIST from other images by what they are, in whatever order and division.

    Its files' names do not tell: those of MNIST are the same.

    Args:
        parts: Images, (n, 28, 28) uint8, and their labels, (n,), if they have any: training and test images.

    Returns:
        Whether these are the images of Fashion-MNIST, its training images or its test images; and whether
        their labels are its labels too.
    """
    published = _PUBLISHED.get(sum(len(images) for images, _ in parts))
    if published is None:
        return False, False
    of_images = of_labels = 0
    for images, labels in parts:
        hashes = [_hash(image) for image in np.ascontiguousarray(images)]
        of_images += sum(hashes)
        if labels is not None:
            weights = (labels.astype(int) + 1).tolist()
            of_labels += sum(number * weight for number, weight in zip(hashes, weights, strict=True))
    known = of_images % _MODULUS == published[0]
    return known, known and of_labels % _MODULUS == published[1]


def _hash(image: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(image, digest_size=16).digest(), "big")


def find_class(text: str, names: Sequence[str]) -> int:
    """Returns the number of the class that a user means.

    Args:
        text: The class's name in any case, one of its words, its plural, or its number.
        names: Of all classes.

    Raises:
        UnknownClassError: If there is none such, or several; the line has the nearest names.
    """
    wanted = text.strip()
    if wanted in names:  # Letters may be classes in both cases.
        return names.index(wanted)
    wanted = _fold(wanted)
    whole = [_fold(name) for name in names]
    words = [[_fold(word) for word in re.split(r"[\s/,;_]+", name)] for name in names]
    readings = [
        [index for index, name in enumerate(whole) if name == wanted],
        [int(wanted)] if wanted.isdecimal() and int(wanted) < len(names) else [],
        [index for index, parts in enumerate(words) if wanted in parts],
        [
            index
            for index, (name, parts) in enumerate(zip(whole, words, strict=True))
            if any(_singulars(wanted) & _singulars(part) for part in (name, *parts))
        ],
    ]
    found = next((reading for reading in readings if wanted and reading), [])
    if len(found) > 1:
        likely = listed([names[index] for index in found], MAX_LISTED)
        raise UnknownClassError(f"'{text}' may be any of {likely}")
    if not found:
        near = _nearest(wanted, whole, words)
        meant = f"; did you mean {' or '.join(shown(names[index]) for index in near)}?" if near else ""
        known = listed(names, MAX_LISTED)
        raise UnknownClassError(f"'{text}' is none of the {len(names)} classes: {known}{meant}")
    return found[0]


def find_classes(asked: Iterable[str | int] | str | int, names: Sequence[str]) -> list[int]:
    """Returns the numbers of the classes that a program means.

    Args:
        asked: One or several, each as `find_class` takes it or as a number.
        names: Of all classes.

    Raises:
        UnknownClassError: If there is none such, or several; or if none is asked for.
    """
    several = [asked] if isinstance(asked, str | int) else list(asked)
    for one in several:
        # As a text, it would be read as people write: -1 as 1.
        if not isinstance(one, str) and one < 0 and str(one) not in names:
            raise UnknownClassError(f"{one} is none of the {len(names)} classes: {listed(names, MAX_LISTED)}")
    if not several:
        raise UnknownClassError(f"no class is asked for; there are {listed(names, MAX_LISTED)}")
    return [find_class(str(one), names) for one in several]


def _fold(text: str) -> str:
    """Returns a name as people type it in a hurry: `T-Shirt` is `tshirt`."""
    return "".join(re.findall(r"[^\W_]+", text.casefold()))


def _singulars(word: str) -> set[str]:
    """Returns what an English word may be the plural of, and itself."""
    forms = {word}
    endings = {"s": [""], "es": [""], "ies": ["y"], "ves": ["f", "fe"]}
    for ending, singulars in endings.items():
        if word.endswith(ending) and len(word) > len(ending) + 1:
            forms |= {word.removesuffix(ending) + singular for singular in singulars}
    return forms


def _nearest(wanted: str, whole: Sequence[str], words: Sequence[Sequence[str]]) -> list[int]:
    import difflib  # Only where something was mistyped.

    forms = {}
    for index, (name, parts) in enumerate(zip(whole, words, strict=True)):
        for form in {form for part in (*parts, name) for form in _singulars(part)}:
            forms.setdefault(form, index)
    near = difflib.get_close_matches(wanted, forms, n=3, cutoff=0.6)
    return list(dict.fromkeys(forms[form] for form in near))
