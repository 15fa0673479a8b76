"""Feeds thousands of damaged files to the readers: each is read or refused with one line, and soon.

    python scripts/robustness/fuzz.py --h5 100000 --data 100000 --seed 0 --results fuzz.json

What is found is kept after every `BLOCK` cases, and a script that was cut off goes on with the next ones.

The files begin sound and small: our own checkpoints, generators as Keras 3 and Keras 2 (tf-keras) save
them in HDF5, in .keras archives and as weights alone (for which it needs what `pip install -e '.[test]'`
installs), IDX files, plain and gzipped, .npz, .npy and CSV files, and pictures of every kind. Bytes are
flipped, overwritten, moved, inserted and cut off; in every third model file the model's configuration or
the run's record is changed as the JSON text that it is, and in every third archive the HDF5 file in it. A
part of the checkpoints keep their checksum, as damaged files do; the others get the right one for what they
have become, as a stranger's would have.

Each case goes through what the commands do: `read_checkpoint`, with its limits and its child process, then
building the generator and drawing two images; or `data.sources.load`. One thing differs, for speed: the child
that parses HDF5 is forked from a process that has imported h5py already, where the command starts a new
Python, and a command from one that has imported TensorFlow. They run the same functions under the same
limits. One .h5 in `COMMAND_EVERY`, and the last, is given to
a real command, `display` or `resume`, as well. Anything but a result or a ClothingGANError that names the
file, or the folder of a picture, is a failure: another exception, an end of the process, more than
`MAX_SECONDS`, or a file that is written beside the case or into the folder that the process works in.
"""

import argparse
import copy
import gzip
import io
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import CHECKOUT

# Processes are forked here, which is not safe beside NumPy's threads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import h5py
import numpy as np
from forked_commands import run_forked
from forked_parsers import Parsers
from kept_results import Results
from PIL import Image

from clothinggan.checkpoint import hdf5
from clothinggan.checkpoint.file import _block, save_checkpoint
from clothinggan.checkpoint.record import HISTORY_COLUMNS, Record
from clothinggan.data import sources
from clothinggan.data.download import IDX_FILES
from clothinggan.dependencies import is_installed
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS

MAX_SECONDS = 10.0  # of processor time, which a busy machine does not stretch
COMMAND_EVERY = 500
BLOCK = 5_000  # cases, after which what they came to is kept
_COMMAND_SECONDS = 100.0
_STALLED_SECONDS = 120.0  # more than a command may take: its worker reports that it did not end
_KERAS_2 = """
import tf_keras as keras
from tf_keras import layers
model = keras.Sequential([
    layers.Dense(7 * 7 * 2, input_dim=5), layers.LeakyReLU(alpha=0.3), layers.Reshape((7, 7, 2)),
    layers.Conv2DTranspose(2, 4, strides=2, padding="same"), layers.BatchNormalization(),
    layers.UpSampling2D(), layers.Conv2D(1, 3, padding="same", activation="sigmoid")])
model.compile("adam", "mse")
model.save("keras_2.h5")
model.save("archive_2.keras")
labels = keras.Input((1,), dtype="int32")
rows = layers.Flatten()(layers.Embedding(4, 5)(labels))
vectors = keras.Input((5,))
keras.Model([vectors, labels], model(layers.Multiply()([vectors, rows]))).save("two_inputs.h5")
norm = lambda: [layers.BatchNormalization(momentum=0.9), layers.ReLU()]
keras.Sequential([
    layers.Dense(6272, use_bias=False, input_dim=74), layers.Reshape((7, 7, 128)), *norm(),
    layers.Conv2DTranspose(64, 4, strides=2, padding="same", use_bias=False), *norm(),
    layers.Conv2DTranspose(1, 6, strides=2, padding="same", activation="sigmoid"),
]).save_weights("alone_2.h5")
"""
_EXTREMES = [0, -1, 1, 2, 2**31, 2**63, -(2**63), 10**12, 10**15, 10**30, 0.5, 1e308, True, None, [], {}]
_EXTREMES += ["", "x", "Lambda", "os.system", "../../x", "\x1b[2J\n", "relu", "valid", [None, 5], [[]]]


# Sound files, from which the others are made.


def sound_h5_files(folder: Path) -> dict[str, bytes]:
    """Small generators, weights and a checkpoint, by file name; needs TensorFlow and tf-keras."""
    import keras
    from keras import layers

    from clothinggan.models import build_networks

    def small() -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((5,)),
                layers.Dense(49),
                layers.Reshape((7, 7, 1)),
                layers.Conv2DTranspose(2, 4, strides=4, padding="same"),
                layers.BatchNormalization(),
                layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
            ]
        )

    z = keras.Input((6,))
    halves = [layers.Reshape((14, 14, 1))(layers.Dense(196)(z)) for _ in range(2)]
    image = layers.UpSampling2D()(layers.Concatenate()(halves))
    functional = keras.Model(z, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(image))
    small().save(folder / "keras_3.h5")
    small().save(folder / "archive.keras")
    # The smallest of the designs that weights alone are tried on.
    build_networks(PRESETS["swift"], seed=0)[0].save_weights(folder / "alone.weights.h5")
    functional.save(folder / "functional.h5")
    subprocess.run([sys.executable, "-c", _KERAS_2], cwd=folder, check=True, capture_output=True)
    entry = dict.fromkeys(HISTORY_COLUMNS, 1)
    record = Record("clothing", 0, 8, 9, 5, None, None, "sample", "f" * 64, 1, history=[entry], numbered=[1])
    state = {"discriminator": [np.ones((3, 3), np.float32)], "loss_sums": [np.zeros(2, np.float32)]}
    save_checkpoint(folder / "ours.h5", small(), record, state)
    return {path.name: path.read_bytes() for path in sorted([*folder.glob("*.h5"), *folder.glob("*.keras")])}


def sound_data_files() -> list[tuple[str, bytes]]:
    """Data files with a few images: names and contents."""
    drawn = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    blank = np.zeros((12, 28, 28), np.uint8)

    def idx(images: np.ndarray) -> bytes:
        return b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()

    def npz(save: Callable, *alone: np.ndarray, **arrays: np.ndarray) -> bytes:
        file = io.BytesIO()
        save(file, *alone, **arrays)
        return file.getvalue()

    def npy(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    def csv(rows: np.ndarray, header: str, separator: str = ",") -> bytes:
        lines = [header, *(separator.join(map(str, row)) for row in rows.reshape(len(rows), -1).tolist())]
        return "\n".join(lines).encode()

    names = ",".join(["label", *(f"pixel{index}" for index in range(1, 785))])
    labelled = np.concatenate([np.arange(6)[:, np.newaxis], drawn.reshape(6, 784)], axis=1)
    name = IDX_FILES["x_train"]
    return [
        *sound_pictures(drawn),
        ("some_train.csv", csv(labelled, names)),
        ("some_train.csv", csv(drawn / np.float32(255), names.removeprefix("label,"))),
        ("some_train.csv.gz", gzip.compress(csv(labelled, names), mtime=0)),
        ("some.npy", npy(drawn.reshape(6, 784))),
        (
            "some.npz",
            npz(np.savez, images=drawn / 255, labels=np.array(["hat", "tie"] * 3), classes=np.eye(6)),
        ),
        ("my-train-imgs.npz", npz(np.savez_compressed, drawn[:, np.newaxis])),
        (name, idx(drawn)),
        (f"{name}.gz", gzip.compress(idx(drawn), mtime=0)),
        (f"{name}.gz", gzip.compress(idx(blank), mtime=0)),
        (
            name,
            b"\0\0\x0d\x03" + np.array(drawn.shape, ">u4").tobytes() + (drawn / 255).astype(">f4").tobytes(),
        ),
        ("other_train.csv", csv(labelled, names.replace(",", ";"), ";")),
        ("some.npz", npz(np.savez, x_train=drawn, y_train=np.arange(6), x_test=drawn, y_test=np.arange(6))),
        ("some.npz", npz(np.savez_compressed, x_train=drawn, y_train=np.arange(6))),
        ("some.npz", npz(np.savez_compressed, x_train=blank)),
    ]


def sound_pictures(drawn: np.ndarray) -> list[tuple[str, bytes]]:
    """Small pictures of every kind that is read, in several modes: names and contents."""
    whole = Image.fromarray(drawn.reshape(84, 56))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "png": [{}, {"optimize": True}],
        "jpg": [{"quality": 60, "exif": exif}, {"progressive": True}],
        "gif": [{}, {"save_all": True, "append_images": [whole.rotate(90)]}],
        "bmp": [{}],
        "webp": [{"quality": 50}, {"lossless": True}],
        "tiff": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}, {"compression": "jpeg"}],
    }
    found = []
    for kind, options in kinds.items():
        for number, option in enumerate(options):
            for mode in ("L", "RGB", "P", "RGBA")[: 4 if kind in ("png", "webp") else 2]:
                file = io.BytesIO()
                whole.convert(mode).save(file, kind.replace("jpg", "jpeg"), **option)
                found.append((f"{number}{mode}.{kind}", file.getvalue()))
    file = io.BytesIO()
    Image.fromarray(drawn.reshape(84, 56).astype(np.uint16) * 257).save(file, "png")
    return [*found, ("sixteen.png", file.getvalue())]


# Mutations.


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """Changes a file in one to sixteen places, the beginning and the end more often."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4, 16])):
        size = len(changed)
        if size < 2:
            break
        near_end = size - 1 - chance.randrange(min(size, 400))
        place = chance.choice([chance.randrange(size), chance.randrange(min(size, 4000)), near_end])
        match chance.randrange(7):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place] = chance.choice([0, 255, 127, 128, chance.randrange(256)])
            case 2:
                del changed[place : place + chance.choice([1, 2, 8, 100, 5000])]
            case 3:
                changed[place:place] = chance.randbytes(chance.choice([1, 4, 64]))
            case 4:
                extreme = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
                changed[place : place + 4] = extreme
            case 5:
                source = chance.randrange(size)
                changed[place : place + 16] = changed[source : source + 16]
            case 6:
                number = chance.choice([2**64 - 1, chance.randrange(2**40)])
                changed[place : place + 8] = number.to_bytes(8, "little")
    return bytes(changed)


def mutate_json(text: str, chance: random.Random) -> str:
    """Replaces, removes or doubles one to three values of a JSON text."""
    root = json.loads(text)
    for _ in range(chance.choice([1, 1, 2, 3])):
        places = list(_places(root))
        if not places:
            break
        holder, key = chance.choice(places)
        match chance.randrange(4):
            case 0 | 1:
                holder[key] = copy.deepcopy(chance.choice(_EXTREMES))
            case 2:
                del holder[key]
            case 3:
                other, other_key = chance.choice(places)
                holder[key] = copy.deepcopy(other[other_key])
    return json.dumps(root)


def _places(root: object) -> Iterator[tuple[dict | list, object]]:
    waiting = [root]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def mutate_h5(name: str, content: bytes, chance: random.Random) -> bytes:
    """Makes a damaged, or a stranger's, file of a sound one."""
    ours = name == "ours.h5"
    if name.endswith(".keras"):
        return _mutate_archive(content, chance)
    image = content[512:] if ours else content
    as_text = chance.randrange(3) == 0 and "alone" not in name
    image = _mutate_text(image, chance, ours) if as_text else mutate_bytes(image, chance)
    if not ours:
        return image
    return _block(image) + image if chance.randrange(4) else content[:512] + image


def _mutate_archive(content: bytes, chance: random.Random) -> bytes:
    """Changes an archive, or one of the files in it; now and then a name or how it is kept."""
    if chance.randrange(3) == 0:
        return mutate_bytes(content, chance)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if chance.randrange(2):
        members["config.json"] = mutate_json(members["config.json"].decode(), chance).encode()
    else:
        members["model.weights.h5"] = mutate_bytes(members["model.weights.h5"], chance)
    if chance.randrange(8) == 0:
        name = chance.choice(["../out", "/etc/x", "config.json/", "assets/x", "model.weights.npz"])
        members[name] = members[chance.choice(list(members))]
    if chance.randrange(8) == 0:
        del members[chance.choice(list(members))]
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return changed.getvalue()


def _mutate_text(image: bytes, chance: random.Random, ours: bool) -> bytes:
    file = io.BytesIO(image)
    with h5py.File(file, "r+") as opened:
        if ours and chance.randrange(2):
            record = mutate_json(opened["clothinggan/record"][()].tobytes().decode(), chance)
            del opened["clothinggan/record"]
            opened["clothinggan/record"] = np.frombuffer(record.encode(), np.uint8)
        else:
            opened.attrs["model_config"] = mutate_json(opened.attrs["model_config"], chance)
    return file.getvalue()


# One case.


class Failure(Exception):
    """Says what should not have happened."""


def try_h5(path: Path) -> str:
    """Reads a .h5 as the commands do; returns what came of it."""
    from clothinggan import fast_layers
    from clothinggan.checkpoint.restore import load_generator

    def read() -> None:
        generator = load_generator(path)
        vectors = np.zeros((2, generator.input_shape[-1]), np.float32)
        images = fast_layers.apply(generator, vectors, training=False)
        if tuple(images.shape) != (2, 28, 28, 1):
            raise Failure(f"images of the shape {images.shape}")

    return _outcome(read, path)


def try_data(path: Path) -> str:
    """Reads a data file as the commands do; returns what came of it."""

    def read() -> None:
        dataset = sources.load(str(path if path.suffix in (".npz", ".npy") else path.parent))
        images, labels = dataset.train_images, dataset.train_labels
        if images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise Failure(f"images of the shape {images.shape}")
        if labels is not None and not (len(labels) == len(images) and labels.max() < dataset.class_count):
            raise Failure(f"labels of the shape {labels.shape}, up to {labels.max()}")
        lines = [dataset.description, dataset.labels_flaw, *dataset.notes, *(dataset.class_names or ())]
        if not all(line.isprintable() for line in lines):
            raise Failure(f"a line that is not printable: {lines!r}")

    # Of a picture that a folder is refused for the line has the name, and the folder's.
    return f"{path.suffix[1:]}: {_outcome(read, path.parent)}"


def _outcome(read: Callable[[], None], path: Path) -> str:
    began = time.process_time()
    try:
        read()
        outcome = "read"
    except ClothingGANError as error:
        said = str(error)
        if str(path) not in said:
            raise Failure(f"a message that does not name the file: {said!r}") from error
        outcome = "refused"
        meanings = {"fails on it": "HDF5 crashed or hung", "any model file should": "too large"}
        for ending, meaning in meanings.items():
            if said.endswith(ending):
                outcome = meaning
    except Failure:
        raise
    except Exception as error:
        raise Failure(f"{type(error).__name__}: {error}") from error
    if time.process_time() - began > MAX_SECONDS:
        raise Failure(f"{time.process_time() - began:.0f} seconds")
    return outcome


def try_command(path: Path, name: str, images: Path) -> str:
    """Gives a .h5 to a command in a process of its own; returns what came of it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        options = {
            "display": ["--no-real", "--save", out],
            "resume": ["--more", "1", "--data", str(images), "--out", out],
        }
        words = ["-m", f"clothinggan.{name}", "--weights", path, *options[name]]
        try:
            done = run_forked(*words, timeout=_COMMAND_SECONDS, cwd=CHECKOUT)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{name} did not end in {_COMMAND_SECONDS:.0f} seconds") from error
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    if done.returncode not in (0, 1) or len(complaints) != done.returncode:
        raise Failure(f"{name} ended with {done.returncode} and said {done.stderr!r}")
    return f"{name}: status {done.returncode}"


# All cases.


def try_data_cases(numbers: range, seed: int, folder: Path) -> Iterator[tuple[int, str]]:
    """Tries the cases of these numbers; yields for each what came of it."""
    sound = sound_data_files()
    os.environ["XDG_CACHE_HOME"] = os.devnull  # Thousands of pictures would fill it.
    for number in numbers:
        chance = random.Random(f"{seed} data {number}")
        name, content = chance.choice(sound)
        path = folder / name
        path.write_bytes(mutate_bytes(content, chance))
        yield number, _reported(try_data, path)
        path.unlink()


def try_h5_cases(numbers: range, seed: int, folder: Path) -> Iterator[tuple[int, str]]:
    """Tries the cases of these numbers; yields for each what came of it, twice where a command had it too."""
    hdf5.subprocess = Parsers()
    from clothinggan import environment

    environment.import_tensorflow()
    import keras

    store = folder / "sound"
    store.mkdir(exist_ok=True)
    sound = sound_h5_files(store)
    for name in sound:
        if try_h5(store / name) != "read":
            raise RuntimeError(f"{name} is refused before anything is changed in it")
    images = store / "images.npz"
    np.savez(images, x_train=np.zeros((128, 28, 28), np.uint8))
    # Weights alone take the longest: all designs are built for them.
    alone = [name for name in sound if "alone" in name]
    names = [*["ours.h5"] * 8, *[name for name in sound if name not in alone] * 4, *alone]
    for number in numbers:
        chance = random.Random(f"{seed} h5 {number}")
        name = chance.choice(names)
        path = folder / f"case{''.join(Path(name).suffixes)}"
        path.write_bytes(mutate_h5(name, sound[name], chance))
        yield number, _reported(try_h5, path, f"{name}: ")
        if number % COMMAND_EVERY == COMMAND_EVERY - 1 or number == numbers[-1]:
            command = chance.choice(["display", "resume"])
            yield number, _reported(lambda path, command=command: try_command(path, command, images), path)
        if number % 50 == 49:
            keras.backend.clear_session()  # Keras keeps what it has built.


def _reported(attempt: Callable[[Path], str], path: Path, prefix: str = "") -> str:
    before = _files(path)
    try:
        outcome = attempt(path)
        if written := _files(path) ^ before:
            raise Failure(f"files were written: {', '.join(sorted(written))}")
        return f"{prefix}{outcome}"
    except Failure as failure:
        return f"{_FAILED}{prefix}{failure}"


def _files(path: Path) -> set[str]:
    """What there is beside a file, and in the folder that this process works in."""
    return {*os.listdir(path.parent), *os.listdir()}


TRIALS = {"data": try_data_cases, "h5": try_h5_cases}
_FAILED = "FAILED: "


def fuzz(kind: str, numbers: range, seed: int, folder: Path) -> tuple[Counter, list[str]]:
    """Tries the cases of these numbers in a worker process, and in a new one where it dies.

    Returns:
        How often each outcome came, and the failures.
    """
    outcomes: Counter = Counter()
    failures: list[str] = []
    following, end = numbers.start, numbers.stop
    while following < end:
        reader, writer = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(reader)
            try:
                with open(writer, "w") as reports:
                    for number, outcome in TRIALS[kind](range(following, end), seed, folder):
                        print(json.dumps([number, outcome]), file=reports, flush=True)
            except BaseException:
                traceback.print_exc()
            finally:
                # Not by an exception: on its way it would remove the folder, which is the parent's.
                os._exit(0)
        os.close(writer)
        # Without a buffer, in which a report would be hidden from `select`.
        with open(reader, "rb", buffering=0) as reports:
            while select.select([reports], [], [], _STALLED_SECONDS)[0] and (line := reports.readline()):
                number, outcome = json.loads(line)
                following = number + 1
                if outcome.startswith(_FAILED):
                    failures.append(f"{kind} case {number}: {outcome!r}")
                    print(failures[-1], file=sys.stderr, flush=True)
                else:
                    outcomes[outcome] += 1
        os.kill(worker, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        if following < end:
            failures.append(
                f"{kind} case {following}: the process ended with {status}, or was killed as it hung"
            )
            print(failures[-1], file=sys.stderr, flush=True)
            following += 1
    return outcomes, failures


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--h5", type=int, default=10_000, help="how many .h5 files (default: 10000)")
    parser.add_argument("--data", type=int, default=10_000, help="how many data files (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="decides all of them (default: 0)")
    parser.add_argument("--results", type=Path, help="a JSON file to keep the results in, and to go on from")
    arguments = parser.parse_args()
    if not is_installed("tf_keras"):
        raise SystemExit("fuzz.py takes files of Keras 2 to pieces; get it with: pip install -e '.[test]'")
    results = Results(arguments.results)
    failed = False
    for kind in ("data", "h5"):
        count = getattr(arguments, kind)
        outcomes: Counter = Counter()
        failures: list[str] = []
        for first in range(0, count, BLOCK):
            numbers = range(first, min(first + BLOCK, count))
            name = f"{kind}, seed {arguments.seed}, cases {first} to {numbers[-1]}"
            if name not in results:
                with tempfile.TemporaryDirectory(prefix="clothinggan-fuzz-") as folder:
                    came, failing = fuzz(kind, numbers, arguments.seed, Path(folder))
                results.put(name, {"outcomes": dict(sorted(came.items())), "failures": failing})
            outcomes.update(results.found[name]["outcomes"])
            failures += results.found[name]["failures"]
        print(f"{count:,} {kind} files:")
        for outcome, times in sorted(outcomes.items()):
            print(f"  {times:6,} {outcome}")
        print(f"  {len(failures):6,} failures", flush=True)
        failed = failed or bool(failures)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
