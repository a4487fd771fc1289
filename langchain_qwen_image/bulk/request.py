"""One request of a bulk run, with the name that its owner has for it."""

from dataclasses import dataclass

from langchain_qwen_image.integration.inputs import GeneratorInput


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A request with an id of the caller's own, such as an article number.

    Attributes:
        input: What `QwenImageGenerator.invoke` takes.
        id: Its idempotency key in the run, 1 to 255 characters: it is paid for once, and with
            other arguments it fails. It becomes part of the file's name, and is in the sidecar
            and in the outcome.
    """

    input: GeneratorInput
    id: str | None = None

    @classmethod
    def of(cls, given: "GeneratorInput | BulkRequest") -> "BulkRequest":
        """Return a request, whether or not it came with an id."""
        return given if isinstance(given, cls) else cls(given)  # type: ignore[arg-type]
