"""The page computes what Keras computes, does what it is asked by mouse and keys, and nothing else.

All of it is tried in a real browser without a window.
"""

import functools
import http.server
import json
import math
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ONEDNN_IS_OFF, stranger
from keras import layers
from PIL import Image
from screenshot import find_browser, start_browser, wait_until_drawn

from clothinggan import display
from clothinggan.checkpoint.file import read_checkpoint
from clothinggan.checkpoint.restore import load_generator
from clothinggan.models import build_networks, draw_latent_vectors, ends_in_tanh, generate, walk
from clothinggan.page import document
from clothinggan.page.document import Drawer, render
from clothinggan.page.plain_layers import ACTIVATIONS, plain_layers
from clothinggan.presets import PRESETS
from clothinggan.titles import title_of

GREY = 1 / 255
NAMES = ("hats", "odd socks", "scarves")


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests here."""
    found = find_browser()
    if not found:
        pytest.skip("no browser is installed: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="the extra 'page' is not installed")
    chrome = start_browser(*found)
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


class Page:
    """A page that is open in the browser."""

    def __init__(self, chromium, address, drawing=True):
        self.chromium = chromium
        chromium.get(str(address) if "://" in str(address) else Path(address).absolute().as_uri())
        if not drawing:
            self.run("waiting.clear()")
        self.settle()

    def run(self, script, *arguments):
        """What JavaScript returns."""
        return self.chromium.execute_script(script, *arguments)

    def settle(self):
        """Waits until all images are drawn."""
        wait_until_drawn(self.chromium)

    def messages(self):
        """What the console has been told since it was asked last."""
        return [entry["message"] for entry in self.chromium.get_log("browser")]

    def find(self, selector):
        return self.chromium.find_element("css selector", selector)

    def click(self, selector):
        self.find(selector).click()
        self.settle()

    def press(self, selector, *keys):
        self.find(selector).send_keys(*keys)
        self.settle()

    def slide(self, selector, value):
        """Moves a slider as a hand does: its value, then the event."""
        self.run(
            "const slider = document.querySelector(arguments[0]); slider.value = arguments[1];"
            "slider.dispatchEvent(new Event('input', {bubbles: true}))",
            selector,
            value,
        )
        self.settle()

    def vectors(self, expression="state.sheet"):
        return np.array(self.run(f"return {expression}.map((vector) => Array.from(vector))"), np.float32)

    def images(self, selector="#sheet canvas"):
        """What the canvases show, from 0 to 1."""
        shown = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((canvas) => Array.from(canvas"
            ".getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data))",
            selector,
        )
        pixels = np.array(shown, np.float32).reshape(len(shown), -1, 4) / 255
        side = math.isqrt(pixels.shape[1])
        return pixels[..., 0].reshape(-1, side, side)

    def draw(self, vectors, file=0):
        """What the page's own layers make of latent vectors."""
        drawn = self.chromium.execute_async_script(
            "const [file, vectors, done] = arguments, images = [];"
            "const own = new Worker(URL.createObjectURL(new Blob([find('layers').textContent])));"
            "own.onerror = (error) => done(error.message);"
            "own.onmessage = ({data}) => {"
            "  images.push(Array.from(data.image));"
            "  if (images.length === vectors.length) { own.terminate(); done(images); } };"
            "const weights = find(`weights-${file}`).textContent;"
            "own.postMessage({file, generator: page.generator, weights});"
            "for (const vector of vectors) own.postMessage({file, vector: Float32Array.from(vector)});",
            file,
            vectors.tolist(),
        )
        return np.array(drawn, np.float32).reshape(-1, 28, 28)


def text_of(generator, *, title="small", **options):
    layers_found = plain_layers(generator)
    return render(
        title,
        options.pop("drawers", [Drawer(5, layers_found)]),
        generator.input_shape[-1],
        generator.count_params(),
        ends_in_tanh(generator),
        **options,
    )


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the page of a generator."""

    def open_page(generator, drawing=True, **options):
        (tmp_path / "page.html").write_text(text_of(generator, **options))
        chromium.get_log("browser")
        return Page(chromium, tmp_path / "page.html", drawing)

    return open_page


def with_weights(model, seed=0):
    """A model whose weights are so large, and statistics so uneven, that they show in the images."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = variable.shape
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        else:
            spread = 1.4 / math.sqrt(math.prod(shape[:-1])) if len(shape) > 1 else 0.2
            variable.assign(rng.normal(0, spread, shape))
    return model


def chain(*stack, size=8):
    return with_weights(keras.Sequential([keras.Input((size,)), *stack]))


def grid(rows, columns, channels):
    return layers.Dense(rows * columns * channels), layers.Reshape((rows, columns, channels))


GENERATORS = {
    "dense layers, one of them on each pixel": lambda: chain(
        layers.Dense(12, "relu"), *grid(28, 28, 2), layers.Dense(3, "tanh"), layers.Dense(1, "sigmoid")
    ),
    "convolutions": lambda: chain(
        *grid(31, 30, 2),
        layers.Conv2D(6, (3, 2), padding="same", dilation_rate=(2, 1), use_bias=False),
        layers.Conv2D(5, 4, padding="valid", activation="leaky_relu"),
        layers.ZeroPadding2D(((27, 28), (28, 28))),
        layers.Conv2D(4, 6, strides=(3, 2), padding="same"),
        layers.Cropping2D(((0, 0), (7, 7))),
        layers.Conv2D(1, 1, activation="sigmoid"),
    ),
    "transposed convolutions": lambda: chain(
        *grid(4, 3, 5),
        layers.Conv2DTranspose(6, (5, 4), strides=(2, 3), padding="same", use_bias=False),
        layers.Conv2DTranspose(3, (2, 3), strides=(3, 2), padding="valid", activation="elu"),
        layers.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1),
        layers.Cropping2D(((10, 10), (5, 5))),
        layers.Conv2DTranspose(1, 6, padding="same", activation="sigmoid"),
    ),
    "transposed convolutions with gaps": lambda: chain(
        *grid(28, 28, 2),
        layers.Conv2DTranspose(3, 3, padding="same", dilation_rate=2),
        layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
    ),
    "upsampling": lambda: chain(
        *grid(7, 4, 3),
        layers.UpSampling2D((2, 1)),
        layers.UpSampling2D((2, 7), interpolation="bilinear"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ),
    "normalisations": lambda: chain(
        layers.Dense(32),
        layers.BatchNormalization(scale=False),
        layers.Reshape((4, 4, 2)),
        layers.UpSampling2D(7),
        layers.BatchNormalization(),
        layers.Conv2D(1, 3, padding="same", activation="tanh"),
    ),
    "layers that activate": lambda: chain(
        layers.Dense(40),
        layers.LeakyReLU(negative_slope=0.3),
        layers.Dense(40),
        layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2),
        layers.Dense(40),
        layers.ELU(alpha=0.7),
        *grid(28, 28, 2),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Conv2D(1, 1),
        layers.Activation("sigmoid"),
    ),
    "layers that do nothing when drawing": lambda: chain(
        layers.GaussianNoise(1.0),
        layers.Dense(784),
        layers.Dropout(0.5),
        layers.Reshape((7, 112)),
        layers.Flatten(),
        layers.Identity(),
        layers.Rescaling(0.2, 0.5),
        layers.Reshape((28, 28, 1)),
    ),
}


def graph():
    """A residual block, and what else joins branches."""
    z = keras.Input((8,))
    x = layers.Reshape((7, 7, 3))(layers.Dense(147)(z))
    y = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
    several = [layers.Add()([x, y]), layers.Average()([x, y, x]), layers.Subtract()([x, y])]
    several += [layers.Multiply()([x, y]), layers.Maximum()([x, y]), layers.Minimum()([x, y, x])]
    tall = layers.Concatenate(axis=1)([layers.Concatenate()(several[:3]), layers.Concatenate()(several[3:])])
    flat = layers.Flatten()(layers.UpSampling2D((2, 4))(tall))
    image = layers.Conv2D(1, 5, padding="same", activation="sigmoid")(layers.Reshape((28, 28, 9))(flat))
    return with_weights(keras.Model(z, image))


GENERATORS["branches"] = graph
for name in PRESETS:
    GENERATORS[name] = lambda preset=PRESETS[name]: with_weights(build_networks(preset, seed=0)[0])
for name in ACTIVATIONS:
    GENERATORS[f"the activation {name}"] = lambda name=name: chain(
        layers.Dense(784, name), layers.Rescaling(0.25, 0.4), layers.Reshape((28, 28, 1))
    )


NEEDS_ONEDNN = pytest.mark.skipif(
    ONEDNN_IS_OFF,
    reason="on a processor TensorFlow computes dilated transposed convolutions with oneDNN only",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=NEEDS_ONEDNN if name.endswith("with gaps") else ()) for name in GENERATORS],
)
def test_the_browser_draws_what_keras_draws(name, opened):
    generator = GENERATORS[name]()
    vectors = draw_latent_vectors(2, generator, 1)
    images = generate(generator, vectors)
    assert images.std() > 0.02  # There is something to see.
    assert np.abs(opened(generator, drawing=False).draw(vectors) - images).max() < GREY


@pytest.fixture(scope="module")
def conditional():
    """A generator of three classes."""
    return chain(
        layers.Dense(196, "tanh"), layers.Dense(784, "sigmoid"), layers.Reshape((28, 28, 1)), size=12
    )


@pytest.fixture(scope="module")
def earlier(conditional):
    """The same generator, with other weights."""
    return with_weights(keras.models.clone_model(conditional), seed=1)


@pytest.fixture(scope="module")
def written(conditional, earlier, tmp_path_factory):
    """The file of a page of a generator of three classes, at two epochs of its run."""
    drawers = [Drawer(3, plain_layers(earlier)), Drawer(5, plain_layers(conditional))]
    history = [{"epoch": epoch, "d_loss": 0.7 / epoch, "g_loss": 0.6 + epoch} for epoch in range(1, 6)]
    path = tmp_path_factory.mktemp("written") / "page.html"
    path.write_text(text_of(conditional, drawers=drawers, class_names=NAMES, history=history))
    return path


@pytest.fixture
def page(chromium, written):
    """That page, open."""
    chromium.get_log("browser")
    return Page(chromium, written)


def classes_of(page):
    return page.vectors()[:, 9:].argmax(axis=1).tolist()


def test_25_images_are_what_keras_draws_of_their_vectors(page, conditional):
    assert np.abs(page.images() - generate(conditional, page.vectors())).max() < GREY


def test_latent_numbers_are_standard_normal_and_follow_from_the_seed(page):
    numbers = np.array(
        page.run(
            "const numbers = normalNumbers(7); return Array.from({length: 20000}, () => numbers.next().value)"
        )
    )
    assert abs(numbers.mean()) < 0.03
    assert abs(numbers.std() - 1) < 0.03
    assert abs((np.abs(numbers) < 1).mean() - 0.683) < 0.02
    assert abs(np.corrcoef(numbers[::2], numbers[1::2])[0, 1]) < 0.03
    assert page.run("return normalNumbers(7).next().value") == numbers[0]
    assert page.run("return normalNumbers(8).next().value") != numbers[0]


def test_classes_that_are_chosen_by_name_take_turns(page, conditional):
    assert classes_of(page)[:4] == [0, 1, 2, 0]
    for number in (1, 3):
        page.click(f"#classes button:nth-child({number})")
    assert classes_of(page)[:4] == [0, 2, 0, 2]
    assert page.find("#sheet button:nth-child(2)").accessible_name == "Image 2: scarves"
    assert np.abs(page.images() - generate(conditional, page.vectors())).max() < GREY


def test_a_page_begins_with_the_classes_and_the_seed_that_were_asked_for(opened, conditional):
    page = opened(conditional, class_names=NAMES, classes=[1], seed=44)
    assert set(classes_of(page)) == {1}
    assert page.find("#seed").get_property("value") == "44"


def test_a_new_seed_is_shown_and_typed_again_draws_the_same(page):
    page.click("#new-seed")
    seed, images = page.find("#seed").get_property("value"), page.images()
    page.run("find('seed').value = ''")
    page.press("#seed", "3", "\ue007")
    assert not np.allclose(page.images(), images)
    page.run("find('seed').value = ''")
    page.press("#seed", seed, "\ue007")
    assert np.array_equal(page.images(), images)


def test_what_is_no_seed_is_said_and_changes_nothing(page):
    images = page.images()
    page.press("#seed", ".5", "\ue007")
    assert page.find("#status").text == "A seed is a whole number from 0 to 4294967295."
    assert page.find("#seed").get_property("value") == "0"
    assert np.array_equal(page.images(), images)


def test_a_click_enlarges_an_image(page):
    page.click("#sheet button:nth-child(8)")
    assert page.find("#enlarged-title").text == "Image 8: odd socks"
    assert np.array_equal(page.images("#enlarged")[0], page.images()[7])


def test_arrow_keys_go_from_image_to_image(page):
    page.press("#sheet button", "\ue014")  # right
    page.press("#sheet button:nth-child(2)", "\ue015")  # down
    assert page.find("#enlarged").accessible_name == "Image 7: hats"
    assert page.run("return document.activeElement.getAttribute('aria-label')") == "Image 7: hats"
    assert page.run("return tiles.filter((tile) => tile.tabIndex === 0).length") == 1


def test_a_slider_moves_a_latent_number_and_undo_puts_it_back(page, conditional):
    before = page.images("#enlarged")
    number = page.run("return page.sliders[2]")
    page.slide(".number:nth-child(3) input", 2.5)
    vector = page.vectors("[state.vector]")
    assert vector[0, number] == 2.5
    assert np.abs(page.images("#enlarged") - generate(conditional, vector)).max() < GREY
    page.click("#reset")
    assert np.array_equal(page.images("#enlarged"), before)


def test_the_sliders_are_of_the_numbers_that_the_first_layer_weighs_most(page, conditional):
    strength = np.linalg.norm(conditional.layers[0].get_weights()[0], axis=1)[:9]
    assert page.run("return page.sliders") == sorted(np.argsort(-strength)[:6].tolist())


def test_two_classes_are_blended(page, conditional):
    page.slide("#from", 0)
    page.slide("#to", 2)
    page.slide("#blend", 25)
    vector = page.vectors("[state.vector]")
    assert vector[0, 9:].tolist() == [0.75, 0, 0.25]
    assert page.find("#enlarged-title").text == "Image 1: 75 % hats, 25 % scarves"
    assert np.abs(page.images("#enlarged") - generate(conditional, vector)).max() < GREY


def test_the_sides_of_the_plane_are_walks(page):
    corners = page.vectors("corners()")
    for places, ends in (("[t, 0]", (0, 1)), ("[0, t]", (0, 2)), ("[1, t]", (1, 3))):
        way = page.vectors(f"[0, 0.25, 0.5, 0.75].map((t) => vectorAt({places}))")
        assert np.allclose(way, walk(corners[list(ends)], 4, classes=3)[:4], atol=1e-6)
    weights = page.vectors("[vectorAt([0.3, 0.8])]")[0, 9:]
    assert weights.sum() == pytest.approx(1)


def test_keys_move_through_the_plane(page, conditional):
    page.press("#plane", "\ue011", "\ue00e")  # Home, page up: the left and the top border
    assert np.array_equal(page.images("#here")[0], page.images("#corners canvas")[0])
    page.press("#plane", *["\ue014"] * 4, "\ue015")
    assert page.find("#plane").get_attribute("aria-valuetext") == "20 % right, 5 % down"
    drawn = generate(conditional, page.vectors("[vectorAt([0.2, 0.05])]"))
    assert np.abs(page.images("#here") - drawn).max() < GREY


def test_a_finger_drags_through_the_plane(page):
    from selenium.webdriver import ActionChains

    plane = page.find("#plane")
    page.run("arguments[0].scrollIntoView({block: 'center'})", plane)
    size = plane.size["width"]
    corner = ActionChains(page.chromium).move_to_element(plane).click_and_hold()
    corner.move_by_offset(int(0.4 * size), int(0.4 * size)).release().perform()
    page.settle()
    assert np.allclose(page.run("return state.place"), [1, 1], atol=0.02)
    assert np.abs(page.images("#here")[0] - page.images("#corners canvas")[3]).max() < 0.1


def test_the_enlarged_image_can_become_a_corner_of_the_plane(page):
    page.click("#sheet button:nth-child(3)")
    page.slide(".number input", -3)
    page.click("#corners button:nth-child(2)")
    assert np.array_equal(page.images("#corners canvas")[1], page.images("#enlarged")[0])
    assert page.find("#status").text == "Image 3: scarves is now the top right corner."


def test_epochs_draw_the_same_vectors(page, earlier):
    vectors, images = page.vectors(), page.images()
    assert page.find("#epoch-said").text == "5"
    page.slide("#epoch", 0)
    assert page.find("#epoch-said").text == "3"
    assert np.array_equal(page.vectors(), vectors)
    assert np.abs(page.images() - generate(earlier, vectors)).max() < GREY
    page.slide("#epoch", 1)
    assert np.array_equal(page.images(), images)


def test_the_losses_are_drawn_and_listed(page):
    chart = page.find("#losses svg")
    assert "from epoch 1 to 5" in chart.accessible_name
    assert [
        len(curve.split())
        for curve in page.run(
            "return [...document.querySelectorAll('polyline')].map((curve) => curve.getAttribute('points'))"
        )
    ] == [5, 5]
    page.run("find('losses-details').open = true")
    page.find("#losses-details summary")
    deadline = time.monotonic() + 10
    while not (
        rows := page.run("return [...document.querySelectorAll('td')].map((cell) => cell.textContent)")
    ):
        assert time.monotonic() < deadline
    assert rows[:3] == ["1", "0.7000", "1.600"]


def test_the_losses_of_one_epoch_are_points(opened, conditional):
    page = opened(conditional, history=[{"epoch": 1, "d_loss": 0.7, "g_loss": 1.4}])
    discriminator, generator = page.run(
        "return [...document.querySelectorAll('#losses circle')].map((point) => +point.getAttribute('cy'))"
    )
    assert generator < discriminator
    assert [label.text for label in page.chromium.find_elements("css selector", "#losses text")].count(
        "epoch 1"
    ) == 1


def test_a_long_history_is_thinned_and_keeps_its_end(opened, conditional):
    history = [{"epoch": epoch, "d_loss": 0.7, "g_loss": 0.6} for epoch in range(1, 10_001)]
    page = opened(conditional, history=history)
    assert page.run("return page.losses.length") <= 1_000
    assert page.run("return page.losses.at(-1)[0]") == 10_000


def test_without_classes_epochs_and_history_their_parts_are_not_shown(opened, conditional):
    page = opened(conditional)
    for part in ("#classes-field", "#blend-field", "#epoch-field", "#losses-section"):
        assert not page.find(part).is_displayed()
    assert page.messages() == []


def test_an_image_is_saved_as_png(page, chromium, tmp_path):
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
    )
    page.slide(".number input", 1)
    page.click("#save-image")
    page.click("#save-sheet")
    wanted = [tmp_path / "saved" / name for name in ("seed-0-image-1-hats.png", "images-seed-0.png")]
    deadline = time.monotonic() + 20
    while not all(path.exists() for path in wanted):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with Image.open(wanted[0]) as picture, Image.open(wanted[1]) as sheet:
        saved = np.asarray(picture.convert("L"))[::10, ::10] / np.float32(255)
        assert sheet.size == (1480, 1480)
    assert np.array_equal(saved, page.images("#enlarged")[0])


HOSTILE = "</script><script>hostile = 1</script><img src=x onerror='hostile = 2'>$script ${data}\u2028"
NAMES_OF_CLASSES = [HOSTILE, "</title><style>*{display:none}</style>", '"onfocus=hostile=3 x="<!--<script>']


def assert_harmless(page):
    assert page.run("return window.hostile") is None
    assert page.run("return document.querySelectorAll('img, iframe, object').length") == 0
    assert page.run("return document.querySelectorAll('style').length") == 1
    assert page.messages() == []


def test_a_hostile_title_and_hostile_names_of_classes_are_text(opened, conditional):
    page = opened(conditional, title=HOSTILE, class_names=NAMES_OF_CLASSES)
    assert page.find("h1").get_property("textContent") == HOSTILE
    assert page.run("return [...find('classes').children].map((e) => e.textContent)") == NAMES_OF_CLASSES
    assert_harmless(page)


def test_a_hostile_file_is_harmless(chromium, small_swift, tmp_path):
    path = tmp_path / "<img src=x onerror=hostile=4><b id=data>.h5"
    names = NAMES_OF_CLASSES + [f"&lt;{number}" for number in range(7)]
    history = json.loads(json.dumps(read_checkpoint(Path(small_swift)).record.history))
    history[0] |= {"d_loss": -1e38, "g_loss": 1e38}
    stranger(Path(small_swift), path, class_names=names, data=HOSTILE, history=history)
    assert display.main(["--weights", path.name, "--page", "x.html"]) == 0
    page = Page(chromium, tmp_path / "x.html", drawing=False)
    assert page.find("h1").text == title_of(read_checkpoint(path).record)
    assert_harmless(page)


def test_a_history_of_words_in_the_place_of_numbers_makes_no_page(conditional):
    with pytest.raises(ValueError, match="could not convert"):
        text_of(conditional, history=[{"epoch": 1, "d_loss": HOSTILE, "g_loss": 1.0}])


@pytest.mark.parametrize(
    "attempt",
    [
        "fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('refused'))",
        "const image = new Image(); image.onload = () => done('sent'); image.onerror = () => done('refused');"
        "image.src = 'http://127.0.0.1:9/x.png'",
        "const script = document.createElement('script'); script.textContent = 'window.hostile = 1';"
        "document.body.append(script); done(window.hostile ? 'run' : 'refused')",
        "document.body.innerHTML = '<b onclick=\"window.hostile = 1\">'; document.body.firstChild.click();"
        "done(window.hostile ? 'run' : 'refused')",
    ],
    ids=["fetch", "image", "script", "attribute"],
)
def test_the_page_may_neither_load_nor_run_anything_else(attempt, page):
    what = page.chromium.execute_async_script(
        "const [answer] = arguments;"
        "const violated = new Promise((told) => document.addEventListener('securitypolicyviolation', told));"
        f"const outcome = new Promise((done) => {{ {attempt} }});"
        "Promise.all([outcome, violated]).then(([what]) => answer(what))"
    )
    assert what == "refused"


def test_no_message_reaches_the_console_from_a_file_or_from_a_server(page, chromium, written):
    for _ in range(2):
        page.click("#new-seed")
        page.click("#save-here")
    assert page.messages() == []
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    serve = functools.partial(Handler, directory=str(written.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served = Page(chromium, f"http://127.0.0.1:{server.server_port}/page.html")
        server.shutdown()
    assert served.messages() == []
    assert asked == ["/page.html"]


def test_all_that_can_be_focused_has_a_name(page):
    page.chromium.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.chromium.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    focusable = [
        node
        for node in nodes
        if any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ()))
        and node["role"]["value"] != "RootWebArea"
    ]
    assert len(focusable) > 30
    nameless = [node["role"]["value"] for node in focusable if not node.get("name", {}).get("value")]
    assert nameless == []


CONTRASTS = """
const number = (color) => color.match(/[\\d.]+/g).map(Number);
const background = (element) => {
  for (; element; element = element.parentElement) {
    const [r, g, b, a = 1] = number(getComputedStyle(element).backgroundColor);
    if (a > 0) return [r, g, b];
  }
};
const luminance = (color) => color.slice(0, 3).map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
return [...document.querySelectorAll('body *')]
  .filter((e) => e.checkVisibility())
  .filter((e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .map((e) => {
    const style = getComputedStyle(e), text = number(e instanceof SVGElement ? style.fill : style.color);
    const [dark, light] = [text, background(e)].map(luminance).sort((a, b) => a - b);
    return [(light + 0.05) / (dark + 0.05), e.tagName, e.textContent.slice(0, 30)];
  });
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_as_clear_as_aa_wants(scheme, page):
    media = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    page.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    page.click("#classes button")
    found = page.run(CONTRASTS)
    page.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(found) > 40
    assert [entry for entry in found if entry[0] < 4.5] == []


def test_a_phone_shows_all_of_its_width(opened, conditional, chromium):
    screen = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page = opened(conditional, title="long" * 30, class_names=("x" * 100, "y" * 100, "a b " * 25))
    width = page.run("return document.documentElement.scrollWidth")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width == 360


def test_the_page_answers_while_an_image_is_computed(opened):
    slow = chain(*grid(28, 28, 64), layers.Conv2D(256, 5, padding="same"), layers.Conv2D(1, 1))
    page = opened(slow, drawing=False)
    longest, taken = page.chromium.execute_async_script(
        "const [answer] = arguments; let longest = 0, last = performance.now();"
        "milliseconds = null; ask('enlarged', state.vector, find('enlarged'));"
        "(function turn() {"
        "  longest = Math.max(longest, performance.now() - last); last = performance.now();"
        "  if (drawing) setTimeout(turn, 1); else answer([longest, milliseconds]); })()"
    )
    assert longest < taken / 2


@pytest.mark.parametrize(("design", "megabytes"), [("swift", 3), ("clothing", 4)])
def test_a_page_is_small(design, megabytes):
    assert len(text_of(build_networks(PRESETS[design], seed=0)[0])) < megabytes * 1e6


def test_the_command_writes_a_page_of_several_epochs_in_their_order(chromium, conditional, earlier, capsys):
    files = {5: conditional, 3: earlier}
    for epoch, generator in files.items():
        generator.save(f"x_epoch{epoch}.keras")
    options = ["--classes", "3", "--class", "2", "--seed", "9", "--page", "new/x.html"]
    assert display.main(["--weights", "x_epoch5.keras", "x_epoch3.keras", *options]) == 0
    assert "new/x.html: epochs 3, 5, 0.9 MB" in capsys.readouterr().out
    page = Page(chromium, "new/x.html", drawing=False)
    assert page.run("return [page.title, page.seed]") == ["x_epoch5", 9]
    assert set(classes_of(page)) == {2}
    vectors = page.vectors()[:2]
    for file, generator in enumerate((earlier, conditional)):
        assert np.abs(page.draw(vectors, file) - generate(generator, vectors)).max() < GREY


def test_the_command_knows_the_classes_and_the_losses_of_a_run(small_swift):
    assert display.main(["--weights", small_swift, "--page", "x.html", "--class", "bag", "7"]) == 0
    text = Path("x.html").read_text()
    assert '"classes": [8, 7]' in text
    assert "Ankle boot" in text
    (entry,) = read_checkpoint(Path(small_swift)).record.history
    assert f'"losses": [[1, {entry["d_loss"]}, {entry["g_loss"]}]]' in text


def test_a_generator_of_two_inputs_draws_the_class_that_is_chosen(chromium):
    z, label = keras.Input((6,)), keras.Input((1,))
    row = layers.Flatten()(layers.Embedding(10, 6)(label))
    both = layers.Concatenate()([layers.Multiply()([z, row]), row])
    image = layers.Reshape((28, 28, 1))(layers.Dense(784, "sigmoid")(both))
    with_weights(keras.Model([z, label], image)).save("two.keras")
    assert display.main(["--weights", "two.keras", "--page", "x.html", "--class", "bag"]) == 0
    page = Page(chromium, "x.html", drawing=False)
    vectors = page.vectors()
    assert set(vectors[:, 6:].argmax(axis=1)) == {8}
    assert np.abs(page.draw(vectors) - generate(load_generator("two.keras"), vectors)).max() < GREY


def with_a_broadcast():
    z = keras.Input((6,))
    both = layers.Add()([layers.Dense(784)(z), layers.Dense(1)(z)])
    return keras.Model(z, layers.Reshape((28, 28, 1))(both))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (with_a_broadcast, "of (784,) and (1,)"),
        (lambda: chain(*grid(28, 28, 4), layers.DepthwiseConv2D(1), layers.Conv2D(1, 1)), "DepthwiseConv2D"),
        (lambda: chain(*grid(28, 28, 4), layers.Conv2D(2, 1, groups=2), layers.Conv2D(1, 1)), "Conv2D ("),
        (
            lambda: chain(layers.Dense(784, "softmax"), layers.Reshape((28, 28, 1))),
            "with the activation 'softmax'",
        ),
        (
            lambda: chain(
                layers.Reshape((4, 2)), layers.BatchNormalization(axis=1), layers.Flatten(), layers.Dense(784)
            ),
            "BatchNorm",
        ),
    ],
    ids=["broadcast", "depthwise", "groups", "softmax", "axis"],
)
def test_what_the_page_cannot_compute_is_one_line_and_nothing_is_written(model, why, tmp_path, capsys):
    model().save(tmp_path / "x.keras")
    assert display.main(["--weights", "x.keras", "--page", "new/x.html"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clothinggan: error: x.keras: a page cannot compute its layer")
    assert why in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


def test_weights_that_float16_has_no_number_for_are_refused(tmp_path, capsys):
    model = chain(layers.Dense(784, "sigmoid"), layers.Reshape((28, 28, 1)))
    model.layers[0].kernel.assign(model.layers[0].kernel * 1e6)
    model.save(tmp_path / "x.keras")
    assert display.main(["--weights", "x.keras", "--page", "x.html"]) == 1
    assert "larger than a page can hold" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_a_page_that_no_browser_would_open_is_not_written(tmp_path, monkeypatch, capsys):
    chain(layers.Dense(784), layers.Reshape((28, 28, 1))).save(tmp_path / "x.keras")
    monkeypatch.setattr(document, "MAX_BYTES", 10_000)
    assert display.main(["--weights", "x.keras", "--page", "new/x.html"]) == 1
    assert "more than 0; use a smaller generator" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_generators_of_other_layers_are_not_put_on_one_page(tmp_path, capsys):
    for epoch, size in ((1, 8), (2, 9)):
        model = chain(layers.Dense(size), layers.Dense(784), layers.Reshape((28, 28, 1)))
        model.save(tmp_path / f"x_epoch{epoch}.keras")
    files = ["x_epoch1.keras", "x_epoch2.keras"]
    assert display.main(["--weights", *files, "--page", "x.html"]) == 1
    assert "the generator of epoch 1 has other layers than that of epoch 2" in capsys.readouterr().err
