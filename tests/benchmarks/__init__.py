"""Speed, memory and parity, measured; never run by `make test`."""
