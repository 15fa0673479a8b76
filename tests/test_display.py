"""Showing: three figures, or the images themselves."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import MATPLOTLIBS_FONTS, stranger
from forked_commands import run_forked
from matplotlib import pyplot
from PIL import Image

from clothinggan import display
from clothinggan.checkpoint.restore import load_generator
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.models import draw_latent_vectors, generate


@pytest.fixture
def weights(small_run):
    return str(small_run / "clothingGANepoch4.h5")


def test_three_pictures_are_written_beside_the_weights_and_named(weights, tmp_path, capsys):
    shutil.copytree(Path(weights).parent, tmp_path / "run")
    assert display.main(["--weights", "run/clothingGANepoch4.h5"]) == 0
    names = [f"run/clothingGANepoch4_{kind}.png" for kind in ("generated", "enlarged", "real")]
    assert capsys.readouterr().out.split() == names
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_other_requests_write_other_files(small_swift, tmp_path):
    requests = [], ["--seed", "3"], ["--class", "sneaker"], ["--class", "boot", "top", "--seed", "3"]
    for request in requests:
        assert display.main(["--weights", small_swift, "--no-real", "--save", ".", *request]) == 0
    assert sorted(path.name for path in tmp_path.glob("*_generated.png")) == [
        "swiftGANepoch1_ankle-boot_t-shirt-top_seed3_generated.png",
        "swiftGANepoch1_generated.png",
        "swiftGANepoch1_seed3_generated.png",
        "swiftGANepoch1_sneaker_generated.png",
    ]


def test_a_picture_that_takes_anothers_place_says_so(small_run, tmp_path, capsys):
    for epoch, said in (1, ""), (1, ""), (2, ", in the place of another picture of that name"):
        shutil.copy(small_run / f"clothingGANepoch{epoch}.h5", "x.h5")
        assert display.main(["--weights", "x.h5", "--no-real"]) == 0
        assert capsys.readouterr().out.startswith(f"x_generated.png{said}\n")


def test_where_there_is_a_screen_three_windows_open_and_no_file_is_written(weights, windows, tmp_path):
    assert display.main(["--weights", weights]) == 0
    assert [re.sub(r"\d+ s", "N s", title) for title in windows] == [
        "clothing, epoch 4, N s: generated",
        "clothing, epoch 4, N s: generated, enlarged",
        "real: sample",
    ]
    assert list(tmp_path.iterdir()) == []


def test_no_real_leaves_the_third_out(weights, tmp_path):
    assert display.main(["--weights", weights, "--no-real", "--save", "pictures"]) == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "clothingGANepoch4_enlarged.png",
        "clothingGANepoch4_generated.png",
    ]


def test_a_folder_that_cannot_be_made_is_named_with_its_option(weights, tmp_path, capsys):
    (tmp_path / "taken").touch()
    assert display.main(["--weights", weights, "--save", "taken"]) == 1
    assert "name another with --save" in capsys.readouterr().err


def test_without_real_images_the_first_two_still_come(weights, tmp_path, capsys):
    assert display.main(["--weights", weights, "--data", "absent", "--save", "."]) == 1
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert "--no-real" in capsys.readouterr().err


def test_exported_images_are_the_generators(weights, tmp_path):
    assert display.main(["--weights", weights, "--count", "30", "--export", "x.npz", "--seed", "5"]) == 0
    with np.load(tmp_path / "x.npz") as exported:
        vectors, images = exported["latent_vectors"], exported["images"]
    assert np.array_equal(vectors, draw_latent_vectors(30, 100, seed=5))
    assert np.allclose(images, generate(load_generator(Path(weights)), vectors), atol=1e-6)


def test_an_export_writes_no_pictures(weights, tmp_path):
    assert display.main(["--weights", weights, "--export", "x.npz", "--count", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_a_missing_file_is_one_line(capsys):
    assert display.main(["--weights", "absent.h5"]) == 1
    assert capsys.readouterr().err == "clothinggan: error: there is no file absent.h5\n"


def test_a_timelapse_has_a_frame_for_each_file_in_the_order_of_the_epochs(small_run, tmp_path, capsys):
    files = [str(small_run / f"clothingGAN{which}.h5") for which in ("epoch3", "epoch1", "epoch4", "latest")]
    assert display.main(["--weights", *files, "--timelapse", "x.gif"]) == 0
    assert "epochs 1, 3, 4" in capsys.readouterr().out
    with Image.open(tmp_path / "x.gif") as animation:
        assert (animation.format, animation.n_frames, animation.info["loop"]) == ("GIF", 3, 0)


def test_a_timelapse_of_one_file_says_that_it_stands_still(weights, capsys):
    assert display.main(["--weights", weights, "--timelapse", "x.gif"]) == 0
    assert "an animation of one epoch stands still; name several" in capsys.readouterr().err


def test_a_timelapse_of_two_runs_or_of_files_without_an_epoch_is_refused(small_run, tmp_path, capsys):
    first, second = small_run / "clothingGANepoch1.h5", tmp_path / "clothingGANepoch1.h5"
    stranger(first, second, seed=1)
    plain = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in plain:
        load_generator(first).save(path)
    for files, epoch in ([first, second], 1), (plain, 0):
        assert display.main(["--weights", *map(str, files), "--timelapse", "x.gif"]) == 1
        assert f"{files[0]} and {files[1]} are both of epoch {epoch}" in capsys.readouterr().err
    assert not Path("x.gif").exists()


def test_a_timelapse_through_the_files_of_two_runs_is_refused(small_run, small_swift, capsys):
    files = small_swift, str(small_run / "clothingGANepoch2.h5")
    assert display.main(["--weights", *files, "--timelapse", "x.gif"]) == 1
    assert f"{files[0]} and {files[1]} are not of one run" in capsys.readouterr().err
    assert not Path("x.gif").exists()


def test_a_file_without_a_run_between_two_does_not_join_them(small_run, small_swift, tmp_path, capsys):
    between = tmp_path / "generator_epoch2.h5"
    load_generator(small_run / "clothingGANepoch2.h5").save(between)
    files = small_swift, str(between), str(small_run / "clothingGANepoch3.h5")
    assert display.main(["--weights", *files, "--timelapse", "x.gif"]) == 1
    assert f"{files[0]} and {files[2]} are not of one run" in capsys.readouterr().err


@pytest.mark.parametrize("what", [["--save", "new"], ["--export", "new/x.npz"], ["--timelapse", "new/x.gif"]])
def test_a_file_without_a_generator_is_refused_before_a_folder_is_made(what, tmp_path, capsys):
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]).save(tmp_path / "x.h5")
    assert display.main(["--weights", "x.h5", *what]) == 1
    assert "x.h5 is not a generator" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]


def test_the_names_of_the_garments_stand_under_them(small_swift, windows):
    assert display.main(["--weights", small_swift, "--class", "bag", "top"]) == 0
    generated, _, real = (pyplot.figure(title).axes[0] for title in windows)
    assert [text.get_text() for text in generated.texts[:3]] == ["Bag", "T-shirt/top", "Bag"]
    assert windows[1].endswith("generated Bag, enlarged")
    assert {text.get_text() for text in real.texts} <= set(CLASS_NAMES)


@pytest.mark.parametrize(
    "options",
    [
        ["--save", "new", "--class", "bag"],
        ["--export", "new/x.npz", "--class", "bag"],
        ["--walk", "new/x.gif", "--class", "bag"],
        ["--timelapse", "new/x.gif", "--class", "bag"],
    ],
    ids=lambda options: options[0],
)
def test_what_is_refused_leaves_no_folder_behind(options, weights, tmp_path):
    assert display.main(["--weights", weights, *options]) == 1
    assert list(tmp_path.iterdir()) == []


def exported(weights, *options):
    assert display.main(["--weights", weights, "--count", "13", "--export", "x.npz", *options]) == 0
    with np.load("x.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ([], [*range(10), 0, 1, 2]),
        (["--class", "sneaker"], [7] * 13),
        (["--class", "Ankle boot", "top", "3"], [9, 0, 3] * 4 + [9]),
    ],
    ids=["all", "by name", "several"],
)
def test_the_garments_asked_for_are_drawn_in_turns(asked, drawn, small_swift):
    arrays = exported(small_swift, *asked)
    assert arrays["classes"].tolist() == drawn
    assert np.array_equal(arrays["latent_vectors"][:, 64:], np.eye(10)[drawn])


def test_a_misspelt_class_is_a_usage_error_with_the_nearest_names(small_swift, tmp_path, capsys):
    assert display.main(["--weights", small_swift, "--class", "sneeker", "--save", "new"]) == 2
    said = capsys.readouterr().err
    assert "'sneeker' is none of the 10 classes: T-shirt/top, Trouser" in said
    assert said.endswith("did you mean Sneaker?\n")
    assert not (tmp_path / "new").exists()


def test_exported_images_have_their_classes_names(small_swift, capsys):
    arrays = exported(small_swift, "--class", "boots")
    assert arrays["class_names"][arrays["classes"]].tolist() == ["Ankle boot"] * 13
    assert "x.npz: 13 images of Ankle boot, float32 in [0, 1]" in capsys.readouterr().out


def test_an_export_says_of_which_classes_it_is(small_swift, capsys):
    exported(small_swift, "--class", "boots", "bag")
    assert "x.npz: 13 images of Ankle boot, Bag, in turns, float32" in capsys.readouterr().out


def test_a_generator_that_cannot_be_asked_says_so(weights, capsys):
    assert display.main(["--weights", weights, "--class", "bag"]) == 1
    assert "cannot be asked for a class" in capsys.readouterr().err


@pytest.mark.parametrize("design", ["clothing", "swift"])
def test_a_walk_is_a_loop_of_less_than_2_mb(design, weights, small_swift, tmp_path, capsys):
    file = {"clothing": weights, "swift": small_swift}[design]
    assert display.main(["--weights", file, "--walk", "x.gif"]) == 0
    assert "9 walks" in capsys.readouterr().out
    with Image.open(tmp_path / "x.gif") as animation:
        assert (animation.n_frames, animation.info["loop"]) == (100, 0)
    assert (tmp_path / "x.gif").stat().st_size < 2_000_000


@pytest.fixture(scope="module")
def among_settings(small_run, tmp_path_factory):
    """A folder where Keras and matplotlib are set to other ways, and what `display` says to draw there."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "keras.json").write_text('{"floatx": "float16", "image_data_format": "channels_first"}')
    (folder / "matplotlibrc").write_text("image.origin: lower\ntext.usetex: True\n")
    settings = {
        "KERAS_BACKEND": "jax",
        "KERAS_HOME": str(folder),
        # Notebooks hand theirs on to a process in whose environment it may not be.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(MATPLOTLIBS_FONTS),
    }
    weights = small_run / "clothingGANepoch4.h5"
    words = [sys.executable, "-m", "clothinggan.display", "--weights", weights, "--no-real", "--save", "."]
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env={**os.environ, **settings}, check=False
    )
    return folder, done


@pytest.mark.slow
def test_settings_of_keras_and_matplotlib_change_nothing(among_settings, weights):
    assert display.main(["--weights", weights, "--no-real", "--save", "plain"]) == 0
    for path in Path("plain").iterdir():
        assert path.read_bytes() == (among_settings[0] / path.name).read_bytes()


@pytest.mark.slow
def test_a_user_sees_the_paths_and_nothing_else(among_settings):
    done = among_settings[1]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["clothingGANepoch4_generated.png", "clothingGANepoch4_enlarged.png"]


@pytest.mark.parametrize("name", ["衣服.h5", "caf\udce9.h5"], ids=["letters without a glyph", "no text"])
def test_a_file_may_have_any_name(name, weights, tmp_path, capsys):
    Path(name).write_bytes(Path(weights).read_bytes())
    assert display.main(["--weights", name, "--no-real", "--save", "."]) == 0
    assert len(list(tmp_path.glob("*_generated.png"))) == 1


@pytest.mark.slow
def test_an_export_that_is_ended_leaves_nothing_behind(weights, tmp_path):
    (tmp_path / "out").mkdir()
    program = "from clothinggan import display, files\nimport os, signal, sys\n"
    program += (
        "import numpy; numpy.savez_compressed = lambda path, **_: (path.touch(), os.kill(os.getpid(), 15))\n"
    )
    program += f"display.main(['--weights', {weights!r}, '--count', '1', '--export', 'out/x.npz'])"
    assert run_forked("-c", program).returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def two_inputs(tmp_path):
    """Another tool's generator of a latent vector and a class, whose image is as bright as the class."""
    z, label = keras.Input((6,)), keras.Input((1,))
    rows = keras.layers.Flatten()(keras.layers.Embedding(10, 784, name="rows")(label))
    image = keras.layers.Add()([rows, keras.layers.Dense(784, kernel_initializer="zeros")(z)])
    model = keras.Model([z, label], image)
    model.get_layer("rows").set_weights([np.repeat(np.arange(10)[:, np.newaxis] / 10, 784, axis=1)])
    model.save(tmp_path / "two.h5")
    return "two.h5"


def brightness(path, *options):
    """How bright the images are that are drawn, in tenths."""
    assert display.main(["--weights", path, "--export", "x.npz", "--count", "4", *options]) == 0
    with np.load("x.npz") as file:
        return np.rint(file["images"].mean(axis=(1, 2)) * 10).tolist()


def test_a_class_as_a_second_input_can_be_asked_for_by_fashion_mnists_names(two_inputs, capsys):
    assert brightness(two_inputs, "--class", "sneaker", "bag") == [7, 8, 7, 8]
    assert "are taken for Fashion-MNIST's, in its order" in capsys.readouterr().err


def test_without_class_all_classes_of_a_second_input_take_turns(two_inputs):
    assert brightness(two_inputs) == [0, 1, 2, 3]


def test_the_latent_vectors_of_two_inputs_are_those_of_the_latent_input(two_inputs):
    brightness(two_inputs, "--seed", "3")
    with np.load("x.npz") as file:
        assert np.array_equal(file["latent_vectors"][:, :6], draw_latent_vectors(4, 6, seed=3))


def test_classes_says_that_the_last_numbers_of_one_input_are_the_class(two_inputs):
    load_generator(two_inputs).save("one.keras")
    assert brightness("one.keras", "--classes", "10", "--class", "3") == [3, 3, 3, 3]


def test_a_class_that_no_file_and_no_option_speaks_of_is_refused(two_inputs, capsys):
    load_generator(two_inputs).save("one.keras")
    assert display.main(["--weights", "one.keras", "--class", "3"]) == 1
    assert "or say with --classes how many of its last numbers are the class" in capsys.readouterr().err


def test_another_number_of_classes_than_the_file_has_is_refused(two_inputs, capsys):
    assert display.main(["--weights", two_inputs, "--classes", "5"]) == 1
    assert "two.h5 is of 10 classes, not of 5; leave --classes out" in capsys.readouterr().err


def test_another_design_than_the_files_is_refused(weights, capsys):
    assert display.main(["--weights", weights, "--model", "swift"]) == 1
    assert "is a run of clothing, not of swift; leave --model out" in capsys.readouterr().err
