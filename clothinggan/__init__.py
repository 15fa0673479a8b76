"""ClothingGAN: trains small GANs on Fashion-MNIST, goes on where it stopped, shows what they draw.

>>> import clothinggan
>>> run = clothinggan.fit("swift", data="sample", epochs=3, out="runs/first")
>>> run.show()
>>> images = clothinggan.draw(run.path, 25, classes=["sneaker", "ankle boot"])  # (25, 28, 28) in [0, 1]
>>> scores = clothinggan.measure(run.path)
"""

import os
import sys

# `python -m` looks for every module in the folder that it is called in first, and this is somebody's own: a
# queue.py there is not meant when Python's own is asked for. (Only until a command is found, argv begins so.)
_IS_COMMAND = sys.argv[:1] == ["-m"]
if _IS_COMMAND and not getattr(sys.flags, "safe_path", False) and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clothinggan.api import Measures, draw, fit, measure, show
    from clothinggan.checkpoint.restore import load_generator
    from clothinggan.data.sources import load as load_data
    from clothinggan.errors import ClothingGANError
    from clothinggan.gan import GAN
    from clothinggan.models import build_networks, draw_latent_vectors, generate
    from clothinggan.presets import PRESETS, Preset


from clothinggan.dependencies import require_dependencies
from clothinggan.tensorflow_settings import prepare_tensorflow
from clothinggan.version import __version__

if _IS_COMMAND:
    require_dependencies()
prepare_tensorflow()

_HOMES = {
    "ClothingGANError": "clothinggan.errors:ClothingGANError",
    "GAN": "clothinggan.gan:GAN",
    "Measures": "clothinggan.api:Measures",
    "PRESETS": "clothinggan.presets:PRESETS",
    "Preset": "clothinggan.presets:Preset",
    "build_networks": "clothinggan.models:build_networks",
    "draw": "clothinggan.api:draw",
    "draw_latent_vectors": "clothinggan.models:draw_latent_vectors",
    "fit": "clothinggan.api:fit",
    "generate": "clothinggan.models:generate",
    "load_data": "clothinggan.data.sources:load",
    "load_generator": "clothinggan.checkpoint.restore:load_generator",
    "measure": "clothinggan.api:measure",
    "show": "clothinggan.api:show",
}
_ON_TENSORFLOW = {"GAN", "build_networks", "draw_latent_vectors", "generate", "load_generator"}
__all__ = [
    "GAN",
    "PRESETS",
    "ClothingGANError",
    "Measures",
    "Preset",
    "__version__",
    "build_networks",
    "draw",
    "draw_latent_vectors",
    "fit",
    "generate",
    "load_data",
    "load_generator",
    "measure",
    "show",
]


def __getattr__(name: str) -> object:
    # On first use: importing the package does not wait for TensorFlow.
    if name not in _HOMES:
        raise AttributeError(f"module 'clothinggan' has no attribute '{name}'")
    from pkgutil import resolve_name

    from clothinggan import environment

    with environment.naming_what_shadows():
        if name in _ON_TENSORFLOW:
            environment.import_tensorflow()
        return resolve_name(_HOMES[name])


def __dir__() -> list[str]:
    return list({*__all__, *(name for name in globals() if name.startswith("__"))})
