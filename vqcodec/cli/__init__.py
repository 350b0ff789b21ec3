"""The command line: options, batches of files, and messages to the user."""
