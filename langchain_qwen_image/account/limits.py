"""Decide whether a budget allows another image, in exact money."""

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import NamedTuple, NoReturn

from langchain_qwen_image.errors import BudgetExceededError, ConfigurationError

__all__ = ["EXACT", "ZERO", "Limits", "Totals", "limits_of"]

ZERO = Decimal(0)
_LARGEST = Decimal(10) ** 9
# The caller's decimal context may round; 60 digits that must not hold every sum of money.
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


class Totals(NamedTuple):
    """What a budget has given out.

    Attributes:
        spent_usd: Settled, in US dollars.
        reserved_usd: Reserved and not settled yet, in US dollars.
        spent_images: Images settled.
        reserved_images: Images reserved and not settled yet.
    """

    spent_usd: Decimal = ZERO
    reserved_usd: Decimal = ZERO
    spent_images: int = 0
    reserved_images: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a budget may give out, reservations included; None is no limit."""

    max_usd: Decimal | None
    max_images: int | None

    @property
    def is_set(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_usd is not None or self.max_images is not None

    def check(self, given: Totals, usd: Decimal, images: int) -> None:
        """Let a reservation pass.

        Raises:
            BudgetExceededError: It would go over a limit.
        """
        spent_usd, reserved_usd, spent_images, reserved_images = given
        usd_after = EXACT.add(EXACT.add(spent_usd, reserved_usd), usd)
        images_after = spent_images + reserved_images + images
        if (self.max_usd is not None and usd_after > self.max_usd) or (
            self.max_images is not None and images_after > self.max_images
        ):
            self._refuse(given, usd, images)

    def remaining_usd(self, given: Totals) -> Decimal | None:
        """Return the US dollars left, never below 0; None without a limit."""
        if self.max_usd is None:
            return None
        left = EXACT.subtract(self.max_usd, EXACT.add(given.spent_usd, given.reserved_usd))
        return max(ZERO, left)

    def remaining_images(self, given: Totals) -> int | None:
        """Return the images left, never below 0; None without a limit."""
        if self.max_images is None:
            return None
        return max(0, self.max_images - given.spent_images - given.reserved_images)

    def describe(self, given: Totals) -> str:
        """Say what is left of each limit, such as `$0.02 of $20 and 3 of 10 images`."""
        parts = []
        if self.max_usd is not None:
            left = self.remaining_usd(given)
            parts.append(f"{dollars(left or ZERO)} of {dollars(self.max_usd)}")
        if self.max_images is not None:
            parts.append(f"{self.remaining_images(given)} of {self.max_images} images")
        return " and ".join(parts)

    def _refuse(self, given: Totals, usd: Decimal, images: int) -> NoReturn:
        price = f"one image costs {dollars(usd)}"
        if images != 1:
            price = f"{images} images cost {dollars(usd)}"
        held = ""
        if given.reserved_images:
            what = "1 image" if given.reserved_images == 1 else f"{given.reserved_images} images"
            held = f" ({dollars(given.reserved_usd)} reserved for {what} in progress)"
        raise BudgetExceededError(
            f"The image budget does not allow this: {self.describe(given)} left{held}, and {price}."
            " Nothing was sent and nothing was paid. Stop generating images and tell the user that"
            " the budget is used up."
        )


def dollars(usd: Decimal | float) -> str:
    """Write an amount exactly, with two decimals at least: `$0.045`, `$0.10`, `$1,440.00`."""
    exact = usd if isinstance(usd, Decimal) else Decimal(str(usd))
    whole, _, decimals = f"{exact.normalize(EXACT):,f}".partition(".")
    return f"${whole}.{decimals:0<2}"


def limits_of(max_usd: float | str | Decimal | None, max_images: int | None) -> Limits:
    """Return the limits as given by a caller.

    Raises:
        ConfigurationError: One is negative or no number.
    """
    return Limits(_limit_usd(max_usd), _limit_images(max_images))


def _limit_usd(value: float | str | Decimal | None) -> Decimal | None:
    if value is None:
        return None
    try:
        limit = Decimal(str(value))
    except InvalidOperation:
        raise ConfigurationError(f"max_usd must be a number, not {value!r}.") from None
    # Within these bounds every sum and difference is exact.
    is_money = limit.is_finite() and 0 <= limit <= _LARGEST
    if not is_money or int(limit.as_tuple().exponent) < -18:
        raise ConfigurationError(
            f"max_usd must be 0 to {_LARGEST:f} with at most 18 decimals, not {value!r}."
        )
    return limit


def _limit_images(value: int | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"max_images must be a whole number, 0 or more, not {value!r}.")
    return value
