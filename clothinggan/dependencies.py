"""What the package needs to be installed, and the line that says what is not."""

import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("h5py", "keras", "matplotlib", "numpy", "PIL", "tensorflow")  # By their names in Python.


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of its name cannot."""
    try:
        spec = find_spec(package)
    except ValueError:  # It is there, but nobody says from where.
        return True
    return spec is not None and spec.origin is not None


def require_dependencies() -> None:
    """Ends a command with a line, status 1, where this Python has not all that the package needs.

    In a new terminal, where nobody has activated the environment, another Python answers.
    """
    missing = [package for package in NEEDED if not is_installed(package)]
    if not missing:
        return
    checkout = Path(__file__).resolve().parents[1]
    environment = checkout / ".venv"
    activate = environment / "bin" / "activate"
    source = checkout if (checkout / "setup.cfg").exists() else "clothinggan"
    what_to_do = (
        f"activate the environment that has: source {activate}"
        if activate.exists() and Path(sys.prefix) != environment
        else f"install what it needs: {sys.executable} -m pip install {source}"
    )
    raise SystemExit(f"clothinggan: error: {sys.executable} has no {', no '.join(missing)}; {what_to_do}")
