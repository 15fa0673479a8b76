"""Which of a file's arrays is which weight of a model, in each of the layouts that Keras has used.

The older layout, of ``.h5`` files, is a list: the model's layers in their order, and for each the names of
its arrays in their order. Keras 2 and 3 put what is trained before what is not, so that a layer that was
frozen when the file was saved has its arrays in another order. The newer one, of ``.keras`` and
``.weights.h5`` files, is a tree: ``layers/conv2d_1/vars/0`` is the first array of the second Conv2D.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from clothinggan.checkpoint.hdf5 import Contents

ROOT = "model_weights"  # of the older layout, in a file that holds a whole model
# What a weight is called in the file, and in the layer that has it here.
_OTHER_NAMES = {"depthwise_kernel": "kernel", "embeddings": "kernel"}


class UnfitError(Exception):
    """Says what in a file is not acceptable."""


@dataclass
class Part:
    """A layer of a file, and what holds its weights here.

    Attributes:
        class_name: The class that the file gives it.
        name: The name that the file gives it.
        trainable: Whether it was not frozen when the file was saved.
        layer: The layer here with its own weights; None for what has none but its parts'.
        parts: The layers in it, each with the name of the attribute that it is of; a model's are `layers`.
    """

    class_name: str
    name: str
    trainable: bool = True
    layer: keras.Layer | None = None
    parts: list[tuple[str, "Part"]] = field(default_factory=list)

    @property
    def own(self) -> list[keras.Variable]:
        """The layer's own weights in Keras's order, what is trained first."""
        match self.layer:
            case None:
                return []
            case layers.SpectralNormalization():
                # It counts the kernel of the layer in it among its own.
                return [self.layer.kernel, self.layer.vector_u]
            case _:
                return [*self.layer.trainable_weights, *self.layer.non_trainable_weights]

    @property
    def variables(self) -> list[keras.Variable]:
        """All weights, its own first."""
        inner = [variable for _, part in self.parts for variable in part.variables]
        return _once([*self.own, *inner])

    def trained(self, is_trainable: Callable[["Part"], bool]) -> list[keras.Variable]:
        """The weights that were trained, where `is_trainable` tells of a part whether it was not frozen."""
        if not is_trainable(self):
            return []
        own = [variable for variable in self.own if variable.trainable]
        inner = [variable for _, part in self.parts for variable in part.trained(is_trainable)]
        return _once([*own, *inner])


def _once(variables: list[keras.Variable]) -> list[keras.Variable]:
    return list({id(variable): variable for variable in variables}.values())


def part_of(network: keras.Model | keras.Layer) -> Part:
    """Returns a built network of stock layers as `Part`s, as Keras saves it."""
    inner = [("layers", part_of(layer)) for layer in getattr(network, "layers", [])]
    own = None if isinstance(network, keras.Model) else network
    return Part(type(network).__name__, network.name, layer=own, parts=inner)


def set_weights(model: Part, contents: Contents) -> None:
    """Gives a model the weights that a file holds for it.

    Raises:
        UnfitError: If they are not the weights of such a model, or not finite.
    """
    if ROOT in contents.attributes:
        _set_listed(model, listed(contents, ROOT))
    else:
        _set_from_tree(model, tree(contents))


# The list.


Listed = list[tuple[str, list[tuple[str, np.ndarray | None]]]]


def listed(contents: Contents, root: str) -> Listed:
    """Returns the arrays by layer, in the order and under the names that the file gives them."""
    inside = f"{root}/" if root else ""
    return [
        (layer, [(name, contents.arrays.get(f"{inside}{layer}/{name}")) for name in names])
        for layer in _names(contents, root, "layer_names")
        if (names := _names(contents, f"{inside}{layer}", "weight_names"))
    ]


def _names(contents: Contents, path: str, attribute: str) -> list[str]:
    """A list of names. Keras divides one that is too long for an attribute into names0, names1 and so on."""
    attributes = contents.attributes.get(path, {})
    parts = [attributes.get(attribute)] if attribute in attributes else []
    while (part := attributes.get(f"{attribute}{len(parts)}")) is not None:
        parts.append(part)
    return [name for part in parts if isinstance(part, list) for name in part if isinstance(name, str)]


def _set_listed(model: Part, stored: Listed) -> None:
    targets = [part for _, part in model.parts if part.variables]
    if len(targets) != len(stored):
        raise UnfitError(f"it has {len(targets)} layers with weights, and weights for {len(stored)}")
    for part, (_, arrays) in zip(targets, stored, strict=True):
        _set_in_order(part, arrays)


def _set_in_order(part: Part, arrays: list[tuple[str, np.ndarray | None]]) -> None:
    """Gives a layer its arrays, in the first of three orders in which shapes and names fit.

    What was frozen is by the file's own word. Where that does not fit, it was said or lost at another time
    than the weights were saved, and all of the layer was trained, or all of it frozen.
    """
    refusals = []
    for is_trainable in (lambda inner: inner.trainable, lambda inner: True, lambda inner: False):
        first = part.trained(is_trainable)
        frozen = {id(variable) for variable in part.variables} - {id(variable) for variable in first}
        order = [*first, *(variable for variable in part.variables if id(variable) in frozen)]
        if len(order) != len(arrays):
            raise UnfitError(f"its layer '{part.name}' has {len(order)} weights; the file has {len(arrays)}")
        refusals.append(_misfit(part, order, arrays))
        if refusals[-1] is None:
            for variable, (name, array) in zip(order, arrays, strict=True):
                _assign(variable, name, array)
            return
    raise UnfitError(refusals[0])


def _misfit(
    part: Part, variables: list[keras.Variable], arrays: list[tuple[str, np.ndarray | None]]
) -> str | None:
    for variable, (name, array) in zip(variables, arrays, strict=True):
        last_name = name.split("/")[-1].split(":")[0]
        named = variable.name in (last_name, _OTHER_NAMES.get(last_name))
        if array is None or array.shape != tuple(variable.shape) or not named:
            return f"its weight '{name}' does not fit the layer '{part.name}'"
    return None


# The tree.


def tree(contents: Contents) -> dict[str, list[np.ndarray]]:
    """Returns the arrays by the path of the layer that they are of, in the newer layout."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, array in contents.arrays.items():
        # TensorFlow 2.12 and 2.13 had another word for it.
        name = name.replace("_layer_checkpoint_dependencies", "layers")
        if match := re.fullmatch(r"(?:(.*)/)?vars/(\d{1,4})", name):
            found.setdefault(match[1] or "", {})[int(match[2])] = array
    return {path: [arrays[index] for index in sorted(arrays)] for path, arrays in found.items()}


def _set_from_tree(model: Part, stored: dict[str, list[np.ndarray]]) -> None:
    for path, part in _places(model, "", stored):
        own, arrays = part.own, stored.get(path, [])
        if len(own) != len(arrays):
            raise UnfitError(f"its layer '{part.name}' has {len(own)} weights; the file has {len(arrays)}")
        for index, (variable, array) in enumerate(zip(own, arrays, strict=True)):
            if array.shape != tuple(variable.shape):
                raise UnfitError(f"its weight '{path}/vars/{index}' does not fit the layer '{part.name}'")
            _assign(variable, f"{path}/vars/{index}", array)


def _places(part: Part, path: str, stored: dict[str, list[np.ndarray]]) -> Iterator[tuple[str, Part]]:
    """Each part with weights of its own, and its path in the file."""
    if part.own:
        yield path, part
    inside = f"{path}/" if path else ""
    of_class: dict[str, list[Part]] = {}
    for attribute, inner in part.parts:
        if attribute != "layers":
            yield from _places(inner, f"{inside}{attribute}", stored)
        elif inner.variables:
            of_class.setdefault(snake_case(inner.class_name), []).append(inner)
    for name, inners in of_class.items():
        pattern = re.compile(rf"{re.escape(inside)}layers/{name}(?:_(\d{{1,4}}))?/")
        numbers = {
            int(match[1]) if match[1] else 0: match[0].rstrip("/")
            for place in stored
            if (match := pattern.match(f"{place}/")) and stored[place]
        }
        # Numbers are left out where Keras came by a layer twice; the order holds.
        if len(numbers) != len(inners):
            raise UnfitError(
                f"it has {len(inners)} layers of the class {inners[0].class_name}, and weights for "
                f"{len(numbers)} such"
            )
        for inner, number in zip(inners, sorted(numbers), strict=True):
            yield from _places(inner, numbers[number], stored)


def snake_case(class_name: str) -> str:
    """Returns what Keras makes of a class's name for a path: ``conv2d_transpose`` of ``Conv2DTranspose``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _assign(variable: keras.Variable, name: str, array: np.ndarray) -> None:
    numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UnfitError(f"its weight '{name}' has NaN or infinite numbers")
    variable.assign(numbers)
