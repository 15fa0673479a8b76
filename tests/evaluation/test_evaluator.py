"""Images are held against real ones: the better they are the better they score, and the work is kept."""

import dataclasses

import numpy as np
import pytest

from clothinggan.data import sample
from clothinggan.data.sources import Dataset
from clothinggan.errors import ClothingGANError
from clothinggan.evaluation import evaluator
from clothinggan.evaluation.evaluator import Evaluator

COUNT = 200


@pytest.fixture(scope="module")
def dataset():
    images, _ = sample.make_split("test")
    return Dataset("sample", train_images=images[:400], test_images=images[400:])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clothinggan"


@pytest.fixture
def judge(dataset):
    return Evaluator(dataset, COUNT, quick=True)


def as_floats(images):
    return images.astype(np.float32) / 255


def test_unseen_real_images_score_better_than_blurred_ones_and_these_than_noise(judge, dataset):
    unseen = as_floats(dataset.test_images[-COUNT:])
    blurred = (unseen + np.roll(unseen, 2, axis=1) + np.roll(unseen, 2, axis=2)) / 3
    noise = np.random.default_rng(0).random(unseen.shape, dtype=np.float32)
    distances = [judge.scores(images).fcd for images in (unseen, blurred, noise)]
    assert distances == sorted(distances)


def test_training_images_are_found_to_be_copies(judge, dataset):
    assert judge.scores(as_floats(dataset.train_images[:COUNT])).copies == 1


def test_one_image_over_and_over_has_no_recall_and_one_class(judge, dataset):
    scores = judge.scores(np.repeat(as_floats(dataset.test_images[-1:]), COUNT, axis=0))
    assert scores.recall == 0
    assert max(scores.class_shares) == 1


def test_training_images_are_copies_where_the_test_set_has_some_too(dataset):
    mixed = np.concatenate([dataset.train_images[:4], dataset.test_images[4:]])
    judge = Evaluator(dataclasses.replace(dataset, test_images=mixed), COUNT, quick=True)
    assert judge.scores(as_floats(dataset.train_images[:COUNT])).copies == 1


def test_of_a_test_set_that_is_ordered_by_class_a_part_has_all_classes():
    images, labels = sample.make_split("test")
    ordered = images[np.argsort(labels, kind="stable")]
    judge = Evaluator(Dataset("sample", train_images=images, test_images=ordered), COUNT)
    chosen = labels[[np.flatnonzero((images == image).all(axis=(1, 2)))[0] for image in judge.test_images]]
    assert set(chosen) == set(range(10))


@pytest.mark.parametrize("few", [{"train_images": 5}, {"test_images": 5}])
def test_too_few_real_images_are_refused(few, dataset):
    changes = {name: getattr(dataset, name)[:count] for name, count in few.items()}
    with pytest.raises(ClothingGANError, match=r"has 5 \w+ images, and 10 are the fewest"):
        Evaluator(dataclasses.replace(dataset, **changes), COUNT)


def test_a_test_set_of_training_images_is_refused(dataset):
    judge = Evaluator(dataclasses.replace(dataset, test_images=dataset.train_images), COUNT, quick=True)
    with pytest.raises(ClothingGANError, match="among its training images"):
        judge.brief_scores(as_floats(dataset.train_images[:COUNT]))


def test_where_nobody_has_a_home_nothing_is_kept(dataset, monkeypatch):
    def no_home(_class):
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(evaluator.Path, "home", classmethod(no_home))
    scores = Evaluator(dataset, COUNT, quick=True).brief_scores(as_floats(dataset.test_images[-COUNT:]))
    assert scores["fcd"] > 0


def test_equal_images_score_equally(judge, dataset):
    images = as_floats(dataset.train_images[:COUNT])
    assert judge.scores(images) == Evaluator(dataset, COUNT, quick=True).scores(images)


def test_the_brief_scores_are_some_of_all(judge, dataset):
    images = as_floats(dataset.train_images[:COUNT])
    scores = dataclasses.asdict(judge.scores(images))
    brief = judge.brief_scores(images)
    assert brief.pop("class_shares") == pytest.approx(scores["class_shares"], abs=1e-4)
    assert brief == {name: scores[name] for name in ("fcd", "precision", "recall", "coverage")}


def test_the_references_are_a_floor_and_a_ceiling(judge):
    references = judge.reference_scores()
    assert references["training images"].fcd < references["uniform noise"].fcd


def test_training_images_in_the_place_of_fakes_have_the_test_images_shares_of_the_classes():
    images, labels = sample.make_split("train")
    kept = np.flatnonzero(labels < 3)[:120]
    of_test = np.concatenate([np.flatnonzero(labels[kept] == number)[:20] for number in range(3)])
    names = ("a", "b", "c")
    real = images[kept], labels[kept], images[kept][of_test], labels[kept][of_test]
    uneven = Dataset("uneven", *real, class_names=names)
    judge = Evaluator(uneven, quick=True)
    order = judge._like_the_tests(np.random.default_rng(0).permutation(len(kept)))
    assert np.bincount(labels[kept][order[:60]]).tolist() == [20, 20, 20]
    assert sorted(order) == list(range(len(kept)))


def test_the_real_images_are_looked_at_once(judge, dataset, monkeypatch):
    judge.prepare()
    first = judge.reference_scores()
    monkeypatch.setattr(Evaluator, "_features", lambda *_: pytest.fail("not from the cache"))
    again = Evaluator(dataset, COUNT, quick=True)
    again.prepare()
    assert again.reference_scores() == first


def test_a_broken_cache_is_made_anew(judge, dataset, cache):
    first = judge.reference_scores()
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert Evaluator(dataset, COUNT, quick=True).reference_scores() == first


def test_a_cache_that_cannot_be_written_is_done_without(judge, dataset, cache):
    cache.parent.write_text("a file where the folder would be")
    assert judge.scores(as_floats(dataset.train_images[:COUNT])).fcd > 0


def test_data_without_test_images_is_refused(dataset):
    with pytest.raises(ClothingGANError, match="test images"):
        Evaluator(Dataset("some.npz", train_images=dataset.train_images))
