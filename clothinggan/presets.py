"""The presets' table: each design in numbers, and where its two networks are built.

Nothing here imports TensorFlow, so that ``--help`` and complaints about options answer at once.
"""

from dataclasses import dataclass

CLASSES = 10  # of Fashion-MNIST, and of files that do not say


@dataclass(frozen=True)
class Preset:
    """One design of a GAN for 28x28 greyscale images in [0, 1].

    Attributes:
        name: What ``--model`` calls it; its files are called ``<name>GANepochX.h5``.
        origin: The published design that it follows.
        generator: ``module:function`` that builds the generator; called without arguments.
        discriminator: ``module:function`` that builds the discriminator; it must end in a sigmoid.
        latent_size: How many standard normal numbers the generator takes, before the class if it takes one.
        batch_size: Real images a step.
        real_label: What the discriminator is to answer for a real image, 0 or 1.
        label_noise: The labels are moved towards the other side by a uniform random number of up to
            this much while the discriminator learns; the generator learns against 'real' as it is.
        generator_learning_rate: Adam's, for the generator.
        discriminator_learning_rate: Adam's, for the discriminator.
        beta_1: Adam's decay rate of the first moment, for both.
        dropout_for_generator: Whether the discriminator's dropout is active while the generator learns.
        previews: How many single images a run draws after every epoch, for where an epoch takes long.
        conditional: Whether the networks learn with the labels: the generator takes the class after the
            latent numbers, as `classes` numbers of which its own is 1 and the others are 0, and the
            discriminator answers for each class.
        classes: How many classes the networks of a conditional design are built for; a run takes as many as
            its images have, and one where these have no labels.
        class_weight: How much it counts, beside the answer for an image's own class, that this answer
            is the largest of all classes'; for conditional designs.
        shared_fakes: Whether the generator learns from the very images that the discriminator just
            learned from, which saves drawing others.
        averaging: What is saved and drawn with is a moving average of the generator's weights, which
            keeps this share of itself in each step; 0 takes the weights as they are.
    """

    name: str
    origin: str
    generator: str
    discriminator: str
    latent_size: int
    batch_size: int
    real_label: int
    label_noise: float
    generator_learning_rate: float
    discriminator_learning_rate: float
    beta_1: float
    dropout_for_generator: bool
    previews: int
    conditional: bool = False
    classes: int = CLASSES
    class_weight: float = 0.0
    shared_fakes: bool = False
    averaging: float = 0.0

    @property
    def class_numbers(self) -> range | None:
        """The classes that the generator can be asked for; None where it draws what it likes."""
        return range(self.classes) if self.conditional else None

    @property
    def input_size(self) -> int:
        """How many numbers the generator takes for an image."""
        return self.latent_size + (self.classes if self.conditional else 0)

    @property
    def file_prefix(self) -> str:
        """What the names of this design's files begin with."""
        return f"{self.name}GAN"


PRESETS = {
    preset.name: preset
    for preset in [
        Preset(
            name="clothing",
            origin="ClothingGAN",
            generator="clothinggan.models:clothing_generator",
            discriminator="clothinggan.models:clothing_discriminator",
            latent_size=100,
            batch_size=128,
            real_label=1,
            label_noise=0.0,
            generator_learning_rate=0.0002,
            discriminator_learning_rate=0.0002,
            beta_1=0.5,
            dropout_for_generator=True,
            previews=0,
        ),
        Preset(
            name="fashion",
            origin="FashionGAN (ML-fashion-mnist-GAN)",
            generator="clothinggan.models:fashion_generator",
            discriminator="clothinggan.models:fashion_discriminator",
            latent_size=128,
            batch_size=128,
            real_label=0,
            label_noise=0.15,
            generator_learning_rate=0.0001,
            discriminator_learning_rate=0.00001,
            beta_1=0.9,
            dropout_for_generator=False,
            previews=2,
        ),
        Preset(
            name="swift",
            origin="our own",
            generator="clothinggan.models:swift_generator",
            discriminator="clothinggan.models:swift_discriminator",
            latent_size=64,
            batch_size=32,
            real_label=1,
            label_noise=0.0,
            generator_learning_rate=0.0008,
            discriminator_learning_rate=0.0008,
            beta_1=0.5,
            dropout_for_generator=True,
            previews=0,
            conditional=True,
            class_weight=0.2,
            shared_fakes=True,
            averaging=0.999,
        ),
    ]
}
DEFAULT_PRESET = "clothing"
