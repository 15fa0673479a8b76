"""The example generator that comes with the package draws without training, and without the web."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from clothinggan import api, compare, display, evaluate, resume
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.data.sample import make_split
from clothinggan.examples import FOLDER
from clothinggan.models import draw_latent_vectors, generate

(FULL,) = (Path(__file__).parents[1] / "weights").glob("swiftGANepoch*.h5")


def test_its_images_are_the_full_files_to_one_level_of_grey():
    vectors = draw_latent_vectors(200, 74, seed=1, classes=range(10), class_count=10)
    images = [generate(load_generator(path), vectors) for path in ("example:swift", FULL)]
    assert np.abs(images[0] - images[1]).max() <= 1 / 255


def test_it_tells_of_its_run():
    example, full = read_checkpoint(Path("example:swift")), read_checkpoint(FULL)
    assert example.record == full.record
    assert example.class_names == full.class_names
    assert example.state == {}


def test_keras_alone_opens_it():
    assert keras.models.load_model(FOLDER / "swift.h5").output_shape == (None, 28, 28, 1)


def test_it_draws_what_is_asked_for_into_the_folder_that_one_stands_in(tmp_path, capsys):
    arguments = ["--weights", "example:swift", "--class", "sneaker", "--no-real"]
    assert display.main(arguments) == 0
    names = capsys.readouterr().out.split()
    assert names == [f"example-swift_sneaker_{kind}.png" for kind in ("generated", "enlarged")]
    assert Image.open(tmp_path / names[0]).format == "PNG"
    assert api.draw("example:swift", 3).shape == (3, 28, 28)


def test_an_animation_of_it_alone_stands_still(capsys):
    assert display.main(["--weights", "example:swift", "--timelapse", "x.gif"]) == 0
    assert "stands still" in capsys.readouterr().err


def test_it_can_be_measured(capsys):
    images = make_split("test")[0][:200]
    np.savez("images.npz", x_train=images[:100], x_test=images[100:])
    arguments = ["--weights", "example:swift", "--data", "images.npz", "--images", "50", "--quick"]
    assert evaluate.main(arguments) == 0
    assert "example:swift" in capsys.readouterr().out


def test_a_run_cannot_go_on_from_it(capsys):
    assert resume.main(["--weights", "example:swift"]) == 1
    assert "example:swift holds the generator of a run alone, to draw with" in capsys.readouterr().err


@pytest.mark.parametrize("command", [display, evaluate])
def test_an_example_that_there_is_none_of_is_named_with_those_there_are(command, capsys):
    assert command.main(["--weights", "example:hats"]) == 1
    assert capsys.readouterr().err.endswith("there is no example:hats; the examples are example:swift\n")


def test_it_is_compared_with_ones_own_run(small_swift, capsys):
    assert compare.main(["example:swift", small_swift, "--save", "x.png"]) == 0
    assert Path("x.png").exists()
