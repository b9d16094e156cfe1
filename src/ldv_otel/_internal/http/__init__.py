"""What clients and servers over HTTP share."""
