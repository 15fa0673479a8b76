"""What a network's plain Keras layers compute, computed in forms that are faster on a CPU.

The layers stay what they are, and so does the file that they are saved in: their own variables are used
here, and gradients reach them. Against the plain layers nothing changes but the order in which float32
numbers are added, and dropout's masks, of which two numbers come from each random word; and for bfloat16 the
precision of what lies between the float32 weights.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import keras
import tensorflow as tf
from keras import layers

from clothinggan.environment import processor_instructions


def apply(
    model: keras.Model,
    inputs: tf.Tensor,
    training: bool,
    dtype: tf.DType = tf.float32,
    logits: bool = False,
    parts: int = 1,
) -> tf.Tensor:
    """What ``model(inputs, training=training)`` computes.

    Args:
        model: Any model; one that is no stack of layers is computed by Keras itself, in float32.
        inputs: Its input, (n, ...).
        training: Whether dropout is active and batch statistics are used.
        dtype: What the network computes in. The weights, and their gradients, are float32.
        logits: Leave out the sigmoid that the model ends in: its loss can then be computed exactly.
        parts: How many parts of the batch are computed side by side, each by a thread of its own. Threads
            that share out each single operation wait for each other after every one; these meet at
            normalisations, which look at the whole batch, and at the end.

    Returns:
        The output, in `dtype`.
    """
    if isinstance(model, keras.Sequential):
        return _in_parts(
            lambda split: _apply_to_parts(model, split, training, logits), tf.cast(inputs, dtype), parts
        )
    if training and any(map(_may_mix_images, _all_layers(model))):
        parts = 1
    outputs = _in_parts(lambda split: [model(part, training=training) for part in split], inputs, parts)
    return tf.cast(_logit(outputs) if logits else outputs, dtype)


def _in_parts(
    compute: Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]], inputs: tf.Tensor, parts: int
) -> tf.Tensor:
    """Computes a batch in so many parts, none of which is empty: not every layer can be computed of none."""
    count = inputs.shape[0]
    if count is not None:
        parts = max(1, min(parts, count))

    def whole() -> tf.Tensor:
        return compute([inputs])[0]

    def split() -> tf.Tensor:
        ends = tf.shape(inputs)[0] * tf.range(parts + 1) // parts
        return tf.concat(compute(tf.split(inputs, ends[1:] - ends[:-1], num=parts)), axis=0)

    if parts == 1:
        return whole()
    return split() if count is not None else tf.cond(tf.shape(inputs)[0] >= parts, split, whole)


def _all_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """A model's layers, and those of the models within it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        else:
            yield layer


def _apply_to_parts(
    model: keras.Sequential, parts: Sequence[tf.Tensor], training: bool, without_sigmoid: bool
) -> list[tf.Tensor]:
    outputs = list(parts)
    last = model.layers[-1]
    previous = None
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        # What doubles the size is computed with the convolution that follows it.
        if not _doubles_for(layer, following):
            ends = without_sigmoid and layer is last
            if isinstance(layer, keras.Sequential):
                outputs = _apply_to_parts(layer, outputs, training, ends)
            elif training and _is_usual(layer, outputs[0]):
                outputs = _batch_normalisation(layer, outputs)
            elif type(layer) is layers.Dropout and layer.noise_shape is None:
                outputs = _dropout(layer, outputs) if training and layer.rate else outputs
            elif training and len(outputs) > 1 and _may_mix_images(layer):
                sizes = [tf.shape(x)[0] for x in outputs]
                whole = _apply_layer(layer, tf.concat(outputs, axis=0), training, ends, doubled=False)
                outputs = tf.split(whole, sizes)
            else:
                doubled = _doubles_for(previous, layer)
                outputs = [_apply_layer(layer, x, training, ends, doubled) for x in outputs]
        previous = layer
    return outputs


def _may_mix_images(layer: keras.Layer) -> bool:
    """Whether what a layer computes of an image, in training, may depend on the others of the batch."""
    of_one_image = (
        layers.InputLayer | layers.Conv2D | layers.Conv2DTranspose | layers.Dense | layers.Embedding
        | layers.LeakyReLU | layers.ReLU | layers.Activation | layers.Dropout | layers.Reshape
        | layers.Flatten | layers.UpSampling2D | layers.ZeroPadding2D | layers.Cropping2D
        | layers.MaxPooling2D | layers.AveragePooling2D | layers.Concatenate | layers.Add | layers.Multiply
    )  # fmt: skip
    joins_batches = isinstance(layer, layers.Concatenate) and layer.axis == 0
    return joins_batches or not isinstance(layer, of_one_image)


def _apply_layer(
    layer: keras.Layer, x: tf.Tensor, training: bool, without_sigmoid: bool, doubled: bool
) -> tf.Tensor:
    match layer:
        case layers.Conv2DTranspose() if _is_plain(layer):
            if layer.filters == 1 and layer.strides == (2, 2):
                convolve = _transposed_to_one_channel
            else:
                convolve = partial(_transposed_convolution, stride=layer.strides[0])
            x = _product(convolve, x, layer.kernel)
        case layers.Conv2D() if _is_plain(layer):
            # A plane for each of the kernel's positions must not take far more memory than the input.
            few_planes = layer.kernel_size[0] ** 2 <= 4 * layer.kernel.shape[2]
            if doubled:
                convolve = _doubling_convolution
            elif layer.kernel.shape[2] == 1 and (layer.strides, layer.padding) == ((2, 2), "same"):
                convolve = _convolution_of_one_channel
            elif layer.filters == 1 and layer.strides == (1, 1) and layer.padding == "same" and few_planes:
                convolve = _one_filter_convolution
            else:
                convolve = partial(tf.nn.conv2d, strides=layer.strides, padding=layer.padding.upper())
            x = _product(convolve, x, layer.kernel)
        case layers.Dense() if x.shape.rank == 2:
            x = _product(tf.matmul, x, layer.kernel)
        case layers.LeakyReLU():
            return _leaky_relu(x, layer.negative_slope)
        case layers.ReLU() if (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0):
            return tf.nn.relu(x)
        case layers.Reshape():
            return tf.reshape(x, (tf.shape(x)[0], *layer.compute_output_shape(x.shape)[1:]))
        case layers.Flatten():
            return tf.reshape(x, (tf.shape(x)[0], x.shape[1:].num_elements()))
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
    """Whether products of bfloat16 are fast here: on every GPU, or on a processor that says so."""
    if gpus := tf.config.list_physical_devices("GPU"):
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        # NVIDIA's older ones only emulate them. Others do not tell.
        return all(detail.get("compute_capability", (8, 0)) >= (8, 0) for detail in details)
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


def _is_usual(layer: keras.Layer, x: tf.Tensor) -> bool:
    """Whether a layer is a batch normalisation of channels that come last, and learns."""
    return (
        isinstance(layer, layers.BatchNormalization)
        and x.shape.rank == 4
        and layer.axis in (-1, 3)
        and layer.trainable
        and layer.center
        and layer.scale
    )


def _batch_normalisation(layer: layers.BatchNormalization, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Normalises by the statistics of all of a batch's parts, and moves the layer's averages."""
    gamma, beta = layer.gamma.value, layer.beta.value
    if len(parts) == 1:
        (x,) = parts
        nothing = tf.zeros((0,))
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=nothing, variance=nothing, epsilon=layer.epsilon
        )
        # It divides the sum of squares by one less than their number, Keras by their number.
        count = _numbers_in_a_channel(x)
        variance *= (count - 1) / count
        outputs = [y]
    else:
        *outputs, mean, variance = _normalise_parts(gamma, beta, *parts, epsilon=layer.epsilon)
    for average, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        average.value.assign_sub((1 - layer.momentum) * (average.value - new))
    return outputs


def _numbers_in_a_channel(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.size(x) / x.shape[-1], tf.float32)


def _normalise_parts(
    gamma: tf.Tensor, beta: tf.Tensor, *parts: tf.Tensor, epsilon: float
) -> Sequence[tf.Tensor]:
    """Batch normalisation (Ioffe and Szegedy, 2015) of a batch that lies in parts.

    Args:
        gamma: What each channel is multiplied by, (channels,).
        beta: What is added to it.
        parts: (n_i, height, width, channels) each.
        epsilon: What is added to the variances.

    Returns:
        The normalised parts, then the means and the variances of the whole batch, (channels,) each.
    """

    @tf.custom_gradient
    def compute(gamma: tf.Tensor, beta: tf.Tensor, *parts: tf.Tensor) -> tuple:
        counts = [_numbers_in_a_channel(x) for x in parts]
        shares = [count / tf.add_n(counts) for count in counts]

        def of_all(numbers: Sequence[tf.Tensor]) -> tf.Tensor:
            return tf.add_n([share * number for share, number in zip(shares, numbers, strict=True)])

        # Each part's own statistics, then what they make together (Chan, Golub and LeVeque, 1979).
        own = [tf.nn.moments(tf.cast(x, tf.float32), (0, 1, 2)) for x in parts]
        mean = of_all([own_mean for own_mean, _ in own])
        variance = of_all([own_variance + (own_mean - mean) ** 2 for own_mean, own_variance in own])
        known = {"scale": gamma, "epsilon": epsilon}
        outputs = [
            tf.raw_ops.FusedBatchNormV3(
                x=x, offset=beta, mean=mean, variance=variance, is_training=False, **known
            ).y
            for x in parts
        ]

        def gradient(*upstream: tf.Tensor) -> tuple:
            # Each part's gradients, as if what it adds to the sums were all that there is ...
            alone = [
                tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=dy,
                    x=x,
                    reserve_space_1=mean,
                    reserve_space_2=variance,
                    reserve_space_3=tf.zeros((0,)),
                    **known,
                )
                for dy, x in zip(upstream, parts, strict=False)
            ]
            gamma_gradient = tf.add_n([part.scale_backprop for part in alone])
            beta_gradient = tf.add_n([part.offset_backprop for part in alone])
            # ... and what they lack of those of all parts.
            inverse = tf.math.rsqrt(variance + epsilon)
            total = tf.add_n(counts)
            of_parts = []
            for part, x, count in zip(alone, parts, counts, strict=True):
                lacking = part.scale_backprop / count - gamma_gradient / total
                slope = gamma * inverse**2 * lacking
                shift = gamma * inverse * (part.offset_backprop / count - beta_gradient / total)
                correction = slope * tf.cast(x, tf.float32) + (shift - slope * mean)
                of_parts.append(part.x_backprop + tf.cast(correction, x.dtype))
            return gamma_gradient, beta_gradient, *of_parts

        return (*outputs, mean, variance), gradient

    return compute(gamma, beta, *parts)


def _dropout(layer: layers.Dropout, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Drops from all of a batch's parts by one mask, which does not depend on how many parts there are."""
    sizes = [tf.shape(x)[0] for x in parts]
    shape = tf.concat([[tf.add_n(sizes)], tf.shape(parts[0])[1:]], axis=0)
    mask = dropout_mask(shape, layer.rate, layer.seed_generator)
    masks = tf.split(mask, sizes, num=len(parts)) if len(parts) > 1 else [mask]
    # In bfloat16 the mask's scale would not be fine enough to keep the mean.
    return [
        tf.ensure_shape(tf.cast(tf.cast(x, tf.float32) * of_x, x.dtype), x.shape)
        for x, of_x in zip(parts, masks, strict=True)
    ]


def dropout_mask(shape: tf.Tensor, rate: float, seeds: keras.random.SeedGenerator) -> tf.Tensor:
    """Draws what dropout multiplies with: 0 for a share of the numbers, for the others what keeps the mean.

    Of each random word two numbers are made: drawing them is most of what dropout takes.

    Args:
        shape: Of what is dropped from.
        rate: The share, in [0, 1); to one part in 65,536.
        seeds: The layer's.

    Returns:
        Numbers of this shape, float32.
    """
    levels = 2**16
    dropped = min(round(rate * levels), levels - 1)
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([(size + 1) // 2], seeds.next(), None, None, tf.int32)
    halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size]
    kept = tf.cast(tf.reshape(halves, shape) >= dropped, tf.float32)
    return kept * (levels / (levels - dropped))


def _logit(probabilities: tf.Tensor) -> tf.Tensor:
    """The inverse of the sigmoid, with Keras's bound on how certain an answer counts."""
    bounded = tf.clip_by_value(tf.cast(probabilities, tf.float32), 1e-7, 1 - 1e-7)
    return tf.math.log(bounded) - tf.math.log1p(-bounded)


def _transposed_convolution(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    size = [tf.shape(x)[0], x.shape[1] * stride, x.shape[2] * stride, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, size, stride, "SAME")


def _transposed_to_one_channel(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A transposed convolution to one channel with stride 2 and padding 'same'.

    A quarter of the kernel's positions makes each of the four pixels that come of one: they are four filters
    of a plain convolution, whose outputs then take their places (Shi et al., 2016). A processor computes
    four filters several times faster than one.

    Args:
        x: (n, height, width, channels).
        kernel: (size, size, 1, channels).

    Returns:
        (n, 2 * height, 2 * width, 1).
    """
    size, channels = kernel.shape[0], kernel.shape[3]
    before = (size - 2) // 2 if size > 1 else 0
    # The output 2 * i + side meets x[i + r] at the kernel's position side + before - 2 * r.
    reach = max((before + 1) // 2, (size - 1 - before) // 2)
    width = 2 * reach + 1
    behind = 2 * width - size - (2 * reach - before)
    padding = (2 * reach - before, behind)
    positions = tf.pad(kernel[:, :, 0], (padding, padding, (0, 0)))
    positions = tf.reshape(positions, (width, 2, width, 2, channels))[::-1, :, ::-1]
    kernels = tf.reshape(tf.transpose(positions, (0, 2, 4, 1, 3)), (width, width, channels, 4))
    return tf.nn.depth_to_space(tf.nn.conv2d(x, kernels, 1, "SAME"), 2)


def _convolution_of_one_channel(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution of one channel with stride 2 and padding 'same', whose input's gradient is the above."""
    height, width = x.shape[1], x.shape[2]

    @tf.custom_gradient
    def compute(x: tf.Tensor, kernel: tf.Tensor) -> tuple:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_x = _transposed_to_one_channel(upstream, kernel)
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=x,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=[1, 2, 2, 1],
                padding="SAME",
            )
            return of_x, of_kernel

        return tf.nn.conv2d(x, kernel, 2, "SAME"), gradient

    if height % 2 or width % 2:  # There the padding lies otherwise.
        return tf.nn.conv2d(x, kernel, 2, "SAME")
    return compute(x, kernel)


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
