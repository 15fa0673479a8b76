"""The networks: generators, discriminators, and the composite that trains one through the other."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from clothinggan import environment, fast_layers
from clothinggan.data.classes import find_classes
from clothinggan.errors import ClothingGANError, first_line
from clothinggan.presets import CLASSES, Preset

LEAKY_RELU_SLOPE = 0.2
_BESIDE = 1e-3  # How far beside 0 and 1 rounding may bring a class.


def clothing_generator(preset: Preset) -> keras.Model:
    """The generator of ClothingGAN: 100 latent numbers to a 28x28x1 image; 1,164,289 parameters."""
    first, second, third = preset.generator_filters
    return keras.Sequential(
        [
            keras.Input((preset.latent_size,)),
            layers.Dense(7 * 7 * first),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
            layers.Reshape((7, 7, first)),
            layers.Conv2DTranspose(second, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
            layers.Conv2DTranspose(third, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
            layers.Conv2D(1, 7, padding="same", activation="sigmoid"),
        ],
        name="clothing_generator",
    )


def clothing_discriminator(preset: Preset) -> keras.Model:
    """The discriminator of ClothingGAN: an image to the probability of 'real'; 40,705 parameters."""
    blocks = [_strided_block(filters, 3, preset.dropout) for filters in preset.discriminator_filters]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *itertools.chain.from_iterable(blocks),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="clothing_discriminator",
    )


def fashion_generator(preset: Preset) -> keras.Model:
    """The generator of FashionGAN: 128 latent numbers to a 28x28x1 image; 2,155,137 parameters."""
    first, *filters = preset.generator_filters
    kernels = (5, 5, 4, 4)
    doubles = (True, True, False, False)
    # Made in their turn, since each layer draws its seed when it is made.
    blocks = (
        [
            *([layers.UpSampling2D()] if doubled else []),
            layers.Conv2D(count, kernel, padding="same"),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
        ]
        for count, kernel, doubled in zip(filters, kernels, doubles, strict=True)
    )
    return keras.Sequential(
        [
            keras.Input((preset.latent_size,)),
            layers.Dense(7 * 7 * first),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
            layers.Reshape((7, 7, first)),
            *itertools.chain.from_iterable(blocks),
            layers.Conv2D(1, 4, padding="same", activation="sigmoid"),
        ],
        name="fashion_generator",
    )


def fashion_discriminator(preset: Preset) -> keras.Model:
    """The discriminator of FashionGAN: an image to the probability of 'fake'; 1,113,345 parameters."""
    blocks = [
        [
            layers.Conv2D(filters, 5),
            layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
            layers.Dropout(preset.dropout),
        ]
        for filters in preset.discriminator_filters
    ]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *itertools.chain.from_iterable(blocks),
            layers.Flatten(),
            layers.Dropout(preset.dropout),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="fashion_discriminator",
    )


def swift_generator(preset: Preset) -> keras.Model:
    """The generator of swift: latent numbers, and one for each class, to a 28x28x1 image.

    Filters after the second number are those of further convolutions at 14x14.
    """
    first, second, *further = preset.generator_filters
    deepening = [
        [layers.Conv2D(filters, 3, padding="same", use_bias=False), *_normalised_relu()]
        for filters in further
    ]
    return keras.Sequential(
        [
            keras.Input((preset.input_size,)),
            layers.Dense(7 * 7 * first, use_bias=False),
            layers.Reshape((7, 7, first)),
            *_normalised_relu(),
            layers.Conv2DTranspose(second, 4, strides=2, padding="same", use_bias=False),
            *_normalised_relu(),
            *itertools.chain.from_iterable(deepening),
            layers.Conv2DTranspose(1, 6, strides=2, padding="same", activation="sigmoid"),
        ],
        name="swift_generator",
    )


def swift_discriminator(preset: Preset) -> keras.Model:
    """The discriminator of swift: an image to the probability of 'real' for each of the classes."""
    kernels = (4, 4, 3, 3)
    blocks = [
        _strided_block(filters, kernel, preset.dropout)
        for filters, kernel in zip(preset.discriminator_filters, kernels, strict=False)
    ]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *itertools.chain.from_iterable(blocks),
            layers.Flatten(),
            layers.Dense(preset.classes, activation="sigmoid"),
        ],
        name="swift_discriminator",
    )


def _strided_block(filters: int, kernel: int, dropout: float) -> list[keras.Layer]:
    return [
        layers.Conv2D(filters, kernel, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE),
        layers.Dropout(dropout),
    ]


def _normalised_relu() -> list[keras.Layer]:
    return [layers.BatchNormalization(momentum=0.9), layers.ReLU()]


def build_networks(preset: Preset, seed: int) -> tuple[keras.Model, keras.Model]:
    """Builds a preset's generator and discriminator.

    Args:
        preset: A row of the presets' table.
        seed: Decides the initial weights and every dropout layer's random stream.

    Returns:
        The generator, latent vectors (n, input_size) float32 to images (n, 28, 28, 1) in [0, 1], and
        the discriminator, such images to probabilities (n, 1), or (n, classes) for a conditional design.
        A generator that takes a class knows how many there are (`tell_classes` names them).
    """
    # Seeds Keras's and NumPy's global streams, which the layers draw their own seeds from.
    keras.utils.set_random_seed(seed)
    # A design of one's own may bring builders that the module did not have when it was imported.
    builders = (globals()[f"{preset.networks}_{network}"] for network in ("generator", "discriminator"))
    generator, discriminator = (build(preset) for build in builders)
    return tell_classes(generator, map(str, preset.class_numbers or ())), discriminator


def transfer_weights(source: keras.Model, target: keras.Model) -> bool:
    """Gives a preset's network, the target, the weights of another tool's network of the same design.

    Returns:
        Whether it is of the same design: weights of the same shapes, from which both compute the same.
    """
    if [weight.shape for weight in source.weights] != [weight.shape for weight in target.weights]:
        return False
    target.set_weights(source.get_weights())
    # Slopes, strides and the like show in what is computed, however the source's layers are put together.
    probe = np.random.default_rng(0).uniform(size=(8, *target.input_shape[1:])).astype(np.float32)
    return np.allclose(source(probe, training=False), target(probe, training=False), atol=1e-4)


class Composite(keras.Model):
    """The generator followed by a discriminator that is frozen: what the generator is trained through.

    In the usual recipe the discriminator is compiled, then gets ``trainable = False``, then becomes part
    of the composite. On Keras 3 that stops the discriminator itself from learning, with only a warning.
    Here the composite states what it trains, whatever flag the discriminator carries.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        dropout: bool,
        dtype: tf.DType = tf.float32,
        parts: int = 1,
    ):
        """Joins the two.

        Args:
            generator: Latent vectors to images.
            discriminator: Images to probabilities.
            dropout: Whether the discriminator's dropout is active in training.
            dtype: What the two compute in.
            parts: How many parts of a batch they compute side by side: see `fast_layers.apply`.
        """
        super().__init__(name="composite")
        self.generator = generator
        self.discriminator = discriminator
        self.dropout = dropout
        self.computes_in = dtype
        self.parts = parts

    def call(self, latent_vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Latent vectors (n, input_size) to the discriminator's logits (n, 1 or classes) for their images."""
        return self.discriminate(self.draw(latent_vectors, training), training)

    def draw(self, latent_vectors: tf.Tensor, training: bool) -> tf.Tensor:
        """The generator's half: latent vectors (n, input_size) to images (n, 28, 28, 1) in [0, 1]."""
        outputs = fast_layers.apply(
            self.generator, latent_vectors, training, self.computes_in, parts=self.parts
        )
        return _in_unit_range(self.generator, outputs)

    def discriminate(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """The frozen half: images (n, 28, 28, 1) to logits (n, 1 or classes)."""
        return self.logits(images, training and self.dropout)

    def logits(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Images to logits as the discriminator learns from them: its dropout is active in training."""
        return fast_layers.apply(
            self.discriminator, images, training, self.computes_in, logits=True, parts=self.parts
        )

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The generator's variables and nothing else."""
        return self.generator.trainable_variables


def tell_classes(generator: keras.Model, names: Iterable[str], apart: bool = False) -> keras.Model:
    """Tells a generator which classes it takes, so that whoever draws with it need not know.

    Args:
        generator: The last of the numbers that it takes are its class, as many as there are names: that of
            the class is 1, the others are 0.
        names: Of the classes, in their order; none for a generator that takes no class.
        apart: Whether its latent vector and its class were two inputs where it comes from.

    Returns:
        The generator.
    """
    generator.clothinggan_classes = tuple(names)
    generator.clothinggan_class_apart = apart
    return generator


def class_names(generator: keras.Model) -> tuple[str, ...]:
    """Returns the names of the classes that a generator takes; none where it takes none, or was not told."""
    return getattr(generator, "clothinggan_classes", ())


def draw_latent_vectors(
    count: int,
    generator: keras.Model | int,
    seed: int,
    classes: Iterable[str | int] | str | None = None,
    class_count: int = CLASSES,
) -> np.ndarray:
    """Draws what a generator makes images of; the same for the same seed.

    Args:
        count: How many vectors.
        generator: The generator, which `load_generator`, `build_networks` or a run has made: it knows how
            many numbers it takes, and which classes. Or how many numbers each vector is to have.
        seed: Decides the standard normal numbers.
        classes: Names or numbers of the classes to draw, repeated until there are `count`. A generator that
            takes a class draws all of them in turns by default; for a mere size there are none by default.
        class_count: For a mere size: how many of the last numbers say the class, where `classes` are asked
            for.

    Returns:
        (count, size) float32; the last numbers are the class where the generator takes one.

    Raises:
        ClothingGANError: If there is no such class, the size leaves no room for it, or the count is below 0.
    """
    if count < 0:
        raise ClothingGANError(f"{count} vectors cannot be drawn; say how many, from 0 on")
    apart = False
    if isinstance(generator, int | np.integer):
        size, names = generator, tuple(map(str, range(class_count))) if classes is not None else ()
        if names and size <= class_count:
            raise ClothingGANError(f"vectors of {size} numbers have no room for one of {class_count} classes")
    else:
        size, names = generator.input_shape[-1], class_names(generator)
        apart = getattr(generator, "clothinggan_class_apart", False)
    asked = _asked_for(classes, names)
    # The latent vectors that a program of two inputs draws from the same seed.
    drawn = size - len(names) if apart else size
    vectors = np.random.default_rng(seed).standard_normal((count, drawn), dtype=np.float32)
    return _with_classes(vectors[:, : size - len(names)], asked, len(names))


def _asked_for(classes: Iterable[str | int] | str | None, names: Sequence[str]) -> list[int]:
    """The numbers of the classes that are asked for, all by default."""
    if classes is not None and not names:
        raise ClothingGANError(
            "this generator draws what it likes and cannot be asked for a class; leave the classes out"
        )
    return list(range(len(names))) if classes is None else find_classes(classes, names)


def _with_classes(vectors: np.ndarray, classes: Sequence[int], count: int) -> np.ndarray:
    """Latent vectors with their classes behind them, in turns, as `count` numbers."""
    if not count:
        return vectors
    one_hot = np.eye(count, dtype=np.float32)[np.resize(classes, len(vectors))]
    return np.concatenate([vectors, one_hot], axis=1)


def walk(stations: np.ndarray, steps: int, classes: int = 0) -> np.ndarray:
    """Goes from each latent vector to the next and from the last to the first, on a smooth way.

    Between two independent standard normal vectors a and b, cos(t) a + sin(t) b is standard normal too, so
    that every vector on the way is one that the generator has learned to draw.

    Args:
        stations: (k, ..., size) latent vectors.
        steps: How many from one station to the next.
        classes: How many of the last numbers say the class; they are blended, with a sum of 1.

    Returns:
        (k * steps, ..., size) float32.
    """
    angles = np.linspace(0, np.pi / 2, steps, endpoint=False)
    weights = np.ones((2, steps, stations.shape[-1]))
    weights *= np.stack([np.cos(angles), np.sin(angles)])[..., np.newaxis]
    weights[..., weights.shape[-1] - classes :] **= 2
    here, there = weights.reshape(2, 1, steps, *[1] * (stations.ndim - 2), -1)
    following = np.roll(stations, -1, axis=0)
    way = stations[:, np.newaxis] * here + following[:, np.newaxis] * there
    return way.reshape(-1, *stations.shape[1:]).astype(np.float32)


def ends_in_tanh(generator: keras.Model) -> bool:
    """Whether a generator's numbers lie in [-1, 1], as those of many other tools do, and not in [0, 1]."""
    return last_activation(generator) is keras.activations.tanh


def last_activation(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Returns the activation that decides on the range of a network's numbers; None where none does."""
    deciding = [layer for layer in network.layers if not _keeps_the_range(layer)]
    last = deciding[-1] if deciding else None
    return last_activation(last) if isinstance(last, keras.Model) else getattr(last, "activation", None)


def _keeps_the_range(layer: keras.Layer) -> bool:
    """Whether what a layer gives, dropout off, lies in the range of what it takes."""
    if isinstance(layer, layers.Activation):
        return layer.activation is keras.activations.linear
    moves_numbers = layers.Reshape | layers.Flatten | layers.Permute | layers.Cropping2D | layers.UpSampling2D
    pools_them = layers.AveragePooling2D | layers.MaxPooling2D
    adds_noise = layers.Dropout | layers.GaussianDropout | layers.GaussianNoise
    adds_nothing = layers.ActivityRegularization | layers.Identity
    return isinstance(layer, moves_numbers | pools_them | adds_noise | adds_nothing)


def _graph(generator: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """A generator in one go, its temporary arrays reused: a graph for each batch size.

    It is kept with the generator, and goes with it: a function for all would keep them all in memory.
    """
    if not hasattr(generator, "clothinggan_graph"):
        compute = partial(fast_layers.apply, generator, training=False, parts=environment.batch_parts())
        generator.clothinggan_graph = tf.function(compute, autograph=False)
    return generator.clothinggan_graph


def generate(
    generator: keras.Model,
    latent_vectors: np.ndarray,
    batch_size: int = 250,
    progress: Callable[[int], None] | None = None,
    classes: Iterable[str | int] | str | None = None,
) -> np.ndarray:
    """Draws images with a generator.

    Args:
        generator: A model from latent vectors to images (n, 28, 28, 1), black at 0 and white at 1; or at -1
            and 1 if it ends in tanh.
        latent_vectors: (n, input size) float32. Of a generator that takes a class the last numbers are the
            class, each in [0, 1]; they may be left out, and are all classes in turns then.
        batch_size: How many are drawn at once; bounds the memory, not the result.
        progress: Called with the number of images done, after each batch of them.
        classes: Names or numbers of the classes to draw, in turns, whatever the vectors say.

    Returns:
        Images, (n, 28, 28) float32 in [0, 1].

    Raises:
        ClothingGANError: If the vectors are not as the generator takes them, if there is no such class, if
            it cannot be computed, or draws what is not an image.
    """
    latent_vectors = _as_taken(generator, np.asarray(latent_vectors), classes)
    images = np.empty((len(latent_vectors), 28, 28), np.float32)
    for start in range(0, len(latent_vectors), batch_size):
        vectors = latent_vectors[start : start + batch_size]
        try:
            drawn = _graph(generator)(tf.constant(vectors)).numpy()[..., 0]
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            # Somebody else's layers may fit together on paper alone.
            raise ClothingGANError(f"the generator cannot be computed: {first_line(error)}") from error
        if not np.isfinite(drawn).all():
            raise ClothingGANError("the generator draws NaN or infinite numbers, not images")
        images[start : start + len(drawn)] = _in_unit_range(generator, drawn).clip(0, 1)
        if progress:
            progress(start + len(vectors))
    return images


def _in_unit_range(generator: keras.Model, outputs: tf.Tensor | np.ndarray) -> tf.Tensor | np.ndarray:
    """Returns images in [0, 1], also of a generator that ends in tanh."""
    return (outputs + 1) / 2 if ends_in_tanh(generator) else outputs


def _as_taken(
    generator: keras.Model, vectors: np.ndarray, classes: Iterable[str | int] | str | None
) -> np.ndarray:
    """Vectors as a generator takes them, with a class where it takes one."""
    size, names = generator.input_shape[-1], class_names(generator)
    latent_size = size - len(names)
    if vectors.shape[1:] not in ((size,), (latent_size,)):
        or_without = f", or (n, {latent_size}) without a class" if names else ""
        raise ClothingGANError(
            f"the latent vectors have the shape {vectors.shape}; this generator takes (n, {size}){or_without}"
        )
    if classes is not None or vectors.shape[1] < size:
        return _with_classes(vectors[:, :latent_size], _asked_for(classes, names), len(names))
    said = vectors[:, latent_size:]
    if said.size and not -_BESIDE <= said.min() <= said.max() <= 1 + _BESIDE:
        raise ClothingGANError(
            f"the last {len(names)} of the {size} numbers are the class, each from 0 to 1, and here they are "
            "not; leave them out, or draw the vectors with draw_latent_vectors(count, generator, seed)"
        )
    return vectors
