"""The way of one call: reserve, send, book, fetch, save. The only room that pays."""
