"""Images of one's own, from a folder of pictures to a drawn class."""

import json
import shutil

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image, ImageDraw

from clothinggan import display, evaluate, resume, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.data import sources

CLASSES = ("hats", "odd socks", "scarves")


def draw(name, random):
    """A picture of a drawn garment, dark on white, of any size and place."""
    size = random.integers(60, 200, 2).tolist()
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    colour = tuple(random.integers(0, 90, 3).tolist())
    x, y = (0.15 + 0.1 * random.random(2)) * size
    right, below = (0.75 + 0.1 * random.random(2)) * size
    if name == "hats":
        pen.ellipse((x, below - 0.3 * size[1], right, below), fill=colour)
        pen.pieslice((x + 9, y, right - 9, 2 * below - y), 180, 360, fill=colour)
    elif name == "scarves":
        pen.rectangle((x, y, x + 12, below), fill=colour)
        pen.rectangle((right - 12, y, right, below), fill=colour)
    else:
        pen.polygon(
            [(x, y), (x + 20, y), (x + 20, below - 20), (right, below - 20), (right, below), (x, below)],
            colour,
        )
    return picture


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory):
    """A folder of 300 pictures in three classes, one of them broken."""
    folder = tmp_path_factory.mktemp("wardrobe")
    random = np.random.default_rng(0)
    for number in range(300):
        name = CLASSES[number % 3]
        (folder / name).mkdir(exist_ok=True)
        kind = ("png", "jpg", "gif", "bmp", "webp")[number % 5]
        draw(name, random).save(folder / name / f"{number}.{kind}")
    (folder / "hats" / "broken.jpg").write_bytes((folder / "hats" / "6.jpg").read_bytes()[:90])
    return folder


@pytest.fixture(scope="module")
def run(wardrobe, tmp_path_factory):
    """The folder of a run of two epochs on them."""
    out = tmp_path_factory.mktemp("run")
    options = ["--model", "swift", "--data", str(wardrobe), "--save-every", "1", "--out", str(out)]
    assert train.main([*options, "--epochs", "2"]) == 0
    return out


def test_a_folder_of_pictures_is_trained_on_and_each_class_asked_for(run):
    saved = read_checkpoint(run / "swiftGANepoch2.h5")
    assert saved.record.class_names == list(CLASSES)
    assert saved.classes == range(3)
    weights = ["--weights", str(saved.path)]
    for number, asked in enumerate(("hat", "odd socks", "Scarf")):
        assert display.main([*weights, "--class", asked, "--count", "5", "--export", "x.npz"]) == 0
        with np.load("x.npz") as arrays:
            assert arrays["images"].shape == (5, 28, 28)
            assert arrays["classes"].tolist() == [number] * 5
            assert arrays["class_names"].tolist() == list(CLASSES)


def test_the_plan_says_what_was_found(wardrobe, capsys):
    options = ["--model", "swift", "--data", str(wardrobe), "--examples", "64", "--epochs", "1"]
    assert train.main(options) == 0
    said = capsys.readouterr()
    assert "(bright borders: inverted): 64 training images of 28x28, 3 classes" in said.out
    assert "classes:  hats (16), odd socks (23), scarves (25)\n" in said.out
    assert "left out, 1 of 301 pictures: hats/broken.jpg (broken)" in said.err
    assert "30 of 300 pictures are held out as test images" in said.err


def test_the_class_that_was_asked_for_stands_under_its_images(run, windows):
    weights = ["--weights", str(run / "swiftGANlatest.h5")]
    assert display.main([*weights, "--no-real", "--class", "odd"]) == 0
    assert {text.get_text() for text in pyplot.figure(windows[0]).axes[0].texts} == {"odd socks"}


def test_the_real_images_are_of_the_class_that_was_asked_for_too(run, windows):
    assert display.main(["--weights", str(run / "swiftGANlatest.h5"), "--class", "odd"]) == 0
    of_real = pyplot.figure(windows[2]).axes[0]
    assert {text.get_text() for text in of_real.texts} == {"odd socks"}


def test_a_misspelt_class_gets_the_nearest_name(run, capsys):
    assert display.main(["--weights", str(run / "swiftGANlatest.h5"), "--class", "scraf"]) == 2
    assert "none of the 3 classes: hats, odd socks, scarves; did you mean scarves?" in capsys.readouterr().err


def test_resuming_is_exact_for_pictures_too(run, tmp_path):
    assert resume.main(["--weights", str(run / "swiftGANepoch1.h5"), "--out", str(tmp_path)]) == 0
    digests = [read_checkpoint(folder / "swiftGANepoch2.h5").digest for folder in (run, tmp_path)]
    assert digests[0] == digests[1]


def test_a_picture_added_to_the_folder_is_other_images(run, wardrobe, tmp_path, capsys):
    shutil.copytree(wardrobe, tmp_path / "wardrobe")
    draw("hats", np.random.default_rng(1)).save(tmp_path / "wardrobe" / "hats" / "new.png")
    weights = ["--weights", str(run / "swiftGANepoch1.h5"), "--out", "out"]
    other = read_checkpoint(run / "swiftGANepoch1.h5").record
    assert sources.load(str(tmp_path / "wardrobe")).fingerprint != other.fingerprint
    assert resume.main([*weights, "--data", "wardrobe", "--more", "1"]) == 0
    assert "these are other images than before" in capsys.readouterr().out


def test_evaluate_counts_the_classes_by_their_names(run, capsys):
    weights = ["--weights", str(run / "swiftGANlatest.h5")]
    assert evaluate.main([*weights, "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"] == list(CLASSES)
    assert "learned the 3 classes of" in report["seen_by"]
    assert len(report["files"][0]["class_shares"]) == len(report["files"][0]["confirmed"]) == 3
