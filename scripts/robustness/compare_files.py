"""Says whether two runs' files hold the same, to the bit: arrays and records, but for clocks and versions.

    python scripts/robustness/compare_files.py run/clothingGANepoch3.h5 other/clothingGANepoch3.h5

Given two folders, it compares the numbered files that both have.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401

from clothinggan.checkpoint.file import epoch_in_name, read_checkpoint
from clothinggan.checkpoint.record import Record

CLOCKS = ("seconds", "seconds_in_epoch")
NOT_OF_THE_RUN = {"seconds_in_epoch": None, "versions": None}


def differences(path: Path, other: Path) -> list[str]:
    """Returns what differs between two checkpoints: names of arrays, compared to the bit, and of fields."""
    some, others = read_checkpoint(path), read_checkpoint(other)
    arrays, other_arrays = ({**read.contents.arrays} for read in (some, others))
    for found in (arrays, other_arrays):
        found.pop("clothinggan/record")
    names = sorted(arrays.keys() ^ other_arrays.keys())
    for name in sorted(arrays.keys() & other_arrays.keys()):
        array, counterpart = (
            (found.dtype, found.shape, found.tobytes()) for found in (arrays[name], other_arrays[name])
        )
        if array != counterpart:
            names.append(name)
    fields, other_fields = _without_clocks(some.record), _without_clocks(others.record)
    return names + [name for name, value in fields.items() if value != other_fields.get(name)]


def _without_clocks(record: Record) -> dict[str, object]:
    history = [{key: value for key, value in entry.items() if key not in CLOCKS} for entry in record.history]
    return {**vars(record), "history": history, **NOT_OF_THE_RUN}


def main() -> int:
    """Compares; returns 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    pairs = [(arguments.first, arguments.second)]
    if arguments.first.is_dir():
        names = sorted(path.name for path in arguments.first.glob("*.h5") if epoch_in_name(path) is not None)
        pairs = [(arguments.first / name, arguments.second / name) for name in names]
    status = 0
    for first, second in pairs:
        names = differences(first, second)
        print(f"{first.name}: {'differs in ' + ', '.join(names) if names else 'equal to the bit'}")
        status = status or bool(names)
    return int(status)


if __name__ == "__main__":
    raise SystemExit(main())
