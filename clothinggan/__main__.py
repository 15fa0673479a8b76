"""`python -m clothinggan` lists the commands."""

import sys

from clothinggan import __version__
from clothinggan.options import reporting_errors

COMMANDS = {
    "train": "train a GAN from the start",
    "resume": "go on with a training run where it stopped",
    "display": "show what a generator draws",
    "evaluate": "measure how good its images are",
}


def main() -> int:
    """Prints the commands; returns the exit status, which is 2 for whoever wanted one of them."""
    asked = sys.argv[1:]
    if asked == ["--version"]:
        print(f"clothinggan {__version__}")
        return 0
    if asked not in ([], ["--help"], ["-h"]):
        names = ", ".join(f"python -m clothinggan.{command}" for command in COMMANDS)
        print(f"clothinggan: error: with a dot in between, the commands are {names}", file=sys.stderr)
        return 2
    print(f"ClothingGAN {__version__}: small GANs on Fashion-MNIST\n")
    for command, purpose in COMMANDS.items():
        print(f"  python -m clothinggan.{command:<9} {purpose}")
    print("\nEach tells its options with --help.")
    return 0


if __name__ == "__main__":
    raise SystemExit(reporting_errors(main))
