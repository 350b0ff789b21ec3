"""The command line: options, batches of files, and what the user is told."""
