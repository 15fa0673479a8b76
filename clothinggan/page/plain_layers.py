"""What a generator computes, as plain data: each layer with its sizes and weights, for `layers.js`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy as to_numpy

from clothinggan import layer_graph
from clothinggan.errors import ClothingGANError

# Those of `layers.js`, by Keras's names.
# fmt: off
ACTIVATIONS = (
    "elu", "exponential", "gelu", "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "softplus", "softsign", "tanh",
)
# fmt: on
# When nothing is learned, but for an activation.
_MOVES_NO_NUMBER = (
    layers.Activation
    | layers.ActivityRegularization
    | layers.AlphaDropout
    | layers.Dropout
    | layers.Flatten
    | layers.GaussianDropout
    | layers.GaussianNoise
    | layers.Identity
    | layers.Reshape
    | layers.SpatialDropout2D
)


_MERGES = {
    layers.Add: "add",
    layers.Average: "add",
    layers.Maximum: "maximum",
    layers.Minimum: "minimum",
    layers.Multiply: "multiply",
    layers.Subtract: "subtract",
}


@dataclass(frozen=True)
class PlainLayer:
    """A layer without Keras.

    Attributes:
        says: Which function of `layers.js` computes it (`op`), and its sizes: words, numbers, lists of these;
            and whose results it takes (`takes`), where 0 is the latent vector and n the n-th layer.
        vectors: What has a number for each channel or pixel, float32: a bias, a scale, a slope.
        kernel: float16, in the order of the kernel's rows and columns, input channels, output channels; empty
            where the layer has none.
    """

    says: dict[str, object]
    vectors: tuple[np.ndarray, ...] = ()
    kernel: np.ndarray = field(default_factory=partial(np.empty, 0, np.float16))

    @property
    def described(self) -> dict[str, object]:
        """What it says, and how many numbers it takes of the weights: all but the weights."""
        return {**self.says, "vectors": [vector.size for vector in self.vectors], "numbers": self.kernel.size}


@dataclass(frozen=True)
class _Result:
    """What a layer gives: of which shape, and which of the plain layers gives it."""

    shape: tuple[int, ...]
    number: int


def plain_layers(generator: keras.Model) -> list[PlainLayer]:
    """Returns what a generator computes, layer by layer, as it is when it is not trained.

    Args:
        generator: A stack or a graph of layers: latent vectors (n, k) to images (n, 28, 28, 1).

    Raises:
        ClothingGANError: If it has a layer, an argument or a weight that the page cannot compute with.
    """
    found: list[PlainLayer] = []

    def call(layer: keras.Layer, given: _Result | list[_Result]) -> _Result:
        several = isinstance(given, list)
        numbers = [result.number for result in given] if several else [given.number]
        if several:
            shapes = [result.shape for result in given]
            out = tuple(layer.compute_output_shape([(None, *shape) for shape in shapes])[1:])
            steps = _joined(layer, shapes, out)
        else:
            out = tuple(layer.compute_output_shape((None, *given.shape))[1:])
            steps = _plain(layer, given.shape, out)
        for step in steps:
            found.append(replace(step, says={**step.says, "takes": numbers}))
            numbers = [len(found)]
        return _Result(out, *numbers)

    layer_graph.walk(generator, _Result(generator.input_shape[1:], 0), call)
    for layer in found:
        if not all(np.isfinite(array).all() for array in (*layer.vectors, layer.kernel)):
            raise ClothingGANError(
                "a weight of the generator is not a number, or larger than a page can hold"
            )
    return found


def packed_weights(found: Sequence[PlainLayer]) -> bytes:
    """Returns the weights of all layers: first the vectors, then the kernels, little-endian."""
    vectors = [vector.astype("<f4").tobytes() for layer in found for vector in layer.vectors]
    return b"".join([*vectors, *(layer.kernel.astype("<f2").tobytes() for layer in found)])


def strongest_numbers(found: Sequence[PlainLayer], size: int, count: int) -> list[int]:
    """Returns which latent numbers move the first layer most, in their order.

    Args:
        found: The layers.
        size: How many latent numbers there are, without the class.
        count: How many to name at most.
    """
    first = found[0] if found else None
    if first and first.says["op"] == "dense":
        strength = np.linalg.norm(first.kernel.astype(np.float32).reshape(first.says["channels"], -1), axis=1)
    else:
        strength = np.zeros(size)
    return sorted(np.argsort(-strength[:size], kind="stable")[:count].tolist())


def _plain(layer: keras.Layer, shape: tuple[int, ...], out: tuple[int, ...]) -> Iterator[PlainLayer]:
    """A layer that takes `shape` to `out`: nothing if it changes no number, several if it activates too."""
    match layer:
        case layers.Dense():
            sizes = {"rows": math.prod(shape[:-1]), "channels": shape[-1], "filters": out[-1]}
            yield _product(layer, {"op": "dense", **sizes}, layer.kernel)
        case layers.Conv2DTranspose():
            kernel = np.moveaxis(to_numpy(layer.kernel), 2, 3)
            yield _product(layer, _convolution(layer, shape, out, True), kernel)
        case layers.Conv2D() if layer.groups == 1:
            yield _product(layer, _convolution(layer, shape, out, False), layer.kernel)
        case layers.BatchNormalization() if layer.axis in (-1, len(shape)):
            yield _scale_and_shift(shape, *_normalisation(layer))
        case layers.Rescaling():
            yield _scale_and_shift(shape, layer.scale, layer.offset)
        case layers.UpSampling2D() if layer.interpolation in ("nearest", "bilinear"):
            bilinear = layer.interpolation == "bilinear"
            yield PlainLayer({"op": "upsample", "from": shape, "to": out, "bilinear": bilinear})
        case layers.Cropping1D():
            (length, channels), (start, _) = shape, layer.cropping
            sizes = {"from": [length, 1, channels], "to": [out[0], 1, channels]}
            yield PlainLayer({"op": "place", **sizes, "before": [-start, 0]})
        case layers.ZeroPadding2D():
            (top, _), (left, _) = layer.padding
            yield PlainLayer({"op": "place", "from": shape, "to": out, "before": [top, left]})
        case layers.Cropping2D():
            (top, _), (left, _) = layer.cropping
            yield PlainLayer({"op": "place", "from": shape, "to": out, "before": [-top, -left]})
        case layers.LeakyReLU():
            yield _relu(layer.negative_slope)
        case layers.ReLU():
            yield _relu(layer.negative_slope, layer.threshold, layer.max_value)
        case layers.ELU():
            yield PlainLayer({"op": "activate", "name": "elu", "slope": float(layer.alpha)})
        case layers.PReLU():
            slopes = np.broadcast_to(to_numpy(layer.alpha), shape).astype(np.float32)
            yield PlainLayer({"op": "prelu"}, (slopes.ravel(),))
        case _ if not isinstance(layer, _MOVES_NO_NUMBER):
            raise _refused(layer)
    yield from _activation(layer)


def _joined(layer: keras.Layer, shapes: list[tuple[int, ...]], out: tuple[int, ...]) -> Iterator[PlainLayer]:
    """A layer that makes one of several results."""
    if isinstance(layer, layers.Concatenate):
        axis = layer.axis - 1 if layer.axis > 0 else layer.axis + len(out)
        blocks = [math.prod(shape[axis:]) for shape in shapes]
        yield PlainLayer({"op": "concatenate", "count": math.prod(out[:axis]), "blocks": blocks})
        return
    if type(layer) not in _MERGES or len(set(shapes)) > 1:
        raise _refused(layer, f"of {' and '.join(map(str, shapes))}")
    yield PlainLayer({"op": "merge", "name": _MERGES[type(layer)]})
    if isinstance(layer, layers.Average):
        yield _scale_and_shift(out, 1 / len(shapes), 0)


def _product(layer: keras.Layer, says: dict[str, object], kernel: np.ndarray) -> PlainLayer:
    bias = to_numpy(layer.bias) if layer.use_bias else np.zeros(says["filters"], np.float32)
    # What float16 has no number for becomes infinite, and is refused.
    with np.errstate(over="ignore"):
        return PlainLayer(says, (bias,), to_numpy(kernel).astype(np.float16).ravel())


def _convolution(
    layer: layers.Conv2D | layers.Conv2DTranspose, shape: tuple, out: tuple, transposed: bool
) -> dict[str, object]:
    # A transposed convolution is a convolution backwards, from its output to its input.
    fine, coarse = (out, shape) if transposed else (shape, out)
    before = [0, 0]
    if layer.padding == "same":
        # TensorFlow pads by what the last position lacks, the lesser half in front.
        reach = [
            (coarse[axis] - 1) * layer.strides[axis]
            + (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis]
            + 1
            for axis in (0, 1)
        ]
        before = [max(reach[axis] - fine[axis], 0) // 2 for axis in (0, 1)]
    return {
        "op": "convolve",
        "transposed": transposed,
        "from": shape,
        "to": out,
        "filters": out[-1],
        "kernel": layer.kernel_size,
        "strides": layer.strides,
        "dilation": layer.dilation_rate,
        "before": before,
    }


def _normalisation(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The scale and the shift that a normalisation by its moving averages comes to."""
    mean, variance = (
        to_numpy(array).astype(np.float64) for array in (layer.moving_mean, layer.moving_variance)
    )
    scale = (to_numpy(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    return scale, (to_numpy(layer.beta) if layer.center else 0) - mean * scale


def _scale_and_shift(shape: tuple, scale: object, shift: object) -> PlainLayer:
    vectors = (np.broadcast_to(np.asarray(each, np.float32), shape[-1:]) for each in (scale, shift))
    return PlainLayer({"op": "scaleAndShift"}, tuple(vectors))


def _relu(slope: float, threshold: float = 0.0, most: float | None = None) -> PlainLayer:
    says = {
        "slope": float(slope),
        "threshold": float(threshold),
        "most": None if most is None else float(most),
    }
    return PlainLayer({"op": "activate", "name": "relu", **says})


def _activation(layer: keras.Layer) -> Iterator[PlainLayer]:
    """What a layer applies to what it has computed."""
    activation = getattr(layer, "activation", None)
    # Those of layers that are activations are made above; theirs is not a function with a name.
    if activation is None or activation is keras.activations.linear:
        return
    name = getattr(activation, "__name__", "")
    if name not in ACTIVATIONS or getattr(keras.activations, name) is not activation:
        raise _refused(layer, f"with the activation '{name}'")
    match name:
        case "relu":
            yield _relu(0)
        case "relu6":
            yield _relu(0, most=6)
        case "leaky_relu":
            yield _relu(0.2)
        case "elu":
            yield PlainLayer({"op": "activate", "name": name, "slope": 1.0})
        case _:
            yield PlainLayer({"op": "activate", "name": name})


def _refused(layer: keras.Layer, why: str = "") -> ClothingGANError:
    what = " ".join(filter(None, [f"{type(layer).__name__} ('{layer.name}')", why]))
    return ClothingGANError(
        f"a page cannot compute its layer {what}; use --export to .onnx or .keras for other programs"
    )
