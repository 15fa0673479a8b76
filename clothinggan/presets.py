"""The presets' table: each design in numbers, and where its two networks are built.

Nothing here imports TensorFlow, so that ``--help`` and complaints about options answer at once.
"""

import re
from dataclasses import dataclass, replace

from clothinggan.errors import did_you_mean

CLASSES = 10  # of Fashion-MNIST, and of files that do not say


@dataclass(frozen=True)
class Preset:
    """One design of a GAN for 28x28 greyscale images in [0, 1].

    Attributes:
        name: What ``--model`` calls it; its files are called ``<name>GANepochX.h5``.
        origin: The project whose design it follows.
        networks: Which functions of `clothinggan.models` build the two from the row: those called
            ``<networks>_generator`` and ``<networks>_discriminator``, which must end in a sigmoid.
        latent_size: How many standard normal numbers the generator takes, before the class if it takes one.
        batch_size: Real images a step.
        real_label: What the discriminator is to answer for a real image, 0 or 1.
        label_noise: The labels are moved towards the other side by a uniform random number of up to
            this much while the discriminator learns; the generator learns against 'real' as it is.
        generator_learning_rate: Adam's, for the generator.
        discriminator_learning_rate: Adam's, for the discriminator.
        rate_decay_start: After this many steps both rates fall, with one over the square root of the step;
            0 leaves them as they are. They depend on the step alone, so that a run can be prolonged.
        beta_1: Adam's decay rate of the first moment, for both.
        generator_filters: How many feature maps each layer of the generator has, but for the last.
        discriminator_filters: The same for the discriminator.
        dropout: The share of numbers that the discriminator's dropout leaves out.
        dropout_for_generator: Whether the discriminator's dropout is active while the generator learns.
        previews: How many single images a run draws after every epoch, for where an epoch takes long.
        conditional: Whether the networks learn with the labels: the generator takes the class after the
            latent numbers, as `classes` numbers of which its own is 1 and the others are 0, and the
            discriminator answers for each class.
        classes: How many classes the networks of a conditional design are built for; a run takes as many as
            its images have, and one where these have no labels.
        class_weight: How much it counts, beside the answer for an image's own class, that this answer
            is the largest of all classes'; for conditional designs.
        class_loss_for_generator: Whether that counts for the generator too, and not for the discriminator
            alone.
        shared_fakes: Whether the generator learns from the very images that the discriminator just
            learned from, which saves drawing others.
        averaging: What is saved and drawn with is a moving average of the generator's weights, which
            keeps this share of itself in each step; 0 takes the weights as they are.
        averaging_width: Where it is not 0, the average is over a share of all steps so far instead, whose
            standard deviation is this part of their number.
        epochs: How many a run takes unless told.
    """

    name: str
    origin: str
    networks: str
    latent_size: int
    batch_size: int
    real_label: int
    label_noise: float
    generator_learning_rate: float
    discriminator_learning_rate: float
    beta_1: float
    dropout_for_generator: bool
    previews: int
    generator_filters: tuple[int, ...] = ()
    discriminator_filters: tuple[int, ...] = ()
    dropout: float = 0.0
    conditional: bool = False
    classes: int = CLASSES
    class_weight: float = 0.0
    shared_fakes: bool = False
    averaging: float = 0.0
    epochs: int = 200
    averaging_width: float = 0.0
    rate_decay_start: int = 0
    class_loss_for_generator: bool = True

    @property
    def averages(self) -> bool:
        """Whether what is drawn with is an average, and not the generator that learns."""
        return self.averaging > 0 or self.averaging_width > 0

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
        return prefix_of(self.name)


def prefix_of(name: str) -> str:
    """Returns what the names of a design's files begin with."""
    return f"{name}GAN"


PRESETS = {
    preset.name: preset
    for preset in [
        Preset(
            name="clothing",
            origin="ClothingGAN",
            networks="clothing",
            latent_size=100,
            batch_size=128,
            real_label=1,
            label_noise=0.0,
            generator_learning_rate=0.0002,
            discriminator_learning_rate=0.0002,
            beta_1=0.5,
            generator_filters=(128, 128, 128),
            discriminator_filters=(64, 64),
            dropout=0.4,
            dropout_for_generator=True,
            previews=0,
        ),
        Preset(
            name="fashion",
            origin="FashionGAN (ML-fashion-mnist-GAN)",
            networks="fashion",
            latent_size=128,
            batch_size=128,
            real_label=0,
            label_noise=0.15,
            generator_learning_rate=0.0001,
            discriminator_learning_rate=0.00001,
            beta_1=0.9,
            generator_filters=(128, 128, 128, 128, 128),
            discriminator_filters=(32, 64, 128, 256),
            dropout=0.4,
            dropout_for_generator=False,
            previews=2,
        ),
        Preset(
            name="swift",
            origin="our own",
            networks="swift",
            latent_size=64,
            batch_size=32,
            real_label=1,
            label_noise=0.0,
            generator_learning_rate=0.0016,
            discriminator_learning_rate=0.0016,
            rate_decay_start=2_000,
            beta_1=0.5,
            generator_filters=(96, 48, 48),
            discriminator_filters=(32, 64, 128),
            dropout=0.15,
            dropout_for_generator=False,
            previews=0,
            conditional=True,
            class_weight=0.2,
            class_loss_for_generator=False,
            shared_fakes=True,
            averaging_width=0.1,
            epochs=40,
        ),
    ]
}
DEFAULT_PRESET = "clothing"

# The rows of version 1, whose files do not record theirs, where the table has another by now.
VERSION_1 = PRESETS | {
    "swift": Preset(
        name="swift",
        origin="our own",
        networks="swift",
        latent_size=64,
        batch_size=32,
        real_label=1,
        label_noise=0.0,
        beta_1=0.5,
        previews=0,
        conditional=True,
        class_weight=0.2,
        shared_fakes=True,
        epochs=200,
        generator_learning_rate=0.0008,
        discriminator_learning_rate=0.0008,
        rate_decay_start=0,
        generator_filters=(128, 64),
        discriminator_filters=(32, 64),
        dropout=0.3,
        dropout_for_generator=True,
        class_loss_for_generator=True,
        averaging=0.999,
        averaging_width=0.0,
    )
}


@dataclass(frozen=True)
class Setting:
    """A field of a design's row that a user may set.

    Attributes:
        kind: Its type: `bool`, `int`, `float`, or `tuple` for a whole number for each layer.
        minimum: The least that it may be.
        maximum: The most.
        help: What it is.
    """

    kind: type
    minimum: float
    maximum: float
    help: str

    def parse(self, text: str) -> bool | int | float | tuple[int, ...]:
        """Returns the value of a text; raises ValueError, with what is expected, where it has none."""
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        try:
            if self.kind is bool:
                return words[text.lower()]
            if self.kind is tuple:
                return self.check(tuple(int(word) for word in text.split(",")))
            return self.check(self.kind(text))
        except (ValueError, KeyError) as error:
            raise ValueError(self.expected) from error

    def check(self, value: object) -> bool | int | float | tuple[int, ...]:
        """Returns a value as the row holds it; raises ValueError where its type or size is wrong."""
        if self.kind is tuple:
            if not isinstance(value, list | tuple):
                raise ValueError(self.expected)
            return tuple(self._check_number(number, int) for number in value)
        return self._check_number(value, self.kind)

    def _check_number(self, value: object, kind: type) -> bool | int | float:
        kinds = (int, float) if kind is float else (kind,)
        if type(value) not in kinds or not self.minimum <= value <= self.maximum:
            raise ValueError(self.expected)
        return kind(value)

    @property
    def expected(self) -> str:
        """What it may be, in words."""
        if self.kind is bool:
            return "yes or no"
        bounds = f"from {self.minimum:g} to {self.maximum:g}"
        if self.kind is tuple:
            return f"whole numbers {bounds}, with commas between"
        return f"a {'whole ' if self.kind is int else ''}number {bounds}"


_FILTERS = "feature maps of each layer of the {}, but for the last"
SETTINGS = {
    "latent_size": Setting(int, 1, 1_000, "standard normal numbers that the generator takes"),
    "generator_filters": Setting(tuple, 1, 1_024, _FILTERS.format("generator")),
    "discriminator_filters": Setting(tuple, 1, 1_024, _FILTERS.format("discriminator")),
    "dropout": Setting(float, 0.0, 0.95, "share of numbers that the discriminator's dropout leaves out"),
    "dropout_for_generator": Setting(bool, 0, 1, "whether that is active while the generator learns"),
    "label_noise": Setting(float, 0.0, 1.0, "by up to how much the discriminator's labels are moved"),
    "generator_learning_rate": Setting(float, 1e-8, 1.0, "Adam's learning rate, for the generator"),
    "discriminator_learning_rate": Setting(float, 1e-8, 1.0, "Adam's learning rate, for the discriminator"),
    "beta_1": Setting(float, 0.0, 0.9999, "Adam's decay rate of the first moment, for both"),
    "class_weight": Setting(float, 0.0, 100.0, "how much the classes count in the loss"),
    "class_loss_for_generator": Setting(bool, 0, 1, "whether they count in the generator's loss too"),
    "shared_fakes": Setting(bool, 0, 1, "whether both updates of a step use the same generated images"),
    "averaging": Setting(
        float,
        0.0,
        0.99999,
        "share of the averaged generator that stays in each step; 0 for none, or by width",
    ),
    "averaging_width": Setting(
        float, 0.0, 0.25, "width of an average over the steps so far, a part of them; 0 for none, or by share"
    ),
    "rate_decay_start": Setting(
        int, 0, 10**9, "step from which the rates fall, with its square root; 0 for never"
    ),
}
# Of files that do not have these yet.
_LATER = {"averaging_width", "rate_decay_start", "class_loss_for_generator"}
_ONLY_CONDITIONAL = {"class_weight", "class_loss_for_generator"}
# What else of a row a file has to record, so that a run goes on as it began whatever the table says by then.
_FIXED = ("networks", "real_label", "conditional")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def change(preset: Preset, **settings: object) -> Preset:
    """Returns a design with settings of its own.

    Args:
        preset: The design to change.
        settings: Values by the names of `SETTINGS`.

    Raises:
        ValueError: If there is no such setting for this design, or a value is out of its bounds; the message
            says what is expected.
    """
    checked = {}
    for name, value in settings.items():
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS) or f"settings are {', '.join(SETTINGS)}"
            raise ValueError(f"there is no setting '{name}'; {hint}")
        if name in _ONLY_CONDITIONAL and not preset.conditional:
            raise ValueError(f"{name} has no effect on {preset.name}, which learns without classes")
        setting = SETTINGS[name]
        try:
            checked[name] = setting.parse(value) if isinstance(value, str) else setting.check(value)
        except ValueError as error:
            raise ValueError(f"{name} is {error}, not {value!r}") from error
        if setting.kind is tuple and len(checked[name]) not in (counts := _possible_counts(preset, name)):
            count = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
            raise ValueError(
                f"{name} of {preset.name} is {count} numbers, as {_as_text(getattr(preset, name))}"
            )
    if "averaging" in checked and "averaging_width" not in checked:
        checked["averaging_width"] = 0.0  # Whoever sets the one does not want the other.
    return replace(preset, **checked)


def _possible_counts(preset: Preset, name: str) -> range:
    """How many numbers a setting with one for each layer can have: as many as the builders in models take."""
    count = len(getattr(preset, name))
    if name == "discriminator_filters" and count:
        return range(1, 5)
    if preset.networks == "swift":
        return range(2, 5)
    return range(count, count + 1)


def differences(preset: Preset) -> dict[str, str]:
    """Returns what of a design differs from its row of the table: values as text, by name."""
    row = PRESETS.get(preset.name)
    return {
        name: _as_text(getattr(preset, name))
        for name in SETTINGS
        if row is None or getattr(preset, name) != getattr(row, name)
    }


def describe_settings(preset: Preset) -> str:
    """Returns all settings of a design with their values and what they may be, a line each."""
    return "\n".join(
        f"{name:<28} {_as_text(getattr(preset, name)):<20} {setting.help}; {_expected(preset, name)}"
        for name, setting in SETTINGS.items()
        if preset.conditional or name not in _ONLY_CONDITIONAL
    )


def _expected(preset: Preset, name: str) -> str:
    setting = SETTINGS[name]
    if setting.kind is not tuple:
        return setting.expected
    counts = _possible_counts(preset, name)
    return f"{counts[0]} to {counts[-1]} {setting.expected}" if len(counts) > 1 else setting.expected


def as_plain_data(preset: Preset) -> dict[str, object]:
    """Returns what a file records of a design, for `from_plain_data`: numbers, words, lists of numbers."""
    row = {name: getattr(preset, name) for name in (*_FIXED, *SETTINGS)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def from_plain_data(name: str, row: dict[str, object]) -> Preset | None:
    """Returns the design that a file records; None where it knows others.

    Files of version 1 record a name and no row.

    Raises:
        ValueError: If the row is no design's: a name, a number or a network that is none of those here.
    """
    if not row:
        return VERSION_1.get(name)
    known = {preset.networks: preset for preset in PRESETS.values()}
    if row.get("networks") not in known:
        return None
    row = {setting: Preset.__dataclass_fields__[setting].default for setting in _LATER} | row
    if not _NAME.fullmatch(name) or row.keys() != {*_FIXED, *SETTINGS}:
        raise ValueError("it is not a row of the designs' table")
    like = known[row["networks"]]
    if row["real_label"] not in (0, 1) or row["conditional"] is not like.conditional:
        raise ValueError("its labels are none of this design's")
    base = replace(PRESETS.get(name, like), name=name, networks=row["networks"], real_label=row["real_label"])
    settings = {key: row[key] for key in SETTINGS if like.conditional or key not in _ONLY_CONDITIONAL}
    return change(base, **settings)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}"
