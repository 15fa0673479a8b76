"""A .keras archive is read within bounds and leads nowhere; what is made to do harm is refused."""

import io
import json
import stat
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from clothinggan import display
from clothinggan.checkpoint import archive
from clothinggan.checkpoint.restore import load_generator

CONFIGURATION, WEIGHTS = archive.CONFIGURATION, archive.WEIGHTS


def generator():
    return keras.Sequential([keras.Input((5,)), layers.Dense(784), layers.Reshape((28, 28, 1))])


def pack(members, compression=zipfile.ZIP_DEFLATED):
    """An archive of (name, content) pairs; a name may be a `ZipInfo`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def members(tmp_path):
    """The members of a sound archive."""
    generator().save(tmp_path / "sound.keras")
    with zipfile.ZipFile(tmp_path / "sound.keras") as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def refusal(tmp_path, capsys):
    """Gives bytes to `display` as a .keras file, which must refuse it; returns the line that it says."""

    def refuse(content):
        (tmp_path / "x.keras").write_bytes(content)
        before = sorted(tmp_path.rglob("*"))
        assert display.main(["--weights", "x.keras", "--save", "pictures"]) == 1
        assert sorted(tmp_path.rglob("*")) == before
        said = capsys.readouterr().err
        assert said.startswith("clothinggan: error: x.keras ")
        assert said.count("\n") == 1
        return said

    return refuse


def test_an_archive_that_was_packed_anew_opens(members, tmp_path):
    (tmp_path / "x.keras").write_bytes(pack(members.items()))
    assert load_generator(tmp_path / "x.keras").input_shape == (None, 5)


def test_a_member_that_swells_is_refused(members, refusal):
    swollen = {**members, WEIGHTS: members[WEIGHTS] + bytes(50 * 2**20)}
    assert "swells to more than 200 times" in refusal(pack(swollen.items()))


def test_a_member_that_says_to_be_smaller_than_it_is_is_refused(members, refusal):
    content = bytearray(pack(members.items()))
    place = content.rindex(WEIGHTS.encode()) - 46  # of its entry in the list at the end
    struct.pack_into("<I", content, place + 24, 1000)
    assert "damaged" in refusal(bytes(content))


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "C:\\x", "..\\x"])
def test_a_path_out_of_the_archive_is_refused(name, members, refusal):
    assert "a path out of the archive" in refusal(pack([*members.items(), (name, b"")]))


def test_a_link_is_refused(members, refusal):
    link = zipfile.ZipInfo("assets/x")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "holds a link" in refusal(pack([*members.items(), (link, b"/etc/passwd")]))


def test_two_configurations_are_refused(members, refusal):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = pack([*members.items(), (CONFIGURATION, members[CONFIGURATION])])
    assert "holds 'config.json' 2 times" in refusal(content)


def test_other_compressions_than_keras_has_are_refused(members, refusal):
    assert "a compression that no .keras file has" in refusal(pack(members.items(), zipfile.ZIP_LZMA))


def test_an_archive_of_very_many_members_is_refused(members, refusal):
    many = [(f"assets/{number}", b"") for number in range(archive.MAX_MEMBERS)]
    assert "1,000 members" in refusal(pack([*members.items(), *many]))


def test_an_archive_that_is_cut_short_is_damaged(members, refusal):
    assert "damaged" in refusal(pack(members.items())[:-100])


def test_weights_that_are_no_hdf5_are_refused(members, refusal):
    assert "is not an HDF5 file" in refusal(pack({**members, WEIGHTS: b"x" * 100}.items()))


def test_a_configuration_with_code_is_refused_and_not_run(tmp_path, refusal):
    canary = tmp_path / "canary"
    attack = eval(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]")
    keras.Sequential([keras.Input((5,)), layers.Dense(784), layers.Lambda(attack)]).save(
        tmp_path / "attack.keras"
    )
    canary.unlink(missing_ok=True)
    assert "'Lambda'" in refusal((tmp_path / "attack.keras").read_bytes())
    assert not canary.exists()


def changed(members, change):
    configuration = json.loads(members[CONFIGURATION])
    change(configuration["config"]["layers"])
    return pack({**members, CONFIGURATION: json.dumps(configuration)}.items())


def test_a_layer_of_another_program_is_refused_by_its_name(members, refusal):
    content = changed(members, lambda stack: stack[1].update(registered_name="evil>Dense", module="evil"))
    assert "'evil>Dense', which is not accepted" in refusal(content)


def test_a_layer_of_10_to_the_12_neurons_is_refused(members, refusal):
    content = changed(members, lambda stack: stack[1]["config"].update(units=10**12))
    assert "Dense.units is 10" in refusal(content)


def weights(members, change):
    file = io.BytesIO(members[WEIGHTS])
    with h5py.File(file, "r+") as opened:
        change(opened)
    return pack({**members, WEIGHTS: file.getvalue()}.items())


def test_weights_of_10_to_the_12_numbers_are_refused(members, refusal):
    def grow(file):
        del file["layers/dense/vars/0"]
        shape = (10**6, 10**6)
        file.create_dataset("layers/dense/vars/0", shape, "f4", chunks=(1000, 1000), compression="gzip")

    assert "more than 256 MiB of numbers" in refusal(weights(members, grow))


def test_weights_that_are_no_numbers_are_refused(members, refusal):
    def spoil(file):
        file["layers/dense/vars/1"][3] = np.nan

    assert "NaN or infinite" in refusal(weights(members, spoil))


def test_weights_of_another_layer_are_refused(members, refusal):
    def reshape(file):
        del file["layers/dense/vars/1"]
        file["layers/dense/vars/1"] = np.zeros(785, np.float32)

    assert "'layers/dense/vars/1' does not fit the layer 'dense" in refusal(weights(members, reshape))
