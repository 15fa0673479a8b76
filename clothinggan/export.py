"""What is drawn, and the generator, in the forms that other programs read; the name's ending says which."""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clothinggan import files
from clothinggan.dependencies import is_installed
from clothinggan.environment import standard_error_held_back
from clothinggan.errors import ClothingGANError, first_line, reason, shown

if TYPE_CHECKING:
    import keras

FOLDER, ARRAYS = "folder", ".npz"
GENERATORS = (".h5", ".keras", ".onnx", ".tflite")


@dataclass(frozen=True)
class Place:
    """Where something is exported to.

    Attributes:
        path: A file, or a folder of PNG files.
        form: `FOLDER`, `ARRAYS`, or one of `GENERATORS`.
    """

    path: Path
    form: str

    @property
    def takes_images(self) -> bool:
        """Whether images go there, and not the generator."""
        return self.form in (FOLDER, ARRAYS)

    def prepare(self) -> None:
        """Makes sure, before anything is drawn, that it can be written.

        Raises:
            ClothingGANError: If it cannot, or if a folder holds other files.
        """
        if self.form == ".onnx" and not is_installed("tf2onnx"):
            raise ClothingGANError(
                "--export to .onnx needs the package tf2onnx; get it with: pip install 'clothinggan[onnx]'"
            )
        if self.form != FOLDER:
            files.prepare_file(self.path, "--export")
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ClothingGANError(
                f"{self.path} is there and is no empty folder; name another with --export: what measures a "
                "folder of images takes every picture in it"
            )
        files.prepare_folder(self.path.parent, "--export")


def find_place(path: Path, named: str) -> Place:
    """Returns what is meant: a folder is there, or its name ends in / or in nothing; else the ending says.

    Args:
        path: Where to.
        named: The same as the user wrote it.

    Raises:
        ValueError: If the ending is none that is known.
    """
    if named.endswith("/") or path.is_dir() or not path.suffix:
        return Place(path, FOLDER)
    if path.suffix not in (ARRAYS, *GENERATORS):
        endings = ", ".join((ARRAYS, *GENERATORS))
        raise ValueError(f"'{path}' ends in none of {endings}; a folder of PNG files ends in /")
    return Place(path, path.suffix)


def save_images(
    place: Place,
    images: np.ndarray,
    latent_vectors: np.ndarray,
    classes: Sequence[int] | None,
    class_names: Sequence[str],
) -> None:
    """Writes images: an .npz file of arrays, or a folder of PNG files.

    In the file are `images`, float32 in [0, 1], `latent_vectors`, the `classes` and `class_names` if there
    are any, and `arr_0`, (n, 28, 28, 3) uint8, which ADM's evaluator reads. In the folder each image is
    called by its class and number, as torch-fidelity and clean-fid take them.

    Args:
        place: Where to.
        images: (n, 28, 28) float32 in [0, 1].
        latent_vectors: (n, k) float32.
        classes: The class of each image, (n,); None where they have none.
        class_names: The names of all classes.

    Raises:
        ClothingGANError: If it cannot be written; nothing is left of it then.
    """
    grey = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), 10_000):  # A million in float32 once more would fill the memory.
        grey[start : start + 10_000] = np.rint(images[start : start + 10_000] * 255)
    if place.form == FOLDER:
        _save_pictures(place.path, grey, classes, class_names)
        return
    arrays = {
        "images": images,
        "latent_vectors": latent_vectors,
        "arr_0": np.broadcast_to(grey[..., np.newaxis], (*grey.shape, 3)),
    }
    if classes is not None:
        arrays |= {"classes": np.asarray(classes), "class_names": np.array(class_names)}
    with files.atomic_write(place.path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _save_pictures(
    folder: Path, grey: np.ndarray, classes: Sequence[int] | None, class_names: Sequence[str]
) -> None:
    from PIL import Image

    digits = len(str(len(grey) - 1))
    # Whole or not at all, as a file is.
    temporary = folder.with_name(f".clothinggan-{folder.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for number, image in enumerate(grey):
            what = "image" if classes is None else in_a_file_name(class_names[classes[number]])
            Image.fromarray(image).save(temporary / f"{what}_{number:0{digits}}.png")
        temporary.replace(folder)
    except OSError as error:
        raise ClothingGANError(f"cannot write {folder}: {reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def picture_name(weights: Path, classes: Iterable[str], seed: int) -> str:
    """Returns what a picture's name begins with: another for each file, classes and seed asked for."""
    parts = [shown(weights.stem).replace(":", "-")]  # Of example:swift; not all systems know such names.
    parts += map(in_a_file_name, classes)
    if seed:
        parts.append(f"seed{seed}")
    return "_".join(parts)[: files.MAX_NAME]


def in_a_file_name(class_name: str) -> str:
    """Returns a class's name without what divides folders, or the class from the number: `t-shirt-top`."""
    return "".join(c if c.isalnum() else "-" for c in class_name.lower())


def save_generator(place: Place, generator: "keras.Model") -> None:
    """Writes a generator in the form that the ending says.

    ``.h5`` opens in Keras 2 and 3, ``.keras`` in Keras 3, ``.onnx`` in ONNX Runtime and what else reads
    ONNX, ``.tflite`` in LiteRT. Each takes float32 latent vectors (n, k) and gives images (n, 28, 28, 1),
    black at 0, or at -1 where the generator ends in tanh.

    Raises:
        ClothingGANError: If it cannot be written, or has no such form.
    """
    written = _WRITERS[place.form](generator)
    with files.atomic_write(place.path) as temporary:
        if isinstance(written, bytes):
            temporary.write_bytes(written)
        else:
            written(temporary)


def _as_h5(generator: "keras.Model") -> bytes:
    from clothinggan.checkpoint.file import hdf5_image

    return hdf5_image(generator)


def _as_keras(generator: "keras.Model") -> Callable[[Path], None]:
    return generator.save


def _as_onnx(generator: "keras.Model") -> bytes:
    import onnx
    import tf2onnx

    # It says on standard error what it cannot convert, and leaves it as it is.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    compute = _computing(generator)
    model, _ = tf2onnx.convert.from_function(compute, compute.input_signature)
    # Those that it has no operator for go by TensorFlow's names.
    model.graph.output[0].name, before = "images", model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["images" if name == before else name for name in node.output]
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ClothingGANError(
            f"this generator has no ONNX form: {first_line(error)}; export to .keras or .tflite"
        ) from error
    return model.SerializeToString()


def _as_tflite(generator: "keras.Model") -> bytes:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Weights become constants: as variables they would have no values in the file.
    frozen = convert_variables_to_constants_v2(_computing(generator).get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    try:
        with standard_error_held_back(), warnings.catch_warnings(action="ignore"):
            return converter.convert()
    except Exception as error:  # The converter has classes of its own, and others.
        raise ClothingGANError(
            f"TensorFlow's converter cannot make a TFLite model of this generator: {first_line(error)}"
        ) from error


def _computing(generator: "keras.Model") -> Callable:
    """What a generator computes, as a function of TensorFlow that other programs' converters read."""
    import tensorflow as tf
    from keras import layers

    from clothinggan import layer_graph

    def call(layer: "keras.Layer", given: "tf.Tensor | list[tf.Tensor]") -> "tf.Tensor":
        if isinstance(layer, layers.UpSampling2D) and layer.interpolation == "nearest":
            # Keras repeats rows and columns, of which TFLite's converter forgets how many there are.
            size = layer.compute_output_shape(given.shape)[1:3]
            return tf.raw_ops.ResizeNearestNeighbor(images=given, size=size)
        return layer(given, training=False)

    return tf.function(
        lambda latent_vectors: layer_graph.walk(generator, latent_vectors, call),
        input_signature=[tf.TensorSpec((None, generator.input_shape[-1]), tf.float32, name="latent_vectors")],
    )


_WRITERS = {".h5": _as_h5, ".keras": _as_keras, ".onnx": _as_onnx, ".tflite": _as_tflite}
