"""Networks that a program built itself, taken as they will be read back from a run's files.

What a run trains are copies, made of the networks' stored configuration as if a file had been opened. So
what could not be resumed in another process is refused before the training, and not after it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
from keras import layers

from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import Checkpoint, hdf5_image
from clothinggan.checkpoint.restore import identify, restore_discriminator
from clothinggan.errors import ClothingGANError, first_line
from clothinggan.models import class_names, last_activation
from clothinggan.presets import SETTINGS, Preset

GENERATOR, DISCRIMINATOR = Path("the generator"), Path("the discriminator")  # in messages, as files are


@dataclass(frozen=True)
class OwnNetworks:
    """The networks that are not the design's own.

    Attributes:
        generator: Read back; None for the design's.
        discriminator: The same.
    """

    generator: Checkpoint | None
    discriminator: Checkpoint | None

    @property
    def discriminator_configuration(self) -> str | None:
        """What a run's record says of the discriminator, to build it again; the generator is in each file."""
        return self.discriminator and self.discriminator.contents.attributes[""]["model_config"]


def take_own_networks(
    generator: keras.Model | None, discriminator: keras.Model | None, preset: Preset
) -> tuple[OwnNetworks, Preset]:
    """Takes a program's networks for a run of a design.

    Args:
        generator: Latent vectors (n, k), or these and a class, to images of 28x28; None for the design's.
        discriminator: Images (n, 28, 28, 1) to probabilities, (n, 1), or (n, classes) for a conditional
            design; None for the design's.
        preset: The design: its labels, learning rates and all else but the layers.

    Returns:
        The networks, and the design with the latent size of the generator.

    Raises:
        ClothingGANError: If a network cannot be kept in a file, or is none of this design.
    """
    own = OwnNetworks(
        None if generator is None else _read_back(generator, GENERATOR),
        None if discriminator is None else _read_back(discriminator, DISCRIMINATOR),
    )
    if own.generator:
        preset = _with_latent_size(preset, identify(own.generator)[1])
    if own.discriminator:
        taken = restore_discriminator(own.discriminator, preset)
        if last_activation(taken) is not keras.activations.sigmoid:
            raise ClothingGANError(
                f"{DISCRIMINATOR} does not end in a sigmoid, by which it says how sure it is; give its last "
                "layer activation='sigmoid'"
            )
    return own, preset


def _with_latent_size(preset: Preset, generator: keras.Model) -> Preset:
    size, known = generator.input_shape[-1], len(class_names(generator))
    if known and not preset.conditional:
        raise ClothingGANError(
            f"{GENERATOR} takes a class, which {preset.name} does not learn with; choose the design swift, "
            "and a discriminator with a probability for each class"
        )
    if known not in (0, preset.classes):
        raise ClothingGANError(
            f"{GENERATOR} takes one of {known} classes; the images are of {preset.classes}"
        )
    latent_size = size - (preset.classes if preset.conditional else 0)
    bounds = SETTINGS["latent_size"]
    if not bounds.minimum <= latent_size <= bounds.maximum:
        behind = f" before the {preset.classes} of the class" if preset.conditional else ""
        raise ClothingGANError(
            f"{GENERATOR} takes {size} numbers, and its latent vectors must be of {bounds.minimum} to "
            f"{bounds.maximum:,}{behind}"
        )
    return replace(preset, latent_size=latent_size)


def _read_back(network: keras.Model, what: Path) -> Checkpoint:
    """A network as a file with it would be read."""
    if not isinstance(network, keras.Model):
        raise ClothingGANError(
            f"{what} is a {type(network).__name__}; build it as keras.Sequential, or as keras.Model of its "
            "inputs and outputs"
        )
    if not network.built:
        raise ClothingGANError(
            f"{what} does not say the shape of its input; begin it with keras.Input(shape)"
        )
    for layer in _all_layers(network):
        said = layer.get_config()
        lost = [name for name in said if name.endswith(("_regularizer", "_constraint")) and said[name]]
        if lost or isinstance(layer, layers.ActivityRegularization):
            raise ClothingGANError(
                f"{what} has a layer '{layer.name}' with {lost[0] if lost else 'a regularizer'}, which a run "
                "does not learn with; leave it out"
            )
    try:
        image = hdf5_image(network)
    except Exception as error:
        # Keras raises several kinds for layers that it cannot save.
        raise ClothingGANError(f"{what} cannot be kept in a file: {first_line(error)}") from error
    return Checkpoint(what, None, {}, hdf5.parse(image, what), hashlib.sha256(image).hexdigest())


def _all_layers(network: keras.Layer) -> Iterator[keras.Layer]:
    for layer in getattr(network, "layers", []):
        yield layer
        yield from _all_layers(layer)
