"""What a picture shows is found on backgrounds as photographs have them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clothinggan.data import sources
from clothinggan.data.pictures import read_picture
from clothinggan.data.trimming import find_background

SIDE = 120


def star(background=225, grey=70):
    """A star with a fifth of the picture's width around it."""
    picture = Image.new("L", (SIDE, SIDE), background)
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.12, 0.3) * SIDE
    corners = zip(SIDE / 2 + radii * np.sin(angles), SIDE / 2 - radii * np.cos(angles), strict=True)
    ImageDraw.Draw(picture).polygon(list(corners), fill=grey)
    return picture


def trousers(top=0, grey=70):
    """Legs that reach one side, or two, with up to a third of the border."""
    picture = Image.new("L", (SIDE, SIDE), 225)
    ImageDraw.Draw(picture).rectangle([25, top, 95, SIDE], fill=grey)
    return picture


def darkened(picture, share):
    """A picture that gets darker: by so many levels where the share is 1."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return Image.fromarray(np.rint(np.asarray(picture) - share(x, y)).astype(np.uint8))


def noisy(picture, deviation=10):
    noise = np.random.default_rng(0).normal(0, deviation, (SIDE, SIDE))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def as_jpeg(picture):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=40)
    return Image.open(content)


def difference(image, other):
    """How far images are from each other where they are seen too coarsely for noise to matter."""
    coarse = [values.astype(float).reshape(7, 4, 7, 4).mean(axis=(1, 3)) for values in (image, other)]
    return np.abs(coarse[0] - coarse[1]).mean()


BACKGROUNDS = {
    "noise": noisy,
    "noise that was pressed into a JPEG": lambda picture: as_jpeg(noisy(picture)),
    "light from one side": lambda picture: darkened(picture, lambda x, y: 20 * (1 - x)),
    "dark corners": lambda picture: darkened(picture, lambda x, y: 30 * (x * x + y * y)),
    "dark corners and noise": lambda picture: noisy(darkened(picture, lambda x, y: 20 * (x * x + y * y)), 4),
    "a dithered palette": lambda picture: picture.convert("RGB").convert("P"),
}


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize(
    "draw",
    [
        star,
        lambda: star(grey=150),
        lambda: trousers(top=30),
        trousers,
        lambda: trousers(top=30, grey=140),
        lambda: trousers(grey=140),
    ],
    ids=["star", "faint star", "to one side", "to two sides", "to one side, faint", "to two sides, faint"],
)
def test_an_object_is_trimmed_as_on_a_background_of_one_grey(tmp_path, draw, kind):
    draw().save(tmp_path / "clean.png")
    BACKGROUNDS[kind](draw()).save(tmp_path / "a.png")
    clean, read = read_picture(tmp_path / "clean.png"), read_picture(tmp_path / "a.png")
    assert read.has_plain_background
    assert read.has_bright_border
    assert difference(read.image, clean.image) < 0.1 * np.ptp(clean.image)


def test_light_that_falls_off_on_black_is_made_black(tmp_path):
    darkened(star(30, 200), lambda x, y: 10 * (x - 1)).save(tmp_path / "a.png")
    star(30, 200).save(tmp_path / "clean.png")
    clean, read = (read_picture(tmp_path / name).image.astype(int) for name in ("clean.png", "a.png"))
    assert np.abs(read - clean).max() < 20


def test_a_background_of_one_grey_stays_as_it_is():
    assert find_background(star()).evened.tobytes() == star().tobytes()


def test_the_last_bits_of_a_processor_change_no_image(monkeypatch):
    picture = darkened(star(), lambda x, y: 20 * (1 - x))
    before = find_background(picture).evened
    solve = np.linalg.lstsq
    monkeypatch.setattr(np.linalg, "lstsq", lambda *args, **options: (solve(*args, **options)[0] + 1e-9,))
    assert find_background(picture).evened.tobytes() == before.tobytes()


def test_pictures_without_a_plain_background_are_counted(tmp_path):
    for number in range(12):
        picture = star(grey=50 + number)
        if number < 3:
            squares = np.random.default_rng(number).integers(0, 256, (6, 6), np.uint8)
            picture = Image.fromarray(np.kron(squares, np.ones((20, 20), np.uint8)))
        picture.save(tmp_path / f"{number}.png")
    said = "3 of 12 pictures have no plain background: it is not "
    assert f"{said}trimmed (make it transparent, or crop)" in sources.load(str(tmp_path)).notes
    assert f"{said}evened out" in sources.load(str(tmp_path), fit="crop").notes
