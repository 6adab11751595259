"""A server under mixed load for as long as asked: every answer compared, and by the minute what its processes hold."""
