"""Networks from what a checkpoint file holds, and images from them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.checkpoint.keras_file import MAX_LATENT_SIZE, build_model
from clothinggan.errors import ClothingGANError
from clothinggan.gan import GAN
from clothinggan.models import build_networks, draw_latent_vectors, generate


def restore_generator(checkpoint: Checkpoint) -> keras.Model:
    """Returns the generator of a file: latent vectors (n, k) to images (n, 28, 28, 1).

    Raises:
        ClothingGANError: If the model in the file is not such a generator, or not acceptable.
    """
    path = checkpoint.path
    model = build_model(checkpoint.contents, path)
    if len(model.input_shape) != 2 or model.output_shape[1:] != (28, 28, 1):
        raise ClothingGANError(
            f"{path} is not a generator of 28x28x1 images: "
            f"it maps {model.input_shape[1:]} to {model.output_shape[1:]}; use another file, or save it "
            "anew with a Reshape((28, 28, 1)) at its end where only the shape differs"
        )
    if model.input_shape[1] > MAX_LATENT_SIZE:
        raise ClothingGANError(
            f"{path} takes latent vectors of {model.input_shape[1]:,} numbers, which is more than "
            f"{MAX_LATENT_SIZE:,}; use another file"
        )
    if checkpoint.classes and model.input_shape[1] <= len(checkpoint.classes):
        raise ClothingGANError(
            f"{path} has no room for a class in {model.input_shape[1]} numbers; use another file"
        )
    return model


def restore_discriminator(checkpoint: Checkpoint) -> keras.Model:
    """Returns the discriminator of a run's file, or of a file that another tool saved one in.

    Returns:
        A model from images (n, 28, 28, 1) to probabilities, (n, 1), or (n, classes) for a conditional design.

    Raises:
        ClothingGANError: If the model in the file is not such a discriminator, or not acceptable.
    """
    if checkpoint.preset:
        _, model = build_networks(checkpoint.preset, checkpoint.record.seed)
        arrays = checkpoint.state.get("discriminator", [])
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in model.variables]:
            another = f"holds another discriminator than {checkpoint.preset.name}'s"
            raise ClothingGANError(f"{checkpoint.path} {another}; use another file")
        for variable, array in zip(model.variables, arrays, strict=True):
            variable.assign(array)
        return model
    model = build_model(checkpoint.contents, checkpoint.path)
    if model.input_shape[1:] != (28, 28, 1) or model.output_shape[1:] != (1,):
        raise ClothingGANError(
            f"{checkpoint.path} is not a discriminator of 28x28x1 images: "
            f"it maps {model.input_shape[1:]} to {model.output_shape[1:]}; use another file"
        )
    return model


def restore_state(checkpoint: Checkpoint, gan: GAN) -> None:
    """Gives a GAN the training state of a file.

    Raises:
        ClothingGANError: If it is not the state of such a GAN.
    """
    try:
        gan.load_state(checkpoint.state)
    except ClothingGANError as error:
        error.add(where=checkpoint.path, remedy="use another file")
        raise


def restore_gan(checkpoint: Checkpoint, generator: keras.Model | None = None) -> GAN:
    """Returns a run's networks, optimisers and precision as they were.

    Args:
        checkpoint: A file of a run.
        generator: What `restore_generator` returned for it, if it has been called.

    Raises:
        ClothingGANError: If the file is not of a run of a design here, or its state does not fit it.
    """
    if not checkpoint.preset:
        raise ClothingGANError(f"{checkpoint.path} holds a generator alone; use a file of a run")
    record = checkpoint.record
    _, discriminator = build_networks(checkpoint.preset, record.seed)
    generator = generator or restore_generator(checkpoint)
    gan = GAN(checkpoint.preset, generator, discriminator, record.seed, record.precision)
    restore_state(checkpoint, gan)
    return gan


def draw_images(
    checkpoint: Checkpoint,
    generator: keras.Model,
    count: int,
    seed: int,
    classes: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws images with the generator of a file.

    Args:
        checkpoint: The file.
        generator: What `restore_generator` returned for it.
        count: How many.
        seed: Decides the latent vectors.
        classes: Those to draw, in turns; a generator that can be asked for a class draws all by default.
        progress: Called with the number of images done, now and then.

    Returns:
        The images, (count, 28, 28) float32 in [0, 1], and their latent vectors, (count, k) float32.

    Raises:
        ClothingGANError: See `clothinggan.models.generate`.
    """
    size = generator.input_shape[-1]
    known = checkpoint.classes
    asked = known if classes is None else classes
    vectors = draw_latent_vectors(count, size, seed, asked, len(known or ()))
    try:
        return generate(generator, vectors, progress=progress), vectors
    except ClothingGANError as error:
        error.add(where=checkpoint.path)
        raise


def load_generator(path: str | Path) -> keras.Model:
    """Returns the generator of a checkpoint, or of another tool's HDF5 file.

    Args:
        path: The ``.h5`` file.

    Returns:
        A model from latent vectors (n, k) float32 to images (n, 28, 28, 1).

    Raises:
        ClothingGANError: If the file cannot be read, or holds no such generator.
    """
    return restore_generator(read_checkpoint(Path(path)))
