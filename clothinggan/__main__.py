"""`python -m clothinggan` lists the commands."""

import sys

from clothinggan import __version__
from clothinggan.cli.options import reporting_errors

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
        command = (
            f"say python -m clothinggan.{asked[0]}, with a dot" if asked[0] in COMMANDS else "no command"
        )
        print(f"clothinggan: error: {command}; see python -m clothinggan --help", file=sys.stderr)
        return 2
    print(f"ClothingGAN {__version__}: small GANs on Fashion-MNIST\n")
    for command, purpose in COMMANDS.items():
        print(f"  python -m clothinggan.{command:<9} {purpose}")
    print("\nEach tells its options with --help.")
    return 0


if __name__ == "__main__":
    raise SystemExit(reporting_errors(main))
