"""A result for its readers: a sentence, content blocks, HTML, small copies. It fetches nothing."""
