"""Machines whose DNS answers with invented addresses, and those that only look like it.

Clash, sing-box, Surge and their like give every name an address of their own (openclaw#59395).
"""

import io

import pytest
from image_host import FACTS, SIGNED, Internet, failure, reply
from image_host import redirect as leading_to

from langchain_qwen_image.download.fetcher import Fetcher

GATEWAY = "https://gateway.pixazo.ai"
LINK = f"https://images.example/a.png{SIGNED}"
FAKE = ["198.18.0.7", "198.19.255.254", "fc00::7", "fc00:3fff::1", "fdfe:dcba:9876::5", "2001:2::9"]


def resolving(internet: Internet, images: list[str], gateway: list[str]) -> Internet:
    """Let the two names resolve to these addresses."""
    internet.names = {"images.example": images, "gateway.pixazo.ai": gateway}
    return internet


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """Answer every request with an image."""
    return Internet(monkeypatch)


@pytest.mark.parametrize("address", [*FAKE, "::ffff:198.18.0.7"])
def test_a_fake_address_passes_where_the_gateway_has_one_too(
    internet: Internet, address: str
) -> None:
    """Where all names get invented addresses, an image's host is reached by its own."""
    other = "fc00::1" if ":" in address and "." not in address else "198.18.3.4"
    resolving(internet, [address], ["93.184.215.14", other])
    assert Fetcher(gateway=GATEWAY).fetch(LINK, io.BytesIO()) == FACTS
    assert internet.connected == [(address, 443)]
    assert internet.tls_names == ["images.example"]


@pytest.mark.parametrize(
    ("images", "gateway"),
    [
        pytest.param(["198.18.0.7"], ["93.184.215.14"], id="gateway-public"),
        pytest.param(["198.18.0.7"], ["10.0.0.1"], id="gateway-private"),
        pytest.param(["198.18.0.7"], ["127.0.0.1"], id="gateway-loopback"),
        pytest.param(["198.18.0.7"], ["fc00::1"], id="gateway-of-the-other-version"),
        pytest.param(["fc00::7"], ["198.18.0.1"], id="image-of-the-other-version"),
        pytest.param(["198.18.0.7", "10.0.0.1"], ["198.18.0.1"], id="one-private-among-them"),
        pytest.param(["127.0.0.1"], ["198.18.0.1"], id="loopback"),
        pytest.param(["169.254.169.254"], ["198.18.0.1"], id="metadata"),
        pytest.param(["100.100.100.200"], ["198.18.0.1"], id="alibabas-metadata"),
        pytest.param(["198.17.255.255", "192.168.1.1"], ["198.18.0.1"], id="private"),
        pytest.param(["fc00:4000::1"], ["fc00::1"], id="beyond-the-network"),
        pytest.param(["fd00::1"], ["fc00::1"], id="other-private-v6"),
        pytest.param(["64:ff9b::c612:7"], ["198.18.0.1"], id="behind-nat64"),
        pytest.param(["2002:c612:7::1"], ["198.18.0.1"], id="by-6to4"),
    ],
)
def test_other_addresses_stay_refused(
    internet: Internet, images: list[str], gateway: list[str]
) -> None:
    """Only a fake address passes, beside one of the gateway's; no refusal is called lasting."""
    resolving(internet, images, gateway)
    error = failure(Fetcher(gateway=GATEWAY), LINK)
    assert "not safe to fetch" in str(error)
    assert "non-public address" in str(error)
    assert "will not help" not in str(error)
    assert internet.connected == []


@pytest.mark.parametrize("gateway", [GATEWAY, "https://198.18.0.1", "https://[fc00::1]", ""])
def test_an_unknown_or_literal_gateway_opens_nothing(internet: Internet, gateway: str) -> None:
    """A gateway that does not resolve, or is no name, says nothing of the resolver."""
    internet.names = {"images.example": ["198.18.0.7"]}
    assert "non-public" in str(failure(Fetcher(gateway=gateway), LINK))


@pytest.mark.parametrize(
    "host", ["198.18.0.7", "[fc00::7]", "[::ffff:198.18.0.7]", "3323068423", "0xc6120007"]
)
@pytest.mark.parametrize("redirected", [False, True], ids=["link", "redirect"])
def test_a_fake_address_in_a_link_is_refused(
    monkeypatch: pytest.MonkeyPatch, host: str, redirected: bool
) -> None:
    """An address that a link itself names is never taken for an answer of DNS."""
    internet = Internet(monkeypatch, leading_to(f"https://{host}/b.png"), reply())
    resolving(internet, ["198.18.0.9"], ["198.18.0.1"])
    internet.names[host.strip("[]")] = ["198.18.0.7"]
    error = failure(Fetcher(gateway=GATEWAY), LINK if redirected else f"https://{host}/a.png")
    assert "not safe to fetch" in str(error)
    assert "will not help" in str(error)
    assert len(internet.connected) == redirected


def test_the_gateway_is_looked_up_at_each_connection(internet: Internet) -> None:
    """Turning the resolver on or off counts at once: no answer of before is remembered."""
    fetcher = Fetcher(gateway=GATEWAY)
    resolving(internet, ["198.18.0.7"], ["198.18.0.1"])
    assert fetcher.fetch(LINK, io.BytesIO()) == FACTS
    fetcher.close()
    resolving(internet, ["198.18.0.7"], ["93.184.215.14"])
    assert "non-public" in str(failure(fetcher, LINK))
    resolving(internet, ["198.18.0.7"], ["198.18.0.1"])
    assert fetcher.fetch(LINK, io.BytesIO()) == FACTS


def test_public_hosts_need_no_look_at_the_gateway(internet: Internet) -> None:
    """Where names resolve to public addresses, the gateway's is not looked up."""
    assert Fetcher(gateway=GATEWAY).fetch(LINK, io.BytesIO()) == FACTS
    assert internet.asked == ["images.example"]


def test_the_gateway_of_the_environment_counts_where_none_is_given(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of unknown gateway, such as an artifact's, is judged by the usual gateway."""
    monkeypatch.setenv("PIXAZO_BASE_URL", "https://relay.example/v1")
    internet.names = {"images.example": ["198.18.0.7"], "relay.example": ["198.18.0.1"]}
    assert Fetcher().fetch(LINK, io.BytesIO()) == FACTS
    assert internet.asked == ["images.example", "relay.example"]


def test_a_gateway_that_cannot_be_read_opens_nothing(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the environment's gateway is not the fault of an image fetched later."""
    monkeypatch.setenv("PIXAZO_BASE_URL", "https://[::1")
    assert Fetcher().fetch(LINK, io.BytesIO()) == FACTS
    internet.names["images.example"] = ["198.18.0.7"]
    assert "non-public" in str(failure(Fetcher(), LINK))
