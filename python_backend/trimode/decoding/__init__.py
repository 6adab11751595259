"""Pure decoding: a sequence's state and the modes that plan its passes; no device, clock or thread."""
