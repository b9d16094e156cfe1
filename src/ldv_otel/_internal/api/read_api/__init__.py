"""The read API of the extension lezen."""
