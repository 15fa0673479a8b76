"""GAN-train: how well a classifier knows real images that has seen nothing but generated ones.

Shmelkov et al. 2018, "How good is my GAN?": a fresh classifier learns from generated images and the classes
that they were drawn for, and its accuracy is measured on real test images. It is low where generated images
do not look like real ones, are of other classes than they should be, or are not varied enough to learn from.
Compare it with what the same classifier reaches with as many real images.

It cannot see memorising: copies of training images teach as well as these do.
"""

import numpy as np

from clothinggan.evaluation.small_networks import MeasuredAccuracy, Progress, accuracy_on_unseen, as_bytes

IMAGES = 30_000
EPOCHS = 6


def gan_train_accuracy(
    images: np.ndarray,
    labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    classes: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> MeasuredAccuracy:
    """Returns the accuracy on test images of a fresh classifier that has learned from these images alone.

    It learns from at most `IMAGES` of them. More images teach it more: compare only numbers from equally
    many.

    Args:
        images: Of shape (n, 28, 28) or (n, 28, 28, 1): floats in [0, 1], or uint8; n is at least 10. Floats
            are rounded to the 256 levels that real images have.
        labels: Integers of shape (n,), from 0 to classes - 1: what each image was drawn for.
        test_images: Real images of shape (m, 28, 28) or (m, 28, 28, 1): uint8, or floats in [0, 1]; m is at
            least 10.
        test_labels: Integers of shape (m,), from 0 to classes - 1.
        classes: How many classes there are, at least 2. A class without images is never recognised.
        seed: Decides which images take part, and all that is random in the training; at least 0.
        progress: Called after each training step with the number of steps done, and how many there are.

    Returns:
        The accuracy, in [0, 1], and its standard error.

    Raises:
        ValueError: If images are too few, of another shape or dtype, or not in [0, 1]; if labels are not one
            integer for each image, each of a class; or if there are fewer than 2 classes.
    """
    if classes < 2:
        raise ValueError(f"classes is {classes}: expected at least 2")
    images, test_images = as_bytes("images", images), as_bytes("test images", test_images)
    labels = _classes("labels", labels, len(images), classes)
    test_labels = _classes("test labels", test_labels, len(test_images), classes)
    if len(images) > IMAGES:
        chosen = np.random.default_rng(seed).choice(len(images), IMAGES, replace=False)
        images, labels = images[chosen], labels[chosen]
    return accuracy_on_unseen(
        images,
        labels,
        test_images,
        test_labels,
        classes=classes,
        epochs=EPOCHS,
        seed=seed,
        progress=progress,
    )


def _classes(name: str, labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    """Returns labels, after checking that there is one for each image, and each is a class."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name} have dtype {labels.dtype}: expected integers")
    if labels.shape != (count,):
        raise ValueError(f"{name} have shape {labels.shape}: expected ({count},), one for each image")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name} have values outside 0 to {classes - 1}")
    return labels
