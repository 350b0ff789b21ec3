"""Running the networks: bounded memory, devices, threads."""
