"""Generators that come with the package: `example:swift` is named where a weights file is.

A file here is one of a run with its record, but without what only a run that goes on needs. It is written by
`scripts/experiments/make_weights.py --example-only`.
"""

from pathlib import Path

from clothinggan.errors import ClothingGANError

PREFIX = "example:"
FOLDER = Path(__file__).parent


def locate_example(path: Path) -> Path:
    """Returns where the file is that a name means: an example's, else the name as it is.

    Raises:
        ClothingGANError: If there is no such example.
    """
    name = str(path)
    if not name.startswith(PREFIX) or path.exists():
        return path
    examples = {file.stem: file for file in FOLDER.glob("*.h5")}
    if name.removeprefix(PREFIX) not in examples:
        known = ", ".join(f"{PREFIX}{example}" for example in sorted(examples))
        raise ClothingGANError(f"there is no {name}; the examples are {known}")
    return examples[name.removeprefix(PREFIX)]
