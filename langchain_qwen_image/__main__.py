"""The command `qwen-image`, which is also `python -m langchain_qwen_image`."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line, or say what to install for it."""
    if any(find_spec(name) is None for name in ("typer", "rich")):
        sys.exit("The command line needs its extra: pip install 'langchain-qwen-image[cli]'")
    try:
        from langchain_qwen_image.cli import run

        run()
    except KeyboardInterrupt:  # while modules were being imported
        sys.exit(130)


if __name__ == "__main__":
    main()
