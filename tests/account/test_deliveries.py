"""A result that reached nobody is given to one who asks again, by every server of the account."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from account_steps import GATEWAY, LEASE, STEPS, entry
from accounts import Clock
from postgres import Postgres, execute
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.deliveries import (
    HOLD_SECONDS,
    MEMORY_SECONDS,
    Deliveries,
    Wanted,
)


class Asking:
    """Requests for one image, each with a key and a name of its own, by one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.deliveries = Deliveries(account.store)

    def take(
        self, key: str, *, fingerprint: str = "fox", pays: bool = True, again: bool = False
    ) -> str | None:
        """Return by which key a request gets its image; the request is called as its own key."""
        wanted = Wanted(GATEWAY, fingerprint, key, key)
        return self.deliveries.take(wanted, pays=pays, again=again).result(PATIENCE)

    def let_go(self, key: str, request: str) -> None:
        """Let the client of a request go."""
        self.deliveries.let_go(key, request).result(PATIENCE)

    def forget(self, key: str, request: str, *, is_image: bool = True) -> None:
        """Hand over what came of a call."""
        self.deliveries.forget(key, request, is_image=is_image).result(PATIENCE)

    def walk(self, steps: str, key: str) -> None:
        """Move the call of a key."""
        for step in steps.split():
            if step == "asked":
                self.account.asked(entry(key, key=key)).result(PATIENCE)
            else:
                STEPS[step](self.account, key).result(PATIENCE)


@pytest.fixture
def asking(account: Account) -> Iterator[Asking]:
    """Ask by one account, in each store."""
    return Asking(account)


def test_one_request_gets_what_another_buys_and_the_next_buys(asking: Asking) -> None:
    """An equal request takes a call that is under way, once; another prompt is another image."""
    assert asking.take("a") == "a"
    assert asking.take("heron", fingerprint="heron") == "heron"
    assert [asking.take("b"), asking.take("c"), asking.take("d")] == ["a", "c", "c"]


@pytest.mark.parametrize(
    ("end", "gets"),
    [
        pytest.param(lambda asking: asking.forget("a", "a"), "b", id="delivered"),
        pytest.param(lambda asking: asking.let_go("a", "a"), "a", id="client-gone"),
        pytest.param(lambda asking: asking.forget("a", "a", is_image=False), "b", id="error-told"),
    ],
)
def test_a_delivered_result_is_never_given_again(
    asking: Asking, end: Callable[[Asking], None], gets: str
) -> None:
    """What a client has is its own; what it left is for who asks again."""
    asking.take("a")
    asking.walk("asked sent answered saved", "a")
    end(asking)
    assert asking.take("b") == gets


def test_who_took_a_call_and_goes_leaves_it_to_the_next(asking: Asking) -> None:
    """Each that gives up lets the next one take it, until one has it."""
    assert [asking.take("a"), asking.take("b")] == ["a", "a"]
    asking.let_go("a", "a")
    assert asking.take("c") == "c"
    asking.let_go("a", "b")
    asking.forget("c", "c")
    assert asking.take("d") == "a"
    asking.forget("a", "d")
    assert asking.take("e") == "e"


def test_a_new_image_is_always_ones_own(asking: Asking) -> None:
    """A request for another image pays, even if one is there to be handed over."""
    asking.take("a")
    asking.let_go("a", "a")
    assert asking.take("b", again=True) == "b"


@pytest.mark.parametrize(
    ("steps", "is_paid"),
    [
        ("", False),
        ("asked", False),
        ("asked refused", False),
        ("asked sent waiting", False),
        ("asked sent", True),
        ("asked sent queued", True),
        ("asked sent answered", True),
        ("asked sent answered saved", True),
        ("asked sent unknown", False),
    ],
)
def test_who_may_not_pay_takes_only_what_is_paid_for(
    asking: Asking, steps: str, is_paid: bool
) -> None:
    """Before a person has agreed, a request gets an image that money is out for, and no other."""
    asking.take("a")
    asking.walk(steps, "a")
    assert asking.take("b", pays=False) == ("a" if is_paid else None)
    assert asking.take("c") == ("c" if is_paid else "a")


@pytest.mark.parametrize(
    ("steps", "seconds", "gets"),
    [
        ("", MEMORY_SECONDS, "a"),
        ("", MEMORY_SECONDS + 1, "b"),
        ("asked sent answered", MEMORY_SECONDS, "a"),
        ("asked sent answered", MEMORY_SECONDS + 1, "b"),
        ("asked sent", LEASE - 1, "a"),
        ("asked sent", MEMORY_SECONDS + 1, "b"),
        ("asked sent queued", MEMORY_SECONDS * 4, "a"),
    ],
)
def test_a_result_is_kept_for_a_quarter_of_an_hour(
    clock: Clock, asking: Asking, steps: str, seconds: float, gets: str
) -> None:
    """After that an equal request buys; what is under way so long is still the same."""
    asking.take("a")
    asking.walk(steps, "a")
    clock.move(seconds)
    assert asking.take("b") == gets


@pytest.mark.parametrize("seconds", [HOLD_SECONDS + 1, -3 * HOLD_SECONDS])
def test_a_request_whose_server_was_killed_holds_nothing_for_long(
    clock: Clock, asking: Asking, seconds: float
) -> None:
    """Who took a call renews that, or another may take it; also when the clock is set back."""
    assert [asking.take("a"), asking.take("b")] == ["a", "a"]
    clock.move(HOLD_SECONDS - 1)
    asking.deliveries.renew("a", "b").result(PATIENCE)
    clock.move(HOLD_SECONDS - 1)
    assert asking.take("c") == "c"
    asking.forget("c", "c")
    clock.move(seconds)
    assert asking.take("d") == "a"


def test_what_is_paid_for_is_taken_first(asking: Asking) -> None:
    """No image is left over while an older call that bought nothing is paid for."""
    for key, steps in (("a", "asked refused"), ("b", "asked sent answered saved")):
        asking.take(key, again=True)
        asking.walk(steps, key)
        asking.let_go(key, key)
    assert [asking.take("c"), asking.take("d")] == ["b", "a"]


def test_an_error_leaves_the_call_to_another_that_took_it(asking: Asking) -> None:
    """One client was told that nothing was bought; the other pays now, and may give up in turn."""
    assert [asking.take("a"), asking.take("b")] == ["a", "a"]
    asking.forget("a", "a", is_image=False)
    asking.let_go("a", "b")
    assert asking.take("c") == "a"


def test_the_tables_of_version_3_are_upgraded(
    postgres: Postgres, schema: str, database_url: str
) -> None:
    """A database that has an account already gets the table, and keeps its id and calls."""
    old = Account(database_url)
    old.asked(entry("c")).result(PATIENCE)
    known = old.id
    old.close()
    execute(postgres, "DROP TABLE deliveries; UPDATE qwen_image SET version = 3", schema)
    new = Asking(Account(f"{database_url}&application_name=another-process"))
    assert new.take("a") == "a"
    assert (new.account.id, new.account.get("c") is None) == (known, False)
    new.account.close()


def test_of_many_that_come_at_once_one_takes_it(accounts: Callable[..., Account]) -> None:
    """Servers that share an account decide in one transaction each, one after the other."""
    servers = [Asking(accounts()) for _ in range(6)]
    servers[0].take("left")
    servers[0].let_go("left", "left")
    for server in servers:
        server.account.prepare().result(PATIENCE)
    taken = [
        server.deliveries.take(Wanted(GATEWAY, "fox", name, name), pays=True, again=False)
        for name, server in zip("abcdef", servers, strict=True)
    ]
    keys = Counter(one.result(PATIENCE) for one in taken)
    assert keys.pop("left") == 1
    assert sorted(keys.values()) == [1, 2, 2]  # who pays, and one that gets the same
