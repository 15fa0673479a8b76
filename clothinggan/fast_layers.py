"""What a network's plain Keras layers compute, computed in forms that are faster on a CPU.

The layers stay what they are, and so does the file that they are saved in: their own variables are used
here, and gradients reach them. Against the plain layers nothing changes but the order in which float32
numbers are added, and for bfloat16 the precision of what lies between the float32 weights.
"""

from collections.abc import Callable
from functools import cache, partial

import keras
import tensorflow as tf
from keras import layers

from clothinggan.environment import processor_instructions


def apply(
    model: keras.Model, inputs: tf.Tensor, training: bool, dtype: tf.DType = tf.float32, logits: bool = False
) -> tf.Tensor:
    """What ``model(inputs, training=training)`` computes.

    Args:
        model: Any model; one that is no stack of layers is computed by Keras itself, in float32.
        inputs: Its input, (n, ...).
        training: Whether dropout is active and batch statistics are used.
        dtype: What the network computes in. The weights, and their gradients, are float32.
        logits: Leave out the sigmoid that the model ends in: its loss can then be computed exactly.

    Returns:
        The output, in `dtype`.
    """
    if not isinstance(model, keras.Sequential):
        outputs = model(inputs, training=training)
        return tf.cast(_logit(outputs) if logits else outputs, dtype)
    outputs = tf.cast(inputs, dtype)
    last = model.layers[-1]
    previous = None
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        # What doubles the size is computed with the convolution that follows it.
        if not _doubles_for(layer, following):
            doubled = _doubles_for(previous, layer)
            outputs = _apply_layer(layer, outputs, training, logits and layer is last, doubled)
        previous = layer
    return outputs


def _apply_layer(
    layer: keras.Layer, x: tf.Tensor, training: bool, without_sigmoid: bool, doubled: bool
) -> tf.Tensor:
    match layer:
        case keras.Sequential():
            return apply(layer, x, training, x.dtype, without_sigmoid)
        case layers.Conv2DTranspose() if _is_plain(layer):
            x = _product(partial(_transposed_convolution, stride=layer.strides[0]), x, layer.kernel)
        case layers.Conv2D() if _is_plain(layer):
            # A plane for each of the kernel's positions must not take far more memory than the input.
            few_planes = layer.kernel_size[0] ** 2 <= 4 * layer.kernel.shape[2]
            if doubled:
                convolve = _doubling_convolution
            elif layer.filters == 1 and layer.strides == (1, 1) and layer.padding == "same" and few_planes:
                convolve = _one_filter_convolution
            else:
                convolve = partial(tf.nn.conv2d, strides=layer.strides, padding=layer.padding.upper())
            x = _product(convolve, x, layer.kernel)
        case layers.Dense() if x.shape.rank == 2:
            x = _product(tf.matmul, x, layer.kernel)
        case layers.LeakyReLU():
            return _leaky_relu(x, layer.negative_slope)
        case layers.BatchNormalization() if training and _is_usual(layer, x):
            return _batch_normalisation(layer, x)
        case layers.ReLU() if (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0):
            return tf.nn.relu(x)
        case layers.Reshape():
            return tf.reshape(x, (tf.shape(x)[0], *layer.compute_output_shape(x.shape)[1:]))
        case layers.Flatten():
            return tf.reshape(x, (tf.shape(x)[0], x.shape[1:].num_elements()))
        case layers.Dropout() if type(layer) is layers.Dropout and layer.noise_shape is None:
            if not training or not layer.rate:
                return x
            # In bfloat16 neither the random numbers nor the scale would be fine enough to keep the mean.
            dropped = keras.random.dropout(tf.cast(x, tf.float32), layer.rate, seed=layer.seed_generator)
            return tf.cast(dropped, x.dtype)
        case _:
            outputs = layer(x, training=training)
            return tf.cast(_logit(outputs) if without_sigmoid else outputs, x.dtype)
    if layer.use_bias:
        # The gradient of tf.nn.bias_add adds up in the dtype: in bfloat16, a sum of ones stops at 256.
        add_bias = tf.nn.bias_add if x.dtype == tf.float32 else tf.add
        x = add_bias(x, tf.cast(layer.bias, x.dtype))
    nothing_left = keras.activations.sigmoid if without_sigmoid else keras.activations.linear
    if layer.activation is nothing_left:
        return x
    # A sigmoid near 1 has few values in bfloat16: its gradient would be wrong, or 0.
    outputs = layer.activation(tf.cast(x, tf.float32))
    return tf.cast(_logit(outputs) if without_sigmoid else outputs, x.dtype)


def _product(multiply: Callable, x: tf.Tensor, kernel: tf.Variable) -> tf.Tensor:
    """A layer's product of its input with its kernel, in the input's dtype.

    Without instructions for bfloat16 a processor takes many times longer over it than over float32. There
    the input and the kernel are rounded to bfloat16 as ever, then multiplied and added up in float32, and the
    result is rounded again: at least as precisely as with those instructions, which add up in float32 too.
    """
    kernel = tf.cast(kernel, x.dtype)
    if x.dtype != tf.bfloat16 or has_bfloat16():
        return multiply(x, kernel)
    return tf.cast(multiply(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32)), x.dtype)


@cache
def has_bfloat16() -> bool:
    """Whether products of bfloat16 are fast here: on a GPU, or a processor that says so."""
    if tf.config.list_physical_devices("GPU"):
        return True
    # On macOS nobody says so, and TensorFlow has no bfloat16 kernels of its own there.
    return any("bf16" in name for name in processor_instructions())


def _doubles_for(layer: keras.Layer | None, following: keras.Layer | None) -> bool:
    """Whether a layer repeats each pixel, twice each way, for a plain convolution that keeps the size."""
    return (
        isinstance(layer, layers.UpSampling2D)
        and (layer.size, layer.interpolation, layer.data_format) == ((2, 2), "nearest", "channels_last")
        and type(following) is layers.Conv2D
        and _is_plain(following)
        and (following.strides, following.padding) == ((1, 1), "same")
        and following.filters > 1
        and following.kernel_size > (3, 3)  # A smaller kernel gains nothing.
    )


def _is_plain(layer: layers.Conv2D | layers.Conv2DTranspose) -> bool:
    """Whether a convolution is square and has none of the rarer options."""
    square = len({*layer.kernel_size}) == len({*layer.strides}) == 1
    if isinstance(layer, layers.Conv2DTranspose):
        usual = layer.padding == "same" and layer.output_padding is None
    else:
        usual = layer.groups == 1
    return square and usual and {*layer.dilation_rate} == {1} and layer.data_format == "channels_last"


def _is_usual(layer: layers.BatchNormalization, x: tf.Tensor) -> bool:
    """Whether a normalisation is of channels that come last, and learns."""
    return x.shape.rank == 4 and layer.axis in (-1, 3) and layer.trainable and layer.center and layer.scale


def _batch_normalisation(layer: layers.BatchNormalization, x: tf.Tensor) -> tf.Tensor:
    """Normalises by the batch's own statistics, in one operation, and moves the layer's averages."""
    gamma, beta = layer.gamma.value, layer.beta.value
    nothing = tf.zeros((0,))
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=nothing, variance=nothing, epsilon=layer.epsilon
    )
    # It divides the sum of squares by one less than their number, Keras by their number.
    count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
    for average, new in ((layer.moving_mean, mean), (layer.moving_variance, variance * (count - 1) / count)):
        average.value.assign_sub((1 - layer.momentum) * (average.value - new))
    return y


def _logit(probabilities: tf.Tensor) -> tf.Tensor:
    """The inverse of the sigmoid, with Keras's bound on how certain an answer counts."""
    bounded = tf.clip_by_value(tf.cast(probabilities, tf.float32), 1e-7, 1 - 1e-7)
    return tf.math.log(bounded) - tf.math.log1p(-bounded)


def _transposed_convolution(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    size = [tf.shape(x)[0], x.shape[1] * stride, x.shape[2] * stride, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, size, stride, "SAME")


def _doubling_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution, stride 1 and padding 'same', of an image whose every pixel is there twice each way.

    On a repeated pixel several of the kernel's positions meet the same number: added up beforehand, they
    are one position of a smaller kernel, another one for each of the four pixels made of one. For a
    kernel of 5x5 that is 9 products instead of 25.

    Args:
        x: (n, height, width, channels), before the doubling.
        kernel: (size, size, channels, filters).

    Returns:
        (n, 2 * height, 2 * width, filters).
    """
    size, channels, filters = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    before = (size - 1) // 2
    # Position u of the kernel, at the pixel 2 * i + side, meets the number i + (side + u - before) // 2.
    met = [[(side + u - before) // 2 for u in range(size)] for side in (0, 1)]
    lowest, highest = min(map(min, met)), max(map(max, met))
    width = highest - lowest + 1
    sums = tf.constant(
        [[[i == t + lowest for i in row] for t in range(width)] for row in met], dtype=kernel.dtype
    )
    kernels = tf.einsum("atu,bsv,uvio->tsiabo", sums, sums, kernel)
    kernels = tf.reshape(kernels, (width, width, channels, 4 * filters))
    edges = ((0, 0), (-lowest, highest), (-lowest, highest), (0, 0))
    return tf.nn.depth_to_space(tf.nn.conv2d(x, kernels, 1, edges), 2)


def _leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """LeakyReLU whose gradient looks at the output, so that the input's memory can be used again."""
    if slope <= 0:
        return tf.nn.leaky_relu(x, slope)

    @tf.custom_gradient
    def compute(x: tf.Tensor) -> tuple:
        y = tf.nn.leaky_relu(x, slope)
        return y, lambda gradient: tf.raw_ops.LeakyReluGrad(gradients=gradient, features=y, alpha=slope)

    return compute(x)


def _one_filter_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution to one channel with stride 1 and padding 'same'.

    TensorFlow computes a single filter at a small part of the processor's speed. Here one matrix product
    gives a plane for each of the kernel's positions, and each plane is added in, shifted to its place.

    Args:
        x: (n, height, width, channels).
        kernel: (size, size, channels, 1).

    Returns:
        (n, height, width, 1).
    """
    size, channels = kernel.shape[0], kernel.shape[2]
    before, after = (size - 1) // 2, size // 2
    height, width = x.shape[1], x.shape[2]

    @tf.custom_gradient
    def compute(x: tf.Tensor, kernel: tf.Tensor) -> tuple:
        pixels = tf.reshape(x, (-1, channels))
        positions = tf.reshape(kernel, (size * size, channels))
        planes = tf.matmul(positions, pixels, transpose_b=True)
        planes = tf.reshape(planes, (size, size, -1, height, width))
        # First along the rows, then along the columns: 2 * size additions instead of size * size.
        planes = tf.pad(planes, ((0, 0), (0, 0), (0, 0), (0, 0), (before, after)))
        rows = tf.add_n([planes[:, j, :, :, j : j + width] for j in range(size)])
        rows = tf.pad(rows, ((0, 0), (0, 0), (before, after), (0, 0)))
        outputs = tf.add_n([rows[i, :, i : i + height] for i in range(size)])

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            padded = tf.pad(upstream[..., 0], ((0, 0), (after, before), (after, before)))
            shifted = tf.stack([padded[:, i : i + height] for i in reversed(range(size))])
            shifted = tf.stack([shifted[..., j : j + width] for j in reversed(range(size))], axis=1)
            shifted = tf.reshape(shifted, (size * size, -1))
            of_x = tf.reshape(tf.matmul(shifted, positions, transpose_a=True), tf.shape(x))
            of_kernel = tf.reshape(tf.matmul(shifted, pixels), kernel.shape)
            return of_x, of_kernel

        return outputs[..., tf.newaxis], gradient

    return compute(x, kernel)
