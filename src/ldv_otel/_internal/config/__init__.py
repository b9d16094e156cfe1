"""What the variables, files and addresses of a configuration say."""
