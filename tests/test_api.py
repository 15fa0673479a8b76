"""What the commands do can be done from a program: train, go on, measure, draw."""

import dataclasses
import inspect
import json
import shutil
import signal
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from compare_files import differences
from conftest import stranger
from forked_commands import run_forked
from keras import layers

import clothinggan
from clothinggan import evaluate, presets, resume, train
from clothinggan.checkpoint.file import read_checkpoint
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


FROM_PYTHON_AND_BY_COMMAND = """
import signal, keras, clothinggan
from clothinggan import train
class Stop(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if self.model.step == 2: signal.raise_signal(signal.SIGINT)
options = dict(data="sample", examples=64, epochs=2, save_every=1, out="python")
run = clothinggan.fit("swift", callbacks=[Stop()], **options)
assert run.record.step_in_epoch
run = clothinggan.fit(resume="python")
scores = clothinggan.measure(run.path, data="images.npz", images=50, quick=True)
keras.backend.clear_session()  # Layers are named as in a process of their own.
options = ["--data", "sample", "--examples", "64", "--epochs", "2", "--save-every", "1"]
assert train.main(["--model", "swift", "--out", "command", *options]) == 0
print(scores)
"""


@pytest.mark.slow
def test_a_run_stopped_resumed_and_measured_from_python_is_equal_to_the_commands(tmp_path, capsys):
    images = make_split("test")[0][:200]
    np.savez("images.npz", x_train=images[:100], x_test=images[100:])
    done = run_forked("-c", FROM_PYTHON_AND_BY_COMMAND)
    assert done.returncode == 0, done.stderr
    files = [tmp_path / folder / "swiftGANepoch2.h5" for folder in ("python", "command")]
    assert differences(*files) == []
    options = ["--data", "images.npz", "--images", "50", "--quick"]
    assert evaluate.main(["--weights", str(files[1]), *options]) == 0
    measured = capsys.readouterr().out
    assert [line.split()[1:] for line in measured.splitlines()[3:5]] == [
        line.split()[1:] for line in done.stdout.splitlines()[-len(measured.splitlines()) :][3:5]
    ]


def test_images_in_memory_are_kept_with_the_run_which_goes_on_wherever_its_folder_is(tmp_path, capsys):
    training, test = make_split("train"), make_split("test")
    arrays = (training[0][:64], training[1][:64]), (test[0][:50], test[1][:50])
    run = clothinggan.fit("swift", out=tmp_path / "first", **SMALL | {"data": arrays, "epochs": 1})
    (kept,) = (tmp_path / "first").glob("images-*.npz")
    assert f"arrays: 64 training images of 28x28, 10 classes, kept in {kept}" in capsys.readouterr().out
    assert clothinggan.measure(run.path, quick=True) == clothinggan.measure(run.path, data=arrays, quick=True)
    (tmp_path / "first").rename(tmp_path / "second")
    assert resume.main(["--out", str(tmp_path / "second"), "--more", "1"]) == 0
    whole = clothinggan.fit("swift", out=tmp_path / "whole", **SMALL | {"data": arrays})
    drawn = [clothinggan.draw(path) for path in (tmp_path / "second" / whole.path.name, whole.path)]
    np.testing.assert_array_equal(*drawn)


def test_images_that_were_inverted_are_not_inverted_again_when_the_run_goes_on(tmp_path):
    images = 255 - make_split("train")[0][:64]
    run = clothinggan.fit("clothing", data=images, invert="yes", batch_size=32, epochs=1, out=tmp_path)
    learned = run.dataset.train_images
    for options in ({}, {"data": images}, {"data": run.dataset}, {"invert": "yes"}):
        again = clothinggan.fit(resume=tmp_path, more=1, **options)
        np.testing.assert_array_equal(again.dataset.train_images, learned)
    np.testing.assert_array_equal(learned, 255 - images)


def test_a_run_that_goes_on_in_another_folder_has_its_images_there(tmp_path):
    images = make_split("train")[0][:64]
    run = clothinggan.fit(
        "clothing", data=images, examples=40, batch_size=32, epochs=1, out=tmp_path / "first"
    )
    clothinggan.fit(resume=run.path, more=1, out=tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    again = clothinggan.fit(resume=tmp_path / "second", more=1)
    assert again.record.epoch == 3
    assert len(again.dataset.train_images) == 40
    assert len(again.dataset.taken_from.train_images) == 64


def test_settings_are_keywords_and_a_changed_row_is_a_design(tmp_path):
    narrow = dataclasses.replace(clothinggan.PRESETS["swift"], name="narrow", generator_filters=(8, 8))
    run = clothinggan.fit(narrow, out=tmp_path, latent_size=3, **SMALL | {"epochs": 1})
    assert run.generator.input_shape == (None, 13)
    again = clothinggan.fit(resume=tmp_path, more=1)
    assert again.generator.input_shape == (None, 13)
    assert again.gan.preset.generator_filters == (8, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "argument epochs: '0' is not a whole number"),
        ({"model": "swif"}, "argument model: invalid choice: 'swif'"),
        ({"dropout": 2}, "dropout is a number from 0 to 0.95, not 2"),
        ({"epoch": 3}, r"fit\(\) has no option 'epoch'; did you mean epochs\?"),
        ({"dropuot": 0.1}, "did you mean dropout"),
        ({"resume": ".", "dropout": 0.1}, "dropout is what . was trained with"),
        ({"data": "nowhere"}, "no such data; data takes"),
    ],
    ids=str,
)
def test_what_is_wrong_is_an_error_of_the_package_and_no_exit(options, said, tmp_path):
    with pytest.raises(clothinggan.ClothingGANError, match=said):
        clothinggan.fit(**{"out": tmp_path, "data": "sample"} | options)


@pytest.mark.parametrize(
    ("of_the_command", "from_python"),
    [
        ("name another with --out, or say --overwrite", "name another with out=…, or say overwrite=True"),
        ("say --more EPOCHS", "say more=…"),
        ("or say --strategy single", "or say strategy single"),
        ("leave --model out", "leave model out"),
        ("--batch-size 500: there are 20", "batch_size 500: there are 20"),
        ("name one with --weights", "name one with resume=…"),
        ("runs/lr--seed3/x.h5 is gone", "runs/lr--seed3/x.h5 is gone"),
        (
            "go on with python -m clothinggan.resume --out x, name another",
            'go on with clothinggan.fit(resume="x"), name another',
        ),
        (
            "python -m clothinggan.resume --weights 'a b/x' --out 'a b' --wait 9 --overwrite on every worker",
            'clothinggan.fit(resume="a b/x", wait=9, overwrite=True) on every worker',
        ),
        (
            "python -m clothinggan.resume --weights x/x.h5 --out y",
            'clothinggan.fit(resume="x/x.h5", out="y")',
        ),
        ("an --unknown one", "an --unknown one"),
    ],
    ids=str,
)
def test_an_error_names_keywords_in_the_place_of_options(of_the_command, from_python, monkeypatch):
    def refuse(_):
        raise clothinggan.ClothingGANError(of_the_command)

    monkeypatch.setattr(train, "begin", refuse)
    with pytest.raises(clothinggan.ClothingGANError) as found:
        clothinggan.fit("swift")
    assert str(found.value) == from_python


def test_callbacks_of_the_callers_own_are_called_with_the_gan(tmp_path):
    seen = []

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((type(self.model).__name__, sorted(logs)))

    clothinggan.fit("swift", out=tmp_path, callbacks=[Own()], **SMALL)
    assert seen == [("GAN", ["d_loss", "g_loss"])] * 2


def test_an_interrupted_run_is_saved_and_returned_and_the_call_to_go_on_with_is_told(tmp_path, capsys):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)

    run = clothinggan.fit("swift", out=tmp_path, callbacks=[Interrupt()], **SMALL)
    assert run.exit_status == 130
    assert run.path.name == "swiftGANlatest.h5"
    assert run.record.step == 1
    assert f'with: clothinggan.fit(resume="{run.path}")' in capsys.readouterr().out


def test_measures_are_numbers_by_name_and_print_as_the_table(run, capsys):
    scores = clothinggan.measure(run.path, images=50, quick=True)
    assert scores["fcd"] > 0
    assert evaluate.main(["--weights", str(run.path), "--images", "50", "--quick"]) == 0
    assert str(scores) in capsys.readouterr().out
    with pytest.raises(KeyError, match="there is no 'near': 'nearness' is meant; there are name, epoch, fcd"):
        scores["near"]


def test_what_a_measure_is_called_stands_on_the_page_about_python(run):
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
    for name in clothinggan.measure(run.path, images=50, quick=True):
        assert f"`{name}`" in page


def test_a_run_says_in_a_cell_where_it_is(run):
    assert repr(run).startswith(f"<a run of swift in {run.path.parent}, at the end of epoch ")
    assert f"d_loss {run.history['d_loss'][-1]:.3f}" in repr(run)


def test_images_are_drawn_of_the_classes_that_are_named(run):
    images = clothinggan.draw(run.path, 4, classes=["sneaker", 9])
    shoes = ["sneaker", "ankle boot"]
    vectors = clothinggan.draw_latent_vectors(4, run.generator, seed=0, classes=shoes)
    assert np.array_equal(images, clothinggan.generate(run.generator, vectors))
    loaded = clothinggan.load_generator(run.path)
    assert np.allclose(clothinggan.generate(loaded, vectors[:, :64], classes=shoes), images, atol=1e-6)
    with pytest.raises(clothinggan.ClothingGANError, match="Sneaker"):
        clothinggan.draw(run.path, 4, classes=["sneeker"])


def test_without_a_cell_or_a_screen_images_are_shown_in_a_file(run, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    run.show()
    clothinggan.show(run.path, classes=["ankle boot"], seed=2)
    clothinggan.show(run.path, save="given.png")
    shown = capsys.readouterr().out.splitlines()[-3:]
    assert [Path(line).name for line in shown] == [
        "swiftGAN_shown.png",
        "swiftGANepoch2_ankle-boot_seed2_shown.png",
        "given.png",
    ]
    assert all(Path(line).read_bytes().startswith(b"\x89PNG") for line in shown)
    with pytest.raises(clothinggan.ClothingGANError, match=r"save takes a name that ends in \.png"):
        clothinggan.show(run.path, save=run.path)


def generator_of_branches(size: int) -> keras.Model:
    """A graph with branches, whose layers no design has."""
    vector = keras.Input((size,))
    square = layers.Reshape((7, 7, 8))(layers.Dense(392, "selu")(vector))
    square = layers.Dropout(0.1)(layers.BatchNormalization()(square))
    branches = [layers.Conv2DTranspose(4, k, strides=2, padding="same")(square) for k in (2, 4)]
    last = layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")
    return keras.Model(vector, last(layers.Add()(branches)))


def discriminator_of_blocks(answers: int, last: str | None = "sigmoid", **options: object) -> keras.Model:
    """A stack with a model in it."""
    block = [layers.Conv2D(4, 3, strides=2, **options), layers.BatchNormalization(), layers.Dropout(0.3)]
    inner = keras.Sequential([keras.Input((28, 28, 1)), *block])
    answer = layers.Dense(answers, activation=last)
    return keras.Sequential([keras.Input((28, 28, 1)), inner, layers.Flatten(), answer])


@pytest.mark.slow
def test_networks_of_the_callers_own_resume_to_the_bit_where_nobody_knows_them(tmp_path):
    own = {"generator": generator_of_branches(19), "discriminator": discriminator_of_blocks(10)}
    run = clothinggan.fit("swift", out="whole", **own, **SMALL)
    assert run.generator.input_shape == (None, 19)
    Path("resumed").mkdir()
    shutil.copy("whole/swiftGANepoch1.h5", "resumed")
    assert run_forked("-m", "clothinggan.resume", "--out", "resumed").returncode == 0
    files = [tmp_path / folder / "swiftGANepoch2.h5" for folder in ("whole", "resumed")]
    assert differences(*files) == []
    assert clothinggan.measure(files[1], images=50, quick=True)["accuracy_real"] is not None


def test_one_network_of_ones_own_goes_with_the_designs_other(tmp_path):
    before = generator_of_branches(19)
    weights = before.get_weights()
    run = clothinggan.fit("swift", generator=before, out=tmp_path, **SMALL | {"epochs": 1})
    assert run.gan.preset.latent_size == 9
    # It is a copy that learns, from the same weights.
    assert all(np.array_equal(*pair) for pair in zip(weights, before.get_weights(), strict=True))


def with_a_lambda() -> keras.Model:
    stack = [layers.Dense(784), layers.Lambda(lambda x: x), layers.Reshape((28, 28, 1))]
    return keras.Sequential([keras.Input((5,)), *stack])


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        (lambda: {"generator": with_a_lambda()}, "the generator cannot be used: it has a layer of the class"),
        (lambda: {"generator": keras.Sequential([layers.Dense(784)])}, "does not say the shape of its input"),
        (lambda: {"generator": "a generator"}, "the generator is a str; build it as"),
        (lambda: {"generator": generator_of_branches(2000)}, "its latent vectors must be of 1 to 1,000"),
        (lambda: {"discriminator": discriminator_of_blocks(10)}, r"to \(10,\), where \(1,\) is expected"),
        (
            lambda: {"discriminator": discriminator_of_blocks(1, kernel_constraint="max_norm")},
            "with kernel_constraint, which a run does not learn with",
        ),
        (
            lambda: {
                "discriminator": keras.Sequential(
                    [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1)]
                )
            },
            "the discriminator does not end in a sigmoid",
        ),
        (
            lambda: {"generator": generator_of_branches(9), "latent_size": 5},
            "latent_size is of the design's generator",
        ),
    ],
)
def test_networks_that_could_not_be_resumed_are_refused_before_the_training(networks, said, tmp_path):
    with pytest.raises(clothinggan.ClothingGANError, match=said):
        clothinggan.fit(out=tmp_path / "new", **networks(), **SMALL)
    assert not (tmp_path / "new").exists()


def described(*stack: dict) -> str:
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 28, 28, 1], "name": "first"}}
    return json.dumps({"class_name": "Sequential", "config": {"name": "model", "layers": [first, *stack]}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            described({"class_name": "Lambda", "config": {"name": "x"}}),
            "class 'Lambda', which is not accepted",
        ),
        (
            described({"class_name": "Dense", "config": {"name": "x", "units": 10**6}}),
            "is larger than the weights in the file|numbers an image",
        ),
        (described({"class_name": "Flatten", "config": {"name": "x"}}), "is not a discriminator"),
        ("[" * 100_000, "nests too deep|cannot be used|cannot be built"),
        ("no configuration", "does not describe a model"),
    ],
    ids=["code", "large", "none", "nested", "nonsense"],
)
def test_a_discriminator_that_a_file_describes_is_read_with_care(text, said, small_run, tmp_path):
    path = stranger(small_run / "clothingGANepoch1.h5", tmp_path / "clothingGANepoch1.h5", discriminator=text)
    with pytest.raises(clothinggan.ClothingGANError, match=said):
        clothinggan.fit(resume=path, out=tmp_path / "out")


def test_completion_finds_the_public_names():
    assert {"fit", "measure", "draw", "show", "PRESETS"} <= set(dir(clothinggan))
    assert set(clothinggan.__all__) - {"__version__"} == set(clothinggan._HOMES)


def test_help_and_completion_tell_every_option_of_the_commands():
    options = {
        "fit": {**train.make_parser().described, **resume.make_parser().described, **presets.SETTINGS},
        "measure": evaluate.make_parser().described,
    }
    elsewhere = {"set", "weights", "json", "figure"}  # Settings are options themselves, files are arguments.
    for name, known in options.items():
        function = getattr(clothinggan, name)
        assert set(inspect.signature(function).parameters) >= set(known) - elsewhere
        assert "    seed: the seed of" in function.__doc__


def test_a_run_in_a_thread_goes_on_without_signals(tmp_path):
    statuses = []
    options = {"out": tmp_path, **SMALL}
    thread = threading.Thread(target=lambda: statuses.append(clothinggan.fit("swift", **options).exit_status))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert Path(tmp_path, "swiftGANepoch2.h5").exists()


class Ending(keras.callbacks.Callback):
    """Ends a training after a step, or at the end of an epoch."""

    def __init__(self, event):
        super().__init__()
        setattr(self, event, lambda *_, **__: setattr(self.model, "stop_training", True))


def test_a_callers_callback_ends_a_run_where_it_stands_and_it_goes_on_from_there():
    few = {"data": "sample", "examples": 40, "batch_size": 16, "epochs": 3, "out": "x"}
    run = clothinggan.fit(callbacks=[Ending("on_train_batch_end")], **few)
    record = read_checkpoint(run.path).record
    assert (record.epoch, record.step_in_epoch) == (0, 1)
    # The rest of the epoch is a fit of Keras's own, after which the run is to end too.
    run = clothinggan.fit(resume="x", callbacks=[Ending("on_epoch_end")])
    record = read_checkpoint(run.path).record
    assert (record.epoch, record.step_in_epoch) == (1, 0)
