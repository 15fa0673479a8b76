"""Adam in one pass is Adam, and the learning rates and averages of long runs are those of their source."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from clothinggan.gan import GAN, power_of_width
from clothinggan.models import build_networks
from clothinggan.optimizers import InverseSquareRoot, OnePassAdam
from clothinggan.presets import PRESETS, change


def test_adam_in_one_pass_moves_weights_as_keras_adam_does():
    random = np.random.default_rng(0)
    gradients = [tf.constant(random.normal(size=(3, 4)).astype(np.float32)) for _ in range(5)]
    ended = []
    for kind in (OnePassAdam, keras.optimizers.Adam):
        variable = keras.Variable(np.ones((3, 4), np.float32))
        optimizer = kind(0.01, beta_1=0.5)
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([gradient], [variable])
        ended.append([np.asarray(value) for value in (variable, *optimizer.variables)])
    for ours, keras_own in zip(*ended, strict=True):
        assert ours == pytest.approx(keras_own, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.002), (100, 0.002), (400, 0.001), (10_000, 0.0002)])
def test_a_rate_that_falls_does_so_with_the_root_of_the_step(step, rate):
    assert float(InverseSquareRoot(0.002, 100)(tf.constant(step))) == pytest.approx(rate)


# Karras et al. (2024), section 3.1 and algorithm 2.
@pytest.mark.parametrize(("width", "power"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_power_of_a_width_is_that_of_the_paper(width, power):
    assert power_of_width(width) == pytest.approx(power, abs=0.01)


def test_an_average_of_a_width_counts_a_step_with_a_power_of_its_number():
    design = change(PRESETS["swift"], averaging=0.0, averaging_width=0.2, rate_decay_start=1)
    gan = GAN(design, *build_networks(design, seed=0), seed=0)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8))
    power, average = power_of_width(0.2), 0.0
    for step in range(1, 4):
        gan.train_step((images, tf.constant([0, 1, 2, 3])))
        # The share of a step in the integral of t^power up to it.
        share = (1 - 1 / step) ** (power + 1)
        average = share * average + (1 - share) * gan.generator.get_weights()[0]
    assert gan.averaged_generator.get_weights()[0] == pytest.approx(average, abs=1e-6)
