"""A pipe for tests of streams."""

import io


class Pipe(io.RawIOBase):
    """A pipe that gives its blocks one by one, and counts how many were requested."""

    def __init__(self, blocks):
        self.blocks = list(blocks)
        self.given = 0

    def readable(self):
        return True

    def read(self, size=-1):
        self.given += 1
        return self.blocks.pop(0) if self.blocks else b""
