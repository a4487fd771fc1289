"""Key, address and numbers: what is refused before anything is sent."""

import pickle
import traceback

import pytest
from pydantic import SecretStr

from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.defaults import BASE_URL
from langchain_qwen_image.environment import (
    api_key_from_environment,
    base_url_from_environment,
    checked_base_url,
    is_loopback,
    usable_key,
)
from langchain_qwen_image.errors import ConfigurationError

BAD_KEY = "a key with spaces 0123"


@pytest.mark.parametrize(
    ("given", "environment", "key"),
    [
        pytest.param("k1", None, "k1", id="given"),
        pytest.param(None, "k2", "k2", id="environment"),
        pytest.param("k1", "k2", "k1", id="the given one wins"),
        pytest.param(" k1\n", None, "k1", id="spaces around it"),
        pytest.param(None, " k2 ", "k2", id="spaces around it in the environment"),
        pytest.param("", "k2", "k2", id="an empty one is none"),
        pytest.param("sk_live_" + "x" * 500, None, "sk_live_" + "x" * 500, id="long"),
        pytest.param('a"b\\c', None, 'a"b\\c', id="its form is not checked"),
    ],
)
def test_the_key_is_the_given_one_or_the_environments(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: str | None, key: str
) -> None:
    """A given key wins over the environment's, and spaces around it do not count."""
    if environment is not None:
        monkeypatch.setenv("PIXAZO_API_KEY", environment)
    assert usable_key(None if given is None else SecretStr(given)) == key


@pytest.mark.parametrize("environment", [None, "", "  "])
def test_a_missing_key_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, environment: str | None
) -> None:
    """The message names the variable, the argument and the sandbox."""
    if environment is not None:
        monkeypatch.setenv("PIXAZO_API_KEY", environment)
    assert api_key_from_environment() is None
    with pytest.raises(ConfigurationError) as caught:
        usable_key(None)
    for name in ("PIXAZO_API_KEY", "api_key=", "sandbox=True", "nothing was sent"):
        assert name in str(caught.value)


@pytest.mark.parametrize("key", [BAD_KEY, "a\nb", "ключ", "a\x00b", "“quoted”", "a\x7fb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """A key with spaces, line breaks or letters beyond ASCII is refused, and not shown."""
    with pytest.raises(ConfigurationError) as caught:
        usable_key(SecretStr(key))
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = usable_key.__code__.co_filename
    frames = [frame for frame in report.stack if frame.filename == ours]
    shown = str(caught.value) + "".join(str(frame.locals) for frame in frames)
    assert len(frames) == 1
    assert key not in shown
    assert repr(key) not in shown


@pytest.mark.parametrize(
    ("given", "address"),
    [
        pytest.param("https://gateway.example", "https://gateway.example", id="https"),
        pytest.param(" https://gateway.example/ ", "https://gateway.example", id="slash"),
        pytest.param("https://gateway.example/api//", "https://gateway.example/api", id="path"),
        pytest.param("HTTPS://gateway.example:8443", "HTTPS://gateway.example:8443", id="port"),
        pytest.param("http://127.0.0.1:8765", "http://127.0.0.1:8765", id="loopback"),
        pytest.param("http://127.8.9.1", "http://127.8.9.1", id="loopback's net"),
        pytest.param("http://[::1]:80", "http://[::1]:80", id="IPv6"),
        pytest.param("http://localhost:80", "http://localhost:80", id="localhost"),
    ],
)
def test_an_address_that_the_key_may_go_to(given: str, address: str) -> None:
    """Any https address, and http on this machine, is taken without a slash at the end."""
    assert checked_base_url(given) == address


@pytest.mark.parametrize(
    "address",
    [
        "", "gateway.example", "http://gateway.example", "http://10.0.0.1", "ftp://127.0.0.1",
        "https://", "https:///path", "https://me@gateway.example", "https://:pw@gateway.example",
        "https://@gateway.example", "http://127.0.0.1@gateway.example",
        "http://127.0.0.1\\@gateway.example", "https://gateway.example/?a", "https://h/?",
        "https://gateway.example/#a", "https://h#", "https://gate way.example", "https://ga\nte.example",
        "https://h:0", "https://h:99999", "https://h:x", "https://[::1", "file:///etc/passwd",
        "http://127.0.0.1.gateway.example", "http://localhost.gateway.example",
    ],
)  # fmt: skip
def test_an_address_that_the_key_must_not_go_to(address: str) -> None:
    """Plain http elsewhere, and whatever carries more than an address, is refused."""
    with pytest.raises(ConfigurationError, match="PIXAZO_BASE_URL") as caught:
        QwenImageClient(api_key="k", base_url=address or " ")
    assert "pw@" not in str(caught.value)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PIXAZO_BASE_URL` is the default, else the document's address."""
    assert QwenImageClient().base_url == base_url_from_environment() == BASE_URL
    assert BASE_URL == "https://gateway.pixazo.ai"
    monkeypatch.setenv("PIXAZO_BASE_URL", "https://h.example/")
    assert QwenImageClient().base_url == "https://h.example"
    assert QwenImageClient(base_url="https://g.example").base_url == "https://g.example"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://localhost", True),
        ("http://127.0.0.1:9", True),
        ("http://[::1]", True),
        ("https://gateway.example", False),
        ("https://10.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_what_is_on_this_machine(address: str, expected: bool) -> None:
    """Loopback addresses and localhost are this machine."""
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": 86_401},
        {"max_retries": -1},
        {"price_usd": -0.01},
        {"price_usd": float("nan")},
        {"price_usd": float("inf")},
    ],
    ids=str,
)
def test_a_number_that_cannot_work_is_refused(settings: dict[str, float]) -> None:
    """A number that would fail at the first call is refused when it is set."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        QwenImageClient(api_key="k", **settings)


def test_a_refused_setting_does_not_show_the_key() -> None:
    """No frame of a refused constructor holds the bare key."""
    with pytest.raises(ConfigurationError) as caught:
        QwenImageClient(api_key="".join(["bare-", "key-0123"]), base_url="http://h.example")
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "bare-key-0123" not in "".join(report.format())


def test_defaults_are_the_designs() -> None:
    """240 s, two retries and the document's price."""
    client = QwenImageClient()
    assert (client.timeout, client.max_retries, client.price_usd) == (240, 2, 0.045)
    assert QwenImageClient(sandbox=True).price_usd == 0


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_copy_has_the_settings_without_the_key(sandbox: bool) -> None:
    """A pickled client keeps its settings, and leaves the key behind."""
    client = QwenImageClient(
        api_key="key-to-leave", base_url="https://h.example", sandbox=sandbox, timeout=5,
        max_retries=0, price_usd=0.03,
    )  # fmt: skip
    pickled = pickle.dumps(client)
    assert b"key-to-leave" not in pickled
    names = ("base_url", "sandbox", "timeout", "max_retries", "price_usd")
    copied = pickle.loads(pickled)
    assert [getattr(copied, name) for name in names] == [getattr(client, name) for name in names]
    with pytest.raises(ConfigurationError):
        copied._sender.key.value  # noqa: B018
