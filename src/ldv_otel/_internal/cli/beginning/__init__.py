"""What `ldv init` does: it looks at an application, and writes the files that it would begin with."""
