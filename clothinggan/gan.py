"""One adversarial step as a Keras model, and its state."""

import contextlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from clothinggan import environment, fast_layers
from clothinggan.checkpoint.record import State
from clothinggan.distributed import replicas
from clothinggan.errors import ClothingGANError
from clothinggan.models import Composite, class_names, draw_latent_vectors, generate, tell_classes
from clothinggan.optimizers import InverseSquareRoot, OnePassAdam
from clothinggan.presets import Preset

# Each use of randomness within a step has a stream of its own.
_FAKES, _GENERATOR_UPDATE, _LABEL_NOISE = range(3)
_STREAMS = 3

ACCURACY_IMAGES = 1_000


class GAN(keras.Model):
    """A generator and a discriminator that learn against each other (Goodfellow et al., 2014).

    All of a step's randomness follows from (seed, step), dropout's from states that `state` holds, so
    that a run that was stopped goes on to the bit.

    A step is shared out over the strategy's replicas: each takes its part of the batch, of the latent vectors
    and of the label noise, and the optimisers add the gradients up, so that together they do what one alone
    would. Only a dropout mask and a batch's own statistics are each replica's own.
    """

    def __init__(
        self,
        preset: Preset,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int,
        precision: str = "float32",
        strategy: tf.distribute.Strategy | None = None,
    ):
        """Puts the two together.

        Args:
            preset: The design: labels, learning rates, dropout.
            generator: Latent vectors (n, input_size) to images (n, 28, 28, 1) in [0, 1].
            discriminator: Such images to probabilities (n, 1), or (n, classes) for a conditional design.
            seed: All randomness follows from it.
            precision: "float32" or "bfloat16": what the networks compute in. Weights, optimisers and
                losses are float32.
            strategy: Shares a step out over several devices or processes; the networks were made in its
                scope.
        """
        super().__init__(name=preset.file_prefix)
        self.strategy = strategy or tf.distribute.get_strategy()
        self.preset = preset
        self.seed = seed
        self.generator = generator
        self.discriminator = discriminator
        # Older recipes, and files of other tools, leave networks frozen that are to learn here.
        generator.trainable = discriminator.trainable = True
        self.composite = Composite(
            generator,
            discriminator,
            preset.dropout_for_generator,
            tf.as_dtype(precision),
            environment.batch_parts(),
        )
        self.input_size = generator.input_shape[-1]
        self.latent_size = self.input_size - (preset.classes if preset.conditional else 0)
        if self.latent_size < 1:
            raise ClothingGANError(f"a generator of {self.input_size} numbers has no room for a class")
        # What images are drawn with: a copy of its own where the design averages (EMA), else the generator.
        self.averaged_generator = _copy(generator) if preset.averages else generator
        with self.strategy.scope():
            self.generator_optimizer = _adam(preset.generator_learning_rate, preset, generator)
            self.discriminator_optimizer = _adam(preset.discriminator_learning_rate, preset, discriminator)
        self.d_loss = keras.metrics.Mean("d_loss")
        self.g_loss = keras.metrics.Mean("g_loss")
        # The compiler for GPUs, XLA, makes this step three times slower on a CPU.
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
        # Nor can it compile what several replicas exchange.
        alone = self.strategy.num_replicas_in_sync == 1
        self.compile(optimizer=self.generator_optimizer, jit_compile="auto" if on_gpu and alone else False)
        self.built = True
        self.keeps_sums = False
        self._stop_wanted = tf.Variable(0.0, trainable=False)
        self._stop_agreed = tf.Variable(False, trainable=False)
        self._compare = tf.function(lambda: self.strategy.run(self._checksums), autograph=False)
        self._part_dropout()

    def make_train_function(self, force: bool = False) -> None:
        """Has `fit` call `train_step` as it is: it shares the work out over the replicas itself.

        Keras would run all of it on each replica, and would divide the batches.
        """
        if self.train_function is not None and not force:
            return
        step = tf.function(self.train_step, autograph=False, jit_compile=self.jit_compile)
        self.train_function = tf.function(lambda batches: step(batches.get_next()), autograph=False)

    def train_step(self, batch: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the discriminator, then one of the generator.

        Args:
            batch: Real images, (n, 28, 28) uint8; for a conditional design with their labels, (n,) int32.

        Returns:
            The epoch's mean losses so far.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        parts = self.strategy.run(self._learn, args=(images, labels))
        whole = self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)
        d_loss, g_loss, stops_wanted = tf.unstack(whole)
        self._stop_agreed.assign(stops_wanted > 0)
        self._average()
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

    def _learn(self, images: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """One replica's part of a step; returns its parts of both losses, and whether it wants to stop."""
        total = tf.shape(images)[0]
        images, labels = replicas.share(images), None if labels is None else replicas.share(labels)
        real = tf.cast(images[..., tf.newaxis], self.composite.computes_in) / 255

        tape, fakes = self._draw(_FAKES, total, labels)
        d_loss = self._train_discriminator(real, tf.stop_gradient(fakes), labels, total)
        if not self.preset.shared_fakes:
            tape, fakes = self._draw(_GENERATOR_UPDATE, total, labels)
        g_loss = self._train_generator(tape, fakes, labels, total)
        networks = self.generator, self.discriminator
        replicas.unite_statistics([v for network in networks for v in _values(network.non_trainable_weights)])
        return tf.stack([d_loss, g_loss, self._stop_wanted])

    def _draw(
        self, stream: int, total: tf.Tensor, labels: tf.Tensor | None
    ) -> tuple[tf.GradientTape, tf.Tensor]:
        """Draws this replica's share of fakes, of the classes that the real images have, and records how."""
        vectors = tf.random.stateless_normal((total, self.latent_size), self._random_key(stream))
        vectors = replicas.share(vectors)
        if self.preset.conditional:
            vectors = tf.concat([vectors, tf.one_hot(labels, self.preset.classes)], axis=1)
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch(_values(self.composite.trainable_variables))
            return tape, self.composite.draw(vectors, training=True)

    def _train_discriminator(
        self, real: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor | None, total: tf.Tensor
    ) -> tf.Tensor:
        """One update of the discriminator on real images and fakes together; returns this part of its loss.

        `total` counts the real images of all replicas.
        """
        count = tf.shape(real)[0]
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(_values(variables))
            both = tf.concat([real, fakes], axis=0)
            logits = self.composite.logits(both, training=True)
            loss = _binary_crossentropy(self._labels(total), self._answers(logits, labels), 2 * total)
            if self.preset.conditional:
                loss += self._class_loss(logits[:count], labels, total)
        self.discriminator_optimizer.apply(tape.gradient(loss, _values(variables)), variables)
        return loss

    def _train_generator(
        self, tape: tf.GradientTape, fakes: tf.Tensor, labels: tf.Tensor | None, total: tf.Tensor
    ) -> tf.Tensor:
        """One update of the generator through the composite; returns this part of its loss.

        `total` counts the real images of all replicas.
        """
        variables = self.composite.trainable_variables
        with tape:  # It holds already how the fakes were drawn.
            logits = self.composite.discriminate(fakes, training=True)
            answers = self._answers(logits, labels)
            wanted = tf.fill(tf.shape(answers), float(self.preset.real_label))
            loss = _binary_crossentropy(wanted, answers, total)
            if self.preset.conditional and self.preset.class_loss_for_generator:
                loss += self._class_loss(logits, labels, total)
        self.generator_optimizer.apply(tape.gradient(loss, _values(variables)), variables)
        return loss

    def _answers(self, logits: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """The logit of each image's own class, (n, 1); of a design without classes the only one.

        `logits` may be those of real images and then of fakes: `labels` stand for both.
        """
        if not self.preset.conditional:
            return logits
        classes = tf.tile(labels, [tf.shape(logits)[0] // tf.shape(labels)[0]])
        return tf.gather(logits, classes[:, tf.newaxis], batch_dims=1)

    def _class_loss(self, logits: tf.Tensor, labels: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        """The weighted softmax cross-entropy over the classes, as in AC-GAN (Odena et al., 2017)."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
        return self.preset.class_weight * _mean(losses, total)

    def _average(self) -> None:
        """Moves the averaged generator a little towards the one that learns (Yazici et al., 2019).

        With a width it is the average of Karras et al. (2024), section 3.1, in which a step counts with a
        power of its number.
        """
        if not self.preset.averages:
            return
        steps = tf.cast(self.generator_optimizer.iterations.value, tf.float32)
        if self.preset.averaging_width:
            share = (1 - 1 / steps) ** (1 + power_of_width(self.preset.averaging_width))
        else:
            # In the first steps there is little worth keeping.
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

    def ask_to_stop(self) -> None:
        """Has all processes end after the next step, of which each reads `stop_agreed`."""
        self._stop_wanted.assign(1.0)

    @property
    def stop_agreed(self) -> bool:
        """Whether before the last step some process had asked to stop."""
        return bool(self._stop_agreed.numpy())

    def wait_for_all(self) -> None:
        """Returns when all processes have asked: one that ends takes along what others still fetch from it.

        Whoever is gone by then is not waited for.
        """
        share = tf.function(lambda: self.strategy.run(lambda: tf.constant(0.0)), autograph=False)
        with contextlib.suppress(tf.errors.OpError):
            self.strategy.reduce(tf.distribute.ReduceOp.SUM, share(), axis=None)

    def replicas_agree(self) -> bool:
        """Whether all replicas, of all processes, hold the same numbers; all processes have to ask."""
        (first, *_) = self.strategy.experimental_local_results(self._compare())
        return len(set(first.numpy().tolist())) == 1

    def _checksums(self) -> tf.Tensor:
        states = self._state_variables() | {"generator": self.generator.weights}
        return replicas.checksums(value for variables in states.values() for value in _values(variables))

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
                raise ClothingGANError(f"the training state has another '{name}' than this design")
        for name, targets in variables.items():
            for target, array in zip(targets, state.get(name, []), strict=True):
                target.assign(array)
        self._part_dropout()

    def draw(self, count: int, classes: Sequence[int] | None = None) -> np.ndarray:
        """Draws images, (count, 28, 28) float32 in [0, 1]; from the same latent vectors each time.

        Args:
            count: How many.
            classes: Those to draw, as `draw_latent_vectors` takes them; a conditional design draws all by
                default.
        """
        vectors = draw_latent_vectors(
            count,
            self.input_size,
            self.seed,
            self.preset.class_numbers if classes is None else classes,
            self.preset.classes,
        )
        return generate(self.averaged_generator, vectors)

    def accuracy(self, real: np.ndarray, labels: np.ndarray | None) -> tuple[float, float]:
        """How often the discriminator is right: dropout off, threshold 0.5.

        Args:
            real: Training images, (n, 28, 28) uint8. `ACCURACY_IMAGES` of them, drawn by seed, are
                shown, or all if there are fewer, and as many generated ones.
            labels: Their classes, (n,); only a conditional design takes them, None for one class.

        Returns:
            The share of real images, and of generated ones, that it tells rightly; each in [0, 1].
        """
        return discriminator_accuracy(
            self.discriminator, self.averaged_generator, self.preset, self.seed, real, labels
        )

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

    def _part_dropout(self) -> None:
        networks = self.generator, self.discriminator
        replicas.part_dropout(
            self.strategy, [v for network in networks for v in _values(_seed_states(network))]
        )

    def _labels(self, total: tf.Tensor) -> tf.Tensor:
        """The labels of this replica's real images, then of as many fakes: (2 * n, 1) float32.

        `total` counts the real images of all replicas.
        """
        real = tf.fill((total, 1), float(self.preset.real_label))
        labels = tf.concat([real, 1.0 - real], axis=0)
        noise = self.preset.label_noise * tf.random.stateless_uniform(
            tf.shape(labels), self._random_key(_LABEL_NOISE)
        )
        of_real, of_fakes = tf.split(tf.abs(labels - noise), 2)
        return tf.concat([replicas.share(of_real), replicas.share(of_fakes)], axis=0)

    def _random_key(self, stream: int) -> tf.Tensor:
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int64)
        return tf.stack([tf.constant(self.seed, tf.int64), step * _STREAMS + stream])


def discriminator_accuracy(
    discriminator: keras.Model,
    generator: keras.Model,
    preset: Preset,
    seed: int,
    real: np.ndarray,
    labels: np.ndarray | None,
) -> tuple[float, float]:
    """Returns how often a discriminator is right: see `GAN.accuracy`, which asks for its own.

    Args:
        discriminator: The discriminator.
        generator: Draws the generated images.
        preset: Their design.
        seed: Of the run.
        real: Training images, (n, 28, 28) uint8.
        labels: Their classes, (n,); only a conditional design takes them.
    """
    count = min(ACCURACY_IMAGES, len(real))
    chosen = np.random.default_rng(seed).choice(len(real), count, replace=False)
    classes = None
    if preset.conditional:
        classes = np.zeros(count, int) if labels is None else labels[chosen]
    vectors = draw_latent_vectors(count, generator.input_shape[-1], seed, classes, preset.classes)

    def takes_for_real(images: np.ndarray) -> np.ndarray:
        answers = fast_layers.apply(
            discriminator,
            tf.constant(images[..., np.newaxis]),
            training=False,
            parts=environment.batch_parts(),
        ).numpy()
        answers = answers[np.arange(len(images)), 0 if classes is None else classes]
        return (answers > 0.5) == bool(preset.real_label)

    return (
        float(np.mean(takes_for_real(np.float32(real[chosen]) / 255))),
        float(np.mean(~takes_for_real(generate(generator, vectors)))),
    )


def power_of_width(width: float) -> float:
    """Returns the power of the step's number for an average of this relative width (Karras et al., 2024)."""
    inverse = max(width, 1e-6) ** -2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def _copy(model: keras.Model) -> keras.Model:
    """A generator of the same layers and weights, which knows the same classes."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return tell_classes(copy, class_names(model), getattr(model, "clothinggan_class_apart", False))


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _adam(learning_rate: float, preset: Preset, model: keras.Model) -> keras.optimizers.Adam:
    if preset.rate_decay_start:
        learning_rate = InverseSquareRoot(learning_rate, preset.rate_decay_start)
    optimizer = OnePassAdam(learning_rate, beta_1=preset.beta_1)
    optimizer.build(model.trainable_variables)
    return optimizer


def _values(variables: list[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _binary_crossentropy(labels: tf.Tensor, logits: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return _mean(losses, total)


def _mean(losses: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """A replica's part of the mean over `total` images: the parts add up to it, and so do their gradients."""
    return tf.reduce_sum(losses) / tf.cast(total, tf.float32)
