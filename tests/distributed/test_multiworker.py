"""Several processes, or devices of one, train as one does; and what becomes of them when one is lost."""

import contextlib
import json
import os
import signal
import time

import keras
import numpy as np
import pytest
from benchmark_scaling import free_ports
from conftest import fork, wait_for, wait_for_words
from forked_commands import run_forked

from clothinggan import gan, resume, train
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import restore_generator
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS

pytestmark = pytest.mark.slow

# Dropout is each replica's own; without it, several compute what one does. With plain gradient descent
# weights differ by as little as gradients do; Adam makes a whole step of a gradient that is nearly nothing,
# whichever sign its rounding has.
CLASSES = """
class NoDropout(keras.layers.Dropout):
    def __init__(self, rate): super().__init__(0)
class Descent(keras.optimizers.SGD):
    def __init__(self, learning_rate, beta_1): super().__init__(0.5)
"""
WITHOUT_DROPOUT = f"""
import sys
from clothinggan import environment
from clothinggan import train
environment.import_tensorflow()
import keras, tensorflow as tf
from clothinggan import optimizers
{CLASSES}
keras.layers.Dropout = NoDropout
optimizers.OnePassAdam = Descent
devices, *arguments = sys.argv[1:]
processor = tf.config.list_physical_devices("CPU")[0]
logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
tf.config.set_logical_device_configuration(processor, logical)
sys.exit(train.main(arguments))
"""
SAVING_SLOWLY = """
import time
from clothinggan.checkpoint import run_folder
save = run_folder.RunFolder.save
run_folder.RunFolder.save = lambda *arguments: (time.sleep(3), save(*arguments))[1]
"""
# A worker that is killed as soon as it calls a function.
KILLED_AT = """
import os, signal, sys
from pkgutil import resolve_name
from clothinggan import environment
from clothinggan import train
environment.import_tensorflow()
module, name, *arguments = sys.argv[1:]
setattr(resolve_name(module), name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
sys.exit(train.main(arguments))
"""
TRAIN = ["-m", "clothinggan.train"]
SMALL = ["--examples", "40", "--batch-size", "8", "--epochs", "2", "--save-every", "1"]  # 5 steps an epoch
STEPS = 10
CHANGE_TOLERANCE = 2e-3


def start_worker(arguments, folder, cluster=None, index=0):
    environment = dict(os.environ)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return fork(*arguments, "--out", folder, env=environment)


def start_two(arguments, folder):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return cluster, [start_worker(arguments, folder, cluster, index) for index in (0, 1)]


def finish(processes, status=0):
    said = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), said
    return said


@pytest.fixture(scope="module")
def small(few_garments):
    """The options of a run of two epochs."""
    return ["--data", few_garments, *SMALL]


@contextlib.contextmanager
def without_dropout():
    """Has this process compute as WITHOUT_DROPOUT does."""
    exec(CLASSES, {"keras": keras}, classes := {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.layers, "Dropout", classes["NoDropout"])
        patch.setattr(gan, "OnePassAdam", classes["Descent"])
        yield


@pytest.fixture(scope="module")
def by_one_process(small, tmp_path_factory):
    """The end of that run without dropout."""
    folder = tmp_path_factory.mktemp("one")
    with without_dropout():
        assert train.main([*map(str, small), "--out", str(folder)]) == 0
    return read_checkpoint(folder / "clothingGANepoch2.h5")


def assert_learned_the_same(path, other):
    """Asserts that two runs have taken the same steps, to what float32 leaves of sums in another order.

    What all steps together have changed is compared, for each array of both networks: by its length, since a
    single LeakyReLU that a rounding takes to its other side changes some numbers by more than the others.
    """
    found = read_checkpoint(path)
    for entry, other_entry in zip(found.record.history, other.record.history, strict=True):
        for name in ("d_loss", "g_loss"):
            assert entry[name] == pytest.approx(other_entry[name], rel=1e-5)
    begun = [network.get_weights() for network in build_networks(PRESETS["clothing"], seed=0)]
    ours, others = (
        [restore_generator(file).get_weights(), file.state["discriminator"]] for file in (found, other)
    )
    for first, own, other_own in zip(begun, ours, others, strict=True):
        for before, after, other_after in zip(first, own, other_own, strict=False):  # Seeds come last.
            change = np.linalg.norm(other_after - before)
            assert change > 0
            assert np.linalg.norm(after - other_after) <= CHANGE_TOLERANCE * change


def test_two_workers_learn_what_one_process_does_and_the_chief_alone_writes(small, by_one_process, tmp_path):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    folders = tmp_path / "chief", tmp_path / "other"
    options = ["-c", WITHOUT_DROPOUT, "1", *small]
    processes = [start_worker(options, folder, cluster, index) for index, folder in enumerate(folders)]
    (_, (said, _)) = finish(processes)
    assert_learned_the_same(folders[0] / "clothingGANepoch2.h5", by_one_process)
    assert f"this is worker 1 ({cluster[1]})" in said
    assert not folders[1].exists()


def test_two_devices_learn_what_one_does(small, by_one_process, tmp_path):
    ((said, _),) = finish(
        [start_worker(["-c", WITHOUT_DROPOUT, "2", *small, "--strategy", "mirrored"], tmp_path)]
    )
    assert "2 devices of this machine" in said
    assert_learned_the_same(tmp_path / "clothingGANepoch2.h5", by_one_process)


TWO_DEVICES = """
from clothinggan import environment
environment.import_tensorflow()
import numpy as np, tensorflow as tf
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS
from clothinggan.gan import GAN
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
each = strategy.experimental_local_results
with strategy.scope():
    networks, others = (build_networks(PRESETS["swift"], seed) for seed in (0, 1))
gan, other = (GAN(PRESETS["swift"], *pair, seed=0, strategy=strategy) for pair in (networks, others))
images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
batch = tf.constant(images), tf.range(6)
gan.train_step(batch)
print("agree:", gan.replicas_agree())
dropout = gan.discriminator.layers[2].seed_generator.state.value
moving = networks[0].layers[2].moving_mean.value
alone = GAN(PRESETS["swift"], *build_networks(PRESETS["swift"], 0), seed=0)
alone.train_step(batch)
expected = alone.generator.layers[2].moving_mean.value
apart = max(np.linalg.norm(mean - expected) / np.linalg.norm(expected) for mean in each(moving))
print("the running mean is of all images:", bool(apart < 1e-5))
print("drop the same:", np.array_equal(*each(dropout)))
other.generator.set_weights(gan.generator.get_weights())
other.load_state(gan.state())
for each_gan in (gan, other):
    each_gan.train_step(batch)
pairs = zip(gan.discriminator.get_weights(), other.discriminator.get_weights())
print("go on alike:", all(np.array_equal(*pair) for pair in pairs))
weight = gan.generator.weights[0].value
each(weight)[1].assign_add(tf.fill(weight.shape, 1e-6))
print("agree:", gan.replicas_agree())
"""


def test_two_devices_agree_drop_apart_and_go_on_to_the_bit_and_a_weight_that_differs_is_found():
    done = run_forked("-c", TWO_DEVICES)
    said = [
        "agree: True",
        "the running mean is of all images: True",
        "drop the same: False",
        "go on alike: True",
        "agree: False",
    ]
    assert done.stdout.splitlines() == said, done.stderr


def test_two_stopped_by_a_signal_to_one_go_on_as_before_and_then_on_one(small, by_one_process, tmp_path):
    _, processes = start_two(["-c", SAVING_SLOWLY + WITHOUT_DROPOUT, "1", *small], tmp_path)
    wait_for_words("training:", processes[1])
    processes[1].send_signal(signal.SIGTERM)  # Before the first step is ended: obeyed after it.
    said = [processes[1].communicate(timeout=150)]
    assert (tmp_path / "clothingGANlatest.h5").exists()  # It has waited for the chief.
    said += [processes[0].communicate(timeout=150)]
    assert [process.returncode for process in processes] == [130, 143], said
    assert "stopped by a signal to another worker at" in said[1][0]
    assert 0 < read_checkpoint(tmp_path / "clothingGANlatest.h5").record.step < STEPS
    finish(start_two(["-c", WITHOUT_DROPOUT.replace("train", "resume"), "1"], tmp_path)[1])
    assert_learned_the_same(tmp_path / "clothingGANepoch2.h5", by_one_process)
    with without_dropout():
        assert resume.main(["--more", "1", "--out", str(tmp_path)]) == 0
    assert read_checkpoint(tmp_path / "clothingGANepoch3.h5").record.step == STEPS + 5


def test_a_killed_process_is_named_within_a_minute(small, tmp_path):
    cluster, processes = start_two([*TRAIN, *small, "--epochs", "1000"], tmp_path)
    wait_for(tmp_path / "clothingGANlatest.h5", processes[0])
    processes[1].kill()
    processes[1].communicate()
    killed = time.monotonic()
    ((_, complaint),) = finish(processes[:1], status=1)
    assert time.monotonic() - killed < 60
    assert complaint.startswith(f"clothinggan: error: worker 1 ({cluster[1]}) is gone; go on from")
    assert "clothinggan.resume" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("killed", "moment"),
    [
        pytest.param(1, ("clothinggan.distributed.rendezvous", "watched"), id="a worker, when all have met"),
        pytest.param(0, ("clothinggan.models", "build_networks"), id="the chief, when all are connected"),
    ],
)
def test_a_process_killed_before_the_training_is_named_within_a_minute(small, tmp_path, killed, moment):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    arguments = [TRAIN, TRAIN]
    arguments[killed] = ["-c", KILLED_AT, *moment]
    processes = [start_worker([*arguments[i], *small], tmp_path / str(i), cluster, i) for i in (0, 1)]
    processes.pop(killed).communicate(timeout=120)
    died = time.monotonic()
    ((_, complaint),) = finish(processes, status=1)
    assert time.monotonic() - died < 60
    assert f"worker {killed} ({cluster[killed]}" in complaint
    assert "is gone; start all workers again" in complaint
    assert complaint.count("\n") == 1


def test_a_worker_that_never_starts_is_named(small, tmp_path):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    out = tmp_path / "out"
    ((_, complaint),) = finish([start_worker([*TRAIN, *small, "--wait", "1"], out, cluster)], status=1)
    assert f"no word of worker 1 ({cluster[1]})" in complaint
    assert list(out.iterdir()) == []


def test_a_broken_tf_config_is_one_line(small, tmp_path):
    cluster = ["127.0.0.1:1", "elsewhere"]
    ((_, complaint),) = finish([start_worker([*TRAIN, *small], tmp_path, cluster)], status=1)
    assert complaint.startswith("clothinggan: error: the environment variable TF_CONFIG cannot be used")
    assert complaint.count("\n") == 1
