"""What all that scripts/benchmark/benchmark.py compares has in common: the design, and images of noise."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkout  # noqa: F401 - the package of this checkout

# Importing the package has TensorFlow use oneDNN, and what it is compared with is to have its own defaults.
# Ours are set again when this project's step imports TensorFlow.
_as_it_was = dict(os.environ)

from clothinggan.presets import PRESETS, Preset

os.environ.clear()
os.environ.update(_as_it_was)

if TYPE_CHECKING:
    import numpy as np

IMAGES = 60_000

Work = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """What the work depends on.

    Attributes:
        model: The design that is trained, a name of `PRESETS`.
        batch_size: Real images a step.
        generate: Images to generate at once.
        rounds: How often a profile measures each part.
    """

    model: str
    batch_size: int
    generate: int
    rounds: int

    @property
    def preset(self) -> Preset:
        """The design's row."""
        return PRESETS[self.model]


def random_images(count: int) -> "np.ndarray":
    """Noise, (count, 28, 28) uint8: for the time of a step, images are as good as any."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)


def random_labels(count: int) -> "np.ndarray":
    """Classes at random, (count,) int32."""
    import numpy as np

    return np.random.default_rng(1).integers(0, 10, count).astype(np.int32)
