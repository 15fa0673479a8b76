"""Grids hold the images where they belong, and figures are written whole."""

from unittest.mock import Mock

import numpy as np
import pytest
from matplotlib import pyplot

from clothinggan import figures

HISTORY = [
    {"epoch": e, "d_loss": 0.7, "g_loss": 0.6, "accuracy_real": 0.5, "accuracy_fake": 1.0, "seconds": 1.0}
    for e in (1, 2)
]


def pixels(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_a_grid_shows_the_images_row_by_row_with_gaps():
    images = np.stack([np.full((2, 2), value) for value in (0.1, 0.2, 0.3, 0.4)])
    sheet = pixels(figures.draw_grid(images, "title"))
    assert sheet.shape == (5, 5)
    assert np.allclose(sheet[[0, 0, 3, 3], [0, 3, 0, 3]], [0.1, 0.2, 0.3, 0.4])


def test_bytes_and_floats_are_drawn_alike():
    image = np.array([[0, 255]], np.uint8)
    assert np.array_equal(pixels(figures.draw_image(image, "")), pixels(figures.draw_image(image / 255, "")))


def test_a_name_is_drawn_as_it_is():
    (axes,) = figures.draw_image(np.zeros((2, 2)), "run_$1_$2").axes
    assert axes.get_title() == "run_$1_$2"
    assert not axes.title.get_parse_math()


def test_a_title_that_is_too_long_loses_its_middle():
    (axes,) = figures.draw_image(np.zeros((2, 2)), f"real: /{50 * 'long/'}garments.npz").axes
    title = axes.get_title()
    assert title.startswith("real: /long/")
    assert title.endswith("/long/garments.npz")
    assert len(title) == figures.TITLE_LENGTH


def test_of_a_sheet_that_is_not_full_the_rest_is_empty():
    images = np.zeros((10, 28, 28), np.float32)
    pairs, distances = [(images[0], images[0], 0.0)], np.array([1.0, 2.0, 3.0])
    sheet = figures.draw_classified(images, ["bag"] * 10, pairs, distances, "title")
    assert (
        "(below 1.02 it counts as a copy, as one test image in a hundred does; half"
        in sheet.subfigs[1].get_suptitle()
    )
    assert not any(axes.axison for axes in sheet.get_axes())


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_a_toolkit_that_is_not_installed_opens_no_window(error, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(pyplot, "figure", Mock(side_effect=error))
    assert not figures.window_possible()


@pytest.mark.parametrize("epochs", [1, 2])
def test_losses_and_accuracies_have_a_curve_each_and_a_mark_of_what_guessing_gives(epochs):
    axes = figures.draw_losses(HISTORY[:epochs]).axes
    assert [[line.get_label() for line in panel.lines] for panel in axes] == [
        ["discriminator", "generator", "ln 2: guessing real or fake"],
        ["on real", "on generated", "one half: guessing"],
    ]
    assert [panel.lines[-1].get_ydata()[0] for panel in axes] == pytest.approx([np.log(2), 0.5])


def comparison(*histories):
    sheets = [np.zeros((25, 28, 28))] * len(histories)
    figure = figures.draw_comparison("ab"[: len(histories)], histories, sheets, [()] * len(histories))
    return figure.subfigs[1]


@pytest.mark.parametrize("draw", [figures.draw_losses, comparison])
def test_after_one_epoch_there_is_a_whole_dot_over_its_number(draw):
    for panel in draw(HISTORY[:1]).axes:
        assert panel.get_xticks().tolist() == [1]
        for curve in panel.lines[:-1]:
            assert curve.get_marker() == "o"
            assert curve.get_ydata()[0] < 0.99 * panel.get_ylim()[1]


def test_a_comparison_says_in_its_panels_what_guessing_gives():
    said = [[text.get_text() for text in panel.texts] for panel in comparison(HISTORY, HISTORY).axes[:3]]
    assert said == [["ln 2: guessing real or fake"], ["ln 2: guessing real or fake"], ["one half: guessing"]]


def test_curves_have_colours_that_the_colour_blind_tell_apart():
    (panel, _) = figures.draw_losses(HISTORY).axes
    assert [line.get_color() for line in panel.lines[:2]] == list(figures.COLOURS[:2])


def test_shares_of_classes_are_named_beside_their_bands():
    history = [entry | {"fcd": 1.0, "class_shares": [0.7, 0.29, 0.01]} for entry in HISTORY]
    panel = figures.draw_losses(history, ["hat", "scarf", "sock"]).axes[-1]
    assert [text.get_text() for text in panel.texts] == ["hat", "scarf"]


def test_a_class_that_is_gone_in_the_end_is_named_where_its_band_was_broadest():
    shares = ([0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.0, 0.9, 0.1])
    history = [HISTORY[0] | {"epoch": 1 + n, "class_shares": share} for n, share in enumerate(shares)]
    panel = figures.draw_losses(history, ["hat", "scarf", "sock"]).axes[-1]
    places = {text.get_text(): text.get_position() for text in panel.texts}
    assert places["hat"] == (2, pytest.approx(0.45))
    assert places["scarf"] == (1.01, pytest.approx(0.45))


def test_ten_classes_have_a_colour_each():
    history = [entry | {"class_shares": [0.1] * 10} for entry in HISTORY]
    bands = figures.draw_losses(history).axes[-1].collections
    assert len({tuple(band.get_facecolor()[0]) for band in bands}) == 10


def test_the_names_of_classes_stand_under_their_images_in_turns():
    images = np.zeros((5, 28, 28), np.float32)
    (axes,) = figures.draw_grid(images, "title", ["hat", "scarf"]).axes
    assert [text.get_text() for text in axes.texts] == ["hat", "scarf", "hat", "scarf", "hat"]
    places = [text.get_position() for text in axes.texts]
    assert places == sorted(places, key=lambda place: (place[1], place[0]))
    assert places[0][1] > 28


def test_a_png_is_a_png(tmp_path):
    figures.save_png(figures.draw_losses(HISTORY), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", [(), ("hat", "an uncommonly long scarf")], ids=["without", "with names"])
def test_a_timelapse_can_be_taken_apart_again_and_is_the_same_put_together(names, tmp_path):
    random = np.random.default_rng(0)
    gap = figures.NAME_HEIGHT if names else 1
    sheets = {f"epoch {epoch}": random.random((4, 28, 28), np.float32) for epoch in (5, 10)}
    frames = {caption: figures.tile(sheet, gap) for caption, sheet in sheets.items()}
    figures.save_timelapse(list(frames.values()), list(frames), tmp_path / "x.gif", names)
    loaded = figures.load_timelapse(tmp_path / "x.gif")
    assert list(loaded) == ["epoch 5", "epoch 10"]
    images = [{caption: frame[:28] for caption, frame in each.items()} for each in (loaded, frames)]
    assert all(np.allclose(images[0][caption], images[1][caption], atol=1 / 63) for caption in frames)
    figures.save_timelapse(list(loaded.values()), list(loaded), tmp_path / "y.gif", names)
    assert (tmp_path / "y.gif").read_bytes() == (tmp_path / "x.gif").read_bytes()
