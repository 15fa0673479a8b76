"""What is written is read back equal, and anything else is read or refused in one line."""

import contextlib
import dataclasses
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from image_files import csv, idx, npy, npz, zipped_idx

from clothinggan import presets, resume, train
from clothinggan.checkpoint import file, hdf5
from clothinggan.checkpoint.record import (
    BEST_COLUMNS,
    FITS,
    HISTORY_COLUMNS,
    INVERSIONS,
    MAX_INTEGER,
    MAX_PREVIEWS,
    MEASURED_COLUMNS,
    PRECISIONS,
    Record,
    decode_record,
)
from clothinggan.cli import options
from clothinggan.data import formats, sources
from clothinggan.data.download import IDX_FILES
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS, SETTINGS

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
fewer = settings(few, max_examples=15)

images = arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(28), st.just(28)), fill=st.just(0))
texts = st.text(max_size=30)


@contextlib.contextmanager
def refused_in_one_line():
    said = ""
    try:
        yield
    except ClothingGANError as error:
        said = str(error)
    assert said.isprintable()


# The readers


def read_csv(content):
    pixels, _ = formats.read_csv(content)
    return pixels.reshape(-1, 28, 28)


FORMATS = {
    "idx": (idx, formats.read_idx),
    "idx, gzipped": (zipped_idx, formats.read_idx),
    "npy": (npy, formats.read_npy),
    "npz": (lambda array: npz({"x": array}), lambda content: formats.Npz(content).read("x")),
    "csv": (csv, read_csv),
}


@pytest.mark.parametrize(("write", "read"), FORMATS.values(), ids=FORMATS)
@fewer
@given(array=images)
def test_images_are_read_as_they_were_written(write, read, array):
    np.testing.assert_array_equal(read(io.BytesIO(write(array))), array)


@pytest.mark.parametrize(("write", "read"), FORMATS.values(), ids=FORMATS)
@few
@given(data=st.data())
def test_a_file_that_was_cut_and_spliced_is_read_or_has_its_flaw_told(write, read, data):
    content = write(np.zeros((2, 28, 28), np.uint8))
    start, end = (data.draw(st.integers(0, len(content))) for _ in range(2))
    said = ""
    try:
        read(io.BytesIO(content[:start] + data.draw(st.binary(max_size=20)) + content[end:]))
    except formats.Flaw as flaw:
        said = str(flaw)
    assert said.isprintable()


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x_train.csv", IDX_FILES["x_train"], "picture.png"])
@fewer
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_as_images_or_refused_in_one_line(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with refused_in_one_line():
            sources.load(str(path if path.suffix in (".npz", ".npy") else folder))


BEGINNINGS = (b"", b"ClothingGAN checkpoint, format ", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")


@fewer
@given(beginning=st.sampled_from(BEGINNINGS), content=st.binary(max_size=1000), is_ours=st.booleans())
def test_any_bytes_are_no_checkpoint_and_are_refused_in_one_line(beginning, content, is_ours):
    content = beginning + content
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "parse", lambda *_: hdf5.Contents({}, {"": {}}))  # That takes a process each.
        path = Path(folder, "x.h5")
        path.write_bytes(file._block(content) + content if is_ours else content)
        with pytest.raises(ClothingGANError) as refusal:
            file.read_checkpoint(path)
    assert str(refusal.value).isprintable()


# The record

counts = st.integers(1, MAX_INTEGER)
numbers = st.floats(-1e30, 1e30)
names = st.text(min_size=1, max_size=20)
entries = st.fixed_dictionaries(
    dict.fromkeys(HISTORY_COLUMNS, numbers) | {"epoch": counts},
    optional=dict.fromkeys(MEASURED_COLUMNS, numbers) | {"class_shares": st.lists(numbers, max_size=3)},
)
records = st.builds(
    Record,
    preset=texts,
    seed=counts,
    batch_size=counts,
    epochs=counts,
    save_every=counts,
    keep=st.none() | counts,
    examples=st.none() | counts,
    data=texts,
    fingerprint=texts,
    epoch=counts,
    step_in_epoch=counts,
    step=counts,
    seconds_in_epoch=st.floats(0, 1e30),
    history=st.lists(entries, max_size=3),
    numbered=st.lists(counts, max_size=3),
    versions=st.dictionaries(texts, texts, max_size=3),
    threads=counts,
    processor=texts,
    precision=st.sampled_from(PRECISIONS),
    evaluate_every=st.none() | counts,
    previews=st.integers(0, MAX_PREVIEWS),
    class_names=st.none() | st.lists(names, max_size=3, unique=True),
    fit=st.sampled_from(FITS),
    invert=st.sampled_from(INVERSIONS),
    keep_best=st.sampled_from([None, *BEST_COLUMNS]),
    stop_after=st.none() | counts,
    design=st.sampled_from([{}, *map(presets.as_plain_data, PRESETS.values())]),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@few
@given(record=records)
def test_a_record_is_read_as_it_was_written(record):
    assert decode_record(record.encode()) == record


@few
@given(
    record=records, name=st.sampled_from([field.name for field in dataclasses.fields(Record)]), value=values
)
def test_a_record_with_anything_in_a_field_is_read_or_makes_no_sense(record, name, value):
    try:
        read = decode_record(json.dumps(vars(record) | {name: value}).encode())
    except ValueError:
        return
    assert decode_record(read.encode()) == read


@few
@given(encoded=st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_record_makes_no_sense(encoded):
    with pytest.raises(ValueError, match="the record does not make sense"):
        decode_record(encoded)


# The options

words = texts.map(str) | st.sampled_from(["--epochs", "--set", "--data", "--out", "--model", "--keep", "7"])


@pytest.mark.parametrize("parse", [train.parse, resume.parse], ids=["train", "resume"])
@few
@given(arguments=st.lists(words, max_size=6))
def test_any_words_are_options_or_refused_in_one_line(parse, arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit), refused_in_one_line():
        parse(arguments)


@few
@given(number=st.integers(1, MAX_INTEGER))
def test_a_number_is_taken_as_it_was_written(number):
    assert options.integer(1)(str(number)) == number
    assert train.parse(["--seed", str(number)]).seed == number


def some_value(setting):
    if setting.kind is bool:
        return st.booleans()
    if setting.kind is float:
        return st.floats(setting.minimum, setting.maximum)
    return st.integers(setting.minimum, setting.maximum)


def setting_values(design):
    """Values of some settings of a design."""
    strategies = {}
    for name, setting in SETTINGS.items():
        layers = getattr(design, name)
        if setting.kind is tuple:
            strategies[name] = st.tuples(*[some_value(setting)] * len(layers))
        elif design.conditional or name != "class_weight":
            strategies[name] = some_value(setting)
    return st.fixed_dictionaries({}, optional=strategies)


def as_words(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("design", PRESETS.values(), ids=PRESETS)
@few
@given(data=st.data())
def test_settings_are_taken_as_they_were_written_and_recorded_so(design, data):
    chosen = data.draw(setting_values(design))
    said = [word for name, value in chosen.items() for word in ("--set", f"{name}={as_words(value)}")]
    changed = train.parse(["--model", design.name, *said]).design
    assert changed == dataclasses.replace(design, **chosen)
    recorded = json.loads(json.dumps(presets.as_plain_data(changed)))
    assert presets.from_plain_data(design.name, recorded) == changed


@few
@given(name=st.sampled_from(list(SETTINGS)) | texts, value=texts)
def test_anything_said_of_a_setting_is_taken_or_refused_in_one_line(name, value):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit), refused_in_one_line():
        train.parse(["--set", f"{name}={value}"])
