"""Running networks on real machines: bounded memory, devices, threads."""
