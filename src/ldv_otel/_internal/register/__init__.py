"""The Register: processing activities and their versions, from a file or a URL."""
