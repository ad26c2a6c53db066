"""Runs the built `midlane` for end-to-end tests, in a scratch folder of its own."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("MIDLANE_BUILD_DIR", "build")).resolve()
SOURCE = pathlib.Path(os.environ.get("MIDLANE_SOURCE_DIR", ".")).resolve()
MIDLANE = BUILD / "bin" / "midlane"

# Beside other programs on a busy machine, workers of the default niceness would starve.
AWAKE = ["--set", "run.worker_nice=0"]


class CliTest(unittest.TestCase):
    """Each test runs in a fresh folder, `self.folder`, and leaves no process behind."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="midlane-e2e-"))
        self.started = []
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.end_all)

    def end_all(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def start(self, *arguments, environment=None, cwd=None):
        process = subprocess.Popen(
            [MIDLANE, *map(str, arguments)], cwd=cwd or self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})})
        self.started.append(process)
        return process

    def finish(self, process, timeout=60):
        process.out, process.err = process.communicate(timeout=timeout)
        return process

    def run_cli(self, *arguments, timeout=90, **more):
        return self.finish(self.start(*arguments, **more), timeout)

    def assert_refused(self, process, *sentences, code=1):
        """It ended with `code` and one sentence on stderr that says all of `sentences`."""
        self.assertEqual(process.returncode, code, process.out + process.err)
        for sentence in sentences:
            self.assertIn(sentence, process.err)
        self.assertNotIn("terminate called", process.err)

    def metrics(self, run):
        path = self.folder / "runs" / run / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def iterations(self, run):
        return [line for line in self.metrics(run) if line["event"] == "iteration"]

    def wait_for(self, what, condition, timeout=60, process=None):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            if process is not None and process.poll() is not None:
                self.finish(process)
                self.fail(f"{what}: midlane ended first\n{process.out}{process.err}")
            time.sleep(0.05)
        self.fail(f"{what} did not come within {timeout} s")


def processes_of(folder):
    """Live processes whose command line names `folder`, as {pid: command}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = os.readlink(entry / "cwd")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and (str(folder) in command or cwd == str(folder)):
            found[int(entry.name)] = command
    return found


def accounting(line):
    """(produced, trained + dropped + in flight) of a metrics line."""
    chunks = line["chunks"]
    return chunks["produced"], (chunks["trained"] + sum(chunks["dropped"].values()) +
                                chunks["in_flight"])


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False
