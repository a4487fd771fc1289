"""A folder of images as one page: `index.html`, which needs nothing but a browser.

`entries` finds the images and `facts` what is known of them, `thumbnails` makes them small,
`page` writes the HTML around them, and `writing` puts the file in its place.
"""

from langchain_qwen_image.gallery.writing import Gallery, write_gallery

__all__ = ["Gallery", "write_gallery"]
