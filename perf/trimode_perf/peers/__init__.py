"""What people could use instead, on the same checkpoint, prompts and threads: each peer in a process of its own.

`comparison.compare` is the driver, `python -m trimode_perf.peers` its command line. Importing the
package imports nothing: the torch model and loops also run where there is torch alone.
"""
