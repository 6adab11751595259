"""Renders what deploy/ has of the tables in the code: the chart's schema, its values for GPUs, the dashboards."""
