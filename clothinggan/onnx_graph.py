"""A generator as an ONNX model: each stock layer as the operators that compute the same.

Images stay as Keras has them, with their channels last. ONNX convolves with channels first, so that its
operators stand between two transpositions, which ONNX Runtime mostly takes out again.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import onnx
from keras import layers
from onnx import helper, numpy_helper

from clothinggan import __version__, layer_graph
from clothinggan.errors import ClothingGANError

OPSET = 20  # of 2023, the first with Gelu
_IR_VERSION = 9  # of the same year: runtimes refuse models of a later one than their own.
INPUT, OUTPUT = "latent_vectors", "images"


def onnx_model(generator: keras.Model) -> onnx.ModelProto:
    """Returns a generator as an ONNX model of latent vectors (n, k) float32 to images (n, 28, 28, 1) float32.

    Raises:
        ClothingGANError: If it has a layer or an activation that is not translated.
    """
    graph = _Graph(generator.input_shape[-1])
    last = layer_graph.walk(generator, INPUT, graph.add_layer)
    graph.node("Identity", [last], result=OUTPUT)
    described = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape[1:]])
        for name, shape in ((INPUT, generator.input_shape), (OUTPUT, generator.output_shape))
    ]
    made = helper.make_graph(graph.nodes, generator.name, described[:1], described[1:], graph.constants)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="clothinggan",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Operators and constants as they come; tensors go by their names."""

    def __init__(self, size: int):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple] = {
            INPUT: (None, size)
        }  # of what goes into layers, the batch's size first

    def node(self, operator: str, given: list[str], result: str | None = None, **attributes: object) -> str:
        """Adds an operator; returns the name of what it gives."""
        result = result or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, given, [result], **attributes))
        return result

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """Adds an array; returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def scalar(self, value: float) -> str:
        """Adds a number; returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def add_layer(self, layer: keras.Layer, given: str | list[str]) -> str:
        """Adds what computes a layer; returns the name of what it gives."""
        if isinstance(layer, layers.SpectralNormalization):
            return self.add_layer(layer.layer, given)  # It normalises in training alone.
        translate = next((_LAYERS[kind] for kind in type(layer).__mro__ if kind in _LAYERS), None)
        if translate is None:
            raise _untranslated(f"the layer '{layer.name}', {type(layer).__name__},")
        result = translate(self, layer, given)
        result = self.activate(getattr(layer, "activation", None), result)
        several = isinstance(given, list)
        shape = layer.compute_output_shape(
            [self.shapes[one] for one in given] if several else self.shapes[given]
        )
        self.shapes[result] = tuple(shape)
        return result

    def activate(self, activation: Callable | None, x: str) -> str:
        """Adds an activation function, if it is not linear."""
        match getattr(activation, "__name__", None):
            case None | "linear":
                return x
            case "silu" | "swish":
                return self.node("Mul", [x, self.node("Sigmoid", [x])])
            case "relu6":
                return self.node("Clip", [x, self.scalar(0), self.scalar(6)])
            case "leaky_relu":
                return self.node("LeakyRelu", [x], alpha=0.2)
            case "softmax":
                return self.node("Softmax", [x], axis=-1)
            case name if name in _ACTIVATIONS:
                return self.node(_ACTIVATIONS[name], [x])
            case name:
                raise _untranslated(f"the activation '{name}'")

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Adds a change of shape, without the batch's size."""
        return self.node("Reshape", [x, self.constant([-1, *shape], np.int64)])

    def channels_first(self, x: str) -> str:
        """Adds the transposition to ONNX's order."""
        return self.node("Transpose", [x], perm=[0, 3, 1, 2])

    def channels_last(self, x: str) -> str:
        """Adds the transposition back to Keras's order."""
        return self.node("Transpose", [x], perm=[0, 2, 3, 1])

    def biased(self, layer: keras.Layer, x: str) -> str:
        """Adds a layer's bias to the last axis."""
        return self.node("Add", [x, self.constant(layer.bias)]) if layer.use_bias else x


def _untranslated(what: str) -> ClothingGANError:
    return ClothingGANError(f"{what} is not translated to ONNX; export to .keras or .tflite")


_ACTIVATIONS = {
    "elu": "Elu",
    "exponential": "Exp",
    "gelu": "Gelu",
    "mish": "Mish",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}


# Layers with weights.


def _dense(graph: _Graph, layer: layers.Dense, x: str) -> str:
    return graph.biased(layer, graph.node("MatMul", [x, graph.constant(layer.kernel)]))


def _convolution(graph: _Graph, layer: layers.Conv2D, x: str) -> str:
    # Keras: height, width, in, out; ONNX: out, in, height, width.
    kernel = np.transpose(np.asarray(layer.kernel), (3, 2, 0, 1))
    x = _convolve(graph, layer, graph.channels_first(x), kernel, layer.groups)
    return graph.biased(layer, graph.channels_last(x))


def _depthwise_convolution(graph: _Graph, layer: layers.DepthwiseConv2D, x: str) -> str:
    x = _convolve_by_channel(graph, layer, graph.channels_first(x), layer.kernel)
    return graph.biased(layer, graph.channels_last(x))


def _separable_convolution(graph: _Graph, layer: layers.SeparableConv2D, x: str) -> str:
    x = _convolve_by_channel(graph, layer, graph.channels_first(x), layer.depthwise_kernel)
    pointwise = np.transpose(np.asarray(layer.pointwise_kernel), (3, 2, 0, 1))
    x = graph.node("Conv", [x, graph.constant(pointwise)])
    return graph.biased(layer, graph.channels_last(x))


def _convolve_by_channel(graph: _Graph, layer: keras.Layer, x: str, kernel: keras.Variable) -> str:
    """A kernel of each channel's own: height, width, channels, how many of each."""
    height, width, channels, multiplier = kernel.shape
    of_each = np.transpose(np.asarray(kernel), (2, 3, 0, 1)).reshape(channels * multiplier, 1, height, width)
    return _convolve(graph, layer, x, of_each, channels)


def _convolve(graph: _Graph, layer: keras.Layer, x: str, kernel: np.ndarray, groups: int) -> str:
    return graph.node(
        "Conv",
        [x, graph.constant(kernel)],
        auto_pad=_padding(layer),
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=groups,
    )


def _padding(layer: keras.Layer) -> str:
    return "SAME_UPPER" if layer.padding == "same" else "VALID"


def _transposed_convolution(graph: _Graph, layer: layers.Conv2DTranspose, x: str) -> str:
    shape = graph.shapes[x]
    wanted = layer.compute_output_shape(shape)[1:3]
    before, after, added = [], [], []
    axes = zip(shape[1:3], wanted, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    for size, output, kernel_size, stride, dilation in axes:
        # Computed in full it is larger than what is wanted, or smaller where the stride leaves gaps. Keras
        # cuts where TensorFlow's convolution of the output would have put padding.
        reach = (kernel_size - 1) * dilation + 1
        cut = max((size - 1) * stride + reach - output, 0) if layer.padding == "same" else 0
        rest = (size - 1) * stride + reach - output - cut // 2
        before.append(cut // 2)
        after.append(max(rest, 0))
        added.append(max(-rest, 0))
    x = graph.node(
        "ConvTranspose",
        # Keras: height, width, out, in; ONNX: in, out, height, width.
        [graph.channels_first(x), graph.constant(np.transpose(np.asarray(layer.kernel), (3, 2, 0, 1)))],
        strides=layer.strides,
        dilations=layer.dilation_rate,
        pads=[*before, *after],
        output_padding=added,
    )
    return graph.biased(layer, graph.channels_last(x))


def _batch_normalisation(graph: _Graph, layer: layers.BatchNormalization, x: str) -> str:
    rank = len(graph.shapes[x])
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    factor = (np.asarray(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    offset = (np.asarray(layer.beta) if layer.center else 0) - mean * factor
    sizes = [-1 if axis == layer.axis % rank else 1 for axis in range(rank)]
    x = graph.node("Mul", [x, graph.constant(factor.reshape(sizes))])
    return graph.node("Add", [x, graph.constant(offset.reshape(sizes))])


def _layer_normalisation(graph: _Graph, layer: layers.LayerNormalization, x: str) -> str:
    rank = len(graph.shapes[x])
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        raise _untranslated(f"the layer '{layer.name}', which normalises other axes than the last,")
    size = graph.shapes[x][-1]
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones(size)
    beta = np.asarray(layer.beta) if layer.center else np.zeros(size)
    given = [x, graph.constant(gamma), graph.constant(beta)]
    return graph.node("LayerNormalization", given, axis=-1, epsilon=layer.epsilon)


def _group_normalisation(graph: _Graph, layer: layers.GroupNormalization, x: str) -> str:
    shape = graph.shapes[x]
    if len(shape) != 4 or layer.axis % 4 != 3:
        raise _untranslated(f"the layer '{layer.name}', which normalises other axes than an image's last,")
    height, width, channels = shape[1:]
    groups = layer.groups if layer.groups > 0 else channels
    size = height * width * channels // groups
    x = graph.reshape(graph.channels_first(x), (groups, size))
    x = graph.node("LayerNormalization", [x, graph.constant(np.ones(size))], axis=-1, epsilon=layer.epsilon)
    x = graph.channels_last(graph.reshape(x, (channels, height, width)))
    x = graph.node("Mul", [x, graph.constant(layer.gamma)]) if layer.scale else x
    return graph.node("Add", [x, graph.constant(layer.beta)]) if layer.center else x


def _prelu(graph: _Graph, layer: layers.PReLU, x: str) -> str:
    return graph.node("PRelu", [x, graph.constant(layer.alpha)])


# Layers without.


def _nothing(graph: _Graph, layer: keras.Layer, x: str) -> str:
    return x


def _relu(graph: _Graph, layer: layers.ReLU, x: str) -> str:
    if layer.threshold:
        raise _untranslated(f"the layer '{layer.name}', which has a threshold,")
    slope = float(layer.negative_slope)
    x = graph.node("LeakyRelu", [x], alpha=slope) if slope else graph.node("Relu", [x])
    return x if layer.max_value is None else graph.node("Min", [x, graph.scalar(layer.max_value)])


def _leaky_relu(graph: _Graph, layer: layers.LeakyReLU, x: str) -> str:
    return graph.node("LeakyRelu", [x], alpha=float(layer.negative_slope))


def _elu(graph: _Graph, layer: layers.ELU, x: str) -> str:
    return graph.node("Elu", [x], alpha=float(layer.alpha))


def _softmax(graph: _Graph, layer: layers.Softmax, x: str) -> str:
    return graph.node("Softmax", [x], axis=layer.axis)


def _rescaling(graph: _Graph, layer: layers.Rescaling, x: str) -> str:
    x = graph.node("Mul", [x, graph.constant(layer.scale)])
    return graph.node("Add", [x, graph.constant(layer.offset)])


def _reshape(graph: _Graph, layer: keras.Layer, x: str) -> str:
    return graph.reshape(x, layer.compute_output_shape(graph.shapes[x])[1:])


def _permute(graph: _Graph, layer: layers.Permute, x: str) -> str:
    return graph.node("Transpose", [x], perm=[0, *layer.dims])


def _crop(graph: _Graph, layer: layers.Cropping1D | layers.Cropping2D, x: str) -> str:
    cropping = [layer.cropping] if isinstance(layer, layers.Cropping1D) else layer.cropping
    sizes = graph.shapes[x][1 : 1 + len(cropping)]
    starts = [start for start, _ in cropping]
    ends = [size - end for size, (_, end) in zip(sizes, cropping, strict=True)]
    axes = list(range(1, 1 + len(cropping)))
    return graph.node("Slice", [x, *(graph.constant(each, np.int64) for each in (starts, ends, axes))])


def _zero_padding(graph: _Graph, layer: layers.ZeroPadding2D, x: str) -> str:
    (top, bottom), (left, right) = layer.padding
    return graph.node("Pad", [x, graph.constant([0, top, left, 0, 0, bottom, right, 0], np.int64)])


def _upsample(graph: _Graph, layer: layers.UpSampling2D, x: str) -> str:
    ways = {
        "nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "bilinear": {"coordinate_transformation_mode": "half_pixel"},
    }
    if layer.interpolation not in ways:
        raise _untranslated(f"the layer '{layer.name}', which interpolates by {layer.interpolation},")
    mode = "nearest" if layer.interpolation == "nearest" else "linear"
    scales = graph.constant([1, 1, *layer.size])
    x = graph.node("Resize", [graph.channels_first(x), "", scales], mode=mode, **ways[layer.interpolation])
    return graph.channels_last(x)


def _pool(graph: _Graph, layer: layers.AveragePooling2D | layers.MaxPooling2D, x: str) -> str:
    operator = "MaxPool" if isinstance(layer, layers.MaxPooling2D) else "AveragePool"
    x = graph.node(
        operator,
        [graph.channels_first(x)],
        kernel_shape=layer.pool_size,
        strides=layer.strides,
        auto_pad=_padding(layer),
    )
    return graph.channels_last(x)


def _pool_all(graph: _Graph, layer: layers.GlobalAveragePooling2D | layers.GlobalMaxPooling2D, x: str) -> str:
    operator = "ReduceMax" if isinstance(layer, layers.GlobalMaxPooling2D) else "ReduceMean"
    return graph.node(operator, [x, graph.constant([1, 2], np.int64)], keepdims=int(layer.keepdims))


def _merge(operator: str) -> Callable[[_Graph, keras.Layer, list[str]], str]:
    def translate(graph: _Graph, layer: keras.Layer, given: list[str]) -> str:
        if len({len(graph.shapes[one]) for one in given}) > 1:
            raise _untranslated(f"the layer '{layer.name}', which takes arrays of several ranks,")
        if operator == "Concat":
            return graph.node("Concat", given, axis=layer.axis)
        if operator in ("Max", "Mean", "Min"):
            return graph.node(operator, given)
        first, *others = given
        for other in others:
            first = graph.node(operator, [first, other])
        return first

    return translate


_LAYERS = {
    layers.Activation: _nothing,
    layers.ActivityRegularization: _nothing,
    layers.Add: _merge("Add"),
    layers.AlphaDropout: _nothing,
    layers.Average: _merge("Mean"),
    layers.AveragePooling2D: _pool,
    layers.BatchNormalization: _batch_normalisation,
    layers.Concatenate: _merge("Concat"),
    layers.Conv2D: _convolution,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.Cropping1D: _crop,
    layers.Cropping2D: _crop,
    layers.Dense: _dense,
    layers.DepthwiseConv2D: _depthwise_convolution,
    layers.Dropout: _nothing,
    layers.ELU: _elu,
    layers.Flatten: _reshape,
    layers.GaussianDropout: _nothing,
    layers.GaussianNoise: _nothing,
    layers.GlobalAveragePooling2D: _pool_all,
    layers.GlobalMaxPooling2D: _pool_all,
    layers.GroupNormalization: _group_normalisation,
    layers.Identity: _nothing,
    layers.LayerNormalization: _layer_normalisation,
    layers.LeakyReLU: _leaky_relu,
    layers.Maximum: _merge("Max"),
    layers.MaxPooling2D: _pool,
    layers.Minimum: _merge("Min"),
    layers.Multiply: _merge("Mul"),
    layers.Permute: _permute,
    layers.PReLU: _prelu,
    layers.ReLU: _relu,
    layers.Rescaling: _rescaling,
    layers.Reshape: _reshape,
    layers.SeparableConv2D: _separable_convolution,
    layers.Softmax: _softmax,
    layers.SpatialDropout2D: _nothing,
    layers.Subtract: _merge("Sub"),
    layers.UpSampling2D: _upsample,
    layers.ZeroPadding2D: _zero_padding,
}
