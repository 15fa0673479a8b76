"""One step trains each network on its own half, and all of it can be taken up again."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from clothinggan.data.batches import batches
from clothinggan.errors import ClothingGANError
from clothinggan.gan import GAN
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)


def make_gan(preset="clothing", seed=0, frozen=False, **changes):
    preset = replace(PRESETS[preset], **changes)
    networks = build_networks(preset, seed)
    for network in networks:
        network.trainable = not frozen
    return GAN(preset, *networks, seed)


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


class Steps:
    """A GAN whose two optimisers note what they leave unchanged."""

    def __init__(self, frozen):
        self.gan = make_gan(frozen=frozen)
        self.changes = []
        for name in ("discriminator_optimizer", "generator_optimizer"):
            optimizer = getattr(self.gan, name)
            optimizer.apply = self._noting(name, optimizer.apply)

    def _noting(self, name, apply):
        def noted(*arguments):
            before = weights(self.gan.generator), weights(self.gan.discriminator)
            apply(*arguments)
            after = weights(self.gan.generator), weights(self.gan.discriminator)
            self.changes.append((name, *(not equal(a, b) for a, b in zip(before, after, strict=True))))

        return noted


@pytest.mark.parametrize("frozen", [False, True])
def test_each_half_of_a_step_changes_its_own_network_and_not_the_other_frozen_before_or_not(frozen):
    steps = Steps(frozen)
    steps.gan.train_step(tf.constant(IMAGES[:8]))
    assert steps.changes == [
        ("discriminator_optimizer", False, True),
        ("generator_optimizer", True, False),
    ]


def test_a_state_taken_and_loaded_goes_on_to_the_bit():
    stream = list(itertools.islice(batches(IMAGES, 8, 0, 0, 0), 4))
    whole, first = make_gan(), make_gan()
    for batch in stream:
        whole.train_step(batch)
    for batch in stream[:2]:
        first.train_step(batch)
    second = make_gan(seed=0)
    second.generator.set_weights(first.generator.get_weights())
    second.load_state(first.state())
    for batch in stream[2:]:
        second.train_step(batch)
    assert equal(weights(whole.generator), weights(second.generator))
    for name, arrays in whole.state().items():
        assert equal(arrays, second.state()[name]), name


def test_the_state_of_another_design_is_refused():
    state = make_gan().state()
    state["discriminator"][0] = state["discriminator"][0][..., :3]
    with pytest.raises(ClothingGANError, match="another 'discriminator'"):
        make_gan().load_state(state)


def test_an_epoch_shows_each_image_at_most_once_in_whole_batches():
    epoch = np.concatenate([np.asarray(b) for b in itertools.islice(batches(IMAGES, 16, 0, 0, 0), 2)])
    assert len(np.unique(epoch.reshape(32, -1), axis=0)) == 32


def test_each_epoch_has_an_order_of_its_own():
    first, second = (np.asarray(next(iter(batches(IMAGES, 40, 0, epoch, 0)))) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


def test_labels_stay_with_their_images():
    labels = np.arange(40, dtype=np.int32)
    for some_images, some_labels in itertools.islice(batches((IMAGES, labels), 16, 0, 0, 0), 2):
        assert np.array_equal(some_images, IMAGES[some_labels])


def test_a_stream_can_be_entered_anywhere():
    whole = [np.asarray(b) for b in itertools.islice(batches(IMAGES, 16, 5, 0, 0), 6)]
    entered = [np.asarray(b) for b in itertools.islice(batches(IMAGES, 16, 5, 1, 1), 3)]
    assert equal(whole[3:], entered)


def test_it_draws_from_the_same_latent_vectors_after_any_number_of_steps():
    gan = make_gan()
    generator, drawn = gan.generator.get_weights(), gan.draw(4)
    gan.train_step(tf.constant(IMAGES[:8]))
    assert not np.array_equal(gan.draw(4), drawn)
    gan.generator.set_weights(generator)
    assert np.array_equal(gan.draw(4), drawn)


def test_accuracy_counts_what_the_discriminator_tells_rightly():
    gan = make_gan()
    dense = gan.discriminator.layers[-1]
    dense.kernel.assign(tf.zeros_like(dense.kernel))
    dense.bias.assign([1.0])  # Takes everything for real.
    assert gan.accuracy(IMAGES, None) == (1.0, 0.0)


def test_the_accuracy_of_a_conditional_design_is_that_for_the_images_own_class():
    gan = make_gan("swift")
    dense = gan.discriminator.layers[-1]
    dense.kernel.assign(tf.zeros_like(dense.kernel))
    dense.bias.assign(np.where(np.arange(10) == 3, 1.0, -1.0))  # Takes everything for a real dress.
    assert gan.accuracy(IMAGES, np.full(40, 3)) == (1.0, 0.0)
    assert gan.accuracy(IMAGES, np.full(40, 7)) == (0.0, 1.0)


def test_what_is_drawn_with_may_be_a_moving_average_of_the_generator():
    gan = make_gan("swift", averaging=0.999, averaging_width=0.0)
    average = [weight.numpy() for weight in gan.generator.weights]
    for step in (1, 2, 3):
        gan.train_step((tf.constant(IMAGES[:8]), tf.range(8)))
        share = min(0.999, (1 + step) / (10 + step))
        now = [weight.numpy() for weight in gan.generator.weights]
        average = [share * a + (1 - share) * b for a, b in zip(average, now, strict=True)]
    for expected, weight in zip(average, gan.averaged_generator.weights, strict=True):
        assert np.allclose(expected, weight, atol=1e-6)
    assert not equal(now, average)


def test_a_generator_without_room_for_a_class_is_refused():
    generator = keras.Sequential([keras.Input((10,)), keras.layers.Dense(784)])
    _, discriminator = build_networks(PRESETS["swift"], seed=0)
    with pytest.raises(ClothingGANError, match="no room for a class"):
        GAN(PRESETS["swift"], generator, discriminator, seed=0)
