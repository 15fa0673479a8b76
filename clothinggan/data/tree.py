"""The files of a folder and of the folders in it, and what their names say they hold."""

import os
import re
import stat
from dataclasses import dataclass

from clothinggan.data.formats import Flaw

MAX_FILES = 2_000_000
_MAX_DEPTH = 8
# What systems leave beside people's files, besides all that begins with a dot.
_OF_SYSTEMS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"}


@dataclass(frozen=True)
class File:
    """A file that was found.

    Attributes:
        path: Where it is.
        parts: Its name, and before it those of the folders that it lies in, from the one searched on.
        size: In bytes.
        times: When its content and its entry changed last, in nanoseconds.
    """

    path: str
    parts: tuple[str, ...]
    size: int
    times: tuple[int, int]


def find_files(folder: str) -> list[File]:
    """Returns all files in a folder and the folders in it, in the order of their names; hidden ones apart.

    Raises:
        Flaw: If there are more than anybody trains on.
        OSError: If the folder cannot be read.
    """
    found: list[File] = []
    # A link may lead back to where it stands.
    visited = set()

    def search(place: str, parts: tuple[str, ...]) -> None:
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in visited or len(parts) > _MAX_DEPTH:
            return
        visited.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.name.startswith(".") or entry.name.lower() in _OF_SYSTEMS:
                continue
            inner = (*parts, entry.name)
            try:
                status = entry.stat()
            except OSError:  # A link to nowhere: who reads it says so.
                found.append(File(entry.path, inner, 0, (0, 0)))
                continue
            if stat.S_ISDIR(status.st_mode):
                search(entry.path, inner)
                continue
            times = status.st_mtime_ns, status.st_ctime_ns
            found.append(File(entry.path, inner, status.st_size, times))
            if len(found) > MAX_FILES:
                raise Flaw(f"holds more than {MAX_FILES:,} files")

    search(folder, ())
    return found


@dataclass(frozen=True)
class Role:
    """What a name says of what it stands for.

    Attributes:
        split: "train" or "test"; "val" where it is for tests between; empty where the name does not say.
        kind: "x" for images, "y" for labels; empty where the name does not say.
        family: What else the name says: what parts of one data set have in common.
    """

    split: str
    kind: str
    family: str


_SPLITS = {
    "train": ("train", "training", "tr"),
    "test": ("test", "t10k", "testing", "te"),
    "val": ("val", "valid", "validation", "dev"),
}
_KINDS = {
    "x": ("images", "image", "imgs", "img", "x", "data", "pixels"),
    "y": ("labels", "label", "lbls", "y", "targets", "target"),
}
_WORDS = {word: ("split", split) for split, words in _SPLITS.items() for word in words} | {
    word: ("kind", kind) for kind, words in _KINDS.items() for word in words
}
_ENDING = re.compile(r"(\.gz|\.npz|\.npy|\.csv|\.idx|\.bin|[-._]?idx\d[-._]ubyte|[-._]ubyte)+$")


def role_of(name: str) -> Role:
    """Returns what a name says, as `X_test` or `emnist-letters-train-images-idx3-ubyte.gz`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)  # trainX
    found = {"split": "", "kind": ""}
    others = []
    for word in re.findall(r"[a-z]+[0-9]*[a-z]*|[0-9]+", _ENDING.sub("", parted.lower())):
        what, value = _WORDS.get(word, ("", ""))
        if what and not found[what]:
            found[what] = value
        else:
            others.append(word)
    return Role(found["split"], found["kind"], "-".join(others))
