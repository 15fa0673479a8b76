"""The networks are the published ones, and the composite trains the generator alone."""

import keras
import numpy as np
import pytest
from keras import layers

from clothinggan.data.classes import CLASS_NAMES
from clothinggan.errors import ClothingGANError
from clothinggan.models import (
    Composite,
    build_networks,
    draw_latent_vectors,
    generate,
    tell_classes,
    walk,
)
from clothinggan.presets import PRESETS


@pytest.fixture(scope="module")
def clothing():
    return build_networks(PRESETS["clothing"], seed=0)


def test_clothing_has_the_published_parameter_counts(clothing):
    generator, discriminator = clothing
    assert (generator.count_params(), discriminator.count_params()) == (1_164_289, 40_705)


def test_clothing_generator_has_the_published_layers(clothing):
    described = [(type(layer).__name__, layer.output.shape[1:]) for layer in clothing[0].layers]
    assert described == [
        ("Dense", (6272,)),
        ("LeakyReLU", (6272,)),
        ("Reshape", (7, 7, 128)),
        ("Conv2DTranspose", (14, 14, 128)),
        ("LeakyReLU", (14, 14, 128)),
        ("Conv2DTranspose", (28, 28, 128)),
        ("LeakyReLU", (28, 28, 128)),
        ("Conv2D", (28, 28, 1)),
    ]


def test_clothing_discriminator_has_the_published_layers(clothing):
    described = [(type(layer).__name__, layer.output.shape[1:]) for layer in clothing[1].layers]
    block = ["Conv2D", "LeakyReLU", "Dropout"]
    sizes = [(14, 14, 64)] * 3 + [(7, 7, 64)] * 3 + [(3136,), (1,)]
    assert described == list(zip([*block, *block, "Flatten", "Dense"], sizes, strict=True))


def test_a_generator_takes_vectors_of_its_own_size(clothing):
    with pytest.raises(ClothingGANError, match=r"the shape \(2, 99\); this generator takes \(n, 100\)"):
        generate(clothing[0], np.zeros((2, 99), np.float32))


@pytest.mark.parametrize(
    ("size", "classes", "said"),
    [
        (74, [10], "'10' is none of the 10 classes"),
        (74, [-1], "-1 is none of the 10 classes"),
        (74, [], "no class is asked for"),
        (9, [3], "vectors of 9 numbers have no room for one of 10 classes"),
    ],
)
def test_latent_vectors_are_of_classes_that_there_are(size, classes, said):
    with pytest.raises(ClothingGANError, match=said):
        draw_latent_vectors(1, size, seed=0, classes=classes)


@pytest.fixture(scope="module")
def swift():
    """A generator that takes a class, and knows what its classes are called."""
    return tell_classes(build_networks(PRESETS["swift"], seed=0)[0], CLASS_NAMES)


def test_a_generator_that_takes_a_class_draws_all_in_turns(swift):
    vectors = draw_latent_vectors(12, swift, seed=0)
    assert np.array_equal(vectors, draw_latent_vectors(12, 74, seed=0, classes=range(10)))
    assert np.array_equal(generate(swift, vectors[:, :64]), generate(swift, vectors))


def test_its_classes_are_asked_for_by_name(swift):
    boots = draw_latent_vectors(3, swift, seed=0, classes=["ankle boot", 7])
    assert boots[:, 64:].argmax(axis=1).tolist() == [9, 7, 9]
    bags = draw_latent_vectors(3, swift, seed=0, classes="bag")
    assert np.array_equal(generate(swift, boots, classes=["bag"]), generate(swift, bags))
    with pytest.raises(ClothingGANError, match="did you mean Sneaker"):
        draw_latent_vectors(3, swift, seed=0, classes=["sneeker"])


def test_noise_in_the_place_of_the_class_is_refused(swift):
    with pytest.raises(ClothingGANError, match="the last 10 of the 74 numbers are the class"):
        generate(swift, np.random.default_rng(0).standard_normal((25, 74), np.float32))


def test_a_generator_that_takes_no_class_is_not_asked_for_one(clothing):
    with pytest.raises(ClothingGANError, match="draws what it likes"):
        draw_latent_vectors(1, clothing[0], seed=0, classes=["bag"])
    with pytest.raises(ClothingGANError, match="draws what it likes"):
        generate(clothing[0], draw_latent_vectors(1, clothing[0], seed=0), classes=["bag"])


@pytest.fixture(scope="module")
def fashion():
    return build_networks(PRESETS["fashion"], seed=0)


def test_fashion_has_the_published_parameter_counts(fashion):
    generator, discriminator = fashion
    assert (generator.count_params(), discriminator.count_params()) == (2_155_137, 1_113_345)


def described(layers):
    """Each layer with weights by class, kernel and number of filters; the others by class."""
    return [
        (type(layer).__name__, *(layer.kernel.shape[i] for i in (0, -1)))
        if layer.weights
        else type(layer).__name__
        for layer in layers
    ]


def test_fashion_generator_has_the_published_layers(fashion):
    assert described(fashion[0].layers) == [
        *[("Dense", 128, 6272), "LeakyReLU", "Reshape"],
        *["UpSampling2D", ("Conv2D", 5, 128), "LeakyReLU"] * 2,
        *[("Conv2D", 4, 128), "LeakyReLU"] * 2,
        ("Conv2D", 4, 1),
    ]


def test_fashion_discriminator_has_the_published_layers(fashion):
    filters = (32, 64, 128, 256)
    blocks = [part for n in filters for part in (("Conv2D", 5, n), "LeakyReLU", "Dropout")]
    assert described(fashion[1].layers) == [*blocks, "Flatten", "Dropout", ("Dense", 36_864, 1)]


def test_slopes_and_dropout_rates_are_the_designs(clothing, fashion):
    layers = [layer for network in (*clothing, *fashion) for layer in network.layers]
    slopes = {layer.negative_slope for layer in layers if type(layer).__name__ == "LeakyReLU"}
    rates = {layer.rate for layer in layers if type(layer).__name__ == "Dropout"}
    assert (slopes, rates) == ({0.2}, {0.4})


@pytest.mark.parametrize("flag", [True, False])
def test_the_composite_trains_the_generator_whatever_flag_the_discriminator_carries(flag):
    generator, discriminator = build_networks(PRESETS["clothing"], seed=0)
    discriminator.trainable = flag
    trained = Composite(generator, discriminator, dropout=True).trainable_variables
    assert [id(v) for v in trained] == [id(v) for v in generator.trainable_variables]


def test_the_composite_is_what_the_discriminator_says_of_the_generators_images(clothing):
    generator, discriminator = clothing
    vectors = draw_latent_vectors(5, 100, seed=0)
    logits = np.asarray(Composite(generator, discriminator, dropout=True)(vectors))
    said = np.asarray(discriminator(generate(generator, vectors)[..., np.newaxis]))
    assert np.allclose(1 / (1 + np.exp(-logits)), said, atol=1e-6)


def test_equal_seeds_build_equal_networks_and_others_do_not(clothing):
    first, again, other = clothing[0], *(build_networks(PRESETS["clothing"], s)[0] for s in (0, 1))
    kernels = [np.asarray(model.layers[0].kernel) for model in (first, again, other)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_the_batch_size_of_generate_decides_on_memory_not_on_the_images(clothing):
    vectors = draw_latent_vectors(7, 100, seed=3)
    assert np.allclose(generate(clothing[0], vectors, 3), generate(clothing[0], vectors), atol=1e-6)


def test_images_are_greyscale_in_the_unit_range(clothing):
    images = generate(clothing[0], draw_latent_vectors(2, 100, seed=0))
    assert images.shape == (2, 28, 28)
    assert images.dtype == np.float32
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize(
    "stack",
    [
        [layers.Dense(784), layers.Reshape((28, 28, 1)), layers.Activation("tanh")],
        [layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))],
        # Keras's own example of a WGAN-GP on Fashion-MNIST ends like this.
        [layers.Dense(1024, activation="tanh"), layers.Reshape((32, 32, 1)), layers.Cropping2D(2)],
        [layers.Dense(196, activation="tanh"), layers.Reshape((14, 14, 1)), layers.UpSampling2D()],
    ],
    ids=["activation", "reshaping", "cropping", "doubling"],
)
def test_of_a_generator_that_ends_in_tanh_minus_one_is_black(stack):
    generator = keras.Sequential([keras.Input((3,)), keras.Sequential(stack)])
    vectors = draw_latent_vectors(2, 3, seed=0)
    in_unit_range = (np.asarray(generator(vectors))[..., 0] + 1) / 2
    assert np.allclose(generate(generator, vectors), in_unit_range, atol=1e-6)
    composite = Composite(generator, None, dropout=True)
    assert np.allclose(composite.draw(vectors, training=False)[..., 0], in_unit_range, atol=1e-6)


def test_a_generator_of_nothing_but_a_new_shape_draws_its_numbers():
    generator = keras.Sequential([keras.Input((784,)), layers.Reshape((28, 28, 1))])
    vectors = draw_latent_vectors(2, 784, seed=0).clip(0, 1)
    assert np.array_equal(generate(generator, vectors).reshape(2, 784), vectors)


def test_numbers_beyond_black_and_white_are_cut_off():
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(784), layers.Reshape((28, 28, 1))])
    images = generate(generator, 10 * draw_latent_vectors(2, 3, seed=0))
    assert (images.min(), images.max()) == (0, 1)


def test_a_latent_vector_says_its_class_with_its_last_numbers():
    vectors = draw_latent_vectors(3, 74, seed=0, classes=[7, 2])
    assert np.array_equal(vectors[:, 64:], np.eye(10)[[7, 2, 7]])
    assert np.array_equal(vectors[:, :64], draw_latent_vectors(3, 74, seed=0)[:, :64])


def test_a_walk_passes_by_each_station_and_stays_among_the_usual_vectors():
    stations = draw_latent_vectors(300, 100, seed=0).reshape(3, 100, 100)
    way = walk(stations, steps=8)
    assert way.shape == (24, 100, 100)
    assert np.allclose(way[::8], stations, atol=1e-6)
    assert np.allclose(way.std(axis=(1, 2)), 1, atol=0.05)


def test_a_walk_is_smooth_where_it_begins_again():
    stations = draw_latent_vectors(3, 100, seed=0)
    way = walk(stations, steps=50)
    strides = np.linalg.norm(way - np.roll(way, 1, axis=0), axis=1)
    assert strides.max() < 1.5 * strides.min()


def test_on_a_walk_the_classes_are_blended():
    way = walk(draw_latent_vectors(3, 74, seed=0, classes=[0, 1, 2]), steps=4, classes=10)
    assert np.allclose(way[:, 64:].sum(axis=1), 1)
    assert np.allclose(way[2, 64:], [0.5, 0.5, *[0] * 8])
