"""Each metric against a reference that others keep, and on cases whose answer is known."""

import tracemalloc

import numpy as np
import pytest
from prdc import compute_prdc
from scipy.linalg import sqrtm

from clothinggan.evaluation import metrics


def normal(n, d=8, *, mean=0.0, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(mean, scale, (n, d)).astype(np.float32)


def correlated(n, d=8, *, seed=0):
    mixing = np.random.default_rng(seed + 1000).normal(size=(d, d))
    return normal(n, d, seed=seed) @ mixing.astype(np.float32) + np.float32(seed)


def frechet_distance(first, second):
    return metrics.frechet_distance(metrics.feature_statistics(first), metrics.feature_statistics(second))


def manifold_scores(real, fake, k=5):
    return metrics.manifold_scores(real, fake, metrics.radii(real, k), metrics.radii(fake, k), k=k)


# Fréchet distance


def test_frechet_distance_is_that_of_scipys_matrix_square_root():
    first, second = (metrics.feature_statistics(correlated(500, 16, seed=seed)) for seed in (1, 2))
    root = sqrtm(first.covariance @ second.covariance).real
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
        first.covariance + second.covariance - 2 * root
    )
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_a_set_from_itself_is_zero():
    features = correlated(500)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_a_set_from_the_same_set_shuffled_is_zero():
    features = correlated(500)
    shuffled = np.random.default_rng(1).permutation(features)
    assert frechet_distance(features, shuffled) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_shifted_features_is_the_shift_squared():
    features = correlated(300, 4).astype(np.float64)
    shift = np.array([1.0, -2.0, 3.0, 0.5])
    assert frechet_distance(features, features + shift) == pytest.approx(shift @ shift)


def test_frechet_distance_of_scaled_gaussians_is_the_difference_of_their_deviations_squared():
    first = metrics.FeatureStatistics(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    second = metrics.FeatureStatistics(np.zeros(3), np.diag([4.0, 4.0, 0.0]))
    assert metrics.frechet_distance(first, second) == pytest.approx((1 - 2) ** 2 + (3 - 0) ** 2)


def test_frechet_distance_from_a_collapsed_generator_is_what_the_real_images_spread():
    real = correlated(500)
    collapsed = np.repeat(real.mean(axis=0, dtype=np.float64)[None], 500, axis=0)
    spread = np.trace(metrics.feature_statistics(real).covariance)
    assert frechet_distance(real, collapsed) == pytest.approx(spread)


def test_frechet_distance_bears_fewer_images_than_features():
    few = correlated(20, 64).astype(np.float64)
    assert frechet_distance(few, few + 1) == pytest.approx(64)


def test_frechet_distance_does_not_depend_on_the_order_of_its_arguments():
    first, second = correlated(200, seed=1), correlated(200, seed=2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_frechet_distance_grows_as_images_get_noisier():
    real = normal(500)
    distances = [frechet_distance(real, real + normal(500, scale=noise, seed=1)) for noise in (0.1, 0.5, 2)]
    assert distances == sorted(distances)


def test_feature_statistics_are_float64_whatever_the_features_are():
    statistics = metrics.feature_statistics(normal(50))
    assert {array.dtype for array in statistics} == {np.dtype(np.float64)}


# Kernel distance


def naive_squared_mmd(xs, ys):
    def kernel(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    n, m = len(xs), len(ys)
    within_x = sum(kernel(xs[i], xs[j]) for i in range(n) for j in range(n) if i != j)
    within_y = sum(kernel(ys[i], ys[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(x, y) for x in xs for y in ys)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)


def test_kernel_distance_is_the_mean_of_the_double_loop_over_blocks():
    real, fake = correlated(40, seed=1).astype(np.float64), correlated(30, seed=2)
    generator = np.random.default_rng(7)
    blocks = [np.array_split(generator.permutation(len(x)), 10) for x in (real, fake)]
    expected = [
        naive_squared_mmd(real[rows], fake[columns].astype(np.float64))
        for rows, columns in zip(*blocks, strict=True)
    ]
    distance = metrics.kernel_distance(real, fake, block_size=10, seed=7)
    assert distance == pytest.approx((np.mean(expected), np.std(expected, ddof=1) / np.sqrt(10)))


def test_kernel_distance_of_equal_distributions_is_zero_on_average():
    distances = [
        metrics.kernel_distance(normal(100, seed=i), normal(100, seed=i + 500), block_size=20).value
        for i in range(200)
    ]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(200)


def test_kernel_distance_does_not_grow_as_images_become_fewer():
    def mean_distance(n):
        sets = [(normal(n, seed=i), normal(n, mean=0.5, seed=i + 500)) for i in range(300)]
        return np.mean([metrics.kernel_distance(*pair).value for pair in sets])

    assert mean_distance(20) == pytest.approx(mean_distance(80), rel=0.1)


def test_kernel_distance_has_a_standard_error_that_is_how_far_it_is_off():
    distances = [
        metrics.kernel_distance(normal(200, seed=i), normal(200, mean=0.5, seed=i + 500), block_size=10)
        for i in range(200)
    ]
    stated = np.sqrt(np.mean([distance.standard_error**2 for distance in distances]))
    assert stated == pytest.approx(np.std([distance.value for distance in distances]), rel=0.2)


def test_kernel_distance_tells_shifted_features_from_chance():
    value, standard_error = metrics.kernel_distance(normal(500), normal(500, mean=1, seed=1))
    assert value > 10 * standard_error


def test_kernel_distance_is_the_same_for_the_same_seed():
    real, fake = normal(100), normal(100, seed=1)
    distances = [metrics.kernel_distance(real, fake, block_size=10, seed=3) for _ in range(2)]
    assert distances[0] == distances[1]


def test_kernel_distance_takes_a_generator_for_a_seed():
    real, fake = normal(100), normal(100, seed=1)
    by_generator = metrics.kernel_distance(real, fake, seed=np.random.default_rng(3))
    assert by_generator == metrics.kernel_distance(real, fake, seed=3)


# Precision, recall, density, coverage


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize(
    "fake",
    [normal(300, mean=0.5, seed=1), normal(250, scale=0.6, seed=1), normal(400, scale=2, seed=1)],
    ids=["shifted", "narrow", "wide"],
)
def test_manifold_scores_are_those_of_the_reference(fake, k):
    real = normal(300)
    assert manifold_scores(real, fake, k)._asdict() == pytest.approx(compute_prdc(real, fake, k))


def test_manifold_scores_do_not_depend_on_how_the_table_of_distances_is_cut(monkeypatch):
    real, fake = normal(300), normal(250, mean=0.5, seed=1)
    whole = manifold_scores(real, fake)
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 7 * 250)
    assert manifold_scores(real, fake) == whole


def test_manifold_scores_never_hold_the_whole_table_of_distances(monkeypatch):
    real, fake = normal(2000), normal(2000, seed=1)
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 50 * 2000)
    tracemalloc.start()
    manifold_scores(real, fake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 4 / 5


def test_manifold_scores_of_a_set_against_itself_are_full():
    real = normal(300)
    scores = manifold_scores(real, real)
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)


def test_density_of_equal_distributions_is_one():
    scores = manifold_scores(normal(2000, d=4), normal(2000, d=4, seed=1))
    assert scores.density == pytest.approx(1, abs=0.05)


def test_coverage_of_equal_distributions_is_what_the_paper_derives():
    # Naeem et al. 2020, lemma 2: 1 - (1/2)^k for many images.
    scores = manifold_scores(normal(2000, d=4), normal(2000, d=4, seed=1), k=3)
    assert scores.coverage == pytest.approx(1 - 0.5**3, abs=0.03)


def test_manifold_scores_of_sets_far_apart_are_zero():
    assert manifold_scores(normal(200), normal(200, mean=100, seed=1)) == (0, 0, 0, 0)


def test_a_collapsed_generator_has_full_precision_and_hardly_any_coverage():
    real = normal(500)
    collapsed = real[0] + normal(500, scale=1e-3, seed=1)
    scores = manifold_scores(real, collapsed)
    assert scores.precision == 1
    assert scores.recall < 0.01
    assert scores.coverage < 0.05


def test_a_generator_that_forgets_one_of_two_classes_recalls_and_covers_half():
    shirt, shoe = normal(500), normal(500, mean=50, seed=1)
    real = np.concatenate([shirt, shoe])
    scores = manifold_scores(real, shirt)
    assert (scores.precision, scores.recall, scores.coverage) == (1, 0.5, 0.5)


def test_a_generator_with_some_nonsense_loses_that_share_of_precision():
    real = normal(400)
    fake = np.concatenate([real[:300], normal(100, mean=50, seed=1)])
    assert manifold_scores(real, fake).precision == 0.75


def test_manifold_scores_do_not_depend_on_where_the_origin_is():
    real, fake = (x.astype(np.float64) for x in (normal(300), normal(300, mean=0.5, seed=1)))
    assert manifold_scores(real + 1e5, fake + 1e5) == manifold_scores(real, fake)


def test_radii_count_neighbours_without_the_vector_itself():
    on_a_line = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(metrics.radii(on_a_line, k=2), [3, 2, 3, 6])


def test_radii_are_exactly_zero_where_k_others_are_the_same():
    features = np.repeat(normal(1, scale=100), 10, axis=0)
    assert not metrics.radii(features, k=5).any()


# Classes


def test_class_shares_count_the_most_probable_class():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.3, 0.1], [1, 0, 0]])
    np.testing.assert_array_equal(metrics.class_shares(probabilities), [0.75, 0.25, 0])


def test_confirmed_shares_count_the_images_that_are_what_they_were_to_be():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.3, 0.1], [1, 0, 0]])
    assert metrics.confirmed_shares(probabilities, np.array([0, 1, 1, 0])) == [1.0, 0.5, None]


def test_mean_confidence_is_the_mean_of_the_largest_probabilities():
    assert metrics.mean_confidence(np.array([[0.7, 0.3], [0.1, 0.9]])) == pytest.approx(0.8)


# Nearest neighbours and memorising


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def test_nearest_is_what_a_double_loop_finds():
    queries, references = images(20, seed=1) / 255, images(50, seed=2) / 255
    distances = np.array([[np.linalg.norm(q - r) for r in references] for q in queries])
    found = metrics.nearest(queries, references)
    np.testing.assert_array_equal(found.indices, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-6)


def test_nearest_does_not_depend_on_how_the_images_are_cut(monkeypatch):
    queries, references = images(20, seed=1), images(50, seed=2)
    whole = metrics.nearest(queries, references)
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 7 * 784)
    np.testing.assert_array_equal(metrics.nearest(queries, references), whole)


def test_nearest_finds_a_copy_at_distance_zero():
    references = images(50)
    found = metrics.nearest(references[[30, 4]], references)
    assert found.indices.tolist() == [30, 4]
    assert found.distances.tolist() == [0, 0]


def test_nearest_takes_uint8_images_for_the_same_as_floats_up_to_one():
    references = images(50)
    as_floats = (references[[30, 4]].astype(np.float32) / 255)[..., None]
    assert metrics.nearest(as_floats, references).distances.tolist() == [0, 0]


def test_memorisation_of_images_as_new_as_the_test_images_is_nothing_special():
    train = normal(500, d=16)
    fake, test = (metrics.nearest(normal(2000, 16, seed=i), train).distances for i in (1, 2))
    assert metrics.memorisation(fake, test) == pytest.approx((1, 0.01), rel=0.05, abs=0.01)


def test_memorisation_shows_a_generator_that_copies():
    train = normal(500, d=16)
    test = metrics.nearest(normal(500, 16, seed=1), train).distances
    copies = metrics.nearest(train[:200] + normal(200, 16, scale=0.01, seed=2), train).distances
    ratio, near_share = metrics.memorisation(copies, test)
    assert ratio < 0.05
    assert near_share == 1


def test_memorisation_shows_the_share_that_is_copied():
    train = normal(500, d=16)
    new, test = (metrics.nearest(normal(1000, 16, seed=i), train).distances for i in (1, 2))
    partly = np.concatenate([new[:700], np.zeros(300)])
    assert metrics.memorisation(partly, test).near_share == pytest.approx(0.3, abs=0.02)


def test_memorisation_has_nothing_to_say_where_test_images_are_training_images():
    with pytest.raises(ValueError, match="among the training images"):
        metrics.memorisation(np.ones(5), np.zeros(5))


# What every metric refuses

GOOD = normal(10, d=4)
WITH_NAN = np.where(np.arange(10)[:, None] == 3, np.nan, GOOD)
WITH_INFINITY = np.where(np.arange(10)[:, None] == 3, np.inf, GOOD)
OF_FEATURES = {
    "feature_statistics": metrics.feature_statistics,
    "kernel_distance, real": lambda x: metrics.kernel_distance(x, GOOD),
    "kernel_distance, fake": lambda x: metrics.kernel_distance(GOOD, x),
    "radii": metrics.radii,
    "manifold_scores, real": lambda x: metrics.manifold_scores(x, GOOD, np.ones(10), np.ones(10)),
    "manifold_scores, fake": lambda x: metrics.manifold_scores(GOOD, x, np.ones(10), np.ones(10)),
    "class_shares": metrics.class_shares,
    "mean_confidence": metrics.mean_confidence,
    "nearest, queries": lambda x: metrics.nearest(x, GOOD),
    "nearest, references": lambda x: metrics.nearest(GOOD, x),
}


@pytest.mark.parametrize("bad", [WITH_NAN, WITH_INFINITY], ids=["nan", "infinity"])
@pytest.mark.parametrize("metric", OF_FEATURES.values(), ids=OF_FEATURES)
def test_values_that_are_not_finite_are_refused(metric, bad):
    with pytest.raises(ValueError, match="not finite"):
        metric(bad)


@pytest.mark.parametrize("metric", OF_FEATURES.values(), ids=OF_FEATURES)
def test_an_empty_set_is_refused(metric):
    with pytest.raises(ValueError, match="at least"):
        metric(np.empty((0, 4), np.float32))


@pytest.mark.parametrize("metric", OF_FEATURES.values(), ids=OF_FEATURES)
def test_a_set_that_is_no_matrix_is_refused(metric):
    with pytest.raises(ValueError, match=r"shape \(10,\)"):
        metric(np.ones(10))


@pytest.mark.parametrize("metric", OF_FEATURES.values(), ids=OF_FEATURES)
def test_things_that_are_no_numbers_are_refused(metric):
    with pytest.raises(ValueError, match="dtype"):
        metric(np.full((10, 4), "boot"))


@pytest.mark.parametrize(
    "metric",
    [
        lambda x, y: frechet_distance(x, y),
        lambda x, y: metrics.kernel_distance(x, y),
        lambda x, y: metrics.manifold_scores(x, y, np.ones(10), np.ones(10)),
        lambda x, y: metrics.nearest(x, y),
    ],
    ids=["frechet_distance", "kernel_distance", "manifold_scores", "nearest"],
)
def test_sets_of_different_features_are_refused(metric):
    with pytest.raises(ValueError, match=r"4 .*5"):
        metric(normal(10, d=4), normal(10, d=5))


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (lambda: metrics.feature_statistics(GOOD[:1]), "at least 2"),
        (lambda: metrics.kernel_distance(GOOD[:3], GOOD), "at least 4"),
        (lambda: metrics.kernel_distance(GOOD, GOOD, block_size=1), "block_size"),
        (lambda: metrics.radii(GOOD[:5], k=5), "at least 6"),
        (lambda: metrics.radii(GOOD, k=0), "k is 0"),
        (lambda: metrics.manifold_scores(GOOD, GOOD, np.ones(10), np.ones(10), k=0), "k is 0"),
        (lambda: metrics.manifold_scores(GOOD, GOOD, np.ones(9), np.ones(10)), "real_radii"),
        (lambda: metrics.manifold_scores(GOOD, GOOD, np.ones(10), np.ones(9)), "fake_radii"),
        (lambda: metrics.manifold_scores(GOOD, GOOD, -np.ones(10), np.ones(10)), "negative"),
        (lambda: metrics.class_shares(np.full((3, 10), 2.0)), r"outside \[0, 1\]"),
        (lambda: metrics.mean_confidence(np.full((3, 10), -1.0)), r"outside \[0, 1\]"),
        (lambda: metrics.memorisation(np.empty(0), np.ones(3)), "at least 1"),
        (lambda: metrics.memorisation(np.ones(3), np.array([1, np.nan])), "not finite"),
        (lambda: metrics.memorisation(np.ones(3), np.ones((3, 2))), "expected"),
    ],
)
def test_what_a_metric_cannot_work_with_is_refused(refused, why):
    with pytest.raises(ValueError, match=why):
        refused()


def test_statistics_that_do_not_belong_together_are_refused():
    broken = metrics.FeatureStatistics(np.zeros(3), np.eye(2))
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 2\)"):
        metrics.frechet_distance(broken, broken)


def test_statistics_that_are_not_finite_are_refused():
    broken = metrics.FeatureStatistics(np.array([np.nan]), np.eye(1))
    with pytest.raises(ValueError, match="not finite"):
        metrics.frechet_distance(broken, broken)


@pytest.mark.parametrize("classes", [[0], [0, 3], [0, -1]])
def test_what_images_were_to_be_is_said_of_each_and_is_a_class(classes):
    with pytest.raises(ValueError, match="not 2 numbers from 0 to 2"):
        metrics.confirmed_shares(np.eye(3)[:2], np.array(classes))
