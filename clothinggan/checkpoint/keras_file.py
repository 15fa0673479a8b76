"""A model from an HDF5 file that Keras 2 or 3 wrote, built without trusting the file.

Keras's own loader builds what the file asks for, functions and custom classes included (CVE-2025-9905),
and Keras 3 does not read every Keras 2 file. Here the file's configuration is only read: each layer is
one of the stock classes below, made by its constructor from the plain numbers and words listed with it,
and nothing else of the file has any effect.
"""

import contextlib
import inspect
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from clothinggan import fast_layers
from clothinggan.checkpoint.hdf5 import Contents
from clothinggan.errors import ClothingGANError

# Bounds on what a generator may ask for, for one image; the larger of the published designs has 2.2 million
# weights, layers of up to 0.1 and in all 0.8 million numbers, and 0.8 billion products. What is bounded by
# them are memory and time: 25 images take seconds, and a batch to train on fits where this program runs.
MAX_WEIGHTS = 2**26
MAX_LAYER_OUTPUTS = 2**20
MAX_OUTPUTS = 2**22
MAX_PRODUCTS = 2**31
MAX_LATENT_SIZE = 10_000
MAX_LAYERS = 300
MAX_NESTING = 8
MAX_CONFIGURATION_LENGTH = 2**20
_NARROW = 16  # A convolution with fewer filters takes as long as one with so many.

_CONVOLUTION = "kernel_size strides padding dilation_rate activation use_bias"
_POOLING = "pool_size strides padding"
# Initialisers, regularisers, constraints and the like matter to training alone, and are left out.
_ARGUMENTS = {
    layer: arguments.split()
    for layer, arguments in {
        layers.Activation: "activation",
        layers.Add: "",
        layers.Average: "",
        layers.AveragePooling2D: _POOLING,
        layers.BatchNormalization: "axis momentum epsilon center scale",
        layers.Concatenate: "axis",
        layers.Conv2D: f"filters groups {_CONVOLUTION}",
        layers.Conv2DTranspose: f"filters output_padding {_CONVOLUTION}",
        layers.Cropping2D: "cropping",
        layers.Dense: "units activation use_bias",
        layers.DepthwiseConv2D: f"depth_multiplier {_CONVOLUTION}",
        layers.Dropout: "rate noise_shape",
        layers.ELU: "alpha",
        layers.Flatten: "",
        layers.GaussianNoise: "stddev",
        layers.GlobalAveragePooling2D: "keepdims",
        layers.GlobalMaxPooling2D: "keepdims",
        layers.GroupNormalization: "groups axis epsilon center scale",
        layers.LayerNormalization: "axis epsilon center scale",
        layers.LeakyReLU: "negative_slope",
        layers.MaxPooling2D: _POOLING,
        layers.Multiply: "",
        layers.Permute: "dims",
        layers.PReLU: "shared_axes",
        layers.ReLU: "max_value negative_slope threshold",
        layers.Rescaling: "scale offset",
        layers.Reshape: "target_shape",
        layers.SeparableConv2D: f"filters depth_multiplier {_CONVOLUTION}",
        layers.SpatialDropout2D: "rate",
        layers.UpSampling2D: "size interpolation",
        layers.ZeroPadding2D: "padding",
    }.items()
}
_LAYERS = {layer.__name__: layer for layer in _ARGUMENTS}
_MODELS = ("Sequential", "Functional", "Model")
_KERAS_2_NAMES = {"depthwise_kernel": "kernel"}  # of weights that Keras 3 calls by another name
# Without "hard_sigmoid", which is another function in Keras 2 than in Keras 3.
# fmt: off
_ACTIVATIONS = frozenset([
    "elu", "exponential", "gelu", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "softmax", "softplus", "softsign", "swish", "tanh",
])
# fmt: on


def build_model(contents: Contents, path: Path) -> keras.Model:
    """Builds the model that Keras saved at the root of an HDF5 file, with its weights.

    Args:
        contents: What the file holds.
        path: Where it comes from, for error messages.

    Returns:
        An uncompiled float32 model.

    Raises:
        ClothingGANError: If there is no model, or it has a layer, an argument, a size or a weight that
            an image generator or discriminator does not need, or it cannot be computed.
    """
    text = contents.attributes[""].get("model_config")
    if not isinstance(text, str):
        raise ClothingGANError(f"{path} cannot be used: its configuration is not a text")
    weights = _stored_weights(contents)
    stored = sum(array.size for array in contents.arrays.values())
    try:
        if len(text) > MAX_CONFIGURATION_LENGTH:
            raise _Unfit("its configuration is longer than any generator's")
        with _bounded_weights(min(stored, MAX_WEIGHTS)):
            model = _Builder().build(json.loads(text))
        _set_weights(model, weights)
        # Layers may fit together on paper alone.
        fast_layers.apply(model, np.zeros((2, *model.input_shape[1:]), np.float32), training=False)
    except _Unfit as unfit:
        raise ClothingGANError(f"{path} cannot be used: {unfit}") from unfit
    except RecursionError as error:
        raise ClothingGANError(f"{path} cannot be used: its configuration nests too deep") from error
    except Exception as error:
        # Keras and TensorFlow raise a dozen kinds where arguments do not fit together; on one line.
        detail = " ".join(str(error).split())[:200]
        raise ClothingGANError(f"{path} does not describe a model that can be built: {detail}") from error
    return model


class _Unfit(Exception):
    """Says what in a file is not acceptable."""


@contextlib.contextmanager
def _bounded_weights(limit: int) -> Iterator[None]:
    """Refuses layers that want more weights than the file holds, before memory is taken for them."""
    remaining = limit
    this_thread = threading.get_ident()

    def add_weight(layer: keras.Layer, shape: tuple = (), *args: Any, **kwargs: Any) -> keras.Variable:
        nonlocal remaining
        if threading.get_ident() == this_thread:
            remaining -= math.prod(shape)
            if remaining < 0 or min(shape, default=0) < 0:
                raise _Unfit(f"its layer '{layer.name}' is larger than the weights in the file")
        return original(layer, shape, *args, **kwargs)

    # It is all threads' method: one at a time puts another in its place and takes that away again.
    with _replacing_add_weight:
        original = layers.Layer.add_weight
        layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            layers.Layer.add_weight = original


_replacing_add_weight = threading.Lock()


class _Builder:
    """Builds a model from its configuration, and keeps count of what it asks for."""

    def __init__(self):
        self.layers = self.nesting = self.outputs = self.products = 0

    def build(self, configuration: dict) -> keras.Model:
        """Builds a model, perhaps one within another."""
        class_name, inner = configuration["class_name"], configuration["config"]
        if class_name not in _MODELS:
            raise _Unfit(f"its model is of the class '{class_name}', not one of {', '.join(_MODELS)}")
        layer_list = inner["layers"] if isinstance(inner, dict) else inner
        self.layers += len(layer_list)
        if not layer_list or self.layers > MAX_LAYERS:
            raise _Unfit(f"it has {self.layers or 'no'} layers")
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise _Unfit("its configuration nests too deep")
        if class_name == "Sequential":
            model = self._build_sequential(layer_list, inner)
        else:
            model = self._build_functional(inner)
        self.nesting -= 1
        return model

    def _build_sequential(self, layer_list: list, inner: dict | list) -> keras.Model:
        first, stack = layer_list[0], []
        if first["class_name"] == "InputLayer":
            layer_list = layer_list[1:]
        if first["class_name"] in _MODELS:  # It brings its own input.
            stack.append(self.build(first))
            layer_list = layer_list[1:]
            shape = stack[0].output_shape
            stack.insert(0, keras.Input(stack[0].input_shape[1:], dtype="float32"))
        else:
            stack.append(_input(first))
            shape = stack[0].shape
        for configuration in layer_list:
            layer = self._build_layer(configuration)
            shape = self._count(layer, shape)
            stack.append(layer)
        name = inner.get("name") if isinstance(inner, dict) else None
        return keras.Sequential(stack, name=_text_or_none(name))

    def _build_functional(self, inner: dict) -> keras.Model:
        tensors: dict[str, keras.KerasTensor] = {}
        for configuration in inner["layers"]:
            name = configuration.get("name") or configuration["config"]["name"]
            if configuration["class_name"] == "InputLayer":
                tensors[name] = _input(configuration, name)
                continue
            nodes = configuration["inbound_nodes"]
            if len(nodes) != 1:
                raise _Unfit(f"its layer '{name}' is used {len(nodes)} times, where once is supported")
            sources = [tensors[source] for source in _source_names(nodes[0], name)]
            layer = self._build_layer(configuration)
            merges = isinstance(layer, layers.Add | layers.Average | layers.Concatenate | layers.Multiply)
            if merges != (len(sources) > 1):
                raise _Unfit(f"its layer '{name}' takes {len(sources)} inputs, which is not supported")
            given = sources if merges else sources[0]
            self._count(layer, [source.shape for source in sources] if merges else given.shape)
            tensors[name] = layer(given)
        ends = {key: _layer_names(inner[f"{key}_layers"]) for key in ("input", "output")}
        for end, names in ends.items():
            if len(names) != 1:
                raise _Unfit(f"it has {len(names)} {end}s, where one is supported")
        ((first,), (last,)) = ends.values()
        return keras.Model(tensors[first], tensors[last], name=_text_or_none(inner.get("name")))

    def _build_layer(self, configuration: dict) -> keras.Layer:
        if configuration["class_name"] in _MODELS:
            return self.build(configuration)
        return _build_layer(configuration)

    def _count(self, layer: keras.Layer, shape: tuple | list[tuple]) -> tuple:
        """Adds what a layer makes of an image to the sums, before it is built; returns its output's shape."""
        output_shape = layer.compute_output_shape(shape)
        if isinstance(layer, keras.Model):
            return output_shape  # What is in it has been counted.
        outputs = math.prod(output_shape[1:])
        self.outputs += outputs
        self.products += _products(layer, shape, output_shape)
        if outputs > MAX_LAYER_OUTPUTS or max(self.outputs, _scratch(layer, shape)) > MAX_OUTPUTS:
            raise _Unfit(f"its layer '{layer.name}' gives {output_shape[1:]} numbers an image")
        if self.products > MAX_PRODUCTS:
            raise _Unfit(f"its layer '{layer.name}' takes more computing than any generator of such images")
        return output_shape


def _products(layer: keras.Layer, shape: tuple | list[tuple], output_shape: tuple) -> int:
    """About how many products a layer computes for one image, slow ones counted as the several they cost."""
    outputs = math.prod(output_shape[1:])
    match layer:
        case layers.Conv2DTranspose():
            # Each number that goes in is spread by the kernel to each filter.
            return math.prod(shape[1:]) * math.prod(layer.kernel_size) * max(layer.filters, _NARROW)
        case layers.Dense():
            return outputs * shape[-1]
        case layers.DepthwiseConv2D():
            return outputs * math.prod(layer.kernel_size) * _NARROW
        case layers.SeparableConv2D():
            each = math.prod(layer.kernel_size) * _NARROW + layer.filters
            return math.prod(output_shape[1:3]) * shape[-1] * layer.depth_multiplier * each
        case layers.Conv2D():
            filters = max(layer.filters, _NARROW * layer.groups)
            return (
                math.prod(output_shape[1:3])
                * math.prod(layer.kernel_size)
                * (shape[-1] // layer.groups)
                * filters
            )
        case layers.AveragePooling2D() | layers.MaxPooling2D():
            return outputs * math.prod(layer.pool_size) * _NARROW
        case layers.UpSampling2D():
            return outputs * _NARROW
        case _:
            return outputs


def _scratch(layer: keras.Layer, shape: tuple | list[tuple]) -> int:
    """How many numbers TensorFlow keeps for one image besides a layer's output."""
    if isinstance(layer, layers.Conv2DTranspose):
        return math.prod(shape[1:-1]) * math.prod(layer.kernel_size) * layer.filters
    return 0


def _layer_names(references: list) -> list[str]:
    """The layers in ``["dense", 0, 0]``, as Keras 3 writes one, or in a list of such."""
    if references and isinstance(references[0], str):
        return [references[0]]
    return [name for name, *_ in references]


def _source_names(node: list | dict, name: str) -> list[str]:
    """The layers whose outputs the layer `name` is called on, in Keras 2's notation or in Keras 3's."""
    if isinstance(node, list):
        found = [source for source, *_ in node]
        others = [options for _, _, _, *rest in node for options in rest]
    else:
        found, others = [], [node.get("kwargs", {})]
        waiting = list(reversed(node["args"]))
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting.extend(reversed(value))
            elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                found.append(value["config"]["keras_history"][0])
            else:
                others.append({"": value})
    # Left out they would be left out silently: `images * 0.5` and `layer(x, training=True)` are such calls.
    if any(value is not None for options in others for value in options.values()):
        raise _Unfit(f"its layer '{name}' is called with more than images; use a layer for it, as Rescaling")
    return found


def _input(configuration: dict, name: str | None = None) -> keras.KerasTensor:
    inner = configuration["config"]
    shape = inner.get("batch_shape") or inner.get("batch_input_shape")
    if shape is None and configuration["class_name"] == "Dense" and inner.get("input_dim"):
        shape = [None, inner["input_dim"]]
    if shape is None:
        raise _Unfit("its first layer does not say the shape of its input")
    sizes = tuple(_integer(size) for size in shape[1:])
    return keras.Input(sizes, dtype="float32", name=_text_or_none(name))


def _build_layer(configuration: dict) -> keras.Layer:
    class_name, inner = configuration["class_name"], configuration["config"]
    layer_class = _LAYERS.get(class_name)
    if layer_class is None or configuration.get("registered_name") not in (None, class_name):
        raise _Unfit(f"it has a layer of the class '{class_name}', which is not accepted")
    # Keras 2's name of the slope.
    if layer_class is layers.LeakyReLU and "alpha" in inner:
        inner = {**inner, "negative_slope": inner["alpha"]}
    if inner.get("data_format", "channels_last") != "channels_last":
        raise _Unfit(f"its layer '{inner.get('name')}' has its channels first, where last is expected")
    arguments = {
        argument: _plain(inner[argument], f"{class_name}.{argument}")
        for argument in _ARGUMENTS[layer_class]
        if argument in inner
    }
    # Keras 2 names one axis by a list of one.
    if isinstance(arguments.get("axis"), tuple) and len(arguments["axis"]) == 1:
        (arguments["axis"],) = arguments["axis"]
    activation = arguments.get("activation", "linear") or "linear"
    if activation not in _ACTIVATIONS:
        raise _Unfit(f"it has the activation '{activation}', which is not accepted")
    # Whatever a program that reads the file has set Keras to.
    if "data_format" in inspect.signature(layer_class).parameters:
        arguments["data_format"] = "channels_last"
    return layer_class(**arguments, dtype="float32", name=_text_or_none(inner.get("name")))


def _plain(value: object, what: str) -> object:
    # TensorFlow ends the process at a stride that is larger.
    if isinstance(value, int) and abs(value) > np.iinfo(np.int32).max:
        raise _Unfit(f"its {what} is {value}, which is more than any layer needs")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and len(value) <= 16:
        return tuple(_plain(item, what) for item in value)
    raise _Unfit(f"its {what} is neither a number nor a word")


def _integer(value: object) -> int:
    if type(value) is int and 0 < value <= MAX_LAYER_OUTPUTS:
        return value
    raise _Unfit(f"its input has a size of {value}")


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _stored_weights(contents: Contents) -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """The weights by layer, in the order and under the names that the file gives them."""
    root = "model_weights"
    return [
        (layer, [(name, contents.arrays.get(f"{root}/{layer}/{name}")) for name in names])
        for layer in _names(contents, root, "layer_names")
        if (names := _names(contents, f"{root}/{layer}", "weight_names"))
    ]


def _names(contents: Contents, path: str, attribute: str) -> list[str]:
    """A list of names. Keras divides one that is too long for an attribute into names0, names1 and so on."""
    attributes = contents.attributes.get(path, {})
    parts = [attributes.get(attribute)] if attribute in attributes else []
    while (part := attributes.get(f"{attribute}{len(parts)}")) is not None:
        parts.append(part)
    return [name for part in parts if isinstance(part, list) for name in part]


def _set_weights(model: keras.Model, stored: list[tuple[str, list[tuple[str, np.ndarray]]]]) -> None:
    targets = [layer for layer in model.layers if layer.weights]
    if len(targets) != len(stored):
        raise _Unfit(f"it has {len(targets)} layers with weights, and weights for {len(stored)}")
    for layer, (_, arrays) in zip(targets, stored, strict=True):
        # The order in which both versions of Keras write them.
        variables = layer.trainable_weights + layer.non_trainable_weights
        if len(variables) != len(arrays):
            raise _Unfit(f"its layer '{layer.name}' has {len(variables)} weights; the file has {len(arrays)}")
        for variable, (name, array) in zip(variables, arrays, strict=True):
            last_name = name.split("/")[-1].split(":")[0]
            named = variable.name in (last_name, _KERAS_2_NAMES.get(last_name))
            if array is None or array.shape != tuple(variable.shape) or not named:
                raise _Unfit(f"its weight '{name}' does not fit the layer '{layer.name}'")
            if not np.isfinite(array).all():
                raise _Unfit(f"its weight '{name}' has NaN or infinite numbers")
            variable.assign(array.astype(np.float32))
