"""What the server's own faces add to Triton's, which listen on sockets behind them: paired, in one run."""
