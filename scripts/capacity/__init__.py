"""How many replicas a load needs: from a measured curve, or from a model of a GPU. See docs/guides/capacity.md."""
