"""The one exception that a user is meant to read."""


class ClothingGANError(Exception):
    """A failure that one line explains: what is wrong, with which file or option, and what to do.

    The commands print the message behind ``clothinggan: error:`` and end with status 1; a program that
    imports the package can catch it.
    """
