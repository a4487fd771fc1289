"""A fleet whose workers are killed, and whose database goes away: each image is paid for once."""

from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the harness be imported, which the benchmark shares."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.slow
@pytest.mark.long
def test_killed_workers(database_url: str, tmp_path: Path) -> None:
    """4 workers of 25 images, 3 of them killed: one admitted POST an item, and the exact bill."""
    from benchmarks import fleet_laws as laws

    scale = laws.Scale(workers=4, items=25, concurrency=4, kills=1, posts=(10, 20), timeout=3.0)
    with laws.gateway(warm.Popen, weights=laws.MIXED) as base_url:
        fleet = laws.Fleet(database_url, base_url, tmp_path / "images", scale, warm.Popen)
        assert fleet.enqueue() == 100
        kills = fleet.work_through_kills()
        assert kills >= 3
        fleet.finish()
        found = laws.check_laws(fleet, kills)
    assert found.states["saved"] > 50
