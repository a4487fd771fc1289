"""Which proxy an address is reached through, and what the environment may have wrong about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.transport.proxies import proxy_for, proxy_problem

PROXY = "http://me:secret-pw@proxy.example:3128"
GATEWAY = "https://gw.images.example/qwen"

ENTRIES = [
    # entry, addresses that it exempts, addresses that it does not
    ("gw.images.example", [GATEWAY], ["https://images.example", "https://xgw.images.example"]),
    ("images.example", [GATEWAY, "https://images.example"], ["https://myimages.example"]),
    (".images.example", [GATEWAY], ["https://images.example"]),
    ("*.images.example", [GATEWAY], ["https://images.example"]),
    ("*images.example", [GATEWAY, "https://images.example"], ["https://myimages.example"]),
    ("IMAGES.example", [GATEWAY], []),
    ("images.example.", [GATEWAY], []),
    ("gw.*.example", [GATEWAY], ["https://images.example"]),
    ("*", [GATEWAY, "https://[fd00::1]/"], []),
    ("images.example:443", [GATEWAY], ["https://images.example:8443"]),
    ("images.example:8443", ["https://images.example:8443"], [GATEWAY]),
    ("https://images.example", [GATEWAY], ["http://images.example"]),
    ("http://images.example", ["http://images.example"], [GATEWAY]),
    ("all://images.example/", [GATEWAY, "http://images.example"], []),
    ("10.1.2.3", ["https://10.1.2.3/"], ["https://10.1.2.4/", "https://110.1.2.3/"]),
    ("10.1.2.3:8443", ["https://10.1.2.3:8443/"], ["https://10.1.2.3/"]),
    ("10.0.0.0/8", ["https://10.1.2.3/"], [GATEWAY, "https://11.1.2.3/"]),
    ("10.1.2.3/8", ["https://10.9.9.9/"], ["https://11.1.2.3/"]),
    ("192.168.*", ["https://192.168.7.1/"], ["https://192.169.7.1/"]),
    ("fd00::/8", ["https://[fd00::1]/"], ["https://[fe80::1]/", GATEWAY]),
    ("[fd00::]/8", ["https://[fd12::1]/"], [GATEWAY]),
    ("[fd00::1]", ["https://[fd00::1]/"], ["https://[fd00::2]/"]),
    ("[fd00::1]:8443", ["https://[fd00::1]:8443/"], ["https://[fd00::1]/"]),
    ("fd00::1%eth0", ["https://[fd00::1]/"], ["https://[fd00::2]/"]),
    ("<local>", ["https://intranet/"], [GATEWAY]),
    ("münchen.example", ["https://münchen.example/", "https://xn--mnchen-3ya.example/"], [GATEWAY]),
    ("my_host", ["https://my_host/"], [GATEWAY]),
    ("[::1],localhost", [], [GATEWAY]),
    ("a.example, images.example", [GATEWAY], []),
    ("a.example images.example", [GATEWAY], []),
    ("a.example;images.example", [GATEWAY], []),
    (",,images.example,", [GATEWAY], []),
    ("(odd),images.example", [GATEWAY], []),
]


@pytest.mark.parametrize(
    ("entry", "direct", "proxied"), [pytest.param(*row, id=row[0]) for row in ENTRIES]
)
def test_no_proxy_is_read_as_others_read_it(
    entry: str, direct: list[str], proxied: list[str]
) -> None:
    """Names, their subdomains, ports, addresses and networks are exempt (httpx#3221)."""
    environ = {"ALL_PROXY": PROXY, "NO_PROXY": entry}
    assert [url for url in direct if proxy_for(url, environ) is not None] == []
    assert [url for url in proxied if proxy_for(url, environ) != PROXY] == []


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "a.localhost"),
        *("127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("no_proxy", [None, "", "images.example", "(odd)"])
def test_this_machine_has_no_proxy(host: str, scheme: str, no_proxy: str | None) -> None:
    """Loopback is asked directly, whatever the variables say, and whatever is wrong with them."""
    environ = {f"{name}_PROXY": "nonsense://proxy" for name in ("HTTP", "HTTPS", "ALL")}
    if no_proxy is not None:
        environ["NO_PROXY"] = no_proxy
    url = f"{scheme}://{host}:8765/a"
    assert proxy_for(url, environ) is None
    assert proxy_problem(environ, url) is None


VARIABLES = [
    ({}, None),
    ({"HTTPS_PROXY": PROXY}, PROXY),
    ({"https_proxy": PROXY}, PROXY),
    ({"ALL_PROXY": PROXY}, PROXY),
    ({"all_proxy": PROXY}, PROXY),
    ({"HTTP_PROXY": PROXY}, None),
    ({"HTTPS_PROXY": "http://other:1", "https_proxy": PROXY}, PROXY),
    ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, None),
    ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "nonsense://a"}, PROXY),
    ({"HTTPS_PROXY": " proxy.example:3128 "}, "http://proxy.example:3128"),
    ({"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example"),
    ({"HTTPS_PROXY": "http://[fd00::9]:3128"}, "http://[fd00::9]:3128"),
    ({"NO_PROXY": "(odd)"}, None),
]


@pytest.mark.parametrize(("environ", "proxy"), VARIABLES)
def test_which_variable_counts(environ: dict[str, str], proxy: str | None) -> None:
    """The scheme's variable before `ALL_PROXY`, small letters before capitals."""
    assert proxy_for(GATEWAY, environ) == proxy


def test_a_visitors_header_is_no_proxy() -> None:
    """Under CGI `HTTP_PROXY` comes from a request's header (httpoxy), and is not read."""
    environ = {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}
    assert proxy_for("http://a.example", environ) is None
    assert proxy_for("http://a.example", {"HTTP_PROXY": PROXY}) == PROXY


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables given, those of the process count."""
    assert proxy_for(GATEWAY) is None
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert proxy_for(GATEWAY) == PROXY


PROBLEMS = [
    ({"HTTPS_PROXY": "nonsense://me:secret-pw@proxy"}, "HTTPS_PROXY is not the address"),
    ({"https_proxy": "http://me:secret-pw@proxy:99999"}, "https_proxy is not the address"),
    ({"ALL_PROXY": "http://me:secret-pw@proxy:none"}, "ALL_PROXY is not the address"),
    ({"ALL_PROXY": "http://[fd00::1"}, "ALL_PROXY is not the address"),
    ({"ALL_PROXY": "http://"}, "ALL_PROXY is not the address"),
    ({"ALL_PROXY": "http://xn--"}, "ALL_PROXY is not the address"),
    ({"ALL_PROXY": "http://me:secret-pw#1@proxy:3128"}, "ALL_PROXY has a ? or a #"),
    ({"ALL_PROXY": "http://me:secret-pw?1@proxy:3128"}, "ALL_PROXY has a ? or a #"),
    ({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/99"}, "NO_PROXY has the entry '10.0.0.0/99'"),
    ({"HTTPS_PROXY": PROXY, "no_proxy": "a.example,(odd)"}, "no_proxy has the entry '(odd)'"),
    ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a:b:c"}, "NO_PROXY has the entry 'a:b:c'"),
    ({"HTTPS_PROXY": PROXY, "NO_PROXY": ":8080"}, "NO_PROXY has the entry ':8080'"),
    ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a|b"}, "NO_PROXY has the entry 'a|b'"),
]


@pytest.mark.parametrize(("environ", "told"), PROBLEMS)
def test_what_cannot_be_used_is_named(environ: dict[str, str], told: str) -> None:
    """The variable is named, and the entry; a password never is."""
    problem = proxy_problem(environ, GATEWAY)
    assert problem is not None
    assert problem.startswith(told)
    assert "secret-pw" not in problem
    with pytest.raises(ValueError, match=list(environ)[-1]):
        proxy_for(GATEWAY, environ)


@pytest.mark.parametrize("is_installed", [False, True])
def test_socks_needs_its_package(is_installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is a problem only where the package for it is missing."""
    monkeypatch.setattr(
        "langchain_qwen_image.transport.proxies.find_spec", lambda _: is_installed or None
    )
    problem = proxy_problem({"ALL_PROXY": "socks5h://me:secret-pw@proxy:1080"}, GATEWAY)
    assert (problem is None) is is_installed
    if problem:
        assert "ALL_PROXY names a SOCKS proxy, which needs the package socksio" in problem


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_value_is_read_or_named(proxy: str, no_proxy: str) -> None:
    """Whatever stands in the variables, the answer is a proxy, none, or one kind of error."""
    environ = {"HTTPS_PROXY": proxy, "NO_PROXY": no_proxy}
    problem = proxy_problem(environ, GATEWAY)
    assert problem is None or problem.startswith(("HTTPS_PROXY ", "NO_PROXY "))


@given(
    st.text(alphabet="[]:./*%@<>fd0123456789 ,;ä", max_size=20),
    st.sampled_from([GATEWAY, "https://[fd00::1]/", "https://10.1.2.3:8443/"]),
)
def test_any_entry_is_read_or_named(entry: str, url: str) -> None:
    """Entries made of what entries are made of are read, or named."""
    environ = {"HTTPS_PROXY": PROXY, "NO_PROXY": entry}
    problem = proxy_problem(environ, url)
    assert problem is None or problem.startswith("NO_PROXY has the entry ")
