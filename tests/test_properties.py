"""Records and settings are read as they were written, and anything else is read or refused in one line."""

import contextlib
import dataclasses
import io
import json
import tempfile
from pathlib import Path

import pytest
from conftest import few, fewer, refused_in_one_line
from hypothesis import given
from hypothesis import strategies as st

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
from clothinggan.errors import ClothingGANError
from clothinggan.presets import PRESETS, SETTINGS

texts = st.text(max_size=30)


# The checkpoint

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
    goal=st.none() | counts,
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
        elif design.conditional or name not in presets._ONLY_CONDITIONAL:
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
    if "averaging" in chosen:
        chosen = {"averaging_width": 0.0} | chosen
    assert changed == dataclasses.replace(design, **chosen)
    recorded = json.loads(json.dumps(presets.as_plain_data(changed)))
    assert presets.from_plain_data(design.name, recorded) == changed


@few
@given(name=st.sampled_from(list(SETTINGS)) | texts, value=texts)
def test_anything_said_of_a_setting_is_taken_or_refused_in_one_line(name, value):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit), refused_in_one_line():
        train.parse(["--set", f"{name}={value}"])
