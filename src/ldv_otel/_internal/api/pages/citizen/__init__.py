"""The page on which citizens see what was done with their data."""
