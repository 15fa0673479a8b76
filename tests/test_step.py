"""One step of each design, held against the same step written out here in plain TensorFlow and float64.

What is random is drawn here and handed to both: latent vectors, label noise, dropout masks. What is
compared: both losses, every gradient, and the weights after Adam, over two steps.
"""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from clothinggan import environment, fast_layers
from clothinggan.gan import GAN
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS, VERSION_1

IMAGES = 3
STEPS = 2
# The code under test counts in float32, the hand in float64: a loss is exact to some 1e-7 of itself, and an
# array of gradients to some 1e-6 of its length, on any processor, as long as no activation lies so near to a
# bend of LeakyReLU or ReLU that the two take it for different sides: see `keep_away_from_bends`.
LOSS_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 2e-5
# A float32 is exact to 6e-8 of itself, and a weight is up to 2.5; a step of Adam is up to 1e-5 or more.
WEIGHT_TOLERANCE = 2.5e-7

CLOTHING_MASKS = [(14, 14, 64), (7, 7, 64)]
FASHION_MASKS = [(24, 24, 32), (20, 20, 64), (16, 16, 128), (12, 12, 256), (36_864,)]

SWIFT_MASKS = [(14, 14, 32), (7, 7, 64), (4, 4, 128)]


def away_from_0(x):
    assert tf.reduce_min(tf.abs(x)) > 1e-2
    return x


def leaky(x):
    return tf.where(away_from_0(x) > 0, x, 0.2 * x)


def double(x):
    """Each pixel twice in each direction."""
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def clothing_generator(weights, z):
    dense, dense_bias, first, first_bias, second, second_bias, last, last_bias = weights
    n = len(z)
    x = tf.reshape(leaky(z @ dense + dense_bias), (n, 7, 7, 128))
    x = leaky(tf.nn.conv2d_transpose(x, first, (n, 14, 14, 128), 2) + first_bias)
    x = leaky(tf.nn.conv2d_transpose(x, second, (n, 28, 28, 128), 2) + second_bias)
    return tf.sigmoid(tf.nn.conv2d(x, last, 1, "SAME") + last_bias)


def strided_discriminator(weights, x, masks):
    *kernels_and_biases, dense, dense_bias = weights
    for block, mask in enumerate(masks):
        kernel, bias = kernels_and_biases[2 * block : 2 * block + 2]
        x = leaky(tf.nn.conv2d(x, kernel, 2, "SAME") + bias) * mask
    return tf.sigmoid(tf.reshape(x, (len(x), -1)) @ dense + dense_bias)


def fashion_generator(weights, z):
    dense, dense_bias, *kernels_and_biases, last, last_bias = weights
    x = tf.reshape(leaky(z @ dense + dense_bias), (len(z), 7, 7, 128))
    for block, before in enumerate([double, double, tf.identity, tf.identity]):
        kernel, bias = kernels_and_biases[2 * block : 2 * block + 2]
        x = leaky(tf.nn.conv2d(before(x), kernel, 1, "SAME") + bias)
    return tf.sigmoid(tf.nn.conv2d(x, last, 1, "SAME") + last_bias)


def fashion_discriminator(weights, x, masks):
    for block in range(4):
        kernel, bias = weights[2 * block : 2 * block + 2]
        x = leaky(tf.nn.conv2d(x, kernel, 1, "VALID") + bias) * masks[block]
    return tf.sigmoid((tf.reshape(x, (len(x), -1)) * masks[4]) @ weights[8] + weights[9])


def normalised(x, gamma, beta):
    """By the batch's own mean and variance (Ioffe and Szegedy, 2015), with Keras's epsilon."""
    mean = tf.reduce_mean(x, axis=(0, 1, 2))
    variance = tf.reduce_mean((x - mean) ** 2, axis=(0, 1, 2))
    return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta


def swift_generator(weights, z):
    dense, *blocks, last, last_bias = weights
    n = len(z)
    x = tf.nn.relu(away_from_0(normalised(tf.reshape(z @ dense, (n, 7, 7, -1)), *blocks[:2])))
    x = tf.nn.conv2d_transpose(x, blocks[2], (n, 14, 14, blocks[2].shape[2]), 2)
    x = tf.nn.relu(away_from_0(normalised(x, *blocks[3:5])))
    for first in range(5, len(blocks), 3):
        x = tf.nn.conv2d(x, blocks[first], 1, "SAME")
        x = tf.nn.relu(away_from_0(normalised(x, *blocks[first + 1 : first + 3])))
    return tf.sigmoid(tf.nn.conv2d_transpose(x, last, (n, 28, 28, 1), 2) + last_bias)


def crossentropy(labels, p):
    return tf.reduce_mean(-labels * tf.math.log(p) - (1 - labels) * tf.math.log(1 - p))


def of_classes(p, classes):
    """The answers that count: each image's class's, where there is one for each class."""
    return p if classes is None else tf.gather(p, np.reshape(classes, (-1, 1)), batch_dims=1)


def class_loss(weight, p, classes):
    """How little of the odds of all classes together are those of the right one."""
    if not weight:
        return 0.0
    odds = p / (1 - p)
    shares = of_classes(odds, classes)[:, 0] / tf.reduce_sum(odds, axis=1)
    return -weight * tf.reduce_mean(tf.math.log(shares))


# By design: the networks, its dropout layers' shapes, and what the published design says in numbers.
BY_HAND = {
    "clothing": {
        "networks": (clothing_generator, strided_discriminator),
        "masks": CLOTHING_MASKS,
        "latent_size": 100,
        "labels": lambda noise: [1.0] * IMAGES + [0.0] * IMAGES,
        "real": 1.0,
        "generator_drops": True,
        "adam": {"generator": (2e-4, 0.5), "discriminator": (2e-4, 0.5)},
        "classes": None,
    },
    "fashion": {
        "networks": (fashion_generator, fashion_discriminator),
        "masks": FASHION_MASKS,
        "latent_size": 128,
        "labels": lambda noise: [*(0.15 * noise[:IMAGES]), *(1 - 0.15 * noise[IMAGES:])],
        "real": 0.0,
        "generator_drops": False,
        "adam": {"generator": (1e-4, 0.9), "discriminator": (1e-5, 0.9)},
        "classes": None,
    },
    "swift": {
        "networks": (swift_generator, strided_discriminator),
        "masks": SWIFT_MASKS,
        "latent_size": 64,
        "labels": lambda noise: [1.0] * IMAGES + [0.0] * IMAGES,
        "real": 1.0,
        "generator_drops": False,
        "adam": {"generator": (1.6e-3, 0.5), "discriminator": (1.6e-3, 0.5)},
        "classes": [7, 0, 7],
        "class_weight": 0.2,
    },
    "swift of version 1": {
        "networks": (swift_generator, strided_discriminator),
        "masks": SWIFT_MASKS[:2],
        "latent_size": 64,
        "labels": lambda noise: [1.0] * IMAGES + [0.0] * IMAGES,
        "real": 1.0,
        "generator_drops": True,
        "adam": {"generator": (8e-4, 0.5), "discriminator": (8e-4, 0.5)},
        "classes": [7, 0, 7],
        "class_weight": 0.2,
        "class_weight_of_generator": 0.2,
    },
}
ROWS = PRESETS | {"swift of version 1": VERSION_1["swift"]}


class Chance:
    """Latent vectors, label noise and dropout masks, drawn with NumPy and kept."""

    def __init__(self, design, monkeypatch):
        random = np.random.default_rng(7)
        self.vectors, self.masks, self.noise = [], [], None

        def normal(shape, seed):
            self.vectors.append(random.standard_normal((IMAGES, design["latent_size"]), np.float32))
            return tf.constant(self.vectors[-1])

        def uniform(shape, seed):
            self.noise = random.uniform(size=(2 * IMAGES, 1)).astype(np.float32)
            return tf.constant(self.noise)

        def dropout_mask(shape, rate, seeds):
            self.masks.append((random.uniform(size=np.asarray(shape)) >= rate) / (1 - rate))
            return tf.constant(self.masks[-1].astype(np.float32))

        monkeypatch.setattr(tf.random, "stateless_normal", normal)
        monkeypatch.setattr(tf.random, "stateless_uniform", uniform)
        monkeypatch.setattr(fast_layers, "dropout_mask", dropout_mask)

    def forget(self):
        self.vectors, self.masks = [], []


class Noting:
    """A GAN's step, and what each of its two updates did."""

    def __init__(self, gan):
        self.gan = gan
        self.updates = {}
        for name in ("discriminator", "generator"):
            optimizer = getattr(gan, f"{name}_optimizer")
            optimizer.apply = self._noting(name, optimizer.apply)

    def _noting(self, name, apply):
        def noted(gradients, variables):
            before = doubles(variables)
            apply(gradients, variables)
            self.updates[name] = (before, doubles(gradients), doubles(variables))

        return noted


def keep_away_from_bends(network):
    """Moves every activation away from 0, half of the channels to each side.

    What a layer multiplies by is so small that no sum reaches what it adds or shifts by. A step of Adam moves
    all of a sum's weights one way, so a layer of many inputs adds more than the one before.
    """
    shifts = iter([0.25, 1.0, 2.5, 2.5, 2.5])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(np.full(layer.gamma.shape, 0.1))
            layer.beta.assign(np.where(np.arange(layer.beta.shape[0]) % 2, 1.0, -1.0))
        elif getattr(layer, "use_bias", False) and layer is not network.layers[-1]:
            layer.kernel.assign(0.1 * layer.kernel)
            layer.bias.assign(next(shifts) * np.where(np.arange(layer.bias.shape[0]) % 2, 1.0, -1.0))


def doubles(arrays):
    return [np.asarray(array, np.float64) for array in arrays]


def d_loss_by_hand(design, images, labels, masks, weights):
    p, classes = design["networks"][1](weights, images, masks), design["classes"]
    loss = crossentropy(labels, of_classes(p, classes and classes * 2))
    return loss + class_loss(design.get("class_weight"), p[:IMAGES], classes)


def g_loss_by_hand(design, z, discriminator, masks, weights):
    generate, judge = design["networks"]
    p, classes = judge(discriminator, generate(weights, z), masks), design["classes"]
    loss = crossentropy(design["real"], of_classes(p, classes))
    return loss + class_loss(design.get("class_weight_of_generator"), p, classes)


def assert_same(loss, gradients, by_hand, weights):
    weights = [tf.constant(w) for w in weights]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        expected = by_hand(weights)
    assert loss == pytest.approx(float(expected), rel=LOSS_TOLERANCE)
    for gradient, hand in zip(gradients, tape.gradient(expected, weights), strict=True):
        assert np.linalg.norm(gradient - hand) <= GRADIENT_TOLERANCE * np.linalg.norm(hand)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ROWS)
def test_a_step_is_what_a_hand_computes(name, parts, monkeypatch):
    monkeypatch.setattr(environment, "batch_parts", lambda: parts)
    design, row = BY_HAND[name], ROWS[name]
    generate, _ = design["networks"]
    networks = build_networks(row, seed=1)
    for network in networks:
        keep_away_from_bends(network)
    gan = GAN(row, *networks, seed=0)
    noting = Noting(gan)
    chance = Chance(design, monkeypatch)
    moments = {}
    images = np.random.default_rng(2).integers(0, 256, (IMAGES, 28, 28), np.uint8)
    batch = tf.constant(images)
    if design["classes"]:
        batch = batch, tf.constant(design["classes"])
    real = images[..., np.newaxis] / 255
    ones = [np.ones(shape) for shape in design["masks"]]

    for step in range(1, STEPS + 1):
        chance.forget()
        gan.reset_metrics()
        losses = {key: float(value) for key, value in gan.train_step(batch).items()}
        d_before, d_gradients, d_after = noting.updates["discriminator"]
        g_before, g_gradients, _ = noting.updates["generator"]
        d_masks, g_masks = chance.masks[: len(ones)], chance.masks[len(ones) :] or ones
        assert (g_masks is not ones) == design["generator_drops"]
        noise, vectors = np.float64(chance.noise[:, 0]), np.float64(chance.vectors)
        if design["classes"]:
            asked = np.tile(np.eye(10)[design["classes"]], (len(vectors), 1, 1))
            vectors = np.concatenate([vectors, asked], axis=2)
        # Of a design whose two halves share the fakes, the first are the last.
        z_fakes, z_update = vectors[0], vectors[-1]
        assert len(vectors) == (1 if row.shared_fakes else 2)

        both = tf.concat([real, generate(g_before, z_fakes)], axis=0)
        labels = np.reshape(design["labels"](noise), (-1, 1))
        by_hand = partial(d_loss_by_hand, design, both, labels, d_masks)
        assert_same(losses["d_loss"], d_gradients, by_hand, d_before)

        by_hand = partial(g_loss_by_hand, design, z_update, d_after, g_masks)
        assert_same(losses["g_loss"], g_gradients, by_hand, g_before)

        for network, (before, gradients, after) in noting.updates.items():
            rate, beta_1 = design["adam"][network]
            state = moments.setdefault(network, [[0.0, 0.0] for _ in before])
            for index, gradient in enumerate(gradients):
                # Kingma and Ba (2015), algorithm 1, in the order of section 2's last paragraph.
                first, second = state[index]
                first = beta_1 * first + (1 - beta_1) * gradient
                second = 0.999 * second + 0.001 * gradient**2
                state[index] = [first, second]
                size = rate * np.sqrt(1 - 0.999**step) / (1 - beta_1**step)
                expected = before[index] - size * first / (np.sqrt(second) + 1e-7)
                assert np.abs(after[index] - expected).max() <= WEIGHT_TOLERANCE
