"""Defaults: price, times, caps, addresses, and names of variables and files."""

API_KEY_VARIABLE = "PIXAZO_API_KEY"
API_KEY_FILE = "~/.pixazo/api-key"
"""Where the owner's own tools put the key: one line, mode 600 (the owner's skills, 2026-08)."""
BASE_URL_VARIABLE = "PIXAZO_BASE_URL"
SANDBOX_VARIABLE = "PIXAZO_SANDBOX"
DATABASE_VARIABLE = "QWEN_IMAGE_DATABASE"
BASE_URL = "https://gateway.pixazo.ai"
PRICE_USD = 0.045
"""Price of one image in US dollars, at any size (the document)."""
TIMEOUT = 240.0
"""Seconds for the whole answer: 20 to 30 are usual, the front end gives up at 240 to 300."""
MAX_RETRIES = 2
"""Extra attempts, made only where the request provably bought nothing."""
GENERATE_TOOL = "generate_image"
VIEW_TOOL = "view_image"
CONCURRENCY = 32
"""Requests of a bulk run at once: at 20 to 30 s each, they make a little more than one a second."""
MAX_IMAGE_BYTES = 32 * 1024 * 1024
"""Cap of one fetched image."""
SANDBOX_URL = "https://sandbox.invalid"
"""Address of the embedded sandbox; `.invalid` can never be a real host (RFC 6761)."""
QUEUE_HOURS = 24
"""How long a queued answer is asked for; then the call is unknown, and counted as spent."""
OLD_ACCOUNT_NAME = ".qwen-image.db"
"""File name of the account in a folder of images, where earlier versions had it."""
DATABASE_VARIABLE = "QWEN_IMAGE_DATABASE"
"""Names the account of all calls that are not given one: a path, or a `postgresql://` address."""
