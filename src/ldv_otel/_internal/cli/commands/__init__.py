"""The commands, a file for each group, named as it is typed."""
