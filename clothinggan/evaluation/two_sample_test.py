"""Told apart: how often a fresh network can tell a generated image from a real one.

Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests": a network learns to tell the two kinds
apart on one part of the images. On the rest, which it has not seen, it is right more often than by chance
only if the two distributions differ. Half of its answers are right where the images cannot be told apart.

It sees what a fixed set of features may overlook. It cannot see memorising: copies of other real images are
real images to it, as long as no image comes again and again.
"""

import numpy as np

from clothinggan.evaluation.small_networks import MeasuredAccuracy, Progress, accuracy_on_unseen, as_bytes

IMAGES = 20_000  # Of each kind.
EPOCHS = 4
TRAINING_SHARE = 0.75


def told_apart(
    real: np.ndarray, generated: np.ndarray, seed: int = 0, progress: Progress | None = None
) -> MeasuredAccuracy:
    """Returns how often a fresh network tells unseen generated images from unseen real ones.

    Equally many images of both kinds take part: as many as there are of the fewer, and at most `IMAGES`. The
    network learns from `TRAINING_SHARE` of them. More images teach it more: compare only numbers from equally
    many.

    The same image should not be in both sets. A network that has learned by heart which kind the one is takes
    the other for that kind too, and may be right less often than by chance.

    Args:
        real: Of shape (n, 28, 28) or (n, 28, 28, 1): uint8, or floats in [0, 1]; n is at least 10.
        generated: Of shape (m, 28, 28) or (m, 28, 28, 1): floats in [0, 1], or uint8; m is at least 10.
            Floats are rounded to the 256 levels that real images have.
        seed: Decides which images take part, and all that is random in the training; at least 0.
        progress: Called after each training step with the number of steps done, and how many there are.

    Returns:
        The accuracy, in [0, 1], and its standard error. At 0.5 this network finds no difference; 1 is worst.

    Raises:
        ValueError: If either images are too few, of another shape or dtype, or not in [0, 1].
    """
    kinds = as_bytes("real images", real), as_bytes("generated images", generated)
    count = min(IMAGES, *map(len, kinds))
    training_count = int(TRAINING_SHARE * count)
    random = np.random.default_rng(seed)
    chosen = [images[random.choice(len(images), count, replace=False)] for images in kinds]
    return accuracy_on_unseen(
        np.concatenate([images[:training_count] for images in chosen]),
        np.repeat((0, 1), training_count),
        np.concatenate([images[training_count:] for images in chosen]),
        np.repeat((0, 1), count - training_count),
        classes=2,
        epochs=EPOCHS,
        seed=seed,
        progress=progress,
    )
