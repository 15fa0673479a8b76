"""The layers that a file may have, and how they are made from what Keras 2 and 3 write of them.

Initialisers, regularisers, constraints and the like matter to training alone, and are left out.
"""

import inspect

import keras
import numpy as np
from keras import layers

from clothinggan.checkpoint.stored_weights import Part, UnfitError

MAX_LAYER_OUTPUTS = 2**20  # for one image

_CONVOLUTION = "kernel_size strides padding dilation_rate activation use_bias"
_POOLING = "pool_size strides padding"
ARGUMENTS = {
    layer: arguments.split()
    for layer, arguments in {
        layers.Activation: "activation",
        layers.ActivityRegularization: "",
        layers.Add: "",
        layers.AlphaDropout: "rate noise_shape",
        layers.Average: "",
        layers.AveragePooling2D: _POOLING,
        layers.BatchNormalization: "axis momentum epsilon center scale",
        layers.Concatenate: "axis",
        layers.Conv2D: f"filters groups {_CONVOLUTION}",
        layers.Conv2DTranspose: f"filters output_padding {_CONVOLUTION}",
        layers.Cropping1D: "cropping",
        layers.Cropping2D: "cropping",
        layers.Dense: "units activation use_bias",
        layers.DepthwiseConv2D: f"depth_multiplier {_CONVOLUTION}",
        layers.Dropout: "rate noise_shape",
        layers.ELU: "alpha",
        layers.Flatten: "",
        layers.GaussianDropout: "rate",
        layers.GaussianNoise: "stddev",
        layers.GlobalAveragePooling2D: "keepdims",
        layers.GlobalMaxPooling2D: "keepdims",
        layers.GroupNormalization: "groups axis epsilon center scale",
        layers.Identity: "",
        layers.LayerNormalization: "axis epsilon center scale",
        layers.LeakyReLU: "negative_slope",
        layers.Maximum: "",
        layers.MaxPooling2D: _POOLING,
        layers.Minimum: "",
        layers.Multiply: "",
        layers.Permute: "dims",
        layers.PReLU: "shared_axes",
        layers.ReLU: "max_value negative_slope threshold",
        layers.RepeatVector: "n",
        layers.Rescaling: "scale offset",
        layers.Reshape: "target_shape",
        layers.SeparableConv2D: f"filters depth_multiplier {_CONVOLUTION}",
        layers.Softmax: "axis",
        layers.SpatialDropout2D: "rate",
        layers.Subtract: "",
        layers.UpSampling2D: "size interpolation",
        layers.ZeroPadding2D: "padding",
    }.items()
}
MERGES = (
    layers.Add
    | layers.Average
    | layers.Concatenate
    | layers.Maximum
    | layers.Minimum
    | layers.Multiply
    | layers.Subtract
)
_LAYERS = {layer.__name__: layer for layer in ARGUMENTS}
_OTHER_CLASS_NAMES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
# What may stand in the place of an activation's name.
_ACTIVATION_LAYERS = ("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax")
# "hard_sigmoid" is another function in Keras 2 than in Keras 3: a line of this slope, cut off at 0 and 1.
_HARD_SIGMOID_SLOPES = {True: 0.2, False: 1 / 6}
# fmt: off
_ACTIVATIONS = frozenset([
    "elu", "exponential", "gelu", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "softmax", "softplus", "softsign", "swish", "tanh",
])
# fmt: on


def make_layer(
    configuration: dict, name: str | None, of_keras_2: bool = False
) -> tuple[list[keras.Layer], Part]:
    """Makes a layer of what a file says of it.

    Args:
        configuration: With `class_name` and `config`.
        name: What the layer is to be called.
        of_keras_2: Whether Keras 2 saved the file.

    Returns:
        What computes it, one after the other: the layer, then its activation where that is a layer of its
        own; and which layers of the file these stand for.

    Raises:
        UnfitError: If it is no layer that an image generator or discriminator needs.
    """
    class_name, inner = configuration["class_name"], configuration["config"]
    class_name = _OTHER_CLASS_NAMES.get(class_name, class_name)
    registered = configuration.get("registered_name")
    if registered not in (None, class_name, configuration["class_name"]):
        raise UnfitError(f"it has a layer of the class '{registered}', which is not accepted")
    said = inner.get("name")
    part = Part(configuration["class_name"], said, inner.get("trainable") is not False)
    if class_name == "SpectralNormalization":
        return _normalise_spectrum(inner, name, part, of_keras_2)
    layer_class = _LAYERS.get(class_name)
    if layer_class is None:
        raise UnfitError(f"it has a layer of the class '{class_name}', which is not accepted")
    # Keras 2's name of the slope.
    if layer_class is layers.LeakyReLU and "alpha" in inner:
        inner = {**inner, "negative_slope": inner["alpha"]}
    if inner.get("data_format") not in (None, "channels_last"):
        raise UnfitError(f"its layer '{said}' has its channels first, where last is expected")
    arguments = {
        argument: plain(inner[argument], f"{class_name}.{argument}")
        for argument in ARGUMENTS[layer_class]
        if argument in inner and argument != "activation"
    }
    # Keras 2 names one axis by a list of one.
    if isinstance(arguments.get("axis"), tuple) and len(arguments["axis"]) == 1:
        (arguments["axis"],) = arguments["axis"]
    after: list[keras.Layer] = []
    if "activation" in ARGUMENTS[layer_class]:
        arguments["activation"], after = _activation(inner.get("activation"), name, part, of_keras_2)
    # Whatever a program that reads the file has set Keras to.
    if "data_format" in inspect.signature(layer_class).parameters:
        arguments["data_format"] = "channels_last"
    if layer_class is layers.Activation and after:
        return after, part
    part.layer = layer_class(**arguments, dtype="float32", name=name)
    return [part.layer, *after], part


def _normalise_spectrum(
    inner: dict, name: str | None, part: Part, of_keras_2: bool
) -> tuple[list[keras.Layer], Part]:
    """`SpectralNormalization` around a layer; its activation comes after both all the same."""
    around = inner["layer"]
    if around["class_name"] not in ("Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv2D"):
        raise UnfitError(f"it has a SpectralNormalization of '{around['class_name']}', which is not accepted")
    (layer, *after), inner_part = make_layer(around, f"{name}_normalised" if name else None, of_keras_2)
    iterations = plain(inner.get("power_iterations", 1), "SpectralNormalization.power_iterations")
    if type(iterations) is not int or not 1 <= iterations <= 100:
        raise UnfitError(f"its SpectralNormalization.power_iterations is {iterations}")
    part.layer = layers.SpectralNormalization(layer, power_iterations=iterations, dtype="float32", name=name)
    part.parts.append(("layer", inner_part))
    return [part.layer, *after], part


def _activation(
    value: object, name: str | None, part: Part, of_keras_2: bool
) -> tuple[str, list[keras.Layer]]:
    """An activation's name, and the layers in its place where it is one itself."""
    after_it = f"{name}_activation" if name else None
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, str) and value in _ACTIVATION_LAYERS:
        value = {"class_name": value, "config": {}}
    if isinstance(value, dict) and value.get("class_name") in _ACTIVATION_LAYERS:
        after, inner_part = make_layer(value, after_it, of_keras_2)
        part.parts.append(("activation", inner_part))
        return "linear", after
    if value == "hard_sigmoid":
        line = layers.Rescaling(_HARD_SIGMOID_SLOPES[of_keras_2], 0.5, dtype="float32", name=after_it)
        bounds = f"{after_it}_bounds" if name else None
        return "linear", [line, layers.ReLU(max_value=1, dtype="float32", name=bounds)]
    activation = "linear" if value is None else value
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        what = value.get("class_name") if isinstance(value, dict) else value
        raise UnfitError(f"it has the activation '{what}', which is not accepted")
    return activation, []


def input_shape(configuration: dict) -> tuple[int, ...] | None:
    """Returns the shape of one of what goes into a first layer; None where it does not say so.

    Raises:
        UnfitError: If it is no shape.
    """
    inner = configuration["config"]
    if not isinstance(inner, dict):
        return None
    shape = inner.get("batch_shape") or inner.get("batch_input_shape")
    if shape is not None:
        return _sizes(shape)[1:]
    if inner.get("input_shape") is not None:
        return _sizes([None, *plain(inner["input_shape"], "input's shape")])[1:]
    if inner.get("input_dim") and configuration["class_name"] != "Embedding":
        return _sizes([None, inner["input_dim"]])[1:]
    return built_shape(configuration.get("build_config") or {})


def built_shape(said: dict) -> tuple[int, ...] | None:
    """Returns the shape that Keras has built a layer or a model for; None where it is not said."""
    shape = said.get("build_input_shape") or said.get("input_shape")
    # Of several inputs there is a list of shapes.
    if shape is None or (isinstance(shape, list) and any(isinstance(size, list) for size in shape)):
        return None
    return _sizes(shape)[1:]


def _sizes(shape: object) -> tuple[int | None, ...]:
    """A shape whose first number is the batch's, which may be open."""
    sizes = plain(shape, "input's shape")
    if not isinstance(sizes, tuple) or not sizes:
        raise UnfitError(f"its input has the shape {sizes}")
    for size in sizes[1:]:
        if type(size) is not int or not 0 < size <= MAX_LAYER_OUTPUTS:
            raise UnfitError(f"its input has a size of {size}")
    return sizes


def plain(value: object, what: str) -> object:
    """Returns an argument as a number, a word, or a tuple of these, in whichever way Keras wrote it.

    Raises:
        UnfitError: If it is something else, or larger than any layer needs.
    """
    match value:
        case int() if abs(value) > np.iinfo(np.int32).max:
            # TensorFlow ends the process at a stride that is larger.
            raise UnfitError(f"its {what} is {value}, which is more than any layer needs")
        case None | bool() | int() | float() | str():
            return value
        case list() if len(value) <= 16:
            return tuple(plain(item, what) for item in value)
        # NumPy's numbers as Keras 2 and 3 write them, and tuples.
        case {"type": _, "value": inner} | {"items": inner} | {"config": {"value": inner}}:
            return plain(inner, what)
    raise UnfitError(f"its {what} is neither a number nor a word")
