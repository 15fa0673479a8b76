"""One adversarial step as a Keras model, and the stream of batches that feeds it."""

import keras
import numpy as np
import tensorflow as tf

from clothinggan import fast
from clothinggan.checkpoint import State
from clothinggan.errors import ClothingGANError
from clothinggan.models import Composite, draw_latent_vectors, generate
from clothinggan.presets import Preset

# Each use of randomness within a step has a stream of its own.
_FAKES, _GENERATOR_UPDATE, _LABEL_NOISE = range(3)
_STREAMS = 3

ACCURACY_IMAGES = 1_000


class GAN(keras.Model):
    """A generator and a discriminator that learn against each other (Goodfellow et al., 2014).

    All of a step's randomness follows from (seed, step), dropout's from states that `state` holds, so
    that a run that was stopped goes on to the bit.
    """

    def __init__(
        self,
        preset: Preset,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int,
        precision: str = "float32",
    ):
        """Puts the two together.

        Args:
            preset: The design: labels, learning rates, dropout.
            generator: Latent vectors (n, latent_size) to images (n, 28, 28, 1) in [0, 1].
            discriminator: Such images to probabilities (n, 1).
            seed: All randomness follows from it.
            precision: "float32" or "bfloat16": what the networks compute in. Weights, optimisers and
                losses are float32.
        """
        super().__init__(name=preset.file_prefix)
        self.preset = preset
        self.seed = seed
        self.generator = generator
        self.discriminator = discriminator
        self.composite = Composite(
            generator, discriminator, preset.dropout_for_generator, tf.as_dtype(precision)
        )
        self.latent_size = generator.input_shape[-1]
        self.generator_optimizer = _adam(preset.generator_learning_rate, preset, generator)
        self.discriminator_optimizer = _adam(preset.discriminator_learning_rate, preset, discriminator)
        self.d_loss = keras.metrics.Mean("d_loss")
        self.g_loss = keras.metrics.Mean("g_loss")
        # The compiler for GPUs, XLA, makes this step three times slower on a CPU.
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
        self.compile(optimizer=self.generator_optimizer, jit_compile="auto" if on_gpu else False)
        self.built = True
        self.keeps_sums = False
        self._sound = tf.Variable(True, trainable=False)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of the discriminator, then one of the generator.

        Args:
            images: A batch of real images, (n, 28, 28) uint8.

        Returns:
            The epoch's mean losses so far.
        """
        dtype = self.composite.computes_in
        batch_size = tf.shape(images)[0]
        real = tf.cast(images[..., tf.newaxis], dtype) / 255

        fakes = fast.apply(self.generator, self._latent_vectors(batch_size, _FAKES), True, dtype)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(_values(variables))
            both = tf.concat([real, fakes], axis=0)
            logits = fast.apply(self.discriminator, both, True, dtype, logits=True)
            d_loss = _binary_crossentropy(self._labels(batch_size), logits)
        self.discriminator_optimizer.apply(tape.gradient(d_loss, _values(variables)), variables)

        latent_vectors = self._latent_vectors(batch_size, _GENERATOR_UPDATE)
        variables = self.composite.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(_values(variables))
            logits = self.composite(latent_vectors, training=True)
            g_loss = _binary_crossentropy(tf.fill((batch_size, 1), float(self.preset.real_label)), logits)
        self.generator_optimizer.apply(tape.gradient(g_loss, _values(variables)), variables)

        # A sum shows whether any of its numbers is NaN or infinite.
        keepers = (self.generator, self.discriminator, self.generator_optimizer, self.discriminator_optimizer)
        values = [value for keeper in keepers for value in _values(keeper.variables)]
        sums = [tf.reduce_sum(value) for value in values if value.dtype.is_floating]
        self._sound.assign(tf.reduce_all(tf.math.is_finite(sums)))

        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

    def reset_metrics(self) -> None:
        """Starts the epoch's sums afresh, unless the epoch had begun when it was loaded.

        Keras calls this at the start of each epoch of `fit`.
        """
        if not self.keeps_sums:
            super().reset_metrics()
        self.keeps_sums = False

    @property
    def step(self) -> int:
        """Steps done in all."""
        return int(self.generator_optimizer.iterations.numpy())

    @property
    def sound(self) -> bool:
        """Whether all weights, and the optimisers' numbers, were finite after the last step."""
        return bool(self._sound.numpy())

    def state(self) -> State:
        """What a run needs to go on, but for the generator itself: copies of arrays by name."""
        return {
            name: [variable.numpy() for variable in variables]
            for name, variables in self._state_variables().items()
        }

    def load_state(self, state: State) -> None:
        """Takes on a state that `state` returned.

        Raises:
            ClothingGANError: If it is not the state of such a GAN.
        """
        variables = self._state_variables()
        for name, targets in variables.items():
            arrays = state.get(name, [])
            if [array.shape for array in arrays] != [tuple(target.shape) for target in targets]:
                raise ClothingGANError(
                    f"the training state in the file has another '{name}' than this design"
                )
        for name, targets in variables.items():
            for target, array in zip(targets, state.get(name, []), strict=True):
                target.assign(array)

    def accuracy(self, real: np.ndarray) -> tuple[float, float]:
        """How often the discriminator is right: dropout off, threshold 0.5.

        Args:
            real: Training images, (n, 28, 28) uint8. `ACCURACY_IMAGES` of them, drawn by seed, are
                shown, or all if there are fewer, and as many generated ones.

        Returns:
            The share of real images, and of generated ones, that it tells rightly; each in [0, 1].
        """
        count = min(ACCURACY_IMAGES, len(real))
        chosen = np.random.default_rng(self.seed).choice(len(real), count, replace=False)
        fakes = generate(self.generator, draw_latent_vectors(count, self.latent_size, self.seed))
        return (
            float(np.mean(self._takes_for_real(np.float32(real[chosen]) / 255))),
            float(np.mean(~self._takes_for_real(fakes))),
        )

    def _takes_for_real(self, images: np.ndarray) -> np.ndarray:
        answers = np.asarray(self.discriminator(images[..., np.newaxis], training=False))[:, 0]
        return (answers > 0.5) == bool(self.preset.real_label)

    def _state_variables(self) -> dict[str, list[keras.Variable]]:
        return {
            "discriminator": self.discriminator.variables,  # with its dropout layers' seed states
            "generator_seeds": _seed_states(self.generator),
            "generator_optimizer": self.generator_optimizer.variables,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
            "loss_sums": self.d_loss.variables + self.g_loss.variables,
        }

    def _latent_vectors(self, count: tf.Tensor, stream: int) -> tf.Tensor:
        return tf.random.stateless_normal((count, self.latent_size), self._random_key(stream))

    def _labels(self, count: tf.Tensor) -> tf.Tensor:
        """The labels of `count` real images, then of as many fakes: (2 * count, 1) float32."""
        real = tf.fill((count, 1), float(self.preset.real_label))
        labels = tf.concat([real, 1.0 - real], axis=0)
        noise = self.preset.label_noise * tf.random.stateless_uniform(
            tf.shape(labels), self._random_key(_LABEL_NOISE)
        )
        return tf.abs(labels - noise)

    def _random_key(self, stream: int) -> tf.Tensor:
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int64)
        return tf.stack([tf.constant(self.seed, tf.int64), step * _STREAMS + stream])


def batches(
    images: np.ndarray, batch_size: int, seed: int, epoch: int, step_in_epoch: int
) -> tf.data.Dataset:
    """An endless stream of batches: each epoch's images in an order that follows from (seed, epoch).

    Args:
        images: Training images, (n, 28, 28) uint8.
        batch_size: Images in a batch; what is left over of n is dropped in each epoch.
        seed: The run's seed.
        epoch: How many epochs to pass over.
        step_in_epoch: How many batches of the next epoch to pass over.

    Returns:
        A dataset of (batch_size, 28, 28) uint8 tensors.
    """
    held = tf.constant(images)
    steps = len(images) // batch_size

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(len(images)), [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(shuffled[: steps * batch_size], (steps, batch_size))
        )

    epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
    indices = epochs.flat_map(order).skip(step_in_epoch)
    options = tf.data.Options()
    # There is nothing to tune, and the tuner's thread can hold up the end of the process for a minute.
    options.autotune.enabled = False
    return indices.map(lambda chosen: tf.gather(held, chosen)).prefetch(2).with_options(options)


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _adam(learning_rate: float, preset: Preset, model: keras.Model) -> keras.optimizers.Adam:
    optimizer = keras.optimizers.Adam(learning_rate, beta_1=preset.beta_1)
    optimizer.build(model.trainable_variables)
    return optimizer


def _values(variables: list[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _binary_crossentropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return tf.reduce_mean(losses)
