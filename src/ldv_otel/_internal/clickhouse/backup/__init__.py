"""A whole Logboek in a directory of files, and back."""
