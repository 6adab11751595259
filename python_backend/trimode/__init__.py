"""The runtime: decoding modes, scheduler, engines and the Triton face."""
