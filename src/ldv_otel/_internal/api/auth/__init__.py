"""Who a client of the API is, and what it may see."""
