"""Spans of OpenTelemetry: what a request went through. The library is imported where an endpoint was named alone."""
