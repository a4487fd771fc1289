"""Agents of Google's ADK call the tool, by its own adapter, and pay once."""

import pytest

# What the framework and its libraries warn of is theirs.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

adk = pytest.importorskip("google.adk")
