"""Weights without the layers that they are of: they are tried on the designs here.

Shapes decide. `save_weights` of Keras 2 lists them in the order of the layers. Keras 3 names them by the
layers' classes, so that nothing tells which of two classes comes first; there each layer takes the first
arrays that fit it. A file that holds more networks than one, a whole GAN's, has each under a path or a
layer's name of its own.
"""

import re
from pathlib import Path

import keras
import numpy as np

from clothinggan.checkpoint.hdf5 import Contents
from clothinggan.checkpoint.stored_weights import Part, UnfitError, listed, part_of, tree
from clothinggan.errors import ClothingGANError
from clothinggan.models import build_networks
from clothinggan.presets import PRESETS, VERSION_1, Preset

MAX_LAYERS = 1_000  # of all networks in a file
Layer = tuple[str, list[np.ndarray]]


def find_design(contents: Contents, path: Path, model: str | None) -> Preset:
    """Returns the design whose generator's weights a file holds.

    Args:
        contents: What the file holds.
        path: Where it comes from, for error messages.
        model: The design's name, as --model gives it; None where it is to be found by the shapes.

    Raises:
        ClothingGANError: If they fit no design, or not the named one.
    """
    rows = dict.fromkeys([*PRESETS.values(), *VERSION_1.values()])
    refusals, fitting = {}, []
    for preset in rows:
        if model not in (None, preset.name):
            continue
        try:
            _fitting(contents, build_networks(preset, seed=0)[0])
            fitting.append(preset)
        except UnfitError as unfit:
            refusals.setdefault(preset.name, unfit)
    names = dict.fromkeys(preset.name for preset in fitting)
    if len(names) == 1:
        return fitting[0]
    if names:
        raise ClothingGANError(f"{path} holds weights of {' or '.join(names)}; say which with --model")
    for preset in rows:
        if _is_discriminator(contents, preset):
            raise ClothingGANError(
                f"{path} holds the weights of {preset.name}'s discriminator; name it with resume's "
                "--discriminator-weights, beside the generator's file"
            )
    if model:
        raise ClothingGANError(
            f"{path} holds weights alone, and not of {model}'s generator: {refusals[model]}; name its design "
            "with --model, or save all of it with model.save('NAME.keras')"
        )
    raise ClothingGANError(
        f"{path} holds weights alone, without the layers that they are of, and fits none of "
        f"{', '.join(PRESETS)}; save all of it with model.save('NAME.keras')"
    )


def take_weights(network: keras.Model, contents: Contents, path: Path) -> None:
    """Gives a network the weights that a file holds for it.

    Raises:
        ClothingGANError: If they do not fit it, or are not finite.
    """
    try:
        chosen = _fitting(contents, network)
        for variable, array in chosen:
            numbers = array.astype(np.float32)
            if not np.isfinite(numbers).all():
                raise UnfitError(f"its weights for '{variable.path}' have NaN or infinite numbers")
            variable.assign(numbers)
    except UnfitError as unfit:
        raise ClothingGANError(f"{path} cannot be used: {unfit}") from unfit


def _is_discriminator(contents: Contents, preset: Preset) -> bool:
    try:
        _fitting(contents, build_networks(preset, seed=0)[1])
    except UnfitError:
        return False
    return True


def _fitting(contents: Contents, network: keras.Model) -> list[tuple[keras.Variable, np.ndarray]]:
    """Which array is which weight of a network, in the first way that fits."""
    model = part_of(network)
    targets = _with_weights(model)
    refusals = []
    for arrays, in_order in _candidates(contents):
        if len(arrays) == 1 and len(targets) > 1:
            pairs = _flattened(model, arrays[0][1])
        else:
            pairs = _paired(targets, arrays, in_order)
        if not isinstance(pairs, str):
            return pairs
        refusals.append(pairs)
    raise UnfitError(refusals[0])


def _with_weights(part: Part) -> list[Part]:
    inner = [found for _, each in part.parts for found in _with_weights(each)]
    return ([part] if part.own else []) + inner


def _candidates(contents: Contents) -> list[tuple[list[Layer], bool]]:
    """The networks that a file may hold, each as its layers with their arrays; and whether in their order."""
    if "layer_names" in contents.attributes[""]:
        layers = [
            (name, [array for _, array in arrays if array is not None])
            for name, arrays in listed(contents, "")
        ]
        return [(layers, True), *(([layer], True) for layer in layers)]
    stored = {path: arrays for path, arrays in tree(contents).items() if not _beside_weights(path)}
    if len(stored) > MAX_LAYERS:
        raise UnfitError(f"it has weights for {len(stored)} layers")
    paths = sorted(stored, key=_naturally)
    roots = {path.rpartition("layers/")[0] for path in stored} | {""}
    return [
        ([(path, stored[path]) for path in paths if path.startswith(root)], False)
        for root in sorted(roots, key=lambda root: (root.count("/"), root))
    ]


def _beside_weights(path: str) -> bool:
    """Whether arrays are an optimiser's, a metric's, or the state of a layer's random numbers."""
    first, *_ = path.split("/")
    return first in ("optimizer", "metrics", "compile_metrics") or path.endswith("seed_generator")


def _naturally(path: str) -> list[tuple[int, str]]:
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", path)]


def _paired(
    targets: list[Part], arrays: list[Layer], in_order: bool
) -> list[tuple[keras.Variable, np.ndarray]] | str:
    """Gives each layer the first arrays that fit it, or the next ones; a text where some do not fit."""
    left, pairs = list(arrays), []
    for target in targets:
        wanted = [tuple(variable.shape) for variable in target.own]
        allowed = left[:1] if in_order else left
        index = next((index for index, layer in enumerate(allowed) if _shapes(layer) == wanted), None)
        if index is None:
            following = in_order and left and f"'{left[0][0]}' has {_said(_shapes(left[0]))}"
            found = following or "none has that"
            return f"its layer '{target.name}' has {_said(wanted)}, and in the file {found}"
        pairs += zip(target.own, left.pop(index)[1], strict=True)
    if left:
        return f"it has no layer for '{left[0][0]}' with {_said(_shapes(left[0]))}"
    return pairs


def _flattened(model: Part, arrays: list[np.ndarray]) -> list[tuple[keras.Variable, np.ndarray]] | str:
    """A whole network as Keras 2 keeps it where it is a layer of another: what is trained comes first."""
    for first in (model.trained(lambda part: True), []):
        rest = [variable for variable in model.variables if all(variable is not other for other in first)]
        order = [*first, *rest]
        if [tuple(variable.shape) for variable in order] == [array.shape for array in arrays]:
            return list(zip(order, arrays, strict=True))
    return f"it has {len(model.variables)} weights of other shapes than the {len(arrays)} in the file"


def _shapes(layer: Layer) -> list[tuple[int, ...]]:
    return [array.shape for array in layer[1]]


def _said(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join("x".join(map(str, shape)) or "a number" for shape in shapes) or "no weights"
