"""What runs on a host: programs of its own Python, sent there as one archive with each session.

They use the standard library, each other, and those modules of cloudservice that need no more than that.
"""
