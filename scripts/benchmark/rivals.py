"""Other ways to do the same training step, which scripts/benchmark/benchmark.py compares ours with.

Each is written as its library's own examples are, on the library's defaults (but for PyTorch's channels last
and fused Adam, which are faster), and has the networks, losses and optimisers of the design; learning rates
that fall are left constant, which takes no more time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from workload import IMAGES, Settings, Work, random_images, random_labels

from clothinggan.presets import Preset

if TYPE_CHECKING:
    import keras
    import torch
    from torch import nn

# The numbers that learn in the networks of each design: what is compared must be as large.
SIZES = {
    "clothing": (1_164_289, 40_705),
    "fashion": (2_155_137, 1_113_345),
    "swift": (444_673, 127_722),
}
LEAKY_RELU_SLOPE = 0.2


def require_sizes(settings: Settings, generator: int, discriminator: int) -> None:
    """Makes sure that a rival has the networks of the design, by their numbers."""
    if (generator, discriminator) != SIZES[settings.model]:
        raise ValueError(f"other networks: {generator} and {discriminator} numbers that learn")


# Keras 3.


def set_up_keras(settings: Settings) -> Work:
    """The design as a `keras.Model` with a `train_step`, as in Keras's own examples, with its defaults."""
    import keras
    import tensorflow as tf

    from clothinggan.models import build_networks

    preset, n = settings.preset, settings.batch_size
    generator, discriminator = build_networks(preset, seed=0)
    sizes = [sum(int(tf.size(v.value)) for v in m.trainable_variables) for m in (generator, discriminator)]
    require_sizes(settings, *sizes)
    discriminator.layers[-1].activation = keras.activations.linear
    average = keras.models.clone_model(generator)
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    categorical = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    class GAN(keras.Model):
        """Two networks, of which each learns in its turn."""

        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = generator, discriminator
            self.g_optimizer = keras.optimizers.Adam(preset.generator_learning_rate, beta_1=preset.beta_1)
            self.d_optimizer = keras.optimizers.Adam(preset.discriminator_learning_rate, beta_1=preset.beta_1)
            self.d_loss, self.g_loss = keras.metrics.Mean("d_loss"), keras.metrics.Mean("g_loss")
            self.built = True

        def train_step(self, batch: object) -> dict[str, "tf.Tensor"]:
            """The discriminator's update, then the generator's."""
            images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
            real = tf.cast(images[..., None], tf.float32) / 255
            wanted = tf.fill((n, 1), float(preset.real_label))
            targets = tf.concat([wanted, 1 - wanted], 0)
            with tf.GradientTape() as g_tape:
                fakes = self.generator(self.vectors(labels), training=True)
            with tf.GradientTape() as d_tape:
                logits = self.discriminator(tf.concat([real, tf.stop_gradient(fakes)], 0), training=True)
                noisy = tf.abs(targets - preset.label_noise * tf.random.uniform((2 * n, 1)))
                d_loss = binary(noisy, self.answers(logits, labels, 2))
                if preset.conditional:
                    d_loss += preset.class_weight * categorical(labels, logits[:n])
            self.learn(self.d_optimizer, d_tape, d_loss, self.discriminator)
            if not preset.shared_fakes:
                with tf.GradientTape() as g_tape:
                    fakes = self.generator(self.vectors(labels), training=True)
            with g_tape:  # It holds already how the fakes were drawn.
                g_loss = binary(wanted, self.answers(self.judge(fakes), labels, 1))
            self.learn(self.g_optimizer, g_tape, g_loss, self.generator)
            if preset.averages:
                for mean, weight in zip(average.weights, self.generator.weights, strict=True):
                    mean.assign(0.999 * mean + 0.001 * weight)
            self.d_loss.update_state(d_loss)
            self.g_loss.update_state(g_loss)
            return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

        def vectors(self, labels: "tf.Tensor | None") -> "tf.Tensor":
            numbers = tf.random.normal((n, preset.latent_size))
            if not preset.conditional:
                return numbers
            return tf.concat([numbers, tf.one_hot(labels, preset.classes)], 1)

        def judge(self, images: "tf.Tensor") -> "tf.Tensor":
            return self.discriminator(images, training=preset.dropout_for_generator)

        def answers(self, logits: "tf.Tensor", labels: "tf.Tensor | None", times: int) -> "tf.Tensor":
            if not preset.conditional:
                return logits
            return tf.gather(logits, tf.tile(labels, [times])[:, None], batch_dims=1)

        def learn(self, optimizer: object, tape: object, loss: "tf.Tensor", network: "keras.Model") -> None:
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    gan = GAN()
    gan.compile()
    images, labels = random_images(IMAGES), random_labels(IMAGES)
    arrays = (images, labels) if preset.conditional else images
    data = tf.data.Dataset.from_tensor_slices(arrays).shuffle(IMAGES).repeat()
    stream = iter(data.batch(n, drop_remainder=True).prefetch(tf.data.AUTOTUNE))
    gan.make_train_function()
    return lambda: {name: float(value) for name, value in gan.train_function(stream).items()}


# Keras 2.


def set_up_tutorial(settings: Settings) -> Work:
    """`clothing` in the loop that tutorials of its origin's time have, on Keras 2 and its defaults.

    The origin itself hands the real and the fake images over in one call, and 256 latent vectors.
    """
    import numpy as np
    from tf_keras import Sequential, layers, optimizers

    latent_size, n = 100, settings.batch_size
    generator = Sequential(
        [
            layers.Dense(7 * 7 * 128, input_dim=latent_size),
            layers.LeakyReLU(alpha=LEAKY_RELU_SLOPE),
            layers.Reshape((7, 7, 128)),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(alpha=LEAKY_RELU_SLOPE),
            layers.Conv2DTranspose(128, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(alpha=LEAKY_RELU_SLOPE),
            layers.Conv2D(1, (7, 7), padding="same", activation="sigmoid"),
        ]
    )
    discriminator = Sequential(
        [
            layers.Conv2D(64, (3, 3), strides=(2, 2), padding="same", input_shape=(28, 28, 1)),
            layers.LeakyReLU(alpha=LEAKY_RELU_SLOPE),
            layers.Dropout(0.4),
            layers.Conv2D(64, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(alpha=LEAKY_RELU_SLOPE),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    require_sizes(settings, generator.count_params(), discriminator.count_params())

    def adam() -> optimizers.Adam:
        return optimizers.Adam(learning_rate=0.0002, beta_1=0.5)

    discriminator.compile(loss="binary_crossentropy", optimizer=adam(), metrics=["accuracy"])
    discriminator.trainable = False
    composite = Sequential([generator, discriminator])
    composite.compile(loss="binary_crossentropy", optimizer=adam())
    images = random_images(IMAGES)[..., np.newaxis].astype("float32") / 255

    def step() -> None:
        real = images[np.random.randint(0, len(images), n)]
        fakes = generator.predict(np.random.randn(n, latent_size), verbose=0)
        discriminator.train_on_batch(real, np.ones((n, 1)))
        discriminator.train_on_batch(fakes, np.zeros((n, 1)))
        composite.train_on_batch(np.random.randn(n, latent_size), np.ones((n, 1)))

    return step


# PyTorch.


def set_up_torch(precision: str, compiled: bool = False) -> Callable[[Settings], Work]:
    """The design in PyTorch, channels last: eager, or both networks through `torch.compile`."""

    def set_up(settings: Settings) -> Work:
        import torch
        from torch import nn
        from torch.nn import functional
        from torch.optim import swa_utils

        preset, n = settings.preset, settings.batch_size
        last = torch.channels_last
        networks = TORCH_NETWORKS[preset.name](preset)
        generator, discriminator = (network.to(memory_format=last) for network in networks)
        sizes = [sum(p.numel() for p in network.parameters()) for network in networks]
        require_sizes(settings, *sizes)
        if compiled:  # In place: the average is of the weights alone.
            for network in networks:
                network.compile()
        # 'fused' is PyTorch's fastest form of Adam.
        g_optimizer, d_optimizer = (
            torch.optim.Adam(network.parameters(), lr=rate, betas=(preset.beta_1, 0.999), fused=True)
            for network, rate in (
                (generator, preset.generator_learning_rate),
                (discriminator, preset.discriminator_learning_rate),
            )
        )
        average = swa_utils.AveragedModel(
            generator, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True
        )
        all_images = torch.from_numpy(random_images(IMAGES))[:, None]
        all_labels = torch.from_numpy(random_labels(IMAGES)).long()
        wanted = torch.full((n, 1), float(preset.real_label))
        targets = torch.cat([wanted, 1 - wanted])
        criterion = nn.BCEWithLogitsLoss()

        def lower_precision() -> torch.autocast:
            return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

        def draw(labels: torch.Tensor) -> torch.Tensor:
            vectors = torch.randn(n, preset.latent_size)
            if preset.conditional:
                vectors = torch.cat([vectors, functional.one_hot(labels, preset.classes).float()], 1)
            with lower_precision():
                return generator(vectors).float()

        def judge(images: torch.Tensor) -> torch.Tensor:
            with lower_precision():
                return discriminator(images.contiguous(memory_format=last)).float()

        def answers(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return logits.gather(1, labels[:, None]) if preset.conditional else logits

        def step() -> tuple[float, float]:
            chosen = torch.randint(0, IMAGES, (n,))
            real, labels = all_images[chosen].float().div_(255), all_labels[chosen]
            with torch.set_grad_enabled(preset.shared_fakes):
                fakes = draw(labels)
            logits = judge(torch.cat([real, fakes.detach()]))
            noise = preset.label_noise * torch.rand(2 * n, 1)
            d_loss = criterion(answers(logits, labels.repeat(2)), (targets - noise).abs())
            if preset.conditional:
                d_loss = d_loss + preset.class_weight * functional.cross_entropy(logits[:n], labels)
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()

            discriminator.requires_grad_(False).train(preset.dropout_for_generator)
            if not preset.shared_fakes:
                fakes = draw(labels)
            g_loss = criterion(answers(judge(fakes), labels), wanted)
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
            discriminator.requires_grad_(True).train()
            if preset.averages:
                average.update_parameters(generator)
            return d_loss.item(), g_loss.item()

        return step

    return set_up


def _unflatten(size: int, channels: int) -> "nn.Module":
    """Numbers to so many pixels each way, in memory as channels last has them."""
    from torch import nn

    class Unflatten(nn.Module):
        """A view and a permutation."""

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            return x.view(-1, size, size, channels).permute(0, 3, 1, 2)

    return Unflatten()


def _torch_clothing(preset: Preset) -> tuple["nn.Module", "nn.Module"]:
    from torch import nn

    first, second, third = preset.generator_filters
    generator = nn.Sequential(
        nn.Linear(preset.latent_size, 7 * 7 * first),
        nn.LeakyReLU(LEAKY_RELU_SLOPE),
        _unflatten(7, first),
        nn.ConvTranspose2d(first, second, 4, stride=2, padding=1),
        nn.LeakyReLU(LEAKY_RELU_SLOPE),
        nn.ConvTranspose2d(second, third, 4, stride=2, padding=1),
        nn.LeakyReLU(LEAKY_RELU_SLOPE),
        nn.Conv2d(third, 1, 7, padding=3),
        nn.Sigmoid(),
    )
    return generator, _torch_strided(preset, (3, 3), outputs=1)


def _torch_swift(preset: Preset) -> tuple["nn.Module", "nn.Module"]:
    from torch import nn

    def normalised_relu(filters: int) -> tuple[nn.Module, nn.Module]:
        return nn.BatchNorm2d(filters, eps=1e-3), nn.ReLU()

    first, second, third = preset.generator_filters
    generator = nn.Sequential(
        nn.Linear(preset.input_size, 7 * 7 * first, bias=False),
        _unflatten(7, first),
        *normalised_relu(first),
        nn.ConvTranspose2d(first, second, 4, stride=2, padding=1, bias=False),
        *normalised_relu(second),
        nn.Conv2d(second, third, 3, padding=1, bias=False),
        *normalised_relu(third),
        nn.ConvTranspose2d(third, 1, 6, stride=2, padding=2),
        nn.Sigmoid(),
    )
    return generator, _torch_strided(preset, (4, 4, 3), outputs=preset.classes)


def _torch_strided(preset: Preset, kernels: tuple[int, ...], outputs: int) -> "nn.Module":
    """Convolutions that halve the image, and an answer for each class."""
    from torch import nn

    stack, channels, size = [], 1, 28
    for filters, kernel in zip(preset.discriminator_filters, kernels, strict=True):
        stack += [
            nn.Conv2d(channels, filters, kernel, stride=2, padding=1),
            nn.LeakyReLU(LEAKY_RELU_SLOPE),
            nn.Dropout(preset.dropout),
        ]
        channels, size = filters, (size + 1) // 2
    return nn.Sequential(*stack, nn.Flatten(), nn.Linear(size * size * channels, outputs))


def _torch_fashion(preset: Preset) -> tuple["nn.Module", "nn.Module"]:
    from torch import nn

    first, *filters = preset.generator_filters
    stack = [
        nn.Linear(preset.latent_size, 7 * 7 * first),
        nn.LeakyReLU(LEAKY_RELU_SLOPE),
        _unflatten(7, first),
    ]
    channels = first
    for count, kernel, doubled in zip(filters, (5, 5, 4, 4), (True, True, False, False), strict=True):
        stack += [nn.Upsample(scale_factor=2)] if doubled else []
        stack += [nn.Conv2d(channels, count, kernel, padding="same"), nn.LeakyReLU(LEAKY_RELU_SLOPE)]
        channels = count
    generator = nn.Sequential(*stack, nn.Conv2d(channels, 1, 4, padding="same"), nn.Sigmoid())
    stack, channels, size = [], 1, 28
    for count in preset.discriminator_filters:
        stack += [nn.Conv2d(channels, count, 5), nn.LeakyReLU(LEAKY_RELU_SLOPE), nn.Dropout(preset.dropout)]
        channels, size = count, size - 4
    end = [nn.Flatten(), nn.Dropout(preset.dropout), nn.Linear(size * size * channels, 1)]
    return generator, nn.Sequential(*stack, *end)


TORCH_NETWORKS = {"clothing": _torch_clothing, "fashion": _torch_fashion, "swift": _torch_swift}
