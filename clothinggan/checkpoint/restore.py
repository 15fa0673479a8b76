"""Networks from what a checkpoint file holds, and images from them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers

from clothinggan.checkpoint.file import Checkpoint, read_checkpoint
from clothinggan.checkpoint.keras_file import MAX_LATENT_SIZE, build_layers, build_model, half_precision
from clothinggan.checkpoint.weights_file import find_design, take_weights
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.errors import ClothingGANError
from clothinggan.gan import GAN
from clothinggan.models import build_networks, class_names, draw_latent_vectors, generate, tell_classes
from clothinggan.presets import PRESETS, Preset


def restore_generator(checkpoint: Checkpoint) -> keras.Model:
    """Returns the generator of a file: latent vectors (n, k) to images (n, 28, 28, 1).

    Raises:
        ClothingGANError: If the model in the file is not such a generator, or not acceptable.
    """
    return identify(checkpoint)[1]


def identify(
    checkpoint: Checkpoint, model: str | None = None, class_count: int | None = None
) -> tuple[Checkpoint, keras.Model]:
    """Finds out what another tool's file does not say.

    Args:
        checkpoint: The file.
        model: The design's name, where the file does not say it.
        class_count: How many of the last numbers say the class, one of them 1 and the others 0, where the
            file does not say it.

    Returns:
        The file, with what is known of it now; and its generator, as `restore_generator` returns it, which
        was told its classes.

    Raises:
        ClothingGANError: See `restore_generator`; or if the file says something else.
    """
    path, record = checkpoint.path, checkpoint.record
    if record and model not in (None, record.preset):
        raise ClothingGANError(
            f"{path} is a run of {record.preset}, not of {model}", remedy="leave --model out"
        )
    if checkpoint.holds_weights_alone:
        named = model or (checkpoint.design and checkpoint.design.name)
        design = find_design(checkpoint.contents, path, named)
        generator, _ = build_networks(design, seed=0)
        take_weights(generator, checkpoint.contents, path)
        found = f"{path} holds weights alone, which fit {design.name}'s generator and no other"
        checkpoint = replace(checkpoint, design=design, notes=() if named else (found,))
        known = len(design.class_numbers or ())
        apart = False
    else:
        built = build_model(checkpoint.contents, path)
        generator = _from_vectors(_to_images(built, path), path)
        if half := half_precision(checkpoint.contents):
            rounded = f"{path} was computed in {half}, and is in float32 here: images differ by its rounding"
            checkpoint = replace(checkpoint, notes=(*checkpoint.notes, rounded))
        apart = bool(class_names(built)) and not checkpoint.classes
        named = PRESETS.get(model)
        known = len(checkpoint.classes or class_names(built) or (named and named.class_numbers) or ())
    if class_count and known not in (0, class_count):
        raise ClothingGANError(f"{path} is of {known} classes, not of {class_count}; leave --classes out")
    size, known = generator.input_shape[1], known or class_count or 0
    if size > MAX_LATENT_SIZE:
        raise ClothingGANError(
            f"{path} takes latent vectors of {size:,} numbers, which is more than {MAX_LATENT_SIZE:,}; use "
            "another file"
        )
    if known >= size:
        raise ClothingGANError(f"{path} has no room for a class in {size} numbers; use another file")
    if known and not checkpoint.preset:
        checkpoint = _with_class_names(checkpoint, known)
    # Without labels there is one class, which nobody has named.
    return checkpoint, tell_classes(generator, checkpoint.class_names or map(str, range(known)), apart)


def _with_class_names(checkpoint: Checkpoint, count: int) -> Checkpoint:
    """Names the classes that another tool's file does not name."""
    if count != len(CLASS_NAMES):
        return replace(checkpoint, foreign_classes=tuple(map(str, range(count))))
    taken = f"{checkpoint.path} does not name its classes: they are taken for Fashion-MNIST's, in its order"
    notes = checkpoint.notes if checkpoint.design else (*checkpoint.notes, taken)
    return replace(checkpoint, foreign_classes=CLASS_NAMES, notes=notes)


def _to_images(model: keras.Model, path: Path) -> keras.Model:
    """A model whose images are (28, 28, 1): 28x28 or 784 numbers without the last axis get it."""
    into, out = model.input_shape[1:], model.output_shape[1:]
    if out == (28, 28, 1):
        return model
    if None not in out and math.prod(out) == 28 * 28:
        return _extended(model, after=layers.Reshape((28, 28, 1), name="to_images"))
    raise ClothingGANError(f"{path} is not a generator of 28x28x1 images: {_described(into, out)}")


def _described(into: tuple, out: tuple) -> str:
    """What a model is that draws no images of 28x28, and what to do with it."""
    sizes = f"it maps {into} to {out}"
    if len(out) == 1:
        if len(into) == 1:
            return (
                f"{sizes}, as a whole GAN does, whose generator and discriminator are layers of one model; "
                "save its generator alone: gan.layers[0].save('NAME.keras'), or [1] where [0] is its input"
            )
        return (
            f"{sizes}, as a discriminator or a classifier does; name the generator's file, and with resume a "
            "discriminator's by --discriminator-weights"
        )
    if len(out) == 3 and len(into) == 1:
        height, width, channels = out
        kind = "colour images" if channels in (3, 4) else f"images of {height}x{width}"
        return f"{sizes}: it draws {kind}, where this program is for 28x28 grey ones; use another file"
    if len(into) > 1:
        return f"{sizes}, images to images; use a file of a generator, which takes latent vectors"
    return f"{sizes}; use another file"


def _from_vectors(model: keras.Model, path: Path) -> keras.Model:
    """A model that takes vectors: those of (1, 1, k), as transposed convolutions take them, are such too."""
    into = model.input_shape[1:]
    if len(into) == 1:
        return model
    if into and None not in into and math.prod(into) == max(into):
        return _extended(model, before=into)
    raise ClothingGANError(f"{path} takes arrays of {into}, not latent vectors; use a file of a generator")


def _extended(
    model: keras.Model, before: tuple | None = None, after: keras.Layer | None = None
) -> keras.Model:
    """A model with a layer more: its own layers stay what they are."""
    first = [keras.Input((math.prod(before),)), layers.Reshape(before, name="from_vectors")] if before else []
    last = [after] if after else []
    if isinstance(model, keras.Sequential):
        first = first or [keras.Input(model.input_shape[1:])]
        return keras.Sequential([*first, *model.layers, *last], name=model.name)
    vectors = first[0] if before else model.inputs[0]
    tensor = model(first[1](vectors)) if before else model.outputs[0]
    return keras.Model(vectors, after(tensor) if after else tensor, name=model.name)


def restore_discriminator(checkpoint: Checkpoint, preset: Preset | None = None) -> keras.Model:
    """Returns the discriminator of a run's file, or of a file that another tool saved one in.

    Args:
        checkpoint: The file.
        preset: Whose discriminator it is, where the file holds weights alone.

    Returns:
        A model from images (n, 28, 28, 1) to probabilities, (n, 1), or (n, classes) for a conditional design.

    Raises:
        ClothingGANError: If the model in the file is not such a discriminator, or not acceptable.
    """
    if checkpoint.preset:
        if not checkpoint.state:
            raise ClothingGANError(
                f"{checkpoint.path} holds a run's generator alone, and no discriminator; use the run's file"
            )
        _, model = build_run_networks(checkpoint)
        arrays = checkpoint.state.get("discriminator", [])
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in model.variables]:
            another = f"holds another discriminator than {checkpoint.preset.name}'s"
            raise ClothingGANError(f"{checkpoint.path} {another}; use another file")
        for variable, array in zip(model.variables, arrays, strict=True):
            variable.assign(array)
        return model
    if checkpoint.holds_weights_alone and preset:
        _, model = build_networks(preset, seed=0)
        take_weights(model, checkpoint.contents, checkpoint.path)
        return model
    model = build_model(checkpoint.contents, checkpoint.path)
    _check_discriminator(model, preset, checkpoint.path)
    return model


def build_run_networks(checkpoint: Checkpoint) -> tuple[keras.Model, keras.Model]:
    """Returns networks as those that a run began with: its design's, or a discriminator of its own layers.

    Raises:
        ClothingGANError: If the discriminator that the file describes is none, or not acceptable.
    """
    preset, record = checkpoint.preset, checkpoint.record
    generator, discriminator = build_networks(preset, record.seed)
    if record.discriminator:
        stored = sum(array.size for array in checkpoint.state.get("discriminator", []))
        discriminator = build_layers(record.discriminator, stored, checkpoint.path)
        _check_discriminator(discriminator, preset, checkpoint.path)
    return generator, discriminator


def _check_discriminator(model: keras.Model, preset: Preset | None, path: Path) -> None:
    answers = preset.classes if preset and preset.conditional else 1
    if model.input_shape[1:] != (28, 28, 1) or model.output_shape[1:] != (answers,):
        raise ClothingGANError(
            f"{path} is not a discriminator of 28x28x1 images: it maps {model.input_shape[1:]} to "
            f"{model.output_shape[1:]}, where {(answers,)} is expected; use another"
        )


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
    _, discriminator = build_run_networks(checkpoint)
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
        generator: What `restore_generator` or `identify` returned for it.
        count: How many.
        seed: Decides the latent vectors.
        classes: Those to draw, in turns; a generator that can be asked for a class draws all by default.
        progress: Called with the number of images done, now and then.

    Returns:
        The images, (count, 28, 28) float32 in [0, 1], and their latent vectors, (count, k) float32.

    Raises:
        ClothingGANError: See `clothinggan.models.generate`.
    """
    # By their names: a class may be called by another's number.
    names = None if classes is None else [class_names(generator)[number] for number in classes]
    try:
        vectors = draw_latent_vectors(count, generator, seed, names)
        return generate(generator, vectors, progress=progress), vectors
    except ClothingGANError as error:
        error.add(where=checkpoint.path)
        raise


def load_generator(path: str | Path, model: str | None = None, class_count: int | None = None) -> keras.Model:
    """Returns the generator of a checkpoint, or of another tool's file.

    Args:
        path: An ``.h5`` or ``.keras`` file, or weights alone of a design here; or ``example:swift``.
        model: The design's name, where the file holds weights alone that fit several.
        class_count: How many of the last numbers that it takes say the class, where the file does not say it.

    Returns:
        A model from latent vectors (n, k) float32 to images (n, 28, 28, 1). It knows which classes it takes:
        see `clothinggan.models.draw_latent_vectors`.

    Raises:
        ClothingGANError: If the file cannot be read, or holds no such generator.
    """
    return identify(read_checkpoint(Path(path)), model, class_count)[1]
