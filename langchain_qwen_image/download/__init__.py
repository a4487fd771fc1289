"""From a link that nobody trusts to a whole image. No credentials come here."""
