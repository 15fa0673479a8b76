"""The fast forms compute what the plain Keras layers compute, outputs and gradients alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from clothinggan import fast_layers
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS

# A float32 carries 24 bits. Sums of up to 100,000 terms (the output kernel's gradient: n * 28 * 28 of them)
# in another order differ by some hundred units of the last place: 1e-5 of the largest number.
TOLERANCE = 2e-5
NETWORK_TOLERANCE = 2e-4  # through a dozen layers

STACKS = {
    "one filter, odd kernel": ((6, 5, 13), [layers.Conv2D(1, 7, padding="same", activation="sigmoid")]),
    "one filter, even kernel": ((6, 5, 4), [layers.Conv2D(1, 4, padding="same")]),
    "one filter, not padded": ((6, 5, 3), [layers.Conv2D(1, 3, use_bias=False)]),
    "strided": ((7, 7, 2), [layers.Conv2D(4, 3, strides=2, padding="same"), layers.LeakyReLU(0.2)]),
    "transposed": (
        (3, 4, 2),
        [layers.Conv2DTranspose(5, 4, strides=2, padding="same"), layers.LeakyReLU(0.2)],
    ),
    "transposed, not padded": ((3, 4, 2), [layers.Conv2DTranspose(5, 4, strides=2, padding="valid")]),
    "reshaped by what is left over": ((6,), [layers.Reshape((2, -1)), layers.Activation("tanh")]),
    "transposed to one channel": ((3, 4, 5), [layers.Conv2DTranspose(1, 6, strides=2, padding="same")]),
    "transposed to one channel, odd kernel": ((3, 4, 5), [layers.Conv2DTranspose(1, 5, 2, "same")]),
    "transposed to one channel, smallest kernel": ((3, 4, 5), [layers.Conv2DTranspose(1, 2, 2, "same")]),
    "of one channel": ((6, 8, 1), [layers.Conv2D(5, 4, strides=2, padding="same")]),
    "of one channel, odd kernel": ((6, 8, 1), [layers.Conv2D(5, 3, strides=2, padding="same")]),
    "of one channel, odd size": ((7, 5, 1), [layers.Conv2D(5, 4, strides=2, padding="same")]),
    "dense": ((6,), [layers.Dense(12), layers.LeakyReLU(0.2), layers.Reshape((2, 2, 3)), layers.Flatten()]),
    "doubled, odd kernel": ((5, 4, 3), [layers.UpSampling2D(), layers.Conv2D(4, 5, padding="same")]),
    "doubled, even kernel": ((5, 4, 3), [layers.UpSampling2D(), layers.Conv2D(4, 4, padding="same")]),
    "doubled, one position": ((5, 4, 3), [layers.UpSampling2D(), layers.Conv2D(4, 1, padding="same")]),
    "doubled smoothly": (
        (5, 4, 3),
        [layers.UpSampling2D(interpolation="bilinear"), layers.Conv2D(4, 3, padding="same")],
    ),
    "doubled, not padded": ((5, 4, 3), [layers.UpSampling2D(), layers.Conv2D(4, 3)]),
    "upsampled and normalised": ((3, 3, 2), [layers.UpSampling2D(), layers.BatchNormalization()]),
    "grouped and dilated": ((6, 6, 4), [layers.Conv2D(2, 3, groups=2), layers.Conv2D(1, 2, dilation_rate=2)]),
}


def outputs_and_gradients(compute, model, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = compute(inputs)
        # Each counts differently, none against another: a gradient whose terms cancel out is all rounding.
        weights = 1 + tf.sin(tf.range(tf.size(outputs), dtype=tf.float32)) / 2
        loss = tf.reduce_mean(outputs * tf.reshape(weights, outputs.shape))
    return [outputs, *tape.gradient(loss, [inputs, *[v.value for v in model.trainable_variables]])]


def largest_difference(some, others):
    """Of pairs of arrays: relative to the largest number of each."""
    differences = [
        np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()
        for a, b in zip(some, others, strict=True)
    ]
    return max(differences)


@pytest.mark.parametrize("name", STACKS)
def test_each_form_equals_the_plain_layers(name):
    keras.utils.set_random_seed(0)
    shape, stack = STACKS[name]
    model = keras.Sequential([keras.Input(shape), *stack])
    inputs = tf.random.stateless_normal((3, *shape), [1, 2])
    plain = outputs_and_gradients(lambda x: model(x, training=False), model, inputs)
    quick = outputs_and_gradients(lambda x: fast_layers.apply(model, x, training=False), model, inputs)
    assert largest_difference(quick, plain) < TOLERANCE


@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_is_normalised_as_a_whole(parts):
    stack = [
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Conv2D(2, 3),
    ]
    model = keras.Sequential([keras.Input((7, 6, 2)), *stack])
    model.layers[1].gamma.assign([1.0, -0.5, 2.0, 0.0])
    model.layers[1].beta.assign([4.0, 2.0, 9.0, 1.0])  # No activation is near to a bend.
    before = model.get_weights()
    inputs = 3 + 2 * tf.random.stateless_normal((5, 7, 6, 2), [1, 2])
    whole = outputs_and_gradients(lambda x: model(x, training=True), model, inputs)
    remembered = model.get_weights()
    model.set_weights(before)
    quick = outputs_and_gradients(
        lambda x: fast_layers.apply(model, x, training=True, parts=parts), model, inputs
    )
    assert largest_difference(quick, whole) < TOLERANCE
    assert largest_difference(model.get_weights(), remembered) < TOLERANCE


@pytest.mark.parametrize("inner", [layers.Dense(4), layers.BatchNormalization()], ids=["apart", "together"])
def test_a_graph_of_layers_computes_in_parts_what_it_computes_as_a_whole(inner):
    x = keras.Input((6,))
    inside = keras.Sequential([keras.Input((6,)), inner])
    model = keras.Model(x, layers.Concatenate()([inside(x), x]))
    inputs = tf.random.stateless_normal((5, 6), [1, 2])
    whole = model(inputs, training=True)
    in_parts = fast_layers.apply(model, inputs, training=True, parts=2)
    assert largest_difference([in_parts], [whole]) < TOLERANCE


def test_a_batch_of_a_length_that_is_not_known_beforehand_may_be_shorter_than_its_parts():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)])
    signature = [tf.TensorSpec((None, 4, 4, 1))]
    compute = tf.function(
        lambda x: fast_layers.apply(model, x, training=False, parts=4), input_signature=signature
    )
    for count in (1, 9):
        inputs = tf.random.stateless_normal((count, 4, 4, 1), [1, 2])
        assert largest_difference([compute(inputs)], [model(inputs)]) < TOLERANCE


@pytest.mark.parametrize("count", [1, 3])
def test_there_are_no_more_parts_than_images(count):
    model = build_networks(PRESETS["swift"], seed=0)[0]
    inputs = tf.random.stateless_normal((count, 74), [1, 2])
    compute = tf.function(lambda x: fast_layers.apply(model, x, training=False, parts=4))
    assert largest_difference([compute(inputs)], [model(inputs, training=False)]) < TOLERANCE


def test_a_normalisation_of_another_kind_sees_the_whole_batch_too():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization()])
    inputs = tf.random.stateless_normal((6, 6), [1, 2])
    whole = model(inputs, training=True)
    in_parts = fast_layers.apply(model, inputs, training=True, parts=2)
    assert largest_difference([in_parts], [whole]) < TOLERANCE


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("index", [0, 1], ids=["generator", "discriminator"])
def test_each_presets_networks_equal_the_plain_layers(preset, index):
    model = build_networks(PRESETS[preset], seed=0)[index]
    for layer in model.layers:
        if isinstance(layer, layers.LeakyReLU):
            # No bend: of 2,000,000 activations some are so near to 0 that the two see different sides.
            layer.negative_slope = 1.0
    inputs = tf.random.stateless_normal((8, *model.input_shape[1:]), [3, 4])
    plain = outputs_and_gradients(lambda x: model(x, training=False), model, inputs)
    quick = outputs_and_gradients(lambda x: fast_layers.apply(model, x, training=False), model, inputs)
    assert largest_difference(quick, plain) < NETWORK_TOLERANCE


def test_batch_statistics_normalise_and_are_remembered_as_keras_does():
    model = keras.Sequential([keras.Input((4, 3, 2)), layers.BatchNormalization(momentum=0.9), layers.ReLU()])
    norm = model.layers[0]
    norm.set_weights([np.array(row, np.float32) for row in ([1, 2], [0.5, -1], [3, 4], [5, 6])])
    before = model.get_weights()
    inputs = 3 + 2 * tf.random.stateless_normal((5, 4, 3, 2), [1, 2])
    plain = outputs_and_gradients(lambda x: model(x, training=True), model, inputs)
    remembered = model.get_weights()
    model.set_weights(before)
    quick = outputs_and_gradients(lambda x: fast_layers.apply(model, x, training=True), model, inputs)
    assert largest_difference(quick, plain) < TOLERANCE
    assert largest_difference(model.get_weights(), remembered) < TOLERANCE
    assert largest_difference(remembered, before) > 0.01


def test_dropout_draws_from_the_layers_own_state():
    model = keras.Sequential([keras.Input((999,)), layers.Dropout(0.4, seed=5)])
    seed_state = model.layers[0].seed_generator.state
    before = np.asarray(seed_state)
    first, second = (fast_layers.apply(model, tf.ones((1, 999)), training=True) for _ in range(2))
    assert not np.array_equal(first, second)
    seed_state.assign(before)
    assert np.array_equal(fast_layers.apply(model, tf.ones((1, 999)), training=True), first)


def test_dropout_drops_the_same_however_many_parts_a_batch_has():
    model = keras.Sequential([keras.Input((99,)), layers.Dropout(0.4, seed=5)])
    before = np.asarray(model.layers[0].seed_generator.state)
    drawn = []
    for parts in (1, 3):
        model.layers[0].seed_generator.state.assign(before)
        drawn.append(fast_layers.apply(model, tf.ones((7, 99)), training=True, parts=parts))
    assert np.array_equal(*drawn)


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_dropout_leaves_out_its_share_and_scales_the_rest(rate):
    model = keras.Sequential([keras.Input((1000, 1000)), layers.Dropout(rate, seed=5)])
    outputs = fast_layers.apply(model, tf.ones((1, 1000, 1000)), training=True).numpy()
    # Four standard errors of a share of a million.
    assert np.mean(outputs == 0) == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 1e6) ** 0.5)
    assert np.unique(outputs[outputs > 0]) == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_dropout_of_whole_channels_stays_that():
    model = keras.Sequential([keras.Input((4, 4, 50)), layers.SpatialDropout2D(0.5, seed=5)])
    kept = fast_layers.apply(model, tf.ones((1, 4, 4, 50)), training=True).numpy() > 0
    assert (kept.all(axis=(1, 2)) | ~kept.any(axis=(1, 2))).all()


@pytest.mark.parametrize("rate", [0.3, 0.4])
def test_dropout_in_bfloat16_keeps_the_mean(rate):
    model = keras.Sequential([keras.Input((1_000_000,)), layers.Dropout(rate, seed=5)])
    dropped = fast_layers.apply(model, tf.ones((1, 1_000_000)), training=True, dtype=tf.bfloat16)
    mean = np.mean(np.asarray(dropped, np.float32), dtype=float)
    # Of the scale a rounding to eight bits is left, of chance a standard deviation of 0.0008.
    assert abs(mean - 1) < 2**-9 + 4 * 0.0008


@pytest.mark.parametrize(("precision", "tolerance"), [(tf.float32, 1e-6), (tf.bfloat16, 2**-8)])
@pytest.mark.parametrize("end", [layers.Dense(1, activation="sigmoid"), layers.Activation("sigmoid")])
def test_logits_leave_out_the_final_sigmoid(end, precision, tolerance):
    model = keras.Sequential([keras.Input((1,)), end])
    inputs = tf.constant([[0.3], [-2.0], [8.0]])
    logits = fast_layers.apply(model, inputs, training=False, dtype=precision, logits=True)
    assert np.allclose(tf.sigmoid(tf.cast(logits, tf.float32)), model(inputs), atol=tolerance)


def test_a_bright_pixel_in_bfloat16_has_the_gradient_of_its_sigmoid():
    layer = layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Sequential([keras.Input((1, 1, 1)), layer])
    layer.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    logits = tf.reshape([4.0, 6.0, 8.0], (3, 1, 1, 1))
    gradients = [
        outputs_and_gradients(
            lambda x, d=dtype: tf.cast(fast_layers.apply(model, x, True, d), tf.float32), model, logits
        )[1]
        for dtype in (tf.bfloat16, tf.float32)
    ]
    assert np.allclose(*gradients, rtol=0.02, atol=0)


def test_a_model_that_is_no_stack_is_computed_by_keras():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Add()([layers.Dense(3)(inputs), layers.Dense(3)(inputs)]))
    x = tf.random.stateless_normal((2, 4), [0, 0])
    assert np.array_equal(fast_layers.apply(model, x, training=False), model(x))


@pytest.mark.parametrize("instructions", [True, False])
def test_bfloat16_computes_the_same_to_its_eight_bits(monkeypatch, instructions):
    monkeypatch.setattr(fast_layers, "has_bfloat16", lambda: instructions)
    generator = build_networks(PRESETS["clothing"], seed=0)[0]
    vectors = tf.random.stateless_normal((2, 100), [0, 0])
    compute = tf.function(lambda x: fast_layers.apply(generator, x, training=False, dtype=tf.bfloat16))
    products = {"MatMul", "Conv2D", "Conv2DBackpropInput"}
    operations = compute.get_concrete_function(vectors).graph.get_operations()
    assert {operation.outputs[0].dtype for operation in operations if operation.type in products} == {
        tf.bfloat16 if instructions else tf.float32
    }
    images = compute(vectors)
    assert images.dtype == tf.bfloat16
    assert np.allclose(tf.cast(images, tf.float32), generator(vectors), atol=0.01)


@pytest.mark.parametrize(
    ("detail", "has"),
    [({"compute_capability": (7, 5)}, False), ({"compute_capability": (8, 0)}, True), ({}, True)],
)
def test_an_nvidia_gpu_has_bfloat16_from_compute_capability_8_on(monkeypatch, detail, has):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: detail)
    assert fast_layers.has_bfloat16.__wrapped__() == has


def test_a_bias_in_bfloat16_learns_from_every_pixel():
    model = keras.Sequential([keras.Input((40, 40, 1)), layers.Conv2D(1, 1)])
    with tf.GradientTape() as tape:
        outputs = fast_layers.apply(model, tf.ones((2, 40, 40, 1)), training=True, dtype=tf.bfloat16)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
    assert tape.gradient(loss, model.layers[0].bias.value) == 2 * 40 * 40


@pytest.mark.parametrize("name", ["dense", "one filter, even kernel", "strided", "transposed"])
def test_without_instructions_for_bfloat16_nothing_but_the_rounding_is_lost(monkeypatch, name):
    keras.utils.set_random_seed(0)
    monkeypatch.setattr(fast_layers, "has_bfloat16", lambda: False)
    shape, [product, *_] = STACKS[name]
    model = keras.Sequential([keras.Input(shape), type(product).from_config(product.get_config())])
    inputs = tf.random.stateless_normal((3, *shape), [1, 2])

    def compute(dtype):
        return lambda x: tf.cast(fast_layers.apply(model, x, training=False, dtype=dtype), tf.float32)

    rounded = outputs_and_gradients(compute(tf.bfloat16), model, inputs)
    exact = outputs_and_gradients(compute(tf.float32), model, inputs)
    # A rounding is off by 2**-9 at most: of both factors, of their product and of what it gets back.
    assert largest_difference(rounded, exact) < 4 * 2**-9
