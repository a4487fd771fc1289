"""Files that appear whole, each with its sidecar. Nothing here sends or fetches."""
