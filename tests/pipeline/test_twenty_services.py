"""Twenty services share an account and a gateway that is too slow for all of them: none fails."""

import subprocess
import sys

import pytest
import warm
from account_steps import PRICE
from test_turns import Limited

from langchain_qwen_image.account.account import Account

_SERVICE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.account.paces import Paces
client = QwenImageClient(api_key="test-key-s", base_url=sys.argv[1], account=sys.argv[2])
pipeline = client._pipeline()
client._made[:] = [replace(pipeline, paces=Paces(None, pipeline.account.store))]
with ThreadPoolExecutor(4) as threads:
    for result in threads.map(client.generate, ["a fox"] * 4):
        print(result.call_id)
"""


@pytest.mark.long
def test_of_twenty_services_with_four_images_each_none_fails(account: Account, location: str):
    """At five a second all eighty images are paid for, each by one POST that was admitted."""
    account.prepare().result()
    with Limited(rate=5, burst=5) as gateway:
        services = [
            warm.Popen(
                [sys.executable, "-c", _SERVICE, gateway.base_url, location],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(20)
        ]
        said = [service.communicate(timeout=300) for service in services]
        assert [service.returncode for service in services] == [0] * 20, said
        assert len({line for lines, _ in said for line in lines.splitlines()}) == 80
        assert len(gateway.posts) - gateway.refused == 80
        assert gateway.refused < 80
    assert (account.spent_usd, account.reserved_usd) == (PRICE * 80, 0)
