"""What scripts/benchmark/benchmark.py compares, each in a process of its own.

    python scripts/benchmark/benchmark_workers.py NAME SETTINGS

A worker sets itself up, says so, and then waits: for each line on standard input it does its work for a while
and answers with the mean time that took. Each line of its answers is a JSON object. A process of its own, as
libraries hold settings for a whole process, and ours (see `clothinggan.environment.import_tensorflow`) are
part of this project's speed.
"""

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import rivals
from workload import IMAGES, Settings, Work, random_images, random_labels

from clothinggan.presets import Preset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from clothinggan.gan import GAN

LIBRARIES = ("tensorflow", "keras", "tf_keras", "torch", "numpy")
# A side of the matrices whose product is the limit: larger ones are no faster.
SIDE = 2048
LEAST_SECONDS = 0.5  # that a turn takes


@dataclass(frozen=True)
class Variant:
    """One thing to time.

    Attributes:
        title: What it is, for the table.
        precision: What it computes in.
        set_up: Makes the work: a function that returns when its result is there, and what it returns.
        needs: A module that it cannot do without, and which is no requirement of the project.
        only: The one design that there is such a thing of; None for all.
    """

    title: str
    precision: str
    set_up: Callable[[Settings], Work]
    needs: str | None = None
    only: str | None = None


# One training step.


def set_up_ours(precision: str, plain: bool = False) -> Callable[[Settings], Work]:
    """This project's step, as `fit` runs it, down to the metrics; `plain` has Keras compute the layers."""

    def set_up(settings: Settings) -> Work:
        gan = make_gan(settings.preset, precision, plain)  # First: it sets how TensorFlow is imported.
        from clothinggan.data.batches import batches

        gan.make_train_function()
        images = random_images(IMAGES)
        arrays = (images, random_labels(IMAGES)) if settings.preset.conditional else images
        stream = iter(batches(arrays, settings.batch_size, seed=0, epoch=0, step_in_epoch=0))
        return lambda: {name: float(value) for name, value in gan.train_function(stream).items()}

    return set_up


def make_gan(
    preset: Preset, precision: str, plain: bool = False, all_cores_for_each_operation: bool = False
) -> "GAN":
    """A design, with this project's settings of TensorFlow.

    One large operation is as fast as it can be only where it has all cores.
    """
    from clothinggan import environment

    environment.import_tensorflow()
    if all_cores_for_each_operation:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(environment.core_count())
    import keras

    from clothinggan.gan import GAN
    from clothinggan.models import build_networks

    networks = build_networks(preset, seed=0)
    if plain:
        # The fast forms are for stacks of layers; the same layers as a general model are left to Keras.
        networks = [keras.Model(network.inputs, network.outputs[0]) for network in networks]
    return GAN(preset, *networks, seed=0, precision=precision)


def set_up_limit(precision: str) -> Callable[[Settings], Work]:
    """One product of large matrices that takes as many operations as a step."""

    def set_up(settings: Settings) -> Work:
        gan = make_gan(settings.preset, precision, all_cores_for_each_operation=True)
        flops = step_flops(gan, settings.batch_size)
        multiply = matrix_product(flops, precision)

        def work() -> dict[str, int]:
            multiply()
            return {"flops": flops}

        return work

    return set_up


def matrix_product(flops: int, precision: str, parts: int = 1) -> Work:
    """A product of a (rows, SIDE) and a (SIDE, SIDE) matrix that takes this many operations.

    Where an operation has one thread, as those of a step have, the rows are multiplied in parts side by side.
    """
    import tensorflow as tf

    rows = round(flops / (2 * SIDE * SIDE * parts))
    *some, others = (
        tf.cast(tf.random.normal((length, SIDE), stddev=0.1), precision) for length in [rows] * parts + [SIDE]
    )
    multiply = tf.function(lambda: [tf.matmul(share, others) for share in some], autograph=False)
    return lambda: wait_for(multiply())


# What a step consists of.


class Use(NamedTuple):
    """How often a step computes a layer, on how many images at a time.

    `passes` counts the layer's output, the others its gradients.
    """

    part: str
    layer: "keras.Layer"
    images: int
    passes: int
    of_inputs: int
    of_weights: int


def uses_of_layers(gan: "GAN", batch_size: int) -> Iterator[Use]:
    """The layers' share of a step, see `GAN.train_step`."""
    # Once for the discriminator to learn from, once to learn itself, unless the same images serve both.
    passes = 1 if gan.preset.shared_fakes else 2
    for layer in gan.generator.layers:
        yield Use("generator", layer, batch_size, passes, layer is not gan.generator.layers[0], 1)
    for layer in gan.discriminator.layers:
        first = layer is gan.discriminator.layers[0]
        yield Use("discriminator", layer, 2 * batch_size, 1, not first, 1)
        # Frozen: the gradient only passes through.
        yield Use("discriminator", layer, batch_size, 1, 1, 0)


def step_flops(gan: "GAN", batch_size: int) -> int:
    """Multiplications and additions of a step's convolutions and dense layers, counted as two."""
    return sum(
        layer_flops(use.layer, use.images) * (use.passes + use.of_inputs + use.of_weights)
        for use in uses_of_layers(gan, batch_size)
    )


def layer_flops(layer: "keras.Layer", images: int) -> int:
    """The operations of a layer's output; either gradient takes as many. 0 for layers without a kernel.

    What falls on the padding counts too.
    """
    from keras import layers

    match layer:
        case layers.Conv2DTranspose():
            pixels = layer.input.shape[1] * layer.input.shape[2]
        case layers.Conv2D():
            pixels = layer.output.shape[1] * layer.output.shape[2]
        case layers.Dense():
            pixels = 1
        case _:
            return 0
    weights = 1
    for size in layer.kernel.shape:
        weights *= size
    return 2 * images * pixels * weights


class Part(NamedTuple):
    """A piece of a step that is timed by itself: once is one execution of `work`."""

    row: str
    work: Work
    times: int
    flops: int


def set_up_profile(precision: str) -> Callable[[Settings], Work]:
    """The time of each part of our step, as a graph of its own, beside the whole step and the limit."""

    def set_up(settings: Settings) -> Work:
        from clothinggan import environment

        step = set_up_ours(precision)(settings)
        gan = make_gan(settings.preset, precision)
        flops = step_flops(gan, settings.batch_size)
        parts = [
            Part("whole step", step, 1, flops),
            Part("limit", matrix_product(flops, precision, environment.batch_parts()), 1, flops),
            *step_parts(gan, settings.batch_size),
        ]

        def profile() -> dict[str, list[dict[str, object]]]:
            seconds = [[] for _ in parts]
            for each in range(1 + settings.rounds):
                for part, taken in zip(parts, seconds, strict=True):
                    started = time.perf_counter()
                    part.work()
                    if each > 0:  # The first builds the graph.
                        taken.append(time.perf_counter() - started)
            rows: dict[str, dict[str, object]] = {}
            for part, taken in zip(parts, seconds, strict=True):
                row = rows.setdefault(part.row, {"part": part.row, "seconds": 0.0, "flops": 0})
                row["seconds"] += statistics.median(taken) * part.times
                row["flops"] += part.flops * part.times
            return {"parts": list(rows.values())}

        return profile

    return set_up


def step_parts(gan: "GAN", batch_size: int) -> Iterator[Part]:
    """All of a step, in pieces."""
    import tensorflow as tf

    dtype = gan.composite.computes_in
    for use in uses_of_layers(gan, batch_size):
        yield from layer_parts(use, dtype)
    draw = tf.function(
        lambda: tf.random.stateless_normal((batch_size, gan.latent_size), [0, 0]), autograph=False
    )
    yield Part("latent vectors", lambda: wait_for(draw()), 1 if gan.preset.shared_fakes else 2, 0)
    for model, optimizer in (
        (gan.generator, gan.generator_optimizer),
        (gan.discriminator, gan.discriminator_optimizer),
    ):
        yield Part("Adam", adam_work(model, optimizer), 1, 0)
    if gan.preset.averages:
        average = tf.function(gan._average, autograph=False)
        yield Part("averaging", average, 1, 0)


def layer_parts(use: Use, dtype: "tf.DType") -> Iterator[Part]:
    """A layer's share, as `clothinggan.fast_layers` computes it: output, gradients."""
    import keras
    import tensorflow as tf

    from clothinggan import fast_layers
    from clothinggan.environment import batch_parts

    layer, images = use.layer, use.images
    model = keras.Sequential([keras.Input(layer.input.shape[1:]), layer])
    x, upstream = (
        tf.cast(tf.random.normal((images, *tensor.shape[1:])), dtype)
        for tensor in (layer.input, layer.output)
    )
    variables = [variable.value for variable in layer.trainable_variables]

    def output() -> "tf.Tensor":
        return fast_layers.apply(model, x, training=True, dtype=dtype, parts=batch_parts())

    def gradients(of_inputs: bool, of_weights: bool) -> object:
        targets = [x] * of_inputs + variables * of_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            y = output()
        # The graph leaves out what no result needs: often the output.
        return tape.gradient(y, targets, upstream)

    def compiled(compute: Work) -> Work:
        graph = tf.function(compute, autograph=False)
        return lambda: wait_for(graph())

    flops = layer_flops(layer, images)
    name = type(layer).__name__
    if flops:
        row = f"{use.part}, {name} {_size(layer.input)} to {_size(layer.output)}"
        yield Part(f"{row}: output", compiled(output), use.passes, flops)
        if use.of_inputs:
            of_inputs = compiled(lambda: gradients(True, False))
            yield Part(f"{row}: gradient of its input", of_inputs, use.of_inputs, flops)
        if use.of_weights:
            of_weights = compiled(lambda: gradients(False, True))
            yield Part(f"{row}: gradient of its weights", of_weights, use.of_weights, flops)
    elif name in ("BatchNormalization", "Dropout", "LeakyReLU", "ReLU"):
        row = f"{use.part}, {name}"
        # The gradient needs what the output has computed, so they are timed together.
        with_gradient = max(use.of_inputs, use.of_weights)

        def both() -> object:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                y = output()
            return y, tape.gradient(y, x, upstream)

        yield Part(row, compiled(both), with_gradient, 0)
        if use.passes > with_gradient:
            yield Part(row, compiled(output), use.passes - with_gradient, 0)


def _size(tensor: "keras.KerasTensor") -> str:
    return "x".join(map(str, tensor.shape[1:]))


def adam_work(model: "keras.Model", optimizer: "keras.optimizers.Optimizer") -> Work:
    """One update of a network's weights."""
    import tensorflow as tf

    variables = model.trainable_variables
    gradients = [tf.random.normal(variable.shape) for variable in variables]

    @tf.function(autograph=False)
    def update() -> "tf.Tensor":
        optimizer.apply(gradients, variables)
        return optimizer.iterations.value + 0

    return lambda: wait_for(update())


# Generation.


def set_up_our_generation(settings: Settings) -> Work:
    """`clothinggan.generate`."""
    generator = make_gan(settings.preset, "float32").generator
    from clothinggan.models import draw_latent_vectors, generate

    latent_vectors = draw_latent_vectors(settings.generate, generator, seed=0)

    def work() -> dict[str, int]:
        return {"images": len(generate(generator, latent_vectors))}

    return work


def set_up_predict(batch_size: int | None) -> Callable[[Settings], Work]:
    """Keras's `predict` on TensorFlow's defaults: what a user of the file alone has."""

    def set_up(settings: Settings) -> Work:
        from clothinggan.models import build_networks, draw_latent_vectors

        generator, _ = build_networks(settings.preset, seed=0)
        latent_vectors = draw_latent_vectors(settings.generate, generator, seed=0)

        def work() -> None:
            generator.predict(latent_vectors, batch_size=batch_size, verbose=0)

        return work

    return set_up


# What all have in common.


def wait_for(tensors: object) -> None:
    """Returns when the tensors have been computed."""
    import tensorflow as tf

    for tensor in tf.nest.flatten(tensors):
        if tensor is not None:
            tensor.numpy()


STEPS = {
    "ours-float32": Variant("this project", "float32", set_up_ours("float32")),
    "ours-bfloat16": Variant("this project", "bfloat16", set_up_ours("bfloat16")),
    "plain": Variant(
        "this project's step and settings, layers computed by Keras",
        "float32",
        set_up_ours("float32", plain=True),
    ),
    "keras": Variant("Keras, a `train_step` and its defaults", "float32", rivals.set_up_keras),
    "tutorial": Variant(
        "the loop of tutorials, Keras 2", "float32", rivals.set_up_tutorial, needs="tf_keras", only="clothing"
    ),
    **{
        f"torch-{precision}": Variant(
            "PyTorch, channels last", precision, rivals.set_up_torch(precision), needs="torch"
        )
        for precision in ("float32", "bfloat16")
    },
    "torch-compiled": Variant(
        "PyTorch, channels last, compiled",
        "float32",
        rivals.set_up_torch("float32", compiled=True),
        needs="torch",
    ),
    "limit-float32": Variant("the limit: matrix products", "float32", set_up_limit("float32")),
    "limit-bfloat16": Variant("the limit: matrix products", "bfloat16", set_up_limit("bfloat16")),
}
GENERATION = {
    "generate": Variant("clothinggan.generate", "float32", set_up_our_generation),
    "predict": Variant("Keras's predict", "float32", set_up_predict(None)),
    "predict-250": Variant("Keras's predict, batches of 250", "float32", set_up_predict(250)),
}
PROFILES = {
    f"profile-{precision}": Variant("profile", precision, set_up_profile(precision))
    for precision in ("float32", "bfloat16")
}
VARIANTS = {**STEPS, **GENERATION, **PROFILES}


def peak_bytes(usage: resource.struct_rusage) -> int:
    """The most memory that a process held at once."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def busy_seconds() -> float | None:
    """What all processes have used of the processors since the machine started; None if not told."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, fields)
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def timed(work: Work) -> dict[str, object]:
    """Does the work for a while: its mean time, what it returned, and how busy other processes were.

    A step of a few milliseconds is done again and again until there is something to measure.
    """
    busy_before, own_before = busy_seconds(), time.process_time()
    started = time.perf_counter()
    times = 0
    while times == 0 or time.perf_counter() - started < LEAST_SECONDS:
        details = work()
        times += 1
    seconds = time.perf_counter() - started
    answer = {"seconds": seconds / times, "details": details}
    if busy_before is not None:
        others = busy_seconds() - busy_before - (time.process_time() - own_before)
        answer["others"] = max(0.0, others) / (seconds * os.cpu_count())
    return answer


def library_versions() -> dict[str, str]:
    """The versions of those libraries that have been imported, by name."""
    return {name: metadata.version(name) for name in LIBRARIES if name in sys.modules}


def only_answers_on_stdout() -> TextIO:
    """Takes standard output for the answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def main(argv: list[str]) -> int:
    """Works on demand until standard input ends; returns the exit status."""
    answers = only_answers_on_stdout()
    work = VARIANTS[argv[0]].set_up(Settings(**json.loads(argv[1])))
    versions = {"python": platform.python_version(), **library_versions()}
    print(json.dumps({"versions": versions}), file=answers)
    for _ in sys.stdin:
        if argv[0] not in PROFILES:
            # Not timed: an idle process's memory may have been taken meanwhile, and has to be had again.
            work()
        print(json.dumps(timed(work)), file=answers)
    print(json.dumps({"peak_bytes": peak_bytes(resource.getrusage(resource.RUSAGE_SELF))}), file=answers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
