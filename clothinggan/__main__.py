"""`python -m clothinggan COMMAND …` runs a command; without one it lists them."""

import sys
from collections.abc import Sequence
from pkgutil import resolve_name

from clothinggan.cli.options import reporting_errors
from clothinggan.errors import shown
from clothinggan.version import __version__

COMMANDS = {
    "train": "train a GAN from the start",
    "resume": "go on with a training run where it stopped",
    "display": "show what a generator draws",
    "evaluate": "measure how good its images are",
    "compare": "show how runs differ",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that is named; returns its exit status, 2 where there is none of that name."""
    asked = list(sys.argv[1:] if argv is None else argv)
    if asked and asked[0] in COMMANDS:
        return resolve_name(f"clothinggan.{asked[0]}:main")(asked[1:])
    return reporting_errors(lambda: _list_commands(asked))


def _list_commands(asked: Sequence[str]) -> int:
    if asked == ["--version"]:
        print(f"clothinggan {__version__}")
        return 0
    if asked not in ([], ["--help"], ["-h"]):
        print(
            f"clothinggan: error: there is no command {shown(asked[0])}; see python -m clothinggan --help",
            file=sys.stderr,
        )
        return 2
    print(f"ClothingGAN {__version__}: small GANs on Fashion-MNIST\n")
    for command, purpose in COMMANDS.items():
        print(f"  python -m clothinggan {command:<9} {purpose}")
    print("\nEach tells its options with --help.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
