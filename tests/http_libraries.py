"""httpx and httpx2, the libraries whose clients a caller may pass."""

import httpx
import httpx2
import pytest

LIBRARIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> object:
    """Make the caller's clients with the one library or the other."""
    return request.param
