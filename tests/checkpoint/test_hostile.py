"""Files made to do harm: the commands say one line about them, with status 1, and nothing has happened."""

import json
import os
import re
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest
from conftest import stranger, ten_terabytes
from keras import layers

from clothinggan import display, resume
from clothinggan.checkpoint.record import HISTORY_COLUMNS

# Both commands that open a weights file, as a user calls them.
COMMANDS = {
    "display": lambda weights: display.main(["--weights", str(weights), "--no-real", "--save", "pictures"]),
    "resume": lambda weights: resume.main(
        ["--weights", str(weights), "--data", str(images()), "--out", "run", "--more", "1"]
    ),
}


@pytest.fixture(params=COMMANDS)
def refusal(request, capsys):
    """Gives a file to a command, which must refuse it soon; returns the line that it says."""

    def refuse(weights) -> str:
        began = time.process_time()
        assert COMMANDS[request.param](weights) == 1
        assert time.process_time() - began < 10
        said = capsys.readouterr().err
        assert re.fullmatch(r"clothinggan: error: [^\n]+\n", said)
        assert said[:-1].isprintable()
        return said

    return refuse


def images():
    """The path of 128 blank images: enough for a batch."""
    np.savez("images.npz", x_train=np.zeros((128, 28, 28), np.uint8))
    return os.path.abspath("images.npz")


def generator(*more):
    return keras.Sequential(
        [keras.Input((5,)), *more, layers.Dense(784, activation="sigmoid"), layers.Reshape((28, 28, 1))]
    )


def describe(path, *layer_list, arrays=(), latent_size=5):
    """A file whose configuration names layers, and which has weights for some of them."""
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, latent_size]}}
    configured = [
        {"class_name": name, "config": {"name": f"layer{index}", **config}}
        for index, (name, config) in enumerate(layer_list)
    ]
    configuration = {"class_name": "Sequential", "config": {"layers": [first, *configured]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(configuration)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [f"weights{index}" for index in range(len(arrays))]
        for index, array in enumerate(arrays):
            group = weights.create_group(f"weights{index}")
            group.attrs["weight_names"] = ["kernel"]
            group["kernel"] = array
    return path


DENSE = ("Dense", {"units": 784, "use_bias": False})
KERNEL = np.zeros((5, 784), np.float32)
IMAGE = ("Reshape", {"target_shape": [28, 28, 1]})


def test_the_known_attack_runs_in_keras_and_not_here(tmp_path, refusal):
    # CVE-2025-9905: a Lambda layer in a .h5 is marshalled code, which Keras runs when asked to load it.
    canary = tmp_path / "canary"
    attack = eval(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]")
    generator(layers.Lambda(attack)).save(tmp_path / "x.h5")
    canary.unlink()
    assert "'Lambda'" in refusal(tmp_path / "x.h5")
    assert not canary.exists()
    keras.models.load_model(tmp_path / "x.h5", safe_mode=False)
    assert canary.exists()


def test_a_function_of_os_is_refused_by_its_name(tmp_path, refusal):
    path = describe(tmp_path / "x.h5", ("Dense", {"units": 784, "activation": "os.system"}), IMAGE)
    assert "'os.system'" in refusal(path)


def test_a_layer_of_10_to_the_12_neurons_is_refused(tmp_path, refusal):
    assert "Dense.units is 10" in refusal(describe(tmp_path / "x.h5", ("Dense", {"units": 10**12}), IMAGE))


def test_a_configuration_nested_20_000_deep_is_refused(tmp_path, refusal):
    path = describe(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = '{"class_name": "Sequential", "config": {"layers": [' * 20_000
    assert "nests too deep" in refusal(path)


UP = ("UpSampling2D", {"size": [28, 28]})
DOWN = ("AveragePooling2D", {"pool_size": [28, 28]})
ONE_FILTER = {"filters": 1, "padding": "same", "use_bias": False}
WORK = {
    "1,000 layers": ([DENSE, IMAGE, *[("ReLU", {})] * 1_000], [KERNEL], "it has 1003 layers"),
    "a kernel of 64x64 on a large image": (
        [DENSE, IMAGE, UP, ("Conv2D", {**ONE_FILTER, "kernel_size": 64}), DOWN],
        [KERNEL, np.zeros((64, 64, 1, 1), np.float32)],
        "'layer3' takes more computing",
    ),
    "a transposed convolution with a huge kernel": (
        [DENSE, IMAGE, ("Conv2DTranspose", {**ONE_FILTER, "kernel_size": 400, "strides": 28}), DOWN],
        [KERNEL, np.zeros((400, 400, 1, 1), np.float32)],
        "'layer2' gives",
    ),
    "maxima of large windows": (
        [DENSE, IMAGE, UP, ("MaxPooling2D", {"pool_size": 500, "strides": 1, "padding": "same"}), DOWN],
        [KERNEL],
        "'layer3' takes more computing",
    ),
    "one large layer": ([DENSE, IMAGE, ("UpSampling2D", {"size": [40, 40]})], [KERNEL], "'layer2' gives"),
    "many large layers": ([DENSE, IMAGE, UP, *[("ReLU", {})] * 20, DOWN], [KERNEL], "numbers an image"),
    "more weights than the file holds": ([DENSE, IMAGE], [], "is larger than the weights in the file"),
}


@pytest.mark.parametrize("what", WORK)
def test_work_beyond_any_generator_of_such_images_is_refused(what, tmp_path, refusal):
    layer_list, arrays, says = WORK[what]
    said = refusal(describe(tmp_path / "x.h5", *layer_list, arrays=arrays))
    assert "cannot be used" in said
    assert says in said


@pytest.mark.parametrize("size", [10**9, -3, None, True], ids=str)
def test_an_impossible_latent_size_is_refused(size, tmp_path, refusal):
    said = refusal(describe(tmp_path / "x.h5", DENSE, IMAGE, arrays=[KERNEL], latent_size=size))
    assert f"its input has a size of {size}" in said


def test_a_latent_size_beyond_any_generators_is_refused(tmp_path, refusal):
    cut_out = [
        ("Reshape", {"target_shape": [100, 200, 1]}),
        ("Cropping2D", {"cropping": [[36, 36], [86, 86]]}),
    ]
    said = refusal(describe(tmp_path / "x.h5", *cut_out, latent_size=20_000))
    assert "takes latent vectors of 20,000 numbers, which is more than 10,000" in said


def test_a_name_that_drives_a_terminal_is_shown_harmlessly(tmp_path, refusal):
    refusal(describe(tmp_path / "x.h5", ("\x1b]0;title\x07\n\x1b[2J", {})))


def test_a_generator_that_draws_no_numbers_is_refused(tmp_path, refusal):
    path = describe(tmp_path / "x.h5", DENSE, IMAGE, arrays=[np.full_like(KERNEL, 3e38)])
    said = refusal(path)
    assert "NaN" in said or "became nan at step 1 of epoch 1; nothing of this run is saved yet" in said


def other_file(file):
    file["clothinggan/state/x/0"] = h5py.ExternalLink("/etc/passwd", "/")


def other_shapes(file):
    del file["clothinggan/state/discriminator/0"]
    file["clothinggan/state/discriminator/0"] = np.zeros((2000, 2000), np.float32)


def a_step_backwards(file):
    del file["clothinggan/state/generator_optimizer/0"]
    file["clothinggan/state/generator_optimizer/0"] = np.float32([np.nan])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (ten_terabytes("clothinggan/state/x/0"), "holds more than 256 MiB of numbers"),
        (other_file, "a link, 'clothinggan/state/x/0', which is not followed"),
        (other_shapes, "another 'discriminator' than this design"),
        (a_step_backwards, "'clothinggan/state/generator_optimizer/0' broken in it"),
    ],
    ids=["ten terabytes", "another file", "other shapes", "a step backwards"],
)
def test_a_strangers_training_state_is_refused(change, says, small_run, tmp_path, capsys):
    path = stranger(small_run / "clothingGANepoch2.h5", tmp_path / "x.h5", change)
    assert resume.main(["--weights", str(path), "--out", "run"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epoch", 10**15, "a record that does not make sense"),
        ("epoch", 2**31 - 1, "no run goes beyond epoch 100000"),
        ("step_in_epoch", 2, "at step 2 of an epoch that has fewer"),
        ("batch_size", 2**62, "a record that does not make sense"),
        ("batch_size", 2**30, "is more than the 40 images of sample"),
        ("preset", "\x1b[2J", "a record that does not make sense"),
        ("data", "https://example.com/images.npz", "images.npz: no such data"),
        ("data", "/dev/zero", "/dev/zero: is not a regular file"),
        ("data", "pipe", "pipe: is not a regular file"),
        ("data", "x\0y", "no such data"),
        (
            "history",
            [dict.fromkeys(HISTORY_COLUMNS, 10**400)],
            "a record that does not make sense",
        ),
        ("history", [[]] * 1000, "a record that does not make sense"),
        ("class_names", "hats", "a record that does not make sense"),
        ("class_names", ["hats", 3], "a record that does not make sense"),
        ("class_names", ["hats"] * 2, "a record that does not make sense"),
        ("class_names", ["x" * 101], "a record that does not make sense"),
        ("class_names", [str(number) for number in range(1001)], "a record that does not make sense"),
        ("fit", "stretch", "a record that does not make sense"),
        ("invert", ["auto"], "a record that does not make sense"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_strangers_record_is_refused(name, value, says, small_run, tmp_path, capsys):
    os.mkfifo("pipe")
    path = stranger(small_run / "clothingGANepoch2.h5", tmp_path / "x.h5", **{name: value})
    assert resume.main(["--weights", str(path), "--out", "run"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clothinggan: error: ")
    assert says in said
    assert said[:-1].isprintable()


def test_a_strangers_record_does_not_delete_what_is_not_its_own(small_run, tmp_path):
    # Files of another run, in the folder that a stranger's file is resumed into.
    kept = {}
    for epoch in (1, 2):
        path = tmp_path / f"clothingGANepoch{epoch}.h5"
        kept[path] = stranger(small_run / "clothingGANepoch1.h5", path, seed=epoch, history=[]).read_bytes()
    source = small_run / "clothingGANepoch3.h5"
    path = stranger(source, tmp_path / "x.h5", numbered=[1, 2], keep=1, seed=7)
    assert resume.main(["--weights", str(path), "--more", "1"]) == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_run_that_is_resumed_deletes_its_own_files(small_run, tmp_path):
    for epoch in (1, 2, 3):
        name = f"clothingGANepoch{epoch}.h5"
        (tmp_path / name).write_bytes((small_run / name).read_bytes())
    assert resume.main(["--keep", "1", "--more", "1"]) == 0
    assert [path.name for path in tmp_path.glob("*epoch*.h5")] == ["clothingGANepoch4.h5"]


def explode(file):
    learning_rate = file["clothinggan/state/generator_optimizer/1"]
    learning_rate[...] = 1e38


def test_weights_that_explode_end_the_run_at_that_step_with_the_last_file(small_run, tmp_path, capsys):
    # A learning rate like this one makes weights of about 1e38 in one step, and infinite ones in the next.
    source = small_run / "clothingGANepoch2.h5"
    path = stranger(source, tmp_path / "x.h5", explode)
    assert resume.main(["--weights", str(path), "--out", "run"]) == 1
    said = capsys.readouterr().err
    assert re.search(
        r"became \w+.* at step [12] of epoch 3; go on from \S+x\.h5 with the same command again", said
    )
    assert not list((tmp_path / "run").glob("*.h5"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory was taken")
def test_a_file_that_swells_takes_little_memory(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:  # A quarter of a megabyte.
        file.create_dataset("zeros", (255 * 2**20,), "u1", chunks=(2**20,), compression="gzip")[:] = 0
    program = """if True:
        import pathlib, re, resource
        from clothinggan import display
        assert display.main(["--weights", "x.h5"]) == 1
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        itself = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
        print(child, itself)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(int(kilobytes) < 1_000_000 for kilobytes in done.stdout.split())
