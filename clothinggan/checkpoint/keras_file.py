"""A model from a file that Keras 2 or 3 wrote, built without trusting the file.

Keras's own loader builds what the file asks for, functions and custom classes included (CVE-2025-9905),
and Keras 3 does not read every Keras 2 file. Here the file's configuration is only read: each layer is
one of the stock classes of `clothinggan.checkpoint.stock_layers`, made by its constructor from plain
numbers and words, and nothing else of the file has any effect.
"""

import contextlib
import json
import math
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from clothinggan import fast_layers
from clothinggan.checkpoint import stock_layers
from clothinggan.checkpoint.hdf5 import Contents
from clothinggan.checkpoint.record import MAX_CLASSES, MAX_CONFIGURATION_LENGTH
from clothinggan.checkpoint.stock_layers import MERGES, input_shape, make_layer
from clothinggan.checkpoint.stored_weights import Part, UnfitError, set_weights
from clothinggan.errors import ClothingGANError
from clothinggan.models import tell_classes
from clothinggan.presets import CLASSES

# Bounds on what a generator may ask for, for one image; the larger of the published designs has 2.2 million
# weights, layers of up to 0.1 and in all 0.8 million numbers, and 0.8 billion products. What is bounded by
# them are memory and time: 25 images take seconds, and a batch to train on fits where this program runs.
MAX_WEIGHTS = 2**26
MAX_OUTPUTS = 2**22
MAX_PRODUCTS = 2**31
MAX_LATENT_SIZE = 10_000
MAX_LAYERS = 300
MAX_NESTING = 8
_NARROW = 16  # A convolution with fewer filters takes as long as one with so many.
_MODELS = ("Sequential", "Functional", "Model")


def build_model(contents: Contents, path: Path) -> keras.Model:
    """Builds the model that a file of Keras holds, with its weights.

    A model of two inputs, latent vector and class, becomes one of a single input: the latent numbers, then
    as many numbers as there are classes, of which that of the class is 1 and the others are 0.

    Args:
        contents: What the file holds.
        path: Where it comes from, for error messages.

    Returns:
        An uncompiled float32 model, which was told its classes where they are an input of their own: see
        `clothinggan.models.class_names`.

    Raises:
        ClothingGANError: If there is no model, or it has a layer, an argument, a size or a weight that
            an image generator or discriminator does not need, or it cannot be computed.
    """
    text = contents.attributes[""].get("model_config")
    if not isinstance(text, str):
        raise ClothingGANError(f"{path} cannot be used: its configuration is not a text")
    _refuse_keras_1(contents, text, path)
    stored = sum(array.size for array in contents.arrays.values())
    with _naming(path):
        model, part, classes = _build(text, stored, _is_of_keras_2(contents))
        set_weights(part, contents)
        _refuse_another_order(model, part, contents)
        _try(model)
    return tell_classes(model, map(str, range(classes)), apart=True)


def build_layers(text: str, weights: int, path: Path) -> keras.Model:
    """Builds a model from its configuration alone, as `build_model` does, with weights that mean nothing.

    Args:
        text: The configuration, as Keras saves it.
        weights: How many numbers there are for its weights; it must not want more.
        path: Where it comes from, for error messages.

    Raises:
        ClothingGANError: See `build_model`.
    """
    with _naming(path):
        model, _, _ = _build(text, weights)
        _try(model)
    return model


def _build(text: str, weights: int, of_keras_2: bool = False) -> tuple[keras.Model, Part, int]:
    """The model of a configuration, what its weights are for, and how many classes it takes apart."""
    if len(text) > MAX_CONFIGURATION_LENGTH:
        raise UnfitError("its configuration is longer than any generator's")
    builder = _Builder(of_keras_2)
    with _bounded_weights(min(weights, MAX_WEIGHTS)):
        model, part = builder.build(json.loads(text))
    return model, part, builder.classes


def _try(model: keras.Model) -> None:
    """Computes it once: layers may fit together on paper alone."""
    fast_layers.apply(model, np.zeros((2, *model.input_shape[1:]), np.float32), training=False)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Has whatever is wrong with a model named by one line, with the file that it is of."""
    try:
        yield
    except UnfitError as unfit:
        raise ClothingGANError(f"{path} cannot be used: {unfit}") from unfit
    except RecursionError as error:
        raise ClothingGANError(f"{path} cannot be used: its configuration nests too deep") from error
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # That is no fault of the file's.
    except Exception as error:
        # Keras and TensorFlow raise a dozen kinds where arguments do not fit together; on one line.
        detail = " ".join(str(error).split())[:200]
        raise ClothingGANError(f"{path} does not describe a model that can be built: {detail}") from error


def _refuse_another_order(model: keras.Model, part: Part, contents: Contents) -> None:
    """Refuses a run whose optimiser's variables stand in another order than the generator's would here.

    Earlier versions kept models within a generator of somebody else's; only of one with branches of such
    does the order differ.
    """
    then = [id(variable) for variable in part.trained(lambda inner: True)]
    now = [id(variable) for variable in model.trainable_weights]
    if then != now and any(name.startswith("clothinggan/state/") for name in contents.arrays):
        raise UnfitError("it is a run of a generator with models in it; go on with an earlier version")


def _refuse_keras_1(contents: Contents, text: str, path: Path) -> None:
    version = contents.attributes[""].get("keras_version")
    older = isinstance(version, str) and version.startswith(("0.", "1."))
    # The oldest files name no version, and neither do new ones.
    if older or (version is None and re.search(r'"(border_mode|nb_filter|Deconvolution2D)"', text)):
        raise ClothingGANError(
            f"{path} is a file of Keras 1, whose layers are described in other words; open it with Keras 2.2 "
            "(pip install keras==2.2.5) and save it anew with model.save()"
        )


def _is_of_keras_2(contents: Contents) -> bool:
    return str(contents.attributes[""].get("keras_version")).startswith("2.")


def half_precision(contents: Contents) -> str | None:
    """Returns in what less than float32 the program computed that saved a model; None if in no less."""
    found = re.search(r'"((mixed_)?b?float16)"', str(contents.attributes[""].get("model_config")))
    return found and found[1]


@contextlib.contextmanager
def _bounded_weights(limit: int) -> Iterator[None]:
    """Refuses layers that want more weights than the file holds, before memory is taken for them."""
    remaining = limit
    this_thread = threading.get_ident()

    def add_weight(layer: keras.Layer, shape: tuple = (), *args: Any, **kwargs: Any) -> keras.Variable:
        nonlocal remaining
        if threading.get_ident() == this_thread:
            remaining -= math.prod(shape)
            if remaining < 0 or min(shape, default=0) < 0:
                raise UnfitError(f"its layer '{layer.name}' is larger than the weights in the file")
        return original(layer, shape, *args, **kwargs)

    # It is all threads' method: one at a time puts another in its place and takes that away again.
    with _replacing_add_weight:
        original = layers.Layer.add_weight
        layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            layers.Layer.add_weight = original


_replacing_add_weight = threading.Lock()


@dataclass
class _Label:
    """The class as a tensor of a file's own form, which here is ten numbers of which one is 1.

    Attributes:
        one_hot: (n, classes).
        shape: What one of it is shaped like in the file.
    """

    one_hot: keras.KerasTensor
    shape: tuple[int, ...]


class _Builder:
    """Builds a model from its configuration, and keeps count of what it asks for.

    Models within the model are taken apart: their layers become layers of the one that is built, a stack
    wherever it is one. So what is drawn, trained and saved is the same kind of model for every file.
    """

    def __init__(self, of_keras_2: bool):
        self.of_keras_2 = of_keras_2
        self.layers = self.nesting = self.outputs = self.products = 0
        self.classes = 0
        # What has been made of each configuration: a layer that is used at several places is made once.
        self.made: dict[int, tuple[list[keras.Layer], Part]] = {}
        self.names: set[str] = set()
        self.calls: list[
            tuple[keras.Layer, Any, keras.KerasTensor]
        ] = []  # a layer, on what, and what it gave

    def build(self, configuration: dict) -> tuple[keras.Model, Part]:
        """Builds the file's model, which may have a class as its second input."""
        with self._inside(configuration) as (layer_list, inner):
            if configuration["class_name"] == "Sequential":
                shape = _first_shape(configuration)
                if shape is None:
                    raise UnfitError("its first layer does not say the shape of its input")
                first = keras.Input(shape, dtype="float32")
                # As a Sequential does: its weights have the same names in each file of a run.
                with keras.name_scope(str(_name(configuration) or "sequential").replace("/", "_")):
                    last = self._stack(layer_list, first)
            else:
                first, given = self._inputs(inner)
                last = self._connect(inner, given)
        if isinstance(last, _Label):
            raise UnfitError("it draws nothing of its class")
        name = self._unique(_name(configuration))
        if self._is_a_stack(first, last):
            model = keras.Sequential([first, *(layer for layer, _, _ in self.calls)], name=name)
        else:
            model = keras.Model(first, last, name=name)
        return model, self._part(configuration, layer_list)

    def _is_a_stack(self, first: keras.KerasTensor, last: keras.KerasTensor) -> bool:
        """Whether each layer was called once, on what the one before it gave."""
        results = [first, *(result for _, _, result in self.calls)]
        follows = all(given is before for (_, given, _), before in zip(self.calls, results, strict=False))
        return (
            follows
            and results[-1] is last
            and len({id(layer) for layer, _, _ in self.calls}) == len(self.calls)
        )

    @contextlib.contextmanager
    def _inside(self, configuration: dict) -> Iterator[tuple[list, dict]]:
        class_name, inner = configuration["class_name"], configuration["config"]
        if class_name not in _MODELS:
            raise UnfitError(f"its model is of the class '{class_name}', not one of {', '.join(_MODELS)}")
        inner = inner if isinstance(inner, dict) else {"layers": inner}
        layer_list = inner["layers"]
        self.layers += len(layer_list)
        if not layer_list or self.layers > MAX_LAYERS:
            raise UnfitError(f"it has {self.layers or 'no'} layers")
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise UnfitError("its configuration nests too deep")
        yield layer_list, inner
        self.nesting -= 1

    def _part(self, configuration: dict, layer_list: list) -> Part:
        inner = configuration["config"]
        frozen = isinstance(inner, dict) and inner.get("trainable") is False
        parts = [("layers", self.made[id(inner)][1]) for inner in layer_list if id(inner) in self.made]
        return Part(configuration["class_name"], _name(configuration), not frozen, parts=parts)

    # Layers on each other.

    def _inputs(self, inner: dict) -> tuple[keras.KerasTensor, list]:
        """Makes the input of a graph; returns it, and what stands for each of the graph's inputs."""
        configurations = {_name(configuration): configuration for configuration in inner["layers"]}
        names = _layer_names(inner["input_layers"])
        shapes = [input_shape(configurations[name]) for name in names]
        if None in shapes:
            raise UnfitError("its first layer does not say the shape of its input")
        if len(names) == 2:
            return self._latent_vector_and_class(names, shapes, configurations)
        if len(names) != 1:
            raise UnfitError(f"it has {len(names)} inputs, where a latent vector is supported, and a class")
        first = keras.Input(shapes[0], dtype="float32", name=self._unique(names[0]))
        return first, [first]

    def _stack(self, layer_list: list, tensor: "keras.KerasTensor | _Label") -> "keras.KerasTensor | _Label":
        """Calls each layer of a stack on what the one before it gives."""
        for configuration in layer_list[layer_list[0]["class_name"] == "InputLayer" :]:
            tensor = self._apply(configuration, [tensor])
        return tensor

    def _connect(self, inner: dict, given: list) -> "keras.KerasTensor | _Label":
        """Calls the layers of a graph on each other, `given` being its inputs; returns its output."""
        inputs, outputs = _layer_names(inner["input_layers"]), _layer_names(inner["output_layers"])
        if len(outputs) != 1:
            raise UnfitError(f"it has {len(outputs)} outputs, where one is supported")
        waiting, uses = [], {}
        for configuration in inner["layers"]:
            name = _name(configuration)
            if name not in inputs:
                nodes = configuration["inbound_nodes"]
                uses[name] = len(nodes)
                waiting += [
                    (configuration, (name, index), _sources(node, name)) for index, node in enumerate(nodes)
                ]
        if len(waiting) > MAX_LAYERS:
            raise UnfitError(f"it uses its layers at {len(waiting)} places")
        # Keras 2 counts a model's own inside as its first use, so that it is called on from 1.
        used = [source for *_, sources in waiting for source in sources]
        first = {name: min(index for other, index in used if other == name) for name, _ in used}
        tensors = {(name, 0): tensor for name, tensor in zip(inputs, given, strict=True)}
        while waiting:
            still = []
            for configuration, key, sources in waiting:
                keys = [(name, index - first[name]) for name, index in sources]
                if all(source in tensors for source in keys):
                    tensors[key] = self._apply(configuration, [tensors[source] for source in keys])
                else:
                    still.append((configuration, key, sources))
            if len(still) == len(waiting):
                raise UnfitError(f"its layer '{still[0][1][0]}' is connected to nothing")
            waiting = still
        # Of a layer that is used several times the last use gives the output: the others lead to it.
        return tensors[(outputs[0], uses.get(outputs[0], 1) - 1)]

    def _apply(self, configuration: dict, sources: list) -> "keras.KerasTensor | _Label":
        """Calls a layer, or the layers of a model, on what comes from others."""
        if configuration["class_name"] in _MODELS:
            with self._inside(configuration) as (layer_list, inner):
                if configuration["class_name"] == "Sequential":
                    (source,) = sources
                    tensor = self._stack(layer_list, source)
                else:
                    tensor = self._connect(inner, sources)
            self.made.setdefault(id(configuration), ([], self._part(configuration, layer_list)))
            return tensor
        if any(isinstance(source, _Label) for source in sources):
            return self._apply_to_class(configuration, sources)
        if id(configuration) not in self.made:
            name = self._unique(_name(configuration))
            self.made[id(configuration)] = make_layer(configuration, name, self.of_keras_2)
        layer, *activations = self.made[id(configuration)][0]
        if isinstance(layer, MERGES) != (len(sources) > 1):
            raise UnfitError(
                f"its layer '{_name(configuration)}' takes {len(sources)} inputs, which is not supported"
            )
        tensor = self._call(layer, sources if len(sources) > 1 else sources[0])
        for activation in activations:
            tensor = self._call(activation, tensor)
        return tensor

    def _call(self, layer: keras.Layer, given: "keras.KerasTensor | list") -> keras.KerasTensor:
        """Calls a layer once what it makes of an image has been counted, before it is built."""
        self._count(layer, [one.shape for one in given] if isinstance(given, list) else given.shape)
        self.calls.append((layer, given, layer(given)))
        return self.calls[-1][-1]

    def _unique(self, name: str | None) -> str | None:
        """A name that no other layer has: of models within the model each has names of its own."""
        if not isinstance(name, str):
            return None
        name = name.replace("/", "_")  # Keras 3 takes it for the border of a path.
        found, number = name, 1
        # Its activation may be another layer, which is called after it.
        while {found, f"{found}_activation"} & self.names:
            found, number = f"{name}_{number}", number + 1
        self.names |= {found, f"{found}_activation"}
        return found

    def _count(self, layer: keras.Layer, shape: tuple | list[tuple]) -> None:
        output_shape = layer.compute_output_shape(shape)
        outputs = math.prod(output_shape[1:])
        self.outputs += outputs
        self.products += _products(layer, shape, output_shape)
        largest = max(self.outputs, _scratch(layer, shape))
        if outputs > stock_layers.MAX_LAYER_OUTPUTS or largest > MAX_OUTPUTS:
            raise UnfitError(f"its layer '{layer.name}' gives {output_shape[1:]} numbers an image")
        if self.products > MAX_PRODUCTS:
            raise UnfitError(f"its layer '{layer.name}' takes more computing than any generator of images")

    # A class as the second input.

    def _latent_vector_and_class(
        self, names: list[str], shapes: list[tuple], configurations: dict[str, dict]
    ) -> tuple[keras.KerasTensor, list]:
        """Makes one input of two; returns it, and what stands for the two in the file's graph."""
        sizes = [math.prod(shape) for shape in shapes]
        label = _which_is_the_class(names, sizes)
        self.classes = sizes[label] if sizes[label] > 1 else _embedded_classes(configurations.values())
        latent_size = sizes[1 - label]
        size = latent_size + self.classes
        both = keras.Input((size,), dtype="float32", name=self._unique("vector_and_class"))
        column = self._call(layers.Reshape((-1, 1), name=self._unique("column")), both)
        cut = {
            "latent_vector": ((0, self.classes), shapes[1 - label]),
            "class": ((latent_size, 0), (self.classes,)),
        }
        given = []
        for name, (ends, shape) in cut.items():
            numbers = self._call(layers.Cropping1D(ends, name=self._unique(f"{name}_cut")), column)
            given.append(self._call(layers.Reshape(shape, name=self._unique(name)), numbers))
        if sizes[label] == 1:
            given[1] = _Label(given[1], shapes[label])
        return both, given[::-1] if label == 0 else given

    def _apply_to_class(self, configuration: dict, sources: list) -> "keras.KerasTensor | _Label":
        """Calls a layer on the class: what looks a row up is a product with the one-hot class."""
        class_name, inner = configuration["class_name"], configuration["config"]
        name = _name(configuration)
        as_a_number = UnfitError(f"its layer '{name}' takes the class as a number, which is not supported")
        if len(sources) != 1:
            raise as_a_number
        (label,) = sources
        match class_name:
            case "Embedding":
                if inner.get("input_dim") != self.classes:
                    raise UnfitError(f"its layer '{name}' is of another number of classes than the others")
                rows = {"class_name": "Dense", "config": {"units": inner["output_dim"], "use_bias": False}}
                if id(configuration) not in self.made:
                    (lookup,), _ = make_layer(rows, self._unique(name))
                    frozen = inner.get("trainable") is False
                    part = Part(class_name, name, not frozen, lookup)
                    self.made[id(configuration)] = [lookup], part
                tensor = self._call(self.made[id(configuration)][0][0], label.one_hot)
                shape = (*label.shape, tensor.shape[-1])
                return self._call(layers.Reshape(shape, name=self._unique(f"{name}_row")), tensor)
            case "Flatten" | "Reshape" | "Dropout" | "Activation" | "Identity":
                ((layer, *others), _) = make_layer(configuration, None)
                if others or (class_name == "Activation" and inner.get("activation") != "linear"):
                    raise as_a_number
                return _Label(label.one_hot, tuple(layer.compute_output_shape((None, *label.shape))[1:]))
            case "CategoryEncoding":
                if (inner.get("num_tokens"), inner.get("output_mode")) == (self.classes, "one_hot"):
                    return label.one_hot
                raise UnfitError(f"its layer '{name}' does not make the class one-hot")
            case _:
                raise as_a_number


def _products(layer: keras.Layer, shape: tuple | list[tuple], output_shape: tuple) -> int:
    """About how many products a layer computes for one image, slow ones counted as the several they cost."""
    outputs = math.prod(output_shape[1:])
    match layer:
        case layers.SpectralNormalization():
            return _products(layer.layer, shape, output_shape)
        case layers.Conv2DTranspose():
            # Each number that goes in is spread by the kernel to each filter.
            return math.prod(shape[1:]) * math.prod(layer.kernel_size) * max(layer.filters, _NARROW)
        case layers.Dense():
            return outputs * shape[-1]
        case layers.DepthwiseConv2D():
            return outputs * math.prod(layer.kernel_size) * _NARROW
        case layers.SeparableConv2D():
            each = math.prod(layer.kernel_size) * _NARROW + layer.filters
            return math.prod(output_shape[1:3]) * shape[-1] * layer.depth_multiplier * each
        case layers.Conv2D():
            filters = max(layer.filters, _NARROW * layer.groups)
            return (
                math.prod(output_shape[1:3])
                * math.prod(layer.kernel_size)
                * (shape[-1] // layer.groups)
                * filters
            )
        case layers.AveragePooling2D() | layers.MaxPooling2D():
            return outputs * math.prod(layer.pool_size) * _NARROW
        case layers.UpSampling2D():
            return outputs * _NARROW
        case _:
            return outputs


def _scratch(layer: keras.Layer, shape: tuple | list[tuple]) -> int:
    """How many numbers TensorFlow keeps for one image besides a layer's output."""
    if isinstance(layer, layers.Conv2DTranspose):
        return math.prod(shape[1:-1]) * math.prod(layer.kernel_size) * layer.filters
    return 0


def _name(configuration: dict) -> str | None:
    inner = configuration["config"]
    return configuration.get("name") or (inner.get("name") if isinstance(inner, dict) else None)


def _first_shape(configuration: dict) -> tuple[int, ...] | None:
    """The shape that goes into a model, wherever one of Keras's versions says it; None where none does."""
    inner = configuration["config"]
    layer_list = inner["layers"] if isinstance(inner, dict) else inner
    first = layer_list[0]
    if configuration["class_name"] != "Sequential":
        names = _layer_names(inner["input_layers"])
        first = next(layer for layer in layer_list if _name(layer) == names[0])
    shape = _first_shape(first) if first["class_name"] in _MODELS else input_shape(first)
    said = [inner if isinstance(inner, dict) else {}, configuration.get("build_config") or {}]
    return shape or next(filter(None, map(stock_layers.built_shape, said)), None)


def _which_is_the_class(names: list[str], sizes: list[int]) -> int:
    """Which of two inputs is the class: a single number, by its name, ten numbers, or the shorter vector."""
    named = [any(word in name.lower() for word in ("label", "class", "cond")) for name in names]
    for alike in ([size == 1 for size in sizes], named, [size == CLASSES for size in sizes]):
        if alike.count(True) == 1:
            return alike.index(True)
    return int(sizes[1] <= sizes[0])


def _embedded_classes(configurations: Iterable[dict]) -> int:
    """How many classes there are: what the layer that takes the class as a number has rows for."""
    waiting, found = list(configurations), set()
    while waiting:
        configuration = waiting.pop()
        inner = configuration["config"]
        match configuration["class_name"]:
            case "Embedding":
                found.add(inner["input_dim"])
            case "CategoryEncoding":
                found.add(inner["num_tokens"])
            case name if name in _MODELS:
                waiting += inner["layers"] if isinstance(inner, dict) else inner
    if len(found) != 1:
        raise UnfitError("it has two inputs, of which none goes through one Embedding, as a class does")
    (count,) = found
    if type(count) is not int or not 2 <= count <= MAX_CLASSES:
        raise UnfitError(f"it has {count} classes, where 2 to {MAX_CLASSES} are supported")
    return count


def _references(places: list | dict) -> list[tuple[str, int]]:
    """The layers, and which of their uses, in ``["dense", 0, 0]``, or in a list or a mapping of such."""
    if isinstance(places, dict):
        places = list(places.values())
    if places and isinstance(places[0], str):
        places = [places]
    return [(name, index) for name, index, *_ in places]


def _layer_names(places: list | dict) -> list[str]:
    return [name for name, _ in _references(places)]


def _sources(node: list | dict, name: str) -> list[tuple[str, int]]:
    """What the layer `name` is called on, in Keras 2's notation or in Keras 3's: layers, and their uses."""
    if isinstance(node, list):
        # Of a single source the oldest files leave one pair of brackets out.
        sources = [node] if node and isinstance(node[0], str) else node
        found = [(source, index) for source, index, *_ in sources]
        others = [options for _, _, _, *rest in sources for options in rest]
    else:
        found, others = [], [node.get("kwargs", {})]
        waiting = list(reversed(node["args"]))
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting.extend(reversed(value))
            elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                source, index, *_ = value["config"]["keras_history"]
                found.append((source, index))
            else:
                others.append({"": value})
    # Left out they would be left out silently: `images * 0.5` and `layer(x, training=True)` are such calls.
    # Drawing is never training.
    nothing = (None, [None], [None, None])  # as a mask for each of what it is called on
    said = [
        (option, value) for options in others for option, value in options.items() if value not in nothing
    ]
    if any(option != "training" or value is not False for option, value in said):
        raise UnfitError(f"its layer '{name}' is called with more than images; use a layer, as Rescaling")
    if not found:
        raise UnfitError(f"its layer '{name}' is connected to nothing")
    return found
