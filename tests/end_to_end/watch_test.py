"""`midlane watch`: the real game in a window of a virtual screen."""
import os
import shutil
import subprocess
import time
import unittest

from cli import AWAKE, CliTest

QUICK = ["--set", "ppo.batch_steps=4096", "--set", "run.games=2", *AWAKE]


class Screen:
    """A private X server, ended with the test."""

    def __init__(self, test):
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24"], pass_fds=[write],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        test.addCleanup(self.end)
        os.close(write)
        with os.fdopen(read) as number:
            self.display = ":" + number.readline().strip()

    def end(self):
        self.server.terminate()
        self.server.wait()


class WatchTest(CliTest):
    def trained(self):
        train = self.run_cli("train", "blobby", "--run", "w", "--seconds", 4, *QUICK, timeout=120)
        self.assertEqual(train.returncode, 0, train.out + train.err)

    @unittest.skipUnless(shutil.which("Xvfb") or os.environ.get("CI") == "true",
                         "Xvfb is missing: apt-get install xvfb")
    def test_shows_a_match_at_the_asked_pace(self):
        self.trained()
        screen = {"DISPLAY": Screen(self).display}
        # Sampled: the likeliest action of so young an agent may be never to serve.
        match = ["--opponent", "com_11", "--setting", "points_to_win=2", "--seed", 7, "--sample"]
        begin = time.monotonic()
        slow = self.run_cli("watch", "w", *match, "--speed", 4, environment=screen, timeout=280)
        self.assertEqual(slow.returncode, 0, slow.out + slow.err)
        took = time.monotonic() - begin
        lines = slow.out.splitlines()
        self.assertEqual(lines[0], "w plays left against com_11, seed 7")
        self.assertRegex(lines[1], r"\d+:\d\d  [01] : [01]$")
        self.assertRegex(lines[-1], r"^w (won|lost|drew) after \d+:\d\d of play, \d+ : \d+$")
        minutes, seconds = lines[-1].split(" after ")[1].split(" ")[0].split(":")
        self.assertGreater(took, (60 * int(minutes) + int(seconds) - 1) / 4, "faster than asked")

        # The same match, as nobody sees it.
        unseen = self.run_cli("eval", "w", *match, "--games", 1, "--json", "-")
        self.assertEqual(unseen.returncode, 0, unseen.err)
        self.assertIn('"outcome": "' + lines[-1].split(" ")[1].replace("drew", "drawn") + '"',
                      unseen.out)

    def test_refusals(self):
        self.trained()
        self.assert_refused(self.run_cli("watch", "w", environment={"DISPLAY": ""}), "DISPLAY",
                            "xvfb-run")
        self.assert_refused(self.run_cli("watch", "w", environment={"DISPLAY": ":32767"}),
                            ":32767", "xvfb-run")
        self.assert_refused(self.run_cli("watch", "none"), "runs/none")
        # What needs no screen to be seen is said without one.
        self.assert_refused(self.run_cli("watch", "w", "--opponent", "redused",
                                         environment={"DISPLAY": ""}), "did you mean reduced?")


if __name__ == "__main__":
    unittest.main()
