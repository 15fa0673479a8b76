"""What a user is meant to read of a failure."""

import os


class ClothingGANError(Exception):
    """A failure that one line explains: what is wrong, with which file or option, and what to do.

    The commands print the message behind ``clothinggan: error:`` and end with status 1; a program that
    imports the package can catch it. It is printable: what files say of themselves cannot drive a terminal.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class DamagedFileError(ClothingGANError):
    """A file is known to have lost what it held."""


class MovedFolderError(ClothingGANError):
    """The folder that a run writes to was moved away, and another one has its name."""


def shown(text: object) -> str:
    """Returns a name, or somebody else's message, as one line that cannot drive the terminal."""
    return str(text) if str(text).isprintable() else repr(str(text))


def first_line(error: BaseException) -> str:
    """Returns the first line of what an exception says: some say a page."""
    return (str(error).splitlines() or [""])[0]


def described(error: Exception) -> str:
    """Returns an exception as one line for a user: our own as it is, others with their type."""
    if isinstance(error, ClothingGANError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno:
        place = f": {error.filename}" if error.filename else ""
        return f"{os.strerror(error.errno).lower()}{place}"
    return f"unexpected {type(error).__name__}: {first_line(error)} (CLOTHINGGAN_DEBUG=1 shows where)"
