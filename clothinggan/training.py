"""One adversarial step as a Keras model, and the stream of batches that feeds it."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from clothinggan import fast
from clothinggan.checkpoint import State
from clothinggan.errors import ClothingGANError
from clothinggan.models import Composite, draw_latent_vectors, generate
from clothinggan.presets import CLASSES, Preset

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
            generator: Latent vectors (n, input_size) to images (n, 28, 28, 1) in [0, 1].
            discriminator: Such images to probabilities (n, 1), or (n, CLASSES) for a conditional design.
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
        self.input_size = generator.input_shape[-1]
        self.latent_size = self.input_size - (CLASSES if preset.conditional else 0)
        if self.latent_size < 1:
            raise ClothingGANError(f"a generator of {self.input_size} numbers has no room for a class")
        # What images are drawn with: apart from the generator that learns where the design averages.
        self.averaged_generator = _copy(generator) if preset.averaging else generator
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

    def train_step(self, batch: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the discriminator, then one of the generator.

        Args:
            batch: Real images, (n, 28, 28) uint8; for a conditional design with their labels, (n,) int32.

        Returns:
            The epoch's mean losses so far.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        real = tf.cast(images[..., tf.newaxis], self.composite.computes_in) / 255

        tape, fakes = self._draw(_FAKES, tf.shape(images)[0], labels)
        d_loss = self._train_discriminator(real, tf.stop_gradient(fakes), labels)
        if not self.preset.shared_fakes:
            tape, fakes = self._draw(_GENERATOR_UPDATE, tf.shape(images)[0], labels)
        g_loss = self._train_generator(tape, fakes, labels)
        self._average()

        # A sum shows whether any of its numbers is NaN or infinite.
        keepers = (self.generator, self.discriminator, self.generator_optimizer, self.discriminator_optimizer)
        values = [value for keeper in keepers for value in _values(keeper.variables)]
        sums = [tf.reduce_sum(value) for value in values if value.dtype.is_floating]
        self._sound.assign(tf.reduce_all(tf.math.is_finite(sums)))

        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

    def _draw(
        self, stream: int, count: tf.Tensor, labels: tf.Tensor | None
    ) -> tuple[tf.GradientTape, tf.Tensor]:
        """Draws fakes, of the classes that the real images have, and records how."""
        vectors = tf.random.stateless_normal((count, self.latent_size), self._random_key(stream))
        if self.preset.conditional:
            vectors = tf.concat([vectors, tf.one_hot(labels, CLASSES)], axis=1)
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch(_values(self.composite.trainable_variables))
            return tape, self.composite.draw(vectors, training=True)

    def _train_discriminator(self, real: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """One update of the discriminator on real images and fakes together; returns its loss."""
        count = tf.shape(real)[0]
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(_values(variables))
            both = tf.concat([real, fakes], axis=0)
            logits = fast.apply(self.discriminator, both, True, self.composite.computes_in, logits=True)
            loss = _binary_crossentropy(self._labels(count), self._answers(logits, labels))
            if self.preset.conditional:
                loss += self._class_loss(logits[:count], labels)
        self.discriminator_optimizer.apply(tape.gradient(loss, _values(variables)), variables)
        return loss

    def _train_generator(
        self, tape: tf.GradientTape, fakes: tf.Tensor, labels: tf.Tensor | None
    ) -> tf.Tensor:
        """One update of the generator through the composite, by fakes and their tape; returns its loss."""
        variables = self.composite.trainable_variables
        with tape:
            logits = self.composite.judge(fakes, training=True)
            answers = self._answers(logits, labels)
            loss = _binary_crossentropy(tf.fill(tf.shape(answers), float(self.preset.real_label)), answers)
            if self.preset.conditional:
                loss += self._class_loss(logits, labels)
        self.generator_optimizer.apply(tape.gradient(loss, _values(variables)), variables)
        return loss

    def _answers(self, logits: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """The logits that count, (n, 1): of each image's class, where there is one for each class.

        The images' classes are `labels`, over and over.
        """
        if not self.preset.conditional:
            return logits
        classes = tf.tile(labels, [tf.shape(logits)[0] // tf.shape(labels)[0]])
        return tf.gather(logits, classes[:, tf.newaxis], batch_dims=1)

    def _class_loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """How far an image's own class is from having the largest answer (Odena et al., 2017)."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
        return self.preset.class_weight * tf.reduce_mean(losses)

    def _average(self) -> None:
        """Moves the averaged generator a little towards the one that learns (Yazici et al., 2019)."""
        if not self.preset.averaging:
            return
        # In the first steps there is little worth keeping.
        steps = tf.cast(self.generator_optimizer.iterations.value, tf.float32)
        share = tf.minimum(self.preset.averaging, (1 + steps) / (10 + steps))
        pairs = zip(self.averaged_generator.weights, self.generator.weights, strict=True)
        for average, weight in pairs:
            average.value.assign_sub((1 - share) * (average.value - weight.value))

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

    def draw(self, count: int, classes: Sequence[int] | None = None) -> np.ndarray:
        """Draws images, (count, 28, 28) float32 in [0, 1]; from the same latent vectors each time.

        Args:
            count: How many.
            classes: Those to draw, as `draw_latent_vectors` takes them; a conditional design draws all by
                default.
        """
        vectors = draw_latent_vectors(
            count, self.input_size, self.seed, self.preset.classes if classes is None else classes
        )
        return generate(self.averaged_generator, vectors)

    def accuracy(self, real: np.ndarray, labels: np.ndarray | None) -> tuple[float, float]:
        """How often the discriminator is right: dropout off, threshold 0.5.

        Args:
            real: Training images, (n, 28, 28) uint8. `ACCURACY_IMAGES` of them, drawn by seed, are
                shown, or all if there are fewer, and as many generated ones.
            labels: Their classes, (n,); only a conditional design takes them.

        Returns:
            The share of real images, and of generated ones, that it tells rightly; each in [0, 1].
        """
        count = min(ACCURACY_IMAGES, len(real))
        chosen = np.random.default_rng(self.seed).choice(len(real), count, replace=False)
        classes = labels[chosen] if self.preset.conditional else None
        return (
            float(np.mean(self._takes_for_real(np.float32(real[chosen]) / 255, classes))),
            float(np.mean(~self._takes_for_real(self.draw(count, classes), classes))),
        )

    def _takes_for_real(self, images: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        answers = np.asarray(self.discriminator(images[..., np.newaxis], training=False))
        answers = answers[np.arange(len(images)), 0 if classes is None else classes]
        return (answers > 0.5) == bool(self.preset.real_label)

    def _state_variables(self) -> dict[str, list[keras.Variable]]:
        averages = self.averaged_generator is not self.generator
        return {
            # The averaged one stands at the root of the file.
            **({"generator": self.generator.weights} if averages else {}),
            "discriminator": self.discriminator.variables,  # with its dropout layers' seed states
            "generator_seeds": _seed_states(self.generator),
            "generator_optimizer": self.generator_optimizer.variables,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
            "loss_sums": self.d_loss.variables + self.g_loss.variables,
        }

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
    arrays: np.ndarray | tuple[np.ndarray, ...], batch_size: int, seed: int, epoch: int, step_in_epoch: int
) -> tf.data.Dataset:
    """An endless stream of batches: each epoch's images in an order that follows from (seed, epoch).

    Args:
        arrays: Training images, (n, 28, 28) uint8; or these and their labels, (n,).
        batch_size: Images in a batch; what is left over of n is dropped in each epoch.
        seed: The run's seed.
        epoch: How many epochs to pass over.
        step_in_epoch: How many batches of the next epoch to pass over.

    Returns:
        A dataset of (batch_size, 28, 28) uint8 tensors; or of these and their labels.
    """
    held = tf.nest.map_structure(tf.constant, arrays)
    count = len(tf.nest.flatten(arrays)[0])
    steps = count // batch_size

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(shuffled[: steps * batch_size], (steps, batch_size))
        )

    def pick(chosen: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
        return tf.nest.map_structure(lambda array: tf.gather(array, chosen), held)

    epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
    indices = epochs.flat_map(order).skip(step_in_epoch)
    options = tf.data.Options()
    # There is nothing to tune, and the tuner's thread can hold up the end of the process for a minute.
    options.autotune.enabled = False
    return indices.map(pick).prefetch(2).with_options(options)


def _copy(model: keras.Model) -> keras.Model:
    """A model of the same layers and weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


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
