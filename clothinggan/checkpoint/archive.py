"""The ``.keras`` file: a zip archive of a configuration and of weights, read without unpacking it.

Three members are used, and read into memory within bounds: ``config.json``, ``model.weights.h5``, and of
``metadata.json`` the version of Keras. Nothing is written, so that no name in an archive leads anywhere; one
that tries is refused all the same.
"""

import io
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from clothinggan.checkpoint import hdf5
from clothinggan.errors import ClothingGANError, DamagedFileError

CONFIGURATION, WEIGHTS = "config.json", "model.weights.h5"
_METADATA, _MAX_METADATA_BYTES = "metadata.json", 2**16
_VERSION = re.compile(rb'"keras_version"\s*:\s*"([\d.]{1,20})"')
MAX_MEMBERS = 1_000
MAX_CONFIGURATION_BYTES = 4 * 2**20
MAX_RATIO = 200  # of a member to what it takes in the archive; weights hardly get smaller at all
_END, _END_SIZE = b"PK\x05\x06", 22  # of an archive, before a comment of up to 65,535 bytes
_ENCRYPTED = 1


def is_zip(content: bytes) -> bool:
    """Whether a file begins as a zip archive does."""
    return content.startswith((b"PK\x03\x04", _END))


def member_names(content: bytes) -> list[str] | None:
    """Returns the names of an archive's members; None if it is damaged, or holds more than it should."""
    try:
        return [member.filename for member in _members(content)]
    except (_Flaw, zipfile.BadZipFile, ValueError, NotImplementedError):
        return None


def parse(content: bytes, path: Path) -> hdf5.Contents:
    """Parses a ``.keras`` file that has been read into memory.

    Args:
        content: The bytes of the file.
        path: Where they come from, for error messages.

    Returns:
        What the HDF5 file of weights holds, and at its root the configuration, as `model_config`, and Keras's
        version.

    Raises:
        ClothingGANError: If it is damaged, holds more than a model file should, or leads out of the file.
    """
    try:
        members = _members(content)
        _refuse_ways_out(members)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            configuration = _read(archive, members, CONFIGURATION, MAX_CONFIGURATION_BYTES).decode()
            image = _read(archive, members, WEIGHTS, hdf5.MAX_BYTES)
            version = {}
            if any(member.filename == _METADATA for member in members):
                told = _read(archive, members, _METADATA, _MAX_METADATA_BYTES)
                if found := _VERSION.search(told):
                    version["keras_version"] = found[1].decode()
    except _Flaw as flaw:
        raise ClothingGANError(f"{path} {flaw}") from flaw
    # A damaged archive raises a dozen kinds: of its structure, of its checksums, of its compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise DamagedFileError(f"{path} is damaged: it is no sound zip archive; use another copy") from error
    contents = hdf5.parse(image, path)
    contents.attributes[""] |= {"model_config": configuration, **version}
    return contents


class _Flaw(Exception):
    """Says what is wrong with an archive, to be read behind the file's name."""


def _members(content: bytes) -> list[zipfile.ZipInfo]:
    # Before the list is read: it may be of millions. Archives that have more than 65,534 members say 65,535.
    end = content.rfind(_END, -_END_SIZE - 2**16)
    if end < 0 or end + _END_SIZE > len(content):
        raise zipfile.BadZipFile
    if int.from_bytes(content[end + 10 : end + 12], "little") > MAX_MEMBERS:
        raise _Flaw(f"holds more than {MAX_MEMBERS:,} members")
    if int.from_bytes(content[end + 12 : end + 16], "little") > MAX_MEMBERS * 2**10:
        raise _Flaw("holds a list of members that is longer than any model's")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.infolist()


def _refuse_ways_out(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in member.filename:
            raise _Flaw(f"holds '{member.filename}', a path out of the archive, which is not followed")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _Flaw(f"holds a link, '{member.filename}', which is not followed")


def _read(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], name: str, limit: int) -> bytes:
    found = [member for member in members if member.filename == name]
    if len(found) != 1:
        raise _Flaw(f"holds '{name}' {len(found)} times, where a .keras file holds it once")
    (member,) = found
    if member.flag_bits & _ENCRYPTED:
        raise _Flaw("is encrypted; save it anew without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Flaw(f"keeps '{name}' in a compression that no .keras file has")
    if member.file_size > limit:
        raise _Flaw(f"holds '{name}' of {member.file_size // 2**20:,} MiB, more than any model file should")
    if member.file_size > max(2**20, MAX_RATIO * member.compress_size):
        raise _Flaw(f"holds '{name}', which swells to more than {MAX_RATIO} times its size")
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile
    return content
