"""The user's own Python files that are called like modules of Python's: `queue.py`, `random.py`."""

import os
import sys


def import_from_current_folder_last() -> None:
    """Has a command import from the folder that it is run from only what is nowhere else.

    `python -m` puts that folder first, where a `random.py` takes the place of Python's own, on which NumPy
    and TensorFlow depend.
    """
    if sys.path and not getattr(sys.flags, "safe_path", False) and sys.path[0] in ("", os.getcwd()):
        sys.path.append(sys.path.pop(0))


def describe_own_modules() -> str | None:
    """Returns which files on the way to Python's own modules are called like these; None if none is."""
    standard = os.path.dirname(os.__file__)
    found = []
    for folder in sys.path:
        if os.path.abspath(folder) == standard:
            break
        try:
            present = os.listdir(folder or ".")
        except OSError:  # It is an archive, or not there.
            continue
        stems = {name: name.removesuffix(".py") for name in present if name.endswith(".py")}
        found += [
            os.path.join(folder, name) for name, stem in stems.items() if stem in sys.stdlib_module_names
        ]
    if not found:
        return None
    takes = "takes the place of Python's own module of that name"
    if len(found) > 1:
        takes = "take the places of Python's own modules of these names"
    return f"{' and '.join(sorted(found))} {takes}"
