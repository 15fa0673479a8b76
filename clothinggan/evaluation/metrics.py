"""How good the images are: arrays in, numbers out.

Every metric compares two sets of images by their features: one vector for each image, as
``clothinggan.evaluation.classifier`` makes them (any other network's would do; numbers from different
networks do not compare). Nothing here knows where an array came from, or keeps anything between
calls: what is costly about the real images (`feature_statistics`, `radii`, their `nearest`
neighbours) is a value that the caller computes once and passes in again for every set that is
measured against them.

Only NumPy is needed. SciPy would add one function, the matrix square root, which the Fréchet
distance can do without (see `frechet_distance`); the tests use it as the reference.

Everything raises ValueError for an empty set, shapes that do not fit, and values that are not
finite.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# The largest table of distances at one time, 64 MiB of float32; a few copies of it live at once.
_BLOCK_ELEMENTS = 16 * 2**20


class FeatureStatistics(NamedTuple):
    """What the Fréchet distance needs to know about a set of features.

    Attributes:
        mean: Float64 of shape (d,).
        covariance: Float64 of shape (d, d), of the unbiased estimate (divided by n - 1).
    """

    mean: np.ndarray
    covariance: np.ndarray


class KernelDistance(NamedTuple):
    """A kernel distance and how far it may be off.

    Attributes:
        value: The mean over the blocks. Its expectation is 0 for equal distributions, so it can be
            slightly negative.
        standard_error: The standard error of that mean.
    """

    value: float
    standard_error: float


class ManifoldScores(NamedTuple):
    """Fidelity and diversity, each by two definitions.

    Precision has a weakness that density was made to mend: the ball of a real outlier is wide, and takes
    in whatever lies near it. Read the two together.

    Attributes:
        precision: The share of generated images that lie among the real ones, in [0, 1].
        recall: The share of real images that lie among the generated ones, in [0, 1].
        density: How many real neighbourhoods a generated image lies in, on average, divided by k;
            1 is expected of equal distributions, and more is possible.
        coverage: The share of real images with a generated one in their neighbourhood, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


class Nearest(NamedTuple):
    """The nearest reference of each query.

    Attributes:
        distances: Float32 of shape (n,): the Euclidean distance to it.
        indices: Int64 of shape (n,): its place among the references.
    """

    distances: np.ndarray
    indices: np.ndarray


class Memorisation(NamedTuple):
    """How near generated images are to training images, against how near unseen real ones are.

    Attributes:
        ratio: The median distance of generated images to their nearest training image, divided by
            the same median for test images. 0 for pure copies; about 1 for images as new as the
            test images.
        near_share: The share of generated images that are nearer to a training image than 99 % of
            the test images are, in [0, 1]; about 0.01 for images as new as the test images.
    """

    ratio: float
    near_share: float


def feature_statistics(features: np.ndarray) -> FeatureStatistics:
    """Returns the mean and covariance of a set of features, in float64.

    Args:
        features: Floats of shape (n, d), n at least 2. With n no larger than d the covariance is
            singular, which `frechet_distance` bears.
    """
    features = _features("features", features, at_least=2).astype(np.float64)
    covariance = np.cov(features, rowvar=False)
    return FeatureStatistics(features.mean(axis=0), np.atleast_2d(covariance))


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Returns the Fréchet distance between two Gaussians with these statistics.

    Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium" (the formula of FID; that name is for features of the Inception network):

        |m₁ - m₂|² + tr(S₁) + tr(S₂) - 2 tr((S₁ S₂)^½)

    The last trace is the sum of the singular values of S₁^½ S₂^½, and the two roots are roots of
    symmetric matrices. So it takes no root of the unsymmetric S₁ S₂, which for covariances that are
    nearly singular, as those of a collapsed generator are, comes out inaccurate or complex.

    Fewer images make the estimate larger: compare only numbers from equally many.

    Returns:
        At least 0, in squared units of the features; symmetric in its arguments.
    """
    for statistics in first, second:
        if statistics.covariance.shape != 2 * statistics.mean.shape:
            raise ValueError(
                f"the mean has shape {statistics.mean.shape}, "
                f"the covariance {statistics.covariance.shape}: expected (d,) and (d, d)"
            )
        if not all(np.isfinite(array).all() for array in statistics):
            raise ValueError("the statistics hold values that are not finite")
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"{first.mean.size} features against {second.mean.size}")

    offset = first.mean - second.mean
    roots = _symmetric_root(first.covariance) @ _symmetric_root(second.covariance)
    shared = np.linalg.svd(roots, compute_uv=False).sum()
    distance = offset @ offset + np.trace(first.covariance + second.covariance) - 2 * shared
    return max(0.0, float(distance))  # rounding can leave a tiny negative number for equal sets


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    block_size: int = 1000,
    seed: int | np.random.Generator = 0,
) -> KernelDistance:
    """Returns the kernel distance between two sets of features.

    Bińkowski et al. 2018, "Demystifying MMD GANs" (KID): the unbiased estimate of the squared
    maximum mean discrepancy with the kernel k(x, y) = (x·y / d + 1)³. Unlike the Fréchet distance
    it does not grow as the images become fewer.

    Both sets are shuffled and cut into equally many blocks, and the distance is the mean over pairs
    of blocks, as in TF-GAN. No image is in two blocks, so the blocks are independent and their
    spread gives an honest standard error; the paper's overlapping subsets would not.

    Args:
        real: Floats of shape (n, d), n at least 4: two blocks of two.
        fake: Floats of shape (m, d), m at least 4.
        block_size: The most images of either set in one block, where the smaller set allows. There are ten
            blocks at least, where it has twenty: the spread of two would say little.
        seed: Of the shuffle; a Generator is used as it stands, and advanced.
    """
    real, fake = _feature_pair(real, fake, at_least=4)
    if block_size < 2:
        raise ValueError(f"block_size is {block_size}: a block needs at least 2 images")
    generator = np.random.default_rng(seed)
    blocks = max(10, -(-max(len(real), len(fake)) // block_size))
    blocks = min(blocks, len(real) // 2, len(fake) // 2)

    def shuffled_blocks(features: np.ndarray) -> list[np.ndarray]:
        shuffled = features[generator.permutation(len(features))].astype(np.float64)
        return np.array_split(shuffled, blocks)

    distances = [
        _squared_mmd(*pair) for pair in zip(shuffled_blocks(real), shuffled_blocks(fake), strict=True)
    ]
    standard_error = np.std(distances, ddof=1) / np.sqrt(blocks)
    return KernelDistance(float(np.mean(distances)), float(standard_error))


def radii(features: np.ndarray, k: int = 5) -> np.ndarray:
    """Returns how far each feature vector is from its k-th nearest neighbour in the same set.

    These are the radii of the balls whose union stands for the set's manifold in
    `manifold_scores`.

    Args:
        features: Floats of shape (n, d), n greater than k.
        k: Which neighbour, counted without the vector itself. Kynkäänniemi et al. use 3, Naeem et
            al. 5 for all four scores; the default here is 5.

    Returns:
        Float32 of shape (n,).
    """
    if k < 1:
        raise ValueError(f"k is {k}: expected at least 1")
    features = _features("features", features, at_least=k + 1)
    centred = (features - features.mean(axis=0)).astype(np.float32)
    result = np.empty(len(features), np.float32)
    for rows in _blocks(len(centred), len(centred)):
        squared = _squared_distances(centred[rows], centred)
        # Each vector is at 0 from itself, but for rounding; so its k-th neighbour is at place k.
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = 0
        result[rows] = np.sqrt(np.partition(squared, k, axis=1)[:, k])
    return result


def manifold_scores(
    real: np.ndarray,
    fake: np.ndarray,
    real_radii: np.ndarray,
    fake_radii: np.ndarray,
    *,
    k: int = 5,
) -> ManifoldScores:
    """Returns precision, recall, density and coverage of generated images.

    Precision and recall: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for
    Assessing Generative Models". Density and coverage: Naeem et al. 2020, "Reliable Fidelity and
    Diversity Metrics for Generative Models", whose published code also settles what a point on the
    edge of a ball is: outside.

    All four come from one table of distances, which is why one function returns them. Only a block
    of the table is held at a time.

    Args:
        real: Floats of shape (n, d).
        fake: Floats of shape (m, d). Density and coverage expect m = n.
        real_radii: Of shape (n,), from ``radii(real, k)``.
        fake_radii: Of shape (m,), from ``radii(fake, k)``.
        k: The neighbour that both radii were made with.
    """
    real, fake = _feature_pair(real, fake)
    if k < 1:
        raise ValueError(f"k is {k}: expected at least 1")
    real_squared_radii = _radii("real_radii", real_radii, len(real)) ** 2
    fake_squared_radii = _radii("fake_radii", fake_radii, len(fake)) ** 2

    # Distances stay as they are, and are rounded least with the origin among the points.
    origin = real.mean(axis=0)
    real, fake = ((features - origin).astype(np.float32) for features in (real, fake))
    fake_inside = np.zeros(len(fake), bool)
    real_inside = covered = memberships = 0
    for rows in _blocks(len(real), len(fake)):
        squared = _squared_distances(real[rows], fake)
        in_real_ball = squared < real_squared_radii[rows, None]
        fake_inside |= in_real_ball.any(axis=0)
        memberships += np.count_nonzero(in_real_ball)
        covered += np.count_nonzero(in_real_ball.any(axis=1))
        real_inside += np.count_nonzero((squared < fake_squared_radii).any(axis=1))
    return ManifoldScores(
        precision=float(fake_inside.mean()),
        recall=float(real_inside / len(real)),
        density=float(memberships / (k * len(fake))),
        coverage=float(covered / len(real)),
    )


def class_shares(probabilities: np.ndarray) -> np.ndarray:
    """Returns the share of images for which each class is the most probable.

    Args:
        probabilities: Floats in [0, 1] of shape (n, classes).

    Returns:
        Float64 of shape (classes,), with sum 1.
    """
    probabilities = _probabilities(probabilities)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return counts / len(probabilities)


def confirmed_shares(probabilities: np.ndarray, classes: np.ndarray) -> list[float | None]:
    """Returns, of the images that were to be of a class, the share for which it is the most probable.

    Args:
        probabilities: Floats in [0, 1] of shape (n, classes).
        classes: Integers of shape (n,), what each image was to be.

    Returns:
        A number in [0, 1] for each class; None for one that no image was to be of.
    """
    probabilities = _probabilities(probabilities)
    count = probabilities.shape[1]
    if np.shape(classes) != (len(probabilities),) or not np.isin(classes, range(count)).all():
        raise ValueError(f"classes are not {len(probabilities)} numbers from 0 to {count - 1}")
    confirmed = probabilities.argmax(axis=1) == classes
    of_class = [confirmed[classes == index] for index in range(probabilities.shape[1])]
    return [float(found.mean()) if len(found) else None for found in of_class]


def mean_confidence(probabilities: np.ndarray) -> float:
    """Returns the mean probability of the most probable class.

    Low where images are of no class or between two; high says that the classifier is sure, not that
    the image is good.

    Args:
        probabilities: Floats in [0, 1] of shape (n, classes).
    """
    return float(_probabilities(probabilities).max(axis=1).mean(dtype=np.float64))


def nearest(queries: np.ndarray, references: np.ndarray) -> Nearest:
    """Returns the nearest reference of each query, and how far it is.

    Meant for images as they are, pixel by pixel: a memorised image is one whose pixels are those
    of a training image, while features are made to overlook what tells two shirts apart.

    Args:
        queries: Of shape (n, …): floats as they are, or uint8, which count as 255ths. So images in
            [0, 1] and the uint8 that a dataset holds fit together, and the 60,000 are never
            all held as floats.
        references: Of shape (m, …), the rest of the shape with equally many elements.
    """
    queries, references = _feature_pair(_flat(queries), _flat(references), names=("queries", "references"))
    queries = _as_floats(queries)
    squared = np.full(len(queries), np.inf, np.float32)
    indices = np.zeros(len(queries), np.int64)
    for columns in _blocks(len(references), references.shape[1]):
        candidates = _as_floats(references[columns])
        for rows in _blocks(len(queries), len(candidates)):
            block = _squared_distances(queries[rows], candidates)
            places = block.argmin(axis=1)
            smallest = block[np.arange(len(block)), places]
            nearer = smallest < squared[rows]
            squared[rows][nearer] = smallest[nearer]
            indices[rows][nearer] = places[nearer] + columns.start

    # The blocks say which reference is nearest. How far it is they say only to the rounding of
    # numbers that nearly cancel, and a copy must come out at exactly 0.
    distances = np.empty(len(queries), np.float32)
    for rows in _blocks(len(queries), queries.shape[1]):
        difference = queries[rows] - _as_floats(references[indices[rows]])
        distances[rows] = np.linalg.norm(difference, axis=1)
    return Nearest(distances, indices)


def memorisation(generated_distances: np.ndarray, test_distances: np.ndarray) -> Memorisation:
    """Returns how near generated images are to training images, against how near test images are.

    The comparison with held-out images follows Meehan, Chaudhuri and Dasgupta 2020, "A
    Non-Parametric Test to Detect Data-Copying in Generative Models", in two numbers that a person
    can read instead of their test statistic. Mind that plain and blurred images are near to
    something by nature: a low ratio is a reason to look at the images beside their neighbours.

    Args:
        generated_distances: Floats of shape (n,), the distances that `nearest` gives from
            generated to training images.
        test_distances: Floats of shape (m,), the same from test to training images.

    Raises:
        ValueError: Also where half of the test images are themselves copies of training images, so
            that there is nothing to compare with.
    """
    generated = _vector("generated_distances", generated_distances)
    test = _vector("test_distances", test_distances)
    test_median = np.median(test)
    if test_median <= 0:
        raise ValueError("half of the test images are among the training images")
    return Memorisation(
        ratio=float(np.median(generated) / test_median),
        # Not `<`: where the test set has copies too, that would be below 0.
        near_share=float(np.mean(generated <= np.quantile(test, 0.01))),
    )


def _symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """Returns the positive semi-definite square root of a positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T


def _squared_mmd(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the unbiased estimate of the squared MMD between two blocks of features."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        table = x @ y.T / x.shape[1] + 1
        return table * table * table  # many times faster than NumPy's power

    def mean_of_pairs(x: np.ndarray) -> float:
        table = kernel(x, x)
        return (table.sum() - np.trace(table)) / (len(x) * (len(x) - 1))  # nobody with themselves

    return mean_of_pairs(first) + mean_of_pairs(second) - 2 * kernel(first, second).mean()


def _squared_distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the (rows, columns) table of squared distances, by one matrix product, in float32."""
    table = rows @ (-2 * columns).T
    table += np.einsum("ij,ij->i", rows, rows)[:, None]
    table += np.einsum("ij,ij->i", columns, columns)
    return np.maximum(table, 0, out=table)  # rounding can take a distance of 0 below it


def _blocks(length: int, width: int) -> Iterator[slice]:
    """Yields slices of `length` rows, each so short that `width` columns of it fit in one block."""
    step = max(1, _BLOCK_ELEMENTS // width)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _flat(images: np.ndarray) -> np.ndarray:
    """Returns each image as one row; what is no set of images is left for `_features` to refuse."""
    images = np.asarray(images)
    return images.reshape(len(images), math.prod(images.shape[1:])) if images.ndim > 2 else images


def _as_floats(images: np.ndarray) -> np.ndarray:
    """Returns float32: uint8 divided by 255, anything else as it is."""
    floats = images.astype(np.float32)
    return floats / 255 if images.dtype == np.uint8 else floats


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """Returns the array, after checking that it holds finite numbers."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} have dtype {array.dtype}: expected numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} hold values that are not finite")
    return array


def _features(name: str, features: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Returns the features, after checking that they are a matrix with enough rows."""
    features = _finite(name, features)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"{name} have shape {features.shape}: expected (n, d)")
    if len(features) < at_least:
        raise ValueError(f"{name} are {len(features)} vectors: expected at least {at_least}")
    return features


def _feature_pair(
    first: np.ndarray,
    second: np.ndarray,
    *,
    at_least: int = 1,
    names: tuple[str, str] = ("real features", "fake features"),
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both sets, after checking that their vectors have the same length."""
    first = _features(names[0], first, at_least)
    second = _features(names[1], second, at_least)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"{names[0]} have {first.shape[1]} elements, {names[1]} {second.shape[1]}")
    return first, second


def _vector(name: str, values: np.ndarray) -> np.ndarray:
    """Returns distances, after checking that they are a vector of at least one, none negative."""
    values = _finite(name, values)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} have shape {values.shape}: expected (n,), n at least 1")
    if (values < 0).any():
        raise ValueError(f"{name} hold negative values")
    return values


def _radii(name: str, values: np.ndarray, length: int) -> np.ndarray:
    """Returns float32 radii, after checking that there is one for each vector."""
    values = _vector(name, values).astype(np.float32)
    if len(values) != length:
        raise ValueError(f"{name} are {len(values)} for {length} vectors")
    return values


def _probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Returns the probabilities, after checking that they are."""
    probabilities = _features("probabilities", probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError("probabilities are outside [0, 1]")
    return probabilities
