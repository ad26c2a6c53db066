"""Starts serving `midlane` processes for tests of Python clients."""

import os
import re
import signal
import subprocess
import tempfile

import grpc

MIDLANE = ""  # the program's path, set by the test
LISTEN = "LISTEN"


class Bridge:
  """`midlane` with `arguments` as a child that serves; LISTEN in them becomes `listen`, or a Unix
  socket of its own."""

  def __init__(self, *arguments, listen=None):
    self.folder = tempfile.TemporaryDirectory(prefix="midlane-test-")
    listen = listen or f"unix://{self.folder.name}/bridge.sock"
    self.process = subprocess.Popen(
        [MIDLANE, *(listen if argument == LISTEN else argument for argument in arguments)],
        stdout=subprocess.PIPE, text=True)
    line = self.process.stdout.readline()
    found = re.match(r"serving \S+ on (\S+) \(", line)
    if not found:
      raise RuntimeError(f"midlane said {line!r}, exit code {self.process.wait(20)}")
    self.address = found[1]

  def channel(self):
    return grpc.insecure_channel(self.address)

  def stop(self):
    self.process.send_signal(signal.SIGINT)
    code = self.process.wait(20)
    self.process.stdout.close()
    left = os.listdir(self.folder.name)
    self.folder.cleanup()
    return code, left
