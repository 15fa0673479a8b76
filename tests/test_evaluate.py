"""Evaluation: a table or JSON, references in it, and the history that training writes."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import SMALL
from matplotlib.figure import Figure

from clothinggan import evaluate, figures, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import draw_images, restore_generator
from clothinggan.evaluation import evaluator, gan_train, small_networks, two_sample_test

QUICK = ["--data", "sample", "--images", "50", "--quick"]


@pytest.fixture(scope="module")
def weights(small_run):
    return [str(small_run / f"clothingGANepoch{epoch}.h5") for epoch in (1, 4)]


@pytest.fixture(autouse=True)
def _kept_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "evaluate_cache"))


def test_the_table_has_each_file_the_references_and_what_the_numbers_are(weights, capsys):
    assert evaluate.main(["--weights", *weights, *QUICK]) == 0
    said = capsys.readouterr().out
    for essential in (
        *weights,
        "training images",
        "uniform noise",
        "not Inception FID",
        "biased upwards",
        "Ankle boot",
    ):
        assert essential in said
    assert "of sample, seen by a classifier of its own that learned the 10 classes of sample" in said


def header(table):
    """The titles of its columns."""
    return next(line for line in table.splitlines() if "FCD" in line).split()


def test_the_kernel_distance_of_few_images_is_left_out(weights, monkeypatch, capsys):
    assert evaluate.main(["--weights", *weights, *QUICK]) == 0
    said = capsys.readouterr().out
    assert "KCD" not in header(said)
    assert "KCD is left out, since it needs 1,000 images" in said
    monkeypatch.setattr(evaluator, "FEWEST_FOR_KERNEL_DISTANCE", 50)
    assert evaluate.main(["--weights", *weights, *QUICK]) == 0
    said = capsys.readouterr().out
    assert "KCD" in header(said)
    assert "KCD can be below 0" in said


def report(weights, capsys, *options):
    assert evaluate.main(["--weights", *weights, *QUICK, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def few_for_networks(monkeypatch):
    """Fewer images and steps, so that a network learns from them in a second."""
    monkeypatch.setattr(two_sample_test, "IMAGES", 150)
    monkeypatch.setattr(gan_train, "IMAGES", 200)
    monkeypatch.setattr(small_networks, "MIN_STEPS", 30)


@pytest.mark.usefixtures("few_for_networks")
def test_what_networks_learn_of_a_file_stands_beside_what_they_learn_of_real_images(small_swift, capsys):
    assert evaluate.main(["--weights", small_swift, "--data", "sample", "--images", "50", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    (file,), (training, noise) = numbers["files"], numbers["references"]
    assert 0.9 < file["told_apart"] <= 1  # After a few steps a generator draws nothing like a garment.
    assert abs(training["told_apart"] - 0.5) < 3 * training["told_apart_error"]
    assert noise["told_apart"] > 0.9
    assert training["gan_train"] > file["gan_train"]
    assert noise["gan_train"] is None


def test_the_best_of_each_column_is_marked(weights, monkeypatch, capsys):
    learned = iter([{"told_apart": 0.6, "gan_train": 0.7}, {"told_apart": 0.9, "gan_train": 0.8}, {}, {}])

    def learn(*_):
        scores = dict.fromkeys(["told_apart", "gan_train"]) | next(learned)
        return scores | {f"{name}_error": 0.01 for name in scores}

    monkeypatch.setattr(evaluate.Evaluator, "_learned_scores", learn)
    monkeypatch.setattr(evaluate.Evaluator, "wanted", 50)
    assert evaluate.main(["--weights", *weights, "--data", "sample", "--images", "50"]) == 0
    table = capsys.readouterr().out.splitlines()[2:5]
    assert "told apart" in table[0]
    assert "60.0% ± 1.0% *" in table[1]
    assert "80.0% ± 1.0% *" in table[2]


def test_quick_leaves_out_what_trains_a_network(weights, capsys):
    assert report(weights[:1], capsys)["files"][0]["told_apart"] is None
    assert evaluate.main(["--weights", weights[0], *QUICK]) == 0
    said = capsys.readouterr().out
    assert "told apart" not in said
    assert "GAN-train" not in said
    assert "precision: how many" in said


def test_each_file_is_read_once(weights, monkeypatch, capsys):
    read = []
    monkeypatch.setattr(evaluate, "read_checkpoint", lambda path: read.append(path) or read_checkpoint(path))
    report(weights, capsys)
    assert [str(path) for path in read] == weights


def test_a_file_without_a_generator_is_refused_before_the_others_are_measured(
    weights, tmp_path, monkeypatch, capsys
):
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]).save(tmp_path / "x.h5")
    monkeypatch.setattr(evaluate.Evaluator, "scores", None)
    assert evaluate.main(["--weights", *weights, "x.h5", *QUICK]) == 1
    assert "x.h5 is not a generator of 28x28x1 images" in capsys.readouterr().err


def test_the_best_file_is_the_one_with_the_lowest_distance(weights, capsys):
    numbers = report(weights, capsys)
    assert numbers["best"]["fcd"] == min(numbers["files"], key=lambda file: file["fcd"])["name"]
    assert numbers["best"]["coverage"] == max(numbers["files"], key=lambda file: file["coverage"])["name"]
    assert "recall" not in numbers["best"]


def test_equal_seeds_give_equal_numbers_and_others_do_not(weights, capsys):
    first, again, other = (report(weights[:1], capsys, "--seed", seed) for seed in "001")
    assert first == again
    assert first["files"] != other["files"]


def test_the_discriminators_accuracy_is_the_one_of_the_training(weights, small_run, capsys):
    with open(small_run / "history.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    measured = report(weights[1:], capsys)["files"][0]
    for column in ("accuracy_real", "accuracy_fake"):
        assert measured[column] == float(last[column])


def test_training_on_other_images_is_told(weights, capsys):
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    np.savez("other.npz", x_train=images[:50], x_test=images[50:])
    assert evaluate.main(["--weights", *weights[:1], *QUICK]) == 0
    assert capsys.readouterr().err == ""
    assert evaluate.main(["--weights", *weights[:1], *QUICK, "--data", "other.npz"]) == 0
    assert "trained on other images than" in capsys.readouterr().err


def test_of_images_asked_for_by_class_the_confirmed_share_is_told(small_swift, weights, capsys):
    measured = report([small_swift, weights[0]], capsys)
    asked, unasked = (file["confirmed"] for file in measured["files"])
    assert len(asked) == 10
    assert all(0 <= share <= 1 for share in asked)
    assert unasked == []
    training, noise = (line["confirmed"] for line in measured["references"])
    assert np.mean([share for share in training if share is not None]) > 0.1
    assert noise == []


def test_the_table_has_a_line_of_confirmed_shares(small_swift, capsys):
    assert evaluate.main(["--weights", small_swift, *QUICK]) == 0
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if line.startswith(("confirmed ", small_swift, "training images"))]
    assert lines[-3].split()[:2] == ["confirmed", "T-shirt"]


def test_a_file_without_a_discriminator_is_measured_all_the_same(tmp_path, capsys):
    layers = keras.layers
    generator = [keras.Input((3,)), layers.Dense(784, activation="tanh"), layers.Reshape((28, 28, 1))]
    keras.Sequential(generator).save(tmp_path / "x.h5")
    assert report(["x.h5"], capsys)["files"][0]["accuracy_real"] is None


def test_the_figure_is_a_picture(weights, tmp_path):
    assert evaluate.main(["--weights", weights[0], *QUICK, "--figure", "x.png"]) == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_shows_the_images_that_were_measured(small_swift, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "draw_classified", lambda images, *_: drawn.append(images) or Figure())
    assert evaluate.main(["--weights", small_swift, *QUICK, "--figure", "x.png"]) == 0
    (images,) = drawn
    shown = read_checkpoint(Path(small_swift))
    assert np.array_equal(images, draw_images(shown, restore_generator(shown), len(images), seed=0)[0])


def test_a_figure_has_a_folder_of_its_own_made(weights, tmp_path):
    assert evaluate.main(["--weights", weights[0], *QUICK, "--figure", "new/x.png"]) == 0
    assert (tmp_path / "new" / "x.png").exists()


@pytest.mark.usefixtures("few_for_networks")
def test_training_measures_itself_every_so_many_epochs(tmp_path, capsys):
    assert train.main([*SMALL, "--epochs", "2", "--evaluate-every", "2"]) == 0
    with open(tmp_path / "history.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["fcd"] == ""
    assert float(second["fcd"]) > 0
    assert 0.5 < float(second["told_apart"]) <= 1
    assert sum(map(float, second["class_shares"].split())) == pytest.approx(1, abs=0.01)
    assert "best of the 1 epochs measured: 2, FCD" in capsys.readouterr().out


@pytest.mark.usefixtures("few_for_networks")
def test_of_a_best_epoch_without_a_file_it_is_said_why(tmp_path, monkeypatch, capsys):
    scores = iter([1.0, 2.0])
    others = {"precision": 1.0, "recall": 1.0, "told_apart": 0.9}
    monkeypatch.setattr(evaluate.Evaluator, "brief_scores", lambda *_: {"fcd": next(scores), **others})
    assert train.main([*SMALL, "--epochs", "2", "--evaluate-every", "1"]) == 0
    assert "measured: 1, FCD 1.000; there is no file of it here: --save-every" in capsys.readouterr().out


def scored(monkeypatch, told_apart):
    """Has each measured epoch be told apart so far."""
    scores = iter(told_apart)
    others = {"fcd": 1.0, "precision": 1.0, "recall": 1.0, "coverage": 1.0, "class_shares": [0.1] * 10}
    monkeypatch.setattr(evaluate.Evaluator, "wanted", 10)
    monkeypatch.setattr(evaluate.Evaluator, "brief_scores", lambda *_: {**others, "told_apart": next(scores)})


def test_the_best_measured_file_is_kept_beside_the_latest(tmp_path, monkeypatch):
    scored(monkeypatch, [0.9, 0.6, 0.8])
    assert train.main([*SMALL, "--epochs", "3", "--evaluate-every", "1", "--keep-best"]) == 0
    assert read_checkpoint(tmp_path / "clothingGANbest.h5").record.epoch == 2


def test_a_run_ends_when_it_no_longer_gets_better(tmp_path, monkeypatch, capsys):
    scored(monkeypatch, [0.7, 0.6, 0.8, 0.9, 0.5])
    assert train.main([*SMALL, "--epochs", "5", "--evaluate-every", "1", "--stop-after", "2"]) == 0
    assert "no better told_apart in 2 measured epochs: the run ends" in capsys.readouterr().out
    assert read_checkpoint(tmp_path / "clothingGANlatest.h5").record.epoch == 4


def test_to_keep_the_best_something_has_to_be_measured(capsys):
    with pytest.raises(SystemExit):
        train.main([*SMALL, "--keep-best"])
    assert "--keep-best goes with --evaluate-every" in capsys.readouterr().err


def test_a_folder_in_the_place_of_the_figure_is_refused_before_anything_is_measured(
    weights, tmp_path, monkeypatch, capsys
):
    (tmp_path / "x.png").mkdir()
    monkeypatch.setattr(evaluate.Evaluator, "scores", None)
    assert evaluate.main(["--weights", weights[0], *QUICK, "--figure", "x.png"]) == 1
    assert "cannot write x.png: it is a folder; name a file with --figure" in capsys.readouterr().err


def test_training_refuses_to_measure_without_test_images(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x_train=np.zeros((40, 28, 28), np.uint8))
    assert train.main(["--data", "x.npz", "--batch-size", "16", "--evaluate-every", "2"]) == 1
    assert "test images" in capsys.readouterr().err


def test_training_refuses_to_measure_against_images_that_it_learns_from(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, x_test=images)
    assert train.main(["--data", "x.npz", "--batch-size", "16", "--evaluate-every", "2"]) == 1
    assert "are among its training images" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.h5"))
