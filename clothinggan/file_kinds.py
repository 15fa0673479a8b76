"""Files of kinds that nothing here reads, told by their first bytes, and what to do with them.

What is neither images nor a model, whatever was expected, is known here; `clothinggan.data.foreign` and
`clothinggan.checkpoint.foreign` know what is one of them in a form that is not read.
"""

from collections.abc import Iterable

BEGINNING = 512  # bytes, which tell what a file is
_BEGINNINGS = {
    b"BZh": "is compressed with bzip2; unpack it first",
    b"\xfd7zXZ\0": "is compressed with xz; unpack it first",
    b"(\xb5/\xfd": "is compressed with zstd; unpack it first",
    b"7z\xbc\xaf": "is a 7z archive; unpack it first",
    b"Rar!": "is a RAR archive; unpack it first",
    b"version https://git-lfs": "is a pointer of Git LFS in the place of the file; get it by: git lfs pull",
}
_TAR = 257, b"ustar"
_OLD_PYTORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def describe_file(beginning: bytes) -> str | None:
    """Returns what a file is and what to do with it, to be read behind its name; None if it is not known.

    Args:
        beginning: Its first bytes, `BEGINNING` of them if it has so many.
    """
    for known, what in _BEGINNINGS.items():
        if beginning.startswith(known):
            return what
    if beginning.startswith(_TAR[1], _TAR[0]):
        return "is a tar archive; unpack it first"
    text = beginning.lstrip().lower()
    if text.startswith(b"<"):
        if b"<svg" in text and b"<html" not in text:
            return "is an SVG drawing; save it as a PNG picture"
        return "is a web page, not the file that it was to be; download it again"
    return None


def is_old_pytorch(beginning: bytes) -> bool:
    """Returns whether PyTorch wrote a file, up to its version 1.5."""
    return beginning.startswith(_OLD_PYTORCH)


def is_pytorch(members: Iterable[str]) -> bool:
    """Returns whether PyTorch wrote a zip archive, by the names of what it holds."""
    return any(name.endswith(("data.pkl", "constants.pkl")) for name in members)


def is_pickle(beginning: bytes) -> bool:
    """Returns whether a file may be a pickle, which nothing here opens."""
    return beginning[:1] == b"\x80" and beginning[1:2] in (b"\2", b"\3", b"\4", b"\5")


def is_picture(beginning: bytes) -> bool:
    """Returns whether a file is a picture of one of the kinds that people have most."""
    return beginning.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")) or beginning[8:12] == b"WEBP"
