"""POST /v1/responses without a memory: each request has all that is said."""
