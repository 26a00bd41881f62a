"""The Python API: what a config watches and its store holds, as Polars frames; for notebooks and scripts.

It only reads. It asks no server and starts no Java, and works beside a run; every call sees what is counted
by then.
"""
