"""Settings: checked early, changed late, and never a key where it could be read."""

import copy
import json
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
import warm
from conftest import Call
from langchain_core.load import dumps
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr, ValidationError

from langchain_qwen_image import Budget, QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-5a4e0b1d77c29e0f"
FACES = [QwenImageTool, QwenImageGenerator]
Face = type[QwenImageTool] | type[QwenImageGenerator]


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def face(request: pytest.FixtureRequest) -> Face:
    """Either face."""
    chosen: Face = request.param
    return chosen


def prompt_for(face: Any, prompt: str = "a fox") -> Any:
    """Return the prompt in a form that both faces take."""
    return {"prompt": prompt}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        pytest.param({"sise": "512*512"}, "sise", id="misspelt"),
        pytest.param({"size": "640*480"}, "size", id="size"),
        pytest.param({"timeout": 0}, "timeout", id="no time"),
        pytest.param({"timeout": float("nan")}, "timeout", id="nan"),
        pytest.param({"timeout": float("inf")}, "timeout", id="endless"),
        pytest.param({"max_retries": -1}, "max_retries", id="negative retries"),
        pytest.param({"price_usd": -0.1}, "price_usd", id="negative price"),
        pytest.param({"max_image_bytes": 0}, "max_image_bytes", id="no bytes"),
        pytest.param({"save_to": 7}, "save_to", id="store of another kind"),
        pytest.param({"budget": 20}, "budget", id="budget as a number"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_at_once(
    face: Face, settings: dict[str, Any], names: str
) -> None:
    """Construction fails, names the setting, and does not repeat a key given beside it."""
    with pytest.raises(ValidationError, match=names) as caught:
        face(api_key=KEY, **settings)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://gateway.example",
        "ftp://gateway.example",
        "gateway.example",
        "https://user:secret@gateway.example",
        "https://gateway.example?key=secret",
        "https://",
        "https://gateway.example:0",
    ],
)
def test_the_key_goes_to_no_address_that_is_not_safe(face: Face, base_url: str) -> None:
    """A base_url that is not https, or holds more than an address, is the operator's error."""
    with pytest.raises(errors.ConfigurationError, match="base_url must be an https:// address"):
        face(api_key=KEY, base_url=base_url)


def test_a_misspelt_setting_cannot_be_set_later(face: Face) -> None:
    """Assigning to a name that is no setting is refused too."""
    with pytest.raises(ValueError, match="sise"):
        face(sandbox=True).sise = "512*512"  # type: ignore[union-attr]


def test_a_bad_value_cannot_be_set_later(face: Face) -> None:
    """An assignment is checked as the constructor is, and sizes are put in the document's form."""
    one = face(sandbox=True)
    with pytest.raises(ValidationError):
        one.size = "640*480"  # type: ignore[assignment]
    one.size = "512 x 512"  # type: ignore[assignment]
    assert one.size == "512*512"


def test_a_setting_changed_later_takes_effect(
    server: SandboxServer, call: Call, face: Face, tmp_path: Path
) -> None:
    """What is assigned after a call holds for the next one."""
    one = face(base_url=server.base_url, api_key=KEY, max_retries=0)
    call(one, "invoke", prompt_for(one))
    one.size, one.save_to = "512*512", tmp_path
    call(one, "invoke", prompt_for(one))
    assert (server.images[0].width, server.images[1].width) == (1328, 512)
    assert len(list(tmp_path.glob("*.png"))) == 1
    one.budget = Budget(max_images=0)
    with pytest.raises(errors.BudgetExceededError):
        call(one, "invoke", prompt_for(one))
    assert server.gateway.post_count == 2


def test_a_tool_s_schema_follows_its_settings() -> None:
    """A parameter that is set or unset later leaves or returns to what a model is shown."""
    tool = QwenImageTool(sandbox=True, size="512*512")
    assert "size" not in tool.args
    tool.size = None
    assert "size" in tool.args
    tool.watermark = False
    assert "watermark" not in tool.args
    assert "watermark" in tool.model_copy(update={"watermark": None}).args
    assert tool.name == "generate_image"


def test_a_copy_with_changes_is_checked_and_has_its_own_pipeline(
    server: SandboxServer, call: Call, face: Face
) -> None:
    """`model_copy(update=…)` gives a copy whose changes hold, and keeps key and clients."""
    budget = Budget(max_images=1)
    one = face(base_url=server.base_url, api_key=KEY, budget=budget)
    call(one, "invoke", prompt_for(one))
    with pytest.raises(errors.BudgetExceededError):
        call(one.model_copy(), "invoke", prompt_for(one))
    free = one.model_copy(update={"budget": None, "size": "512x512"})
    call(free, "invoke", prompt_for(free))
    assert [image.width for image in server.images] == [1328, 512]
    with pytest.raises(ValidationError):
        one.model_copy(update={"size": "640*480"})


def test_the_environment_is_read_at_construction(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key and address come from the environment where they are not given."""
    monkeypatch.setenv("PIXAZO_API_KEY", KEY)
    monkeypatch.setenv("PIXAZO_BASE_URL", "https://gateway.example")
    one = face()
    assert one.api_key == SecretStr(KEY)
    assert one.base_url == "https://gateway.example"
    monkeypatch.setenv("PIXAZO_API_KEY", "  ")
    assert face().api_key is None


def shown(one: Any) -> dict[str, str]:
    """Return every form in which a face may be written somewhere."""
    return {
        "repr": repr(one),
        "str": str(one),
        "model_dump": str(one.model_dump()),
        "model_dump_json": one.model_dump_json(exclude={"args_schema", "callbacks"}),
        "dumps": dumps(one),
        "pickle": pickle.dumps(one).decode("latin-1"),
        "deepcopy": str(copy.deepcopy(one).__dict__) + repr(copy.deepcopy(one).api_key),
        "dict": str(one.__dict__),
        "format": f"{one}",
        "to_json": json.dumps(one.to_json(), default=str) if hasattr(one, "to_json") else "",
        "schema": str(type(one).model_json_schema(mode="serialization"))
        if isinstance(one, QwenImageGenerator)
        else "",
    }


def test_the_key_is_in_nothing_that_can_be_written(server: SandboxServer, face: Face) -> None:
    """No form of a face holds the key, neither before nor after a call."""
    one = face(base_url=server.base_url, api_key=KEY)
    for form, text in shown(one).items():
        assert KEY not in text, form
    one.invoke({"prompt": "a fox"})
    for form, text in shown(one).items():
        assert KEY not in text, form


@pytest.mark.parametrize("name", ["401", "500", "drop", "malformed", "503-retry-after"])
def test_the_key_is_in_no_traceback_and_no_log(
    server: SandboxServer, call: Call, face: Face, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors, their chain with the locals of our frames, and logs at DEBUG are without the key."""
    caplog.set_level(logging.DEBUG)
    one = face(base_url=server.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(errors.QwenImageError) as caught:
        call(one, "invoke", prompt_for(one, f"sandbox:{name}"))
    whole = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(whole.format())
    assert KEY not in str(caught.value) + repr(caught.value) + str(vars(caught.value))
    assert caught.value.__cause__ is None
    assert KEY not in caplog.text


def test_logs_name_links_without_their_signature(
    server: SandboxServer,
    call: Call,
    face: Face,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At DEBUG a call says what it does, without the key and without the query of a link."""
    caplog.set_level(logging.DEBUG, "langchain_qwen_image")
    one = face(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    for name in ("ok", "image-500-once", "image-404"):
        call(one, "invoke", prompt_for(one, f"sandbox:{name}"))
    ours = [one.getMessage() for one in caplog.records if one.name == "langchain_qwen_image"]
    assert any("fetching" in line for line in ours)
    assert not [line for line in ours if KEY in line or "Signature" in line or "Expires" in line]


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_carries_settings_but_no_key_and_no_client(
    face: Face, make_copy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has the settings that were given, and reads the key from the environment."""
    with httpx.Client() as client:
        one = face(api_key=KEY, size="512*512", timeout=7, http_client=client)
        assert make_copy(one).api_key is None
        monkeypatch.setenv("PIXAZO_API_KEY", "another-key")
        other = make_copy(one)
    assert (other.size, other.timeout, other.http_client) == ("512*512", 7, None)
    assert other.api_key == SecretStr("another-key")
    assert type(other) is face


def test_a_deep_copy_shares_what_limits(face: Face) -> None:
    """Budget, rate limiter and store of a deep copy are the same ones: none counts twice."""
    limiter = InMemoryRateLimiter(requests_per_second=2)
    budget, store = Budget(max_usd=1), InMemoryByteStore()
    one = face(sandbox=True, budget=budget, rate_limiter=limiter, save_to=store)
    for other in (copy.deepcopy(one), copy.deepcopy([one])[0], one.model_copy(deep=True)):
        assert other.budget is budget
        assert other.rate_limiter is limiter
        assert other.save_to is store


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param(
            {"rate_limiter": InMemoryRateLimiter(requests_per_second=2)},
            "rate limiter in memory cannot be pickled",
            id="rate limiter",
        ),
        pytest.param({"budget": Budget(max_usd=1)}, "Budget.file", id="budget in memory"),
    ],
)
def test_what_would_limit_less_elsewhere_is_not_pickled(
    face: Face, settings: dict[str, Any], says: str
) -> None:
    """A copy in another process without its limit would be a silent change: it is an error."""
    with pytest.raises(TypeError, match=says):
        pickle.dumps(face(sandbox=True, **settings))


ELSEWHERE = """
import pickle, sys
tool = pickle.load(open(sys.argv[1], "rb"))
print(tool.invoke({"prompt": "a fox"}) if hasattr(tool, "args_schema")
      else tool.invoke("a fox").summary())
"""


def test_a_pickled_face_works_in_another_process(
    server: SandboxServer, face: Face, tmp_path: Path
) -> None:
    """With a key in its environment, another process can call what was pickled here."""
    budget = Budget.file(tmp_path / "spend.db", max_images=1)
    one = face(base_url=server.base_url, api_key=KEY, size="512*512", budget=budget)
    pickled = tmp_path / "face.pickle"
    pickled.write_bytes(pickle.dumps(one))
    done = warm.run(
        [sys.executable, "-c", ELSEWHERE, str(pickled)],
        env=os.environ | {"PIXAZO_API_KEY": "key-of-another-process"},
    )
    assert done.stdout.startswith("Done: 1 image generated, 512×512")
    assert server.gateway.post_count == 1
    with pytest.raises(errors.BudgetExceededError):
        one.invoke({"prompt": "a fox"})


def test_closing_is_possible_and_calls_work_afterwards(
    server: SandboxServer, call: Call, face: Face, tmp_path: Path
) -> None:
    """A closed face opens again at its next call."""
    one = face(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    for _ in range(2):
        call(one, "invoke", prompt_for(one))
        call(one, "close")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_nothing_is_opened_before_the_first_call(face: Face, tmp_path: Path) -> None:
    """Construction, printing and copying make no folder, no file and no connection."""
    one = face(api_key=KEY, save_to=tmp_path / "images", account=tmp_path / "books" / "a.db")
    repr(copy.deepcopy(one))
    assert list(tmp_path.iterdir()) == []
