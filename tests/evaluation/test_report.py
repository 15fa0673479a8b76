"""Which file is called the best of a column."""

import dataclasses

import pytest

from clothinggan.evaluation.evaluator import Scores
from clothinggan.evaluation.report import Line, Report

NUMBERS = dict.fromkeys((field.name for field in dataclasses.fields(Scores)), 0.5)
SCORES = Scores(**(NUMBERS | {"class_shares": [], "confirmed": []}))


def report(column, of_training, **of_files):
    def line(name, score):
        return Line(name, None, dataclasses.replace(SCORES, **{column: score}))

    files = [line(name, score) for name, score in of_files.items()]
    return Report(files, [line("training images", of_training)], "images", 10, False, (), "eyes", "eyes")


@pytest.mark.parametrize(
    ("column", "best"),
    [
        ("fcd", "low"),
        ("coverage", "high"),
        ("precision", "middle"),
        ("density", "high"),
        ("told_apart", "low"),
    ],
)
def test_what_is_best_depends_on_the_column(column, best):
    assert report(column, 0.8, low=0.6, middle=0.79, high=0.95).best(column).name == best


def test_of_recall_no_file_is_the_best_since_torn_images_raise_it():
    table = report("recall", 0.8, low=0.6, high=0.95).as_table()
    assert "0.950  " in table
    assert "0.950 *" not in table


def test_of_a_run_stopped_within_an_epoch_the_table_tells_the_step():
    line = Line("x.h5", 0, SCORES, step_in_epoch=1618)
    table = Report([line], [], "images", 10, False, (), "eyes", "eyes").as_table()
    assert "1, step 1618" in table


def test_of_what_was_not_measured_nothing_is_best():
    assert report("gan_train", 0.8, a=None).best("gan_train") is None
