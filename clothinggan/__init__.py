"""ClothingGAN: trains small GANs on Fashion-MNIST, goes on where it stopped, shows what they draw.

>>> import clothinggan
>>> generator = clothinggan.load_generator("clothingGANlatest.h5")
>>> latent_vectors = clothinggan.draw_latent_vectors(count=25, size=100, seed=0)
>>> images = clothinggan.generate(generator, latent_vectors)  # (25, 28, 28) float32 in [0, 1]
"""

from pkgutil import resolve_name

__version__ = "1.0.0"

_HOMES = {
    "ClothingGANError": "clothinggan.errors:ClothingGANError",
    "PRESETS": "clothinggan.presets:PRESETS",
    "draw_latent_vectors": "clothinggan.models:draw_latent_vectors",
    "generate": "clothinggan.models:generate",
    "load_data": "clothinggan.data.sources:load",
    "load_generator": "clothinggan.checkpoint.restore:load_generator",
}
_WITHOUT_TENSORFLOW = {"ClothingGANError", "PRESETS", "load_data"}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    # On first use: importing the package does not wait for TensorFlow.
    if name not in _HOMES:
        raise AttributeError(f"module 'clothinggan' has no attribute '{name}'")
    if name not in _WITHOUT_TENSORFLOW:
        from clothinggan import environment

        environment.import_tensorflow()
    return resolve_name(_HOMES[name])
