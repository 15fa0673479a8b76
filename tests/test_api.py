"""What the commands do can be done from a program: train, go on, measure, draw."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from compare_files import differences

import clothinggan
from clothinggan import evaluate
from clothinggan.data.sample import make_split

SMALL = {"data": "sample", "examples": 64, "epochs": 2, "save_every": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, trained from a program, of two epochs."""
    return clothinggan.fit("swift", out=tmp_path_factory.mktemp("api") / "run", **SMALL)


def test_a_run_tells_its_history_its_generator_and_its_file(run):
    assert len(run.history["g_loss"]) == 2
    assert run.generator.output_shape == (None, 28, 28, 1)
    assert run.path.name == "swiftGANepoch2.h5"
    assert run.path.exists()


FROM_PYTHON = """
import signal, keras, clothinggan
class Stop(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if self.model.step == 2: signal.raise_signal(signal.SIGINT)
options = dict(data="sample", examples=64, epochs=2, save_every=1, out="python")
run = clothinggan.fit("swift", callbacks=[Stop()], **options)
assert run.record.step_in_epoch
run = clothinggan.fit(resume="python")
print(clothinggan.measure(run.path, data="images.npz", images=50, quick=True))
"""


@pytest.mark.slow
def test_a_run_stopped_resumed_and_measured_from_python_is_equal_to_the_commands(command, tmp_path):
    images = make_split("test")[0][:200]
    np.savez("images.npz", x_train=images[:100], x_test=images[100:])
    done = subprocess.run([sys.executable, "-c", FROM_PYTHON], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    options = ["--data", "sample", "--examples", "64", "--epochs", "2", "--save-every", "1"]
    assert command("train", "--model", "swift", "--out", "command", *options).returncode == 0
    files = [tmp_path / folder / "swiftGANepoch2.h5" for folder in ("python", "command")]
    assert differences(*files) == []
    measured = command(
        "evaluate", "--weights", files[1], "--data", "images.npz", "--images", "50", "--quick"
    ).stdout
    assert [line.split()[1:] for line in measured.splitlines()[3:5]] == [
        line.split()[1:] for line in done.stdout.splitlines()[-len(measured.splitlines()) :][3:5]
    ]


def test_settings_are_keywords_and_a_changed_row_is_a_design(tmp_path):
    narrow = dataclasses.replace(clothinggan.PRESETS["swift"], generator_filters=(8, 8))
    run = clothinggan.fit(narrow, out=tmp_path, latent_size=3, **SMALL | {"epochs": 1})
    assert run.generator.input_shape == (None, 13)
    again = clothinggan.fit(resume=tmp_path, more=1)
    assert again.generator.input_shape == (None, 13)
    assert again.gan.preset.generator_filters == (8, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "argument --epochs: '0' is not a whole number"),
        ({"model": "swif"}, "argument --model: invalid choice: 'swif'"),
        ({"dropout": 2}, "dropout is a number from 0 to 0.95, not 2"),
        ({"epoch": 3}, "unrecognized arguments: --epoch"),
        ({"data": "nowhere"}, "no such data"),
    ],
    ids=str,
)
def test_what_is_wrong_is_an_error_of_the_package_and_no_exit(options, said, tmp_path):
    with pytest.raises(clothinggan.ClothingGANError, match=said):
        clothinggan.fit(**{"out": tmp_path, "data": "sample"} | options)


def test_callbacks_of_the_callers_own_are_called_with_the_gan(tmp_path):
    seen = []

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((type(self.model).__name__, sorted(logs)))

    clothinggan.fit("swift", out=tmp_path, callbacks=[Own()], **SMALL)
    assert seen == [("GAN", ["d_loss", "g_loss"])] * 2


def test_an_interrupted_run_is_saved_and_returned(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)

    run = clothinggan.fit("swift", out=tmp_path, callbacks=[Interrupt()], **SMALL)
    assert run.exit_status == 130
    assert run.path.name == "swiftGANlatest.h5"
    assert run.record.step == 1


def test_measures_are_numbers_by_name_and_print_as_the_table(run, capsys):
    scores = clothinggan.measure(run.path, images=50, quick=True)
    assert scores["fcd"] > 0
    assert evaluate.main(["--weights", str(run.path), "--images", "50", "--quick"]) == 0
    assert str(scores) in capsys.readouterr().out


def test_images_are_drawn_of_the_classes_that_are_named(run):
    images = clothinggan.draw(run.path, 4, classes=["sneaker", 9])
    vectors = clothinggan.draw_latent_vectors(4, 74, seed=0, classes=[7, 9])
    assert np.array_equal(images, clothinggan.generate(run.generator, vectors))
    with pytest.raises(clothinggan.ClothingGANError, match="Sneaker"):
        clothinggan.draw(run.path, 4, classes=["sneeker"])


def test_completion_finds_the_public_names():
    assert {"fit", "measure", "draw", "show", "PRESETS"} <= set(dir(clothinggan))
    assert set(clothinggan.__all__) - {"__version__"} == set(clothinggan._HOMES)


def test_a_run_in_a_thread_goes_on_without_signals(tmp_path):
    program = (
        "import threading, clothinggan\n"
        f"fit = lambda: print(clothinggan.fit('swift', out={str(tmp_path)!r}, **{SMALL!r}).exit_status)\n"
        "thread = threading.Thread(target=fit); thread.start(); thread.join()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.endswith("\n0\n"), done.stderr
    assert Path(tmp_path, "swiftGANepoch2.h5").exists()
