"""What a file is that cannot be used, told by its first bytes, and what to do with it.

Nothing in such a file is run or built: it is looked at.
"""

import json
from pathlib import Path

from clothinggan import file_kinds
from clothinggan.checkpoint import archive

_TO_KERAS = "save the generator with Keras: model.save('NAME.keras')"
_FROM_PYTORCH = (
    "is a file of PyTorch, which names weights but not what they compute; build the same layers in Keras, "
    "copy the weights, and save that with model.save('NAME.keras')"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BEGINNINGS = {
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
    b"\x93NUMPY": f"is a NumPy array, which names no layers; {_TO_KERAS}",
    b"model_checkpoint_path": "is the list of a TensorFlow checkpoint, whose weights are in other files and "
    f"name no layers; load them into the model that they are of, and {_TO_KERAS}",
}


def is_hdf5(content: bytes) -> bool:
    """Whether there is an HDF5 file in a file, at one of the places where it may begin."""
    place = 0
    while place < len(content):
        if content.startswith(_HDF5, place):
            return True
        place = max(512, 2 * place)
    return False


def describe_file(content: bytes, path: Path) -> str | None:
    """Returns what a file is and what to do with it, to be read behind its name; None if it is not known."""
    for known, what in _BEGINNINGS.items():
        if content.startswith(known):
            return what
    beginning = content[: file_kinds.BEGINNING]
    if what := file_kinds.describe_file(beginning):
        return what
    if file_kinds.is_old_pytorch(beginning):
        return _FROM_PYTORCH
    if file_kinds.is_picture(beginning):
        return "is a picture; --weights takes a model"
    ending = path.suffix.lower()
    if archive.is_zip(content):
        return _describe_zip(archive.member_names(content))
    if content[4:8] == b"TFL3":
        return f"is a TFLite model, from which no Keras model can be had; {_TO_KERAS}, then export from that"
    if file_kinds.is_pickle(beginning):
        if ending in (".pth", ".pt", ".ckpt"):
            return _FROM_PYTORCH
        return f"is a pickle, which can run any program when it is opened; {_TO_KERAS}"
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return (
            "is a safetensors file, which names weights but not what they compute; build the same layers in "
            "Keras, load the weights, and save that with model.save('NAME.keras')"
        )
    if beginning.lstrip()[:1] == b"{":
        return _describe_json(content)
    if ending == ".onnx" or (content[:1] == b"\x08" and b"onnx" in content[:200].lower()):
        return f"is an ONNX model, from which no Keras model can be had; {_TO_KERAS}, then export from that"
    if ending == ".pb":
        return f"is a part of a SavedModel, or a frozen graph; {_TO_KERAS}"
    if ending == ".index" or ".data-0" in path.name:
        return (
            "is a part of a TensorFlow checkpoint, which names no layers; load it into the model that it is "
            f"of, and {_TO_KERAS}"
        )
    return None


def describe_folder(folder: Path) -> str:
    """Returns what a folder is in the place of a file, to be read behind its name."""
    if (folder / "saved_model.pb").exists():
        return (
            "is a SavedModel, a folder that holds programs; save the generator as a file where TensorFlow is "
            f"up to 2.15: tf.keras.models.load_model('{folder.name}').save('NAME.h5')"
        )
    if (folder / archive.CONFIGURATION).exists() and (folder / archive.WEIGHTS).exists():
        return f"is an unpacked .keras file; pack it: cd {folder.name} && zip ../NAME.keras *"
    latest = sorted(folder.glob("*GANlatest.h5"))
    return "is a folder; --weights takes a file" + (f": {folder / latest[0].name}" if latest else "")


def _describe_zip(names: list[str] | None) -> str | None:
    if names is None or {archive.CONFIGURATION, archive.WEIGHTS} & set(names):
        return None
    if file_kinds.is_pytorch(names):
        return _FROM_PYTORCH
    if names and all(name.endswith(".npy") for name in names):
        return f"is an .npz file of arrays, which names no layers; {_TO_KERAS}"
    models = [name for name in names if name.endswith((".h5", ".hdf5", ".keras"))]
    if models:
        return f"is a zip file with '{models[0]}' in it; unpack it first"
    if any(name.endswith("saved_model.pb") for name in names):
        return f"is a SavedModel in a zip file; {_TO_KERAS}"
    return "is a zip file without a Keras model in it; name another file"


def _describe_json(content: bytes) -> str | None:
    try:
        described = json.loads(content[: 2**22])
    except (ValueError, RecursionError):
        return None
    if isinstance(described, dict) and "class_name" in described:
        return f"describes a model without its weights; {_TO_KERAS}, which keeps both"
    return "is a JSON text, not a model"
