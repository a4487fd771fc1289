"""The toolkit: what it takes, and what its view_image shows and refuses to show."""

import asyncio
import base64
import copy
import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.stores import InMemoryByteStore
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from pydantic import ValidationError
from scripted_model import ScriptedModel
from waiting import PATIENCE, await_until

from langchain_qwen_image import QwenImageTool, QwenImageToolkit
from langchain_qwen_image.errors import ConfigurationError, InvalidRequestError
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.view import ViewImageTool

KEY = "test-key-of-the-toolkit"


@pytest.fixture(params=["folder", "store"])
def save_to(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Save images in a folder, and in a store."""
    return tmp_path / "images" if request.param == "folder" else InMemoryByteStore()


@pytest.fixture
def toolkit(server: SandboxServer, save_to: Any) -> Iterator[QwenImageToolkit]:
    """Give a toolkit of the gateway on loopback."""
    toolkit = QwenImageToolkit(base_url=server.base_url, api_key=KEY, save_to=save_to)
    yield toolkit
    toolkit.close()


def draw(toolkit: QwenImageToolkit, **arguments: Any) -> dict[str, Any]:
    """Generate, and return the artifact's image."""
    generate, _ = toolkit.get_tools()
    call = {"name": "generate_image", "args": {"prompt": "a fox", **arguments}, "id": "c1"}
    image: dict[str, Any] = generate.invoke({**call, "type": "tool_call"}).artifact["images"][0]
    return image


def look(call: Call, toolkit: QwenImageToolkit, image: Any) -> ToolMessage:
    """Call view_image as an agent would."""
    asked = {"name": "view_image", "args": {"image": image}, "id": "c2", "type": "tool_call"}
    message: ToolMessage = call(toolkit.get_tools()[1], "invoke", asked)
    return message


def shown(message: ToolMessage) -> Image.Image:
    """Return the image that a message shows."""
    (block,) = [block for block in message.content_blocks if block["type"] == "image"]
    image = Image.open(BytesIO(base64.b64decode(block["base64"])))
    assert f"image/{(image.format or '').lower()}" == block["mime_type"]
    return image


def posts(server: SandboxServer) -> int:
    """Return how many POSTs the gateway got."""
    return sum(request.method == "POST" for request in server.requests)


def put(folder: Path, name: str, image: Image.Image) -> str:
    """Put an image into a folder as the package would, with its sidecar; return its id."""
    file = folder / f"2026-11-23-{name}-k3v9q2xd.png"
    image.save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_suffix(".json").write_text(json.dumps({"id": "k3v9q2xd", "sha256": sha256}))
    return "k3v9q2xd"


def test_tools_and_their_settings(server: SandboxServer) -> None:
    """The tools are the two, and what is set on the toolkit is set on the tool."""
    toolkit = QwenImageToolkit(base_url=server.base_url, api_key=KEY, size="768x768", timeout=9)
    generate, view = toolkit.get_tools()
    assert (generate.name, view.name) == ("generate_image", "view_image")
    assert "size" not in generate.args
    assert (generate.timeout, generate.save_to) == (9, toolkit.save_to)
    assert (view.save_to, view.max_side) == (toolkit.save_to, 768)
    assert list(view.args) == ["image"]


def test_home_is_found_without_save_to() -> None:
    """Without `save_to` the toolkit has a temporary folder, which its copies share."""
    toolkit = QwenImageToolkit(sandbox=True)
    assert toolkit.folder is not None
    assert toolkit.folder.is_dir()
    for copied in (copy.deepcopy(toolkit), pickle.loads(pickle.dumps(toolkit))):
        assert copied.folder == toolkit.folder
    toolkit.folder.rmdir()


NAMES = {"generate_image": "draw_logo", "view_image": "view_logo"}


def test_renamed_tools_name_each_other(tmp_path: Path, call: Call) -> None:
    """Descriptions, the argument's too, and errors name the other tool as it is called here."""
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path, names=NAMES)
    generate, view = toolkit.get_tools()
    assert [generate.name, view.name] == ["draw_logo", "view_logo"]
    texts = [str(convert_to_openai_tool(tool)) for tool in (generate, view)]
    message = call(view, "invoke", {"name": "x", "args": {}, "id": "1", "type": "tool_call"})
    assert [text.count("draw_logo") for text in (*texts, message.text)] == [1, 2, 1]
    assert all(name not in text for text in (*texts, message.text) for name in NAMES)
    assert message.name == "view_logo"


@pytest.mark.parametrize("toolkit_of", [copy.copy, copy.deepcopy, lambda it: it.model_copy()])
def test_copies_have_the_same_names(toolkit_of: Any, tmp_path: Path) -> None:
    """A copy of a toolkit has tools of the same names."""
    toolkit = toolkit_of(QwenImageToolkit(sandbox=True, save_to=tmp_path, names=NAMES))
    assert [tool.name for tool in toolkit.get_tools()] == list(NAMES.values())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        pytest.param({"draw": "x"}, "'draw'.*generate_image and view_image", id="unknown"),
        pytest.param({"generate_image": "view_image"}, "Both.*'view_image'", id="the other's"),
        pytest.param({"generate_image": "x", "view_image": "x"}, "Both tools.*'x'", id="equal"),
        pytest.param({"view_image": ""}, "'' cannot be the name", id="empty"),
        pytest.param({"view_image": "see it"}, "letters", id="space"),
        pytest.param({"view_image": "sieh_ähnlich"}, "ASCII", id="not ASCII"),
        pytest.param({"view_image": "x" * 65}, "64", id="too long"),
        pytest.param({"view_image": "3d"}, "beginning with a letter", id="digit first"),
    ],
)
def test_names_that_cannot_work_are_refused(names: dict[str, str], says: str) -> None:
    """An unknown tool, two equal names, and what an API would refuse are errors that say so."""
    with pytest.raises(ConfigurationError, match=says):
        QwenImageToolkit(sandbox=True, save_to=".", names=names)


def test_two_toolkits_in_one_agent(server: SandboxServer, tmp_path: Path, call: Call) -> None:
    """Each tool has its settings, each view_image its images; one call id pays for both images."""
    gateway: Any = {"base_url": server.base_url, "api_key": KEY}
    photos = QwenImageToolkit(**gateway, save_to=tmp_path / "photos", size="1024*1024")
    logos = QwenImageToolkit(**gateway, save_to=tmp_path / "logos", size="512*512", names=NAMES)
    same: Any = {"args": {"prompt": "a fox"}, "id": "0", "type": "tool_call"}
    turns = [
        AIMessage(
            "", tool_calls=[{"name": name, **same} for name in ("generate_image", "draw_logo")]
        ),
        lambda messages: AIMessage(
            "",
            tool_calls=[
                {
                    "name": name,
                    "args": {"image": one.artifact["images"][0]["id"]},
                    "id": f"{name}{n}",
                }
                for n, one in enumerate(messages[-2:])
                for name in ("view_image", "view_logo")
            ],
        ),
    ]
    agent = create_agent(
        ScriptedModel(turns=turns),
        tools=[*photos.get_tools(), *logos.get_tools()],
        checkpointer=InMemorySaver(),
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    messages = call(agent, "invoke", {"messages": [("user", "Two.")]}, thread)["messages"]
    made, looks = messages[2:4], messages[5:9]
    assert [one.artifact["images"][0]["width"] for one in made] == [1024, 512]
    assert posts(server) == 2
    assert [(one.name, one.status) for one in looks] == [
        ("view_image", "success"),
        ("view_logo", "error"),
        ("view_image", "error"),
        ("view_logo", "success"),
    ]
    assert "of draw_logo" in looks[1].text
    assert "of generate_image" in looks[2].text


@pytest.mark.parametrize("with_checkpoints", [True, False])
def test_two_tools_of_one_account_called_by_one_id(
    with_checkpoints: bool, server: SandboxServer, tmp_path: Path, call: Call
) -> None:
    """Tools that differ in their name alone buy two images, also with equal id and arguments."""
    tools = [
        QwenImageTool(name=name, base_url=server.base_url, api_key=KEY, save_to=tmp_path)
        for name in ("draw", "paint")
    ]
    same: Any = {"args": {"prompt": "a fox"}, "id": "0", "type": "tool_call"}
    model = ScriptedModel(
        turns=[AIMessage("", tool_calls=[{"name": tool.name, **same} for tool in tools])]
    )
    saver = InMemorySaver() if with_checkpoints else None
    agent = create_agent(model, tools=tools, checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "1"}}
    made = call(agent, "invoke", {"messages": [("user", "Two.")]}, thread)["messages"][2:4]
    assert len({one.artifact["images"][0]["id"] for one in made}) == 2
    assert posts(server) == 2


@pytest.mark.parametrize("given", [{"nmae": 1}, {"max_side": 0}, {"size": "9*9"}])
def test_wrong_settings_are_refused(given: Any) -> None:
    """A setting that does not exist or cannot work is refused at once."""
    with pytest.raises(ValidationError):
        QwenImageToolkit(sandbox=True, **given)


@pytest.mark.parametrize(
    "name_of",
    [
        pytest.param(lambda image: image["id"], id="id"),
        pytest.param(lambda image: f" (id {image['id']})", id="id-as-quoted"),
        pytest.param(lambda image: image["path"], id="path"),
        pytest.param(lambda image: f"`{image['path']}`", id="path-as-quoted"),
        pytest.param(lambda image: Path(image["path"]).name, id="file-name"),
    ],
)
def test_model_is_shown_its_image(name_of: Any, toolkit: QwenImageToolkit, call: Call) -> None:
    """By id or path the model gets a text and an image block, 768 pixels wide, and small."""
    image = draw(toolkit)
    message = look(call, toolkit, name_of(image))
    assert message.status == "success"
    assert [block["type"] for block in message.content_blocks] == ["text", "image"]
    assert image["id"] in message.text
    assert shown(message).size == (768, 768)
    assert len(message.model_dump_json()) < 150_000


def test_looking_is_free(toolkit: QwenImageToolkit, server: SandboxServer, call: Call) -> None:
    """A look sends nothing, and two looks give equal blocks."""
    image = draw(toolkit)
    requests = len(server.requests)
    assert look(call, toolkit, image["id"]).content == look(call, toolkit, image["id"]).content
    assert len(server.requests) == requests


def test_newly_made_tool_sees_old_images(toolkit: QwenImageToolkit, call: Call) -> None:
    """A toolkit of another day reads what was saved in the same place."""
    image = draw(toolkit)
    later = QwenImageToolkit(sandbox=True, save_to=toolkit.save_to)
    assert look(call, later, image["id"]).status == "success"


def test_right_one_among_many(toolkit: QwenImageToolkit, call: Call) -> None:
    """Each id shows its own image."""
    images = [draw(toolkit, prompt=f"fox {number}", size="512*512") for number in range(5)]
    texts = [look(call, toolkit, image["id"]).text for image in images]
    assert all(image["id"] in text for image, text in zip(images, texts, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "zzzzzzzz",
        "*",
        "********",
        "/etc/passwd",
        "../outside.png",
        "outside.png",
        "link.png",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "a\0b.png",
        "x" * 5000 + ".png",
        "2026-11-23-own-photo.png",
        ".qwen-image.db",
        None,
        3,
        ["k3v9q2xd"],
    ],
    ids=lambda name: repr(name)[:20],
)
def test_other_files_and_links_are_not_opened(
    name: Any, toolkit: QwenImageToolkit, tmp_path: Path, call: Call
) -> None:
    """What is not a saved image of this place is an error that says what to give instead."""
    draw(toolkit)
    image = Image.new("RGB", (9, 9))
    image.save(tmp_path / "outside.png")
    (tmp_path / "images").mkdir(exist_ok=True)
    image.save(tmp_path / "images" / "2026-11-23-own-photo.png")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "outside.png")
    message = look(call, toolkit, name)
    assert message.status == "error"
    assert "Give the short id or the path" in message.text
    assert len(message.text) < 300


def test_path_of_another_place_is_not_opened(
    server: SandboxServer, tmp_path: Path, call: Call
) -> None:
    """An image that was saved elsewhere is not shown, by its path or by its id."""
    here, there = (
        QwenImageToolkit(base_url=server.base_url, api_key=KEY, save_to=tmp_path / name)
        for name in ("here", "there")
    )
    image = draw(there)
    assert look(call, here, image["path"]).status == "error"
    assert look(call, here, image["id"]).status == "error"


def test_sidecar_that_leads_out_is_not_followed(tmp_path: Path, call: Call) -> None:
    """A symlink out of the folder is not shown, even with a sidecar beside it that fits."""
    folder = tmp_path / "images"
    folder.mkdir()
    image_id = put(folder, "fox", Image.new("RGB", (9, 9)))
    file = next(folder.glob("*.png"))
    file.rename(tmp_path / "outside.png")
    file.symlink_to(tmp_path / "outside.png")
    toolkit = QwenImageToolkit(sandbox=True, save_to=folder)
    assert look(call, toolkit, image_id).status == "error"
    assert look(call, toolkit, str(file)).status == "error"


def test_linked_folder_is_not_entered(tmp_path: Path, call: Call) -> None:
    """A folder that is linked into the place is not entered, whatever is in it."""
    outside, folder = tmp_path / "outside", tmp_path / "images"
    outside.mkdir()
    folder.mkdir()
    put(outside, "fox", Image.new("RGB", (9, 9)))
    (folder / "more").symlink_to(outside)
    toolkit = QwenImageToolkit(sandbox=True, save_to=folder)
    name = next(outside.glob("*.png")).name
    for path in (f"more/{name}", str(folder / "more" / name), "k3v9q2xd"):
        assert look(call, toolkit, path).status == "error"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda file: file.write_bytes(file.read_bytes() + b"x"), id="changed"),
        pytest.param(lambda file: file.unlink(), id="gone"),
        pytest.param(lambda file: file.with_suffix(".json").unlink(), id="no-sidecar"),
        pytest.param(lambda file: file.with_suffix(".json").write_text("[]"), id="not-ours"),
        pytest.param(lambda file: file.with_suffix(".json").write_text("{"), id="half-a-sidecar"),
        pytest.param(lambda file: file.with_suffix(".json").write_text("{}"), id="says-nothing"),
    ],
)
def test_only_what_was_saved_is_shown(spoil: Any, tmp_path: Path, call: Call) -> None:
    """A file whose bytes are not those that its sidecar notes is not shown."""
    image_id = put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path)
    assert look(call, toolkit, image_id).status == "success"
    file = next(tmp_path.glob("*.png"))
    spoil(file)
    assert look(call, toolkit, image_id).status == "error"
    assert look(call, toolkit, str(file)).status == "error"


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        pytest.param((1664, 928), 768, (768, 428), id="wide"),
        pytest.param((928, 1664), 512, (286, 512), id="high"),
        pytest.param((512, 512), 768, (512, 512), id="never-enlarged"),
        pytest.param((4000, 1), 64, (64, 1), id="thin"),
    ],
)
def test_longest_side(size: Any, max_side: int, expected: Any, tmp_path: Path, call: Call) -> None:
    """The longest side is scaled to `max_side` pixels at most; the proportions stay."""
    image_id = put(tmp_path, "fox", Image.new("RGB", size))
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path, max_side=max_side)
    assert shown(look(call, toolkit, image_id)).size == expected


@pytest.mark.parametrize(("mode", "form"), [("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "JPEG")])
def test_form_of_the_copy(mode: str, form: str, tmp_path: Path, call: Call) -> None:
    """An opaque image is shown as JPEG, a transparent one as PNG."""
    image_id = put(tmp_path, "fox", Image.new(mode, (40, 40)))
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path)
    assert shown(look(call, toolkit, image_id)).format == form


@pytest.mark.parametrize(
    ("size", "is_shown"),
    [
        pytest.param((8200, 8200), False, id="67-million"),
        pytest.param((4096, 4097), False, id="one-row-too-many"),
        pytest.param((4096, 4096), True, id="just-enough"),
    ],
)
def test_bomb_is_not_unpacked(size: Any, is_shown: bool, tmp_path: Path, call: Call) -> None:
    """A small file of very many pixels is refused before they are unpacked."""
    image_id = put(tmp_path, "bomb", Image.new("1", size))
    message = look(call, QwenImageToolkit(sandbox=True, save_to=tmp_path), image_id)
    assert message.status == ("success" if is_shown else "error")
    assert ("cannot be shown" in message.text) is not is_shown


@pytest.mark.parametrize("name_of", [lambda file: "k3v9q2xd", str], ids=["id", "path"])
def test_file_that_is_too_large_is_not_read(name_of: Any, tmp_path: Path, call: Call) -> None:
    """A file of more bytes than an image has is refused without being read, and it is said why."""
    put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    file = next(tmp_path.glob("*.png"))
    os.truncate(file, 1 << 36)
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path)
    message = look(call, toolkit, name_of(file))
    assert message.status == "error"
    assert "cannot be shown: it has more than 67,108,864 bytes" in message.text


@pytest.mark.parametrize("suffix", [".png", ".json"], ids=["image", "sidecar"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "link-to-a-pipe"])
def test_only_regular_files_are_opened(
    kind: str, suffix: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, a socket, a device or a folder under an image's name is refused at once."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    file = next(tmp_path.glob(f"*{suffix}"))
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(file.name)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / f"pipe{suffix}")
        file.symlink_to(f"pipe{suffix}")
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path)
    assert look(call, toolkit, "k3v9q2xd").status == "error"
    assert look(call, toolkit, str(file.with_suffix(".png"))).status == "error"


def test_damaged_image_is_an_error_to_read(tmp_path: Path, call: Call) -> None:
    """A saved file that is no image is an error message, not an exception."""
    image_id = put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    file = next(tmp_path.glob("*.png"))
    file.write_bytes(file.read_bytes()[:30])
    sidecar = file.with_suffix(".json")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    sidecar.write_text(json.dumps({"id": image_id, "sha256": sha256}))
    message = look(call, QwenImageToolkit(sandbox=True, save_to=tmp_path), image_id)
    assert message.status == "error"
    assert "cannot be shown" in message.text


def test_errors_are_raised_to_a_program(tmp_path: Path, call: Call) -> None:
    """Called without a tool call, view_image raises what it cannot show, and returns blocks."""
    view = ViewImageTool(save_to=tmp_path)
    with pytest.raises(InvalidRequestError):
        call(view, "invoke", "zzzzzzzz")
    image_id = put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    assert [block["type"] for block in call(view, "invoke", image_id)] == ["text", "image"]


def test_folder_that_is_a_file_is_for_the_operator(tmp_path: Path, call: Call) -> None:
    """A `save_to` that cannot work is raised, as by the other tool."""
    (tmp_path / "file").touch()
    toolkit = QwenImageToolkit(sandbox=True, save_to=tmp_path / "file")
    with pytest.raises(ConfigurationError, match="must be a folder"):
        look(call, toolkit, "zzzzzzzz")


def test_missing_pillow_says_what_to_install(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Pillow view_image raises to the operator which extra to install."""
    image_id = put(tmp_path, "fox", Image.new("RGB", (9, 9)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigurationError, match=r"langchain-qwen-image\[view\]"):
        look(call, QwenImageToolkit(sandbox=True, save_to=tmp_path), image_id)


def test_pillow_is_not_imported_before_a_look() -> None:
    """The toolkit and its tools import Pillow only to look."""
    code = (
        "import sys; from langchain_qwen_image import QwenImageToolkit as T;"
        "T(sandbox=True, save_to='.').get_tools(); sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_loop_goes_on_while_an_image_is_scaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The async twin scales beside the event loop: other tasks get their turns meanwhile."""
    image_id = put(tmp_path, "fox", Image.effect_noise((1600, 1600), 64).convert("RGB"))
    view = ViewImageTool(save_to=tmp_path)
    begun, turn, opened = threading.Event(), threading.Event(), Image.open

    def open_slowly(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        assert turn.wait(PATIENCE), "the loop had no turn"
        return opened(*args, **kwargs)

    monkeypatch.setattr(Image, "open", open_slowly)
    task = asyncio.ensure_future(view.ainvoke(image_id))
    await await_until(begun.is_set)
    turn.set()
    await task


class Down(InMemoryByteStore):
    """A store that cannot be reached."""

    def mget(self, keys: Any) -> Any:
        raise RuntimeError("of the store: secret")

    def yield_keys(self, *, prefix: Any = None) -> Any:
        raise RuntimeError("of the store: secret")


@pytest.mark.parametrize("name", ["k3v9q2xd", "a.png"])
def test_store_that_is_down_is_an_error_to_read(name: str, call: Call) -> None:
    """What a store raises becomes an error message, so that it cancels no call beside it."""
    message = look(call, QwenImageToolkit(sandbox=True, save_to=Down()), name)
    assert message.status == "error"
    assert message.text == "The store of the images cannot be read (RuntimeError)."


def test_key_is_in_no_text() -> None:
    """Neither the toolkit nor its tools show the key."""
    toolkit = QwenImageToolkit(api_key=KEY, save_to=".")
    texts = [repr(toolkit), str(toolkit), repr(toolkit.get_tools()), str(toolkit.model_dump())]
    assert all(KEY not in text for text in texts)
