"""The page where citizens see what was done with their data, and why: a router of `ldv serve`."""
