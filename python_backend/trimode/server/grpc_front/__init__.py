"""The gRPC face of the server: KServe's service, in front of Triton's own, which listens on an internal port."""
