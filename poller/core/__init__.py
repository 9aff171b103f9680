"""What the poller knows and decides, with no clock, no I/O and no randomness: values in, values out."""
