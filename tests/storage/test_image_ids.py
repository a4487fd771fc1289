"""Short ids of images."""

from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.storage.filenames import image_id, short

calls = st.uuids().map(lambda one: one.hex)


@given(calls, st.integers(0, 3), calls, st.integers(0, 3))
def test_an_image_is_called_by_its_call_and_place(
    call: str, place: int, other: str, another: int
) -> None:
    """The same image has the same id at each reading, and another one has another."""
    found = image_id(call, place)
    assert len(found) == 10
    assert short(found) == found, "it is the end of the file's name"
    assert (found == image_id(other, another)) is ((call, place) == (other, another))
