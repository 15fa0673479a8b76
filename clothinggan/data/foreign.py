"""What a file is whose images cannot be read, told by its first bytes, and what to do with it."""

from collections.abc import Sequence

from clothinggan import file_kinds

_SAVE_IMAGES = (
    "save its images as PNG files in a folder for each class, or as an .npz with x_train and y_train, by "
    "numpy.savez"
)
_FROM_PYTORCH = f"is a file of PyTorch; name the folder of the files that it was made of, or {_SAVE_IMAGES}"
_ARROW = f"is an Arrow file, as Hugging Face keeps data sets; {_SAVE_IMAGES}"
_BEGINNINGS = {
    b"PAR1": f"is a Parquet file, as Hugging Face keeps data sets; {_SAVE_IMAGES}",
    b"ARROW1": _ARROW,
    b"\xff\xff\xff\xff": _ARROW,  # as it is streamed
    b"\x89HDF\r\n": f"is an HDF5 file; {_SAVE_IMAGES}",
    b"MATLAB": f"is a MATLAB file; {_SAVE_IMAGES}",
    b"{": f"is a JSON text; {_SAVE_IMAGES}",
    b"[": f"is a JSON text; {_SAVE_IMAGES}",
}


def describe_file(beginning: bytes) -> str | None:
    """Returns what a file is and what to do with it, to be read behind its name; None if it is not known.

    Args:
        beginning: Its first bytes, `file_kinds.BEGINNING` of them if it has so many.
    """
    for known, what in _BEGINNINGS.items():
        if beginning.startswith(known):
            return what
    if file_kinds.is_old_pytorch(beginning):
        return _FROM_PYTORCH
    if file_kinds.is_picture(beginning):
        return "is one picture; name the folder that it is in"
    if file_kinds.is_pickle(beginning):
        return f"is a pickle, which can run any program when it is opened; {_SAVE_IMAGES}"
    return file_kinds.describe_file(beginning)


def describe_archive(members: Sequence[str]) -> str:
    """Returns what a zip archive without NumPy's arrays is and what to do with it.

    Args:
        members: The names of what it holds.
    """
    if file_kinds.is_pytorch(members):
        return _FROM_PYTORCH
    if "[Content_Types].xml" in members:
        return "is a document; save the table in it as CSV"
    return "is an archive without NumPy's arrays; unpack it, and name the folder"
