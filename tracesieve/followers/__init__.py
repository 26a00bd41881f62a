"""Followers: what is worked out from facts and windows without Spark: verdicts, evidence, notifications and wishes.

Each compares what should be with what its own table says, and appends the difference in one commit; so a crash at any
instant is mended by the next pass, and a pass with nothing new writes nothing.
"""
