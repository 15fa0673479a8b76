"""Several workers: a TF_CONFIG is read or refused, and they find each other or say who is missing."""

import contextlib
import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import tensorflow as tf
from benchmark_scaling import free_ports

from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.data import sources
from clothinggan.distributed import rendezvous, workers
from clothinggan.distributed.cluster import Cluster, check_source, find_cluster, read_cluster
from clothinggan.errors import ClothingGANError, lost_worker
from clothinggan.presets import PRESETS

TWO = ["127.0.0.1:4001", "127.0.0.1:4002"]


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def clusters(count):
    """The same cluster as each of its workers sees it."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    tasks = tuple(f"/job:worker/replica:0/task:{index}" for index in range(count))
    return [Cluster(addresses, tasks, index) for index in range(count)]


def port_of(address):
    return int(address.split(":")[1])


def connected(address):
    """A connection to an address, once somebody listens there."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port_of(address)), 5)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def meet(members, terms, wait=20.0):
    """Has workers meet, each in a thread of its own; returns what each complained of, by its index."""
    complaints = {}

    def come(member, its_terms):
        try:
            rendezvous.meet(member, its_terms, wait)
        except ClothingGANError as error:
            complaints[member.index] = str(error)

    pairs = zip(members, terms, strict=True)
    threads = [threading.Thread(target=come, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return complaints


def test_the_workers_of_tf_config_are_read():
    cluster = read_cluster(config({"chief": None, "worker": TWO}, index=1))
    assert (cluster.addresses, cluster.index, cluster.is_chief) == (tuple(TWO), 1, False)


def test_a_chief_of_its_own_kind_comes_first():
    cluster = read_cluster(config({"worker": TWO[1:], "chief": TWO[:1]}))
    assert (cluster.addresses, cluster.index, cluster.is_chief) == (tuple(TWO), 1, False)


@pytest.mark.parametrize("text", [None, "", "{}", '{"cluster": {}}'])
def test_without_workers_there_is_no_cluster(text):
    assert read_cluster(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "form"),
        ("[1]", "form"),
        ("[" * 100_000, "form"),
        (json.dumps({"cluster": {"worker": TWO}}), "form"),
        (json.dumps({"cluster": {"worker": 7}, "task": {"type": "worker", "index": 0}}), "form"),
        (config({"worker": TWO}, index=2), "task"),
        (config({"worker": TWO}, index=-1), "task"),
        (config({"worker": TWO}, index="0 "), "task"),
        (config({"worker": TWO}, kind="chief"), "task"),
        (config({"chief": TWO, "worker": ["127.0.0.1:4003"]}, kind="chief"), "more than one chief"),
        (config({"worker": TWO, "ps": TWO}), "parameter servers"),
        (config({"worker": [TWO[0], "127.0.0.1"]}), "127.0.0.1 is not an address"),
        (config({"worker": [TWO[0], "127.0.0.1:70000"]}), "127.0.0.1:70000 is not an address"),
        (config({"worker": [TWO[0], 4002]}), "4002 is not an address"),
        (config({"worker": [TWO[0], TWO[0]]}), "twice"),
    ],
)
def test_a_broken_tf_config_is_refused_with_the_reason(text, reason):
    with pytest.raises(ClothingGANError, match=f"TF_CONFIG cannot be used: .*{reason}"):
        read_cluster(text)


def test_auto_trains_alone_where_tf_config_names_one_worker(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config({"worker": TWO[:1]}))
    assert find_cluster("auto") is None


def test_single_minds_no_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert find_cluster("single") is None


def test_multiworker_without_tf_config_is_refused():
    with pytest.raises(ClothingGANError, match="TF_CONFIG"):
        find_cluster("multiworker")


def test_workers_that_are_all_there_and_agree_go_on():
    assert meet(clusters(3), ["the same"] * 3) == {}


def test_a_worker_may_come_before_the_chief():
    members = clusters(2)
    early = threading.Thread(target=rendezvous.meet, args=(members[1], "the same", 20.0), daemon=True)
    early.start()
    time.sleep(0.5)
    rendezvous.meet(members[0], "the same", 20.0)
    early.join(timeout=20)
    assert not early.is_alive()


def test_a_worker_that_never_comes_is_named_to_all():
    members = clusters(3)
    complaints = meet(members[:2], ["the same"] * 2, wait=3.0)
    assert set(complaints) == {0, 1}
    assert set(complaints.values()) == {complaints[0]}
    assert f"no word of worker 2 ({members[0].addresses[2]})" in complaints[0]


def test_a_chief_that_never_comes_is_named():
    members = clusters(2)
    with pytest.raises(ClothingGANError, match=rf"worker 0 \({members[0].addresses[0]}, the chief\)"):
        rendezvous.meet(members[1], "the same", wait=0.5)


def test_workers_with_other_terms_are_refused():
    complaints = meet(clusters(2), ["one seed", "another"])
    assert set(complaints) == {0, 1}
    assert "worker 1" in complaints[0]
    assert "other options, data or weights" in complaints[0]


def test_a_worker_with_another_list_of_workers_is_refused():
    chief, worker = clusters(2)
    other = Cluster((*worker.addresses, "127.0.0.1:9"), (*worker.tasks, ""), 1)
    complaints = meet([chief, other], ["the same"] * 2)
    assert "other workers in TF_CONFIG" in complaints[0]


def greet(cluster, index, terms="the same"):
    """Says to the chief what a worker says, without listening anywhere."""
    connection = connected(cluster.addresses[0])
    greeting = {"index": index, "addresses": list(cluster.addresses), "terms": terms}
    connection.sendall(json.dumps(greeting).encode() + b"\n")
    return connection


def in_the_background(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def test_a_worker_whose_address_leads_nowhere_is_named_to_all():
    chief, _ = clusters(2)
    heard = []

    def come_from_elsewhere():
        with greet(chief, 1) as connection:
            heard.append(json.loads(connection.recv(1000))["refusal"])

    elsewhere = in_the_background(come_from_elsewhere)
    with pytest.raises(ClothingGANError, match=rf"cannot connect to worker 1 \({chief.addresses[1]}\)"):
        rendezvous.meet(chief, "the same", wait=10.0)
    elsewhere.join(timeout=20)
    assert "firewall" in heard[0]


def test_a_worker_that_has_hung_up_is_missing():
    members = clusters(3)
    complaints = {}

    def come_as_chief():
        try:
            rendezvous.meet(members[0], "the same", 4.0)
        except ClothingGANError as error:
            complaints[0] = str(error)

    chief = in_the_background(come_as_chief)
    with socket.create_server(("", port_of(members[0].addresses[1]))):
        greet(members[0], 1).close()
        time.sleep(0.5)
        complaints |= meet(members[2:], ["the same"], wait=4.0)
    chief.join(timeout=20)
    assert members[0].name(1) in complaints[0]
    assert members[0].name(2) not in complaints[0]
    assert complaints[2] == complaints[0]


def test_who_comes_after_a_refusal_hears_the_reason_too():
    members = clusters(3)
    complaints = {}

    def come(index, terms):
        complaints.update(meet([members[index]], [terms], wait=10.0))

    others = [in_the_background(come, 0, "the same"), in_the_background(come, 1, "another")]
    time.sleep(0.5)
    come(2, "the same")
    for other in others:
        other.join(timeout=20)
    assert "worker 1" in complaints[0]
    assert set(complaints.values()) == {complaints[0]}
    assert set(complaints) == {0, 1, 2}


def test_strangers_at_the_port_do_not_disturb():
    members = clusters(2)
    chief = threading.Thread(target=rendezvous.meet, args=(members[0], "the same", 20.0), daemon=True)
    chief.start()
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"index": 7}\n', b"[" * 9_999 + b"\n", b""):
        with connected(members[0].addresses[0]) as stranger:
            stranger.sendall(noise)
    rendezvous.meet(members[1], "the same", 20.0)
    chief.join(timeout=20)
    assert not chief.is_alive()


def test_a_stranger_who_dawdles_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(rendezvous, "_SECONDS_TO_ANSWER", 0.5)
    members = clusters(2)
    is_there = threading.Event()

    def dawdle():
        with connected(members[0].addresses[0]) as stranger, contextlib.suppress(OSError):
            is_there.set()
            for _ in range(300):
                stranger.sendall(b" ")
                time.sleep(0.1)

    chief = in_the_background(rendezvous.meet, members[0], "the same", 10.0)
    in_the_background(dawdle)
    assert is_there.wait(timeout=20)
    assert meet(members[1:], ["the same"], wait=10.0) == {}
    chief.join(timeout=20)
    assert not chief.is_alive()


def test_an_address_in_use_is_named():
    members = clusters(2)
    with (
        socket.create_server(("", port_of(members[0].addresses[0]))),
        pytest.raises(ClothingGANError, match=f"cannot listen at {members[0].addresses[0]}.*in use"),
    ):
        rendezvous.meet(members[0], "the same", wait=1.0)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (
            tf.errors.UnavailableError,
            "remote target /job:worker/replica:0/task:0 while calling RecvBuf: refused\n"
            "remote target /job:chief/replica:0/task:0 while calling RecvBuf: aborted",
            "worker 1 (127.0.0.1:4002) is gone",
        ),
        (
            tf.errors.UnavailableError,
            "/job:chief/replica:0/task:0 reports: tasks are unhealthy (stopped sending heartbeats):\n"
            "/job:worker/replica:0/task:0\nThey have crashed. remote target /job:chief/replica:0/task:0",
            "worker 1 (127.0.0.1:4002) is gone",
        ),
        (tf.errors.AbortedError, "Socket closed", "another worker is gone"),
        (tf.errors.InvalidArgumentError, "/job:worker/replica:0/task:0: shapes differ", None),
    ],
)
def test_the_one_who_is_gone_is_named_by_tensorflows_error(kind, text, said):
    cluster = Cluster(tuple(TWO), ("/job:chief/replica:0/task:0", "/job:worker/replica:0/task:0"), 0)
    assert lost_worker(kind(None, None, text), cluster.names) == said


def test_a_batch_smaller_than_the_number_of_workers_is_refused(small_run, tmp_path):
    from clothinggan.run import Run

    record = read_checkpoint(small_run / "clothingGANlatest.h5").record
    gan = SimpleNamespace(preset=PRESETS["clothing"])
    team = workers.Workers(SimpleNamespace(num_replicas_in_sync=record.batch_size + 1))
    with pytest.raises(ClothingGANError, match="a batch of 16 cannot be shared by 17 devices"):
        Run(gan, record, sources.load("sample"), None, team)


@pytest.mark.parametrize(
    ("strategy", "gpus", "taken"),
    [("auto", 2, 2), ("auto", 1, 1), ("auto", 0, 1), ("single", 2, 1), ("mirrored", 2, 2)],
)
def test_several_gpus_are_used_unless_single_is_asked_for(strategy, gpus, taken, monkeypatch):
    found = [SimpleNamespace(name=f"GPU:{index}") for index in range(gpus)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: found if kind == "GPU" else [])
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda names: SimpleNamespace(num_replicas_in_sync=len(names))
    )
    assert workers.gather(strategy, None, "", wait=1).strategy.num_replicas_in_sync == taken


@pytest.mark.parametrize(("replicas", "named"), [(1, "GPU (a card)"), (2, "GPU (a card, a card)")])
def test_the_gpus_that_train_are_named_and_no_others(replicas, named, monkeypatch):
    from clothinggan.environment import describe_device

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [SimpleNamespace(name="")] * 2)
    details = {"device_name": "a card"}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert describe_device(replicas) == named


def test_a_cluster_reads_no_tensorflow_datasets():
    with pytest.raises(ClothingGANError, match="several workers cannot read tfds:fashion_mnist"):
        check_source(clusters(2)[0], "tfds:fashion_mnist")
