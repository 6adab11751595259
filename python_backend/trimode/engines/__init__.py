"""The engines behind the protocol of base.py, one file each."""
