"""Authentication of the API's clients, and their rights."""
