"""Several processes, or devices of one, train as one does; and what becomes of them when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SMALL
from crash_test import differences
from test_workers import free_ports

from clothinggan import checkpoint

pytestmark = pytest.mark.slow

# Dropout is each replica's own; without it, several compute what one does.
WITHOUT_DROPOUT = """
import sys
from clothinggan import options, train
options.import_tensorflow()
import keras, tensorflow as tf
class NoDropout(keras.layers.Dropout):
    def __init__(self, rate): super().__init__(0)
keras.layers.Dropout = NoDropout
devices, *arguments = sys.argv[1:]
processor = tf.config.list_physical_devices("CPU")[0]
logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
tf.config.set_logical_device_configuration(processor, logical)
sys.exit(train.main(arguments))
"""
TRAIN = ["-m", "clothinggan.train"]
RESUME = ["-m", "clothinggan.resume"]
LONGER = ["--data", "sample", "--examples", "120", "--batch-size", "8", "--epochs", "2", "--save-every", "1"]


def start(arguments, folder, cluster=None, index=0):
    environment = dict(os.environ)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, *arguments, "--out", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def start_two(arguments, folder):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return cluster, [start(arguments, folder, cluster, index) for index in (0, 1)]


def finish(processes, status=0):
    said = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), said
    return said


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def by_one_process(tmp_path_factory):
    """Two epochs without dropout, of two steps each."""
    folder = tmp_path_factory.mktemp("one")
    finish([start(["-c", WITHOUT_DROPOUT, "1", *SMALL, "--epochs", "2"], folder)])
    return checkpoint.read(folder / "clothingGANepoch2.h5")


def assert_learned_the_same(path, other):
    """Sums of float32 numbers taken in another order: losses agree to 1e-6 of themselves or so.

    Adam's first steps go by a gradient's sign: where one is as small as its rounding, a weight may go the
    other way, by 2e-4 a step. That is so for few of them; the others agree to float32 rounding.
    """
    found = checkpoint.read(path)
    for entry, other_entry in zip(found.record.history, other.record.history, strict=True):
        for name in ("d_loss", "g_loss"):
            assert entry[name] == pytest.approx(other_entry[name], rel=1e-5)
    ours, others = (
        np.concatenate([weight.ravel() for weight in file.generator.get_weights()]) for file in (found, other)
    )
    apart = np.abs(ours - others)
    assert np.mean(apart > 1e-6) < 1e-3
    assert apart.max() <= 2 * 4 * 2e-4


def test_two_workers_learn_what_one_process_does(by_one_process, tmp_path):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    options = ["-c", WITHOUT_DROPOUT, "1", *SMALL, "--epochs", "2"]
    folders = tmp_path / "chief", tmp_path / "other"
    processes = [start(options, folder, cluster, index) for index, folder in enumerate(folders)]
    (_, (said, _)) = finish(processes)
    assert_learned_the_same(folders[0] / "clothingGANepoch2.h5", by_one_process)
    assert f"this is worker 1 ({cluster[1]})" in said
    assert not folders[1].exists(), "only the chief writes"


def test_two_devices_learn_what_one_does(by_one_process, tmp_path):
    options = [*SMALL, "--epochs", "2", "--strategy", "mirrored"]
    ((said, _),) = finish([start(["-c", WITHOUT_DROPOUT, "2", *options], tmp_path)])
    assert "2 devices of this machine" in said
    assert_learned_the_same(tmp_path / "clothingGANepoch2.h5", by_one_process)


AGREEMENT = """
from clothinggan import options
options.import_tensorflow()
import numpy as np, tensorflow as tf
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS
from clothinggan.training import GAN
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    networks = build_networks(PRESETS["swift"], seed=0)
gan = GAN(PRESETS["swift"], *networks, seed=0, strategy=strategy)
images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
tf.function(gan.train_step)((tf.constant(images), tf.range(6)))
print(gan.replicas_agree())
strategy.experimental_local_results(gan.generator.weights[0].value)[1].assign_add(tf.ones((74, 6272)) * 1e-6)
print(gan.replicas_agree())
"""


def test_devices_agree_after_a_step_and_a_weight_that_differs_is_found(tmp_path):
    done = subprocess.run([sys.executable, "-c", AGREEMENT], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_two_stopped_by_a_signal_to_one_go_on_to_the_bit_and_then_on_one(tmp_path):
    whole, cut_off = tmp_path / "whole", tmp_path / "cut_off"
    finish(start_two([*TRAIN, *LONGER], whole)[1])
    _, processes = start_two([*TRAIN, *LONGER], cut_off)
    wait_for(cut_off / "clothingGANepoch1.h5", processes[0])
    time.sleep(0.5)
    processes[1].send_signal(signal.SIGTERM)
    ((chief_said, _), _) = finish(processes, status=130)
    assert "stopped by a signal to another worker at" in chief_said
    assert not (cut_off / "clothingGANepoch2.h5").exists()
    finish(start_two(RESUME, cut_off)[1])
    assert differences(cut_off / "clothingGANepoch2.h5", whole / "clothingGANepoch2.h5") == []
    finish([start([*RESUME, "--more", "1"], cut_off)])
    assert checkpoint.read(cut_off / "clothingGANepoch3.h5").record.step == 3 * 15


@pytest.mark.parametrize("lost", [0, 1], ids=["chief", "worker"])
def test_a_killed_process_is_named_within_a_minute(lost, tmp_path):
    cluster, processes = start_two([*TRAIN, *LONGER, "--epochs", "1000"], tmp_path)
    wait_for(tmp_path / "clothingGANlatest.h5", processes[0])
    processes[lost].kill()
    processes[lost].communicate()
    killed = time.monotonic()
    ((_, complaint),) = finish([processes[1 - lost]], status=1)
    assert time.monotonic() - killed < 60
    assert complaint.startswith(f"clothinggan: error: worker {lost} ({cluster[lost]}")
    assert "is gone; go on from" in complaint
    assert "clothinggan.resume" in complaint
    assert complaint.count("\n") == 1


def test_a_worker_that_never_starts_is_named(tmp_path):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    out = tmp_path / "out"
    ((_, complaint),) = finish([start([*TRAIN, *SMALL, "--wait", "1"], out, cluster)], status=1)
    assert f"no word of worker 1 ({cluster[1]})" in complaint
    assert list(out.iterdir()) == []


def test_a_broken_tf_config_is_one_line(tmp_path):
    cluster = ["127.0.0.1:1", "elsewhere"]
    ((_, complaint),) = finish([start([*TRAIN, *SMALL], tmp_path, cluster)], status=1)
    assert complaint.startswith("clothinggan: error: the environment variable TF_CONFIG cannot be used")
    assert complaint.count("\n") == 1
