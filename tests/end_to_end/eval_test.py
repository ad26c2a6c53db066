"""`midlane train blobby` and `midlane eval`: the real game, for seconds."""
import json
import signal
import time
import unittest

from cli import AWAKE, CliTest, accounting

QUICK = ["--set", "ppo.batch_steps=4096", "--set", "run.games=2", *AWAKE]
# The likeliest action of so young an agent may be never to serve.
BRIEF = ["--frames-max", 20000]


class BlobbyTest(CliTest):
    def test_trains_and_is_evaluated(self):
        train = self.run_cli("train", "blobby", "--run", "b", "--seconds", 8, *QUICK, timeout=120)
        self.assertEqual(train.returncode, 0, train.out + train.err)
        last = self.metrics("b")[-1]
        self.assertEqual(*accounting(last))
        self.assertGreater(last["timesteps"], 0)
        self.assertGreater(self.iterations("b")[-1]["game_speed"], 0)

        evaluated = self.run_cli("eval", "b", "--opponent", "reduced", "--opponent", "runs/b",
                                 "--games", 4, "--seed", 5, "--setting", "points_to_win=2", "--json",
                                 "out.json", "--check-determinism", *BRIEF, timeout=120)
        self.assertEqual(evaluated.returncode, 0, evaluated.out + evaluated.err)
        for part in ["reduced", "runs/b", "left", "right", "both", "latency", "equal to the last bit"]:
            self.assertIn(part, evaluated.out)
        result = json.loads((self.folder / "out.json").read_text())
        self.assertEqual(len(result["opponents"]), 2)
        for opponent in result["opponents"]:
            both = opponent["both"]
            self.assertEqual(both["won"] + both["lost"] + both["drawn"] + both["cut"], 4)
            self.assertEqual(len(opponent["matches"]), 4)

        short = self.run_cli("eval", "b", "--opponent", "reduced", "--games", 2, "--setting",
                             "points_to_win=1", "--require-lower", "0.99", *BRIEF)
        self.assert_refused(short, "reduced", "0.990", code=3)

    def test_random_policy_needs_no_run(self):
        shown = self.run_cli("eval", "--env", "blobby", "--policy", "random", "--opponent", "reduced",
                             "--games", 2, "--setting", "points_to_win=1")
        self.assertEqual(shown.returncode, 0, shown.out + shown.err)
        self.assertIn("random on blobby", shown.out)

    def test_far_worlds_play_the_same_matches(self):
        address = f"unix://{self.folder}/s.sock"
        server = self.start("serve", "blobby", "--listen", address)
        self.wait_for("the socket", lambda: (self.folder / "s.sock").exists(), process=server)
        played = {}
        for where in ("blobby", f"grpc+{address}"):
            shown = self.run_cli("eval", "--env", where, "--policy", "random", "--games", 2,
                                 "--seed", 5, "--setting", "points_to_win=1", "--json", "out.json")
            self.assertEqual(shown.returncode, 0, shown.out + shown.err)
            opponents = json.loads((self.folder / "out.json").read_text())["opponents"]
            played[where] = {(opponent["name"], match["side"], match["seed"]): match["hash"]
                             for opponent in opponents for match in opponent["matches"]}
        near, far = played.values()
        self.assertEqual(len(near), 12)  # without --opponent: every bot, from both sides
        self.assertEqual(near, far)

    def test_cross_has_every_pair(self):
        shown = self.run_cli("eval", "--env", "blobby", "--policy", "random", "--cross", "--games", 2,
                             "--opponent", "reduced", "--opponent", "hyp014", "--setting",
                             "points_to_win=1", "--json", "-", *BRIEF)
        self.assertEqual(shown.returncode, 0, shown.out + shown.err)
        cross = json.loads(shown.out)
        self.assertEqual(cross["contestants"], ["random", "reduced", "hyp014"])
        pairs = [(row["subject"], opponent["name"], len(opponent["matches"]))
                 for row in cross["rows"] for opponent in row["opponents"]]
        self.assertEqual(pairs, [("random", "reduced", 2), ("random", "hyp014", 2),
                                 ("reduced", "hyp014", 2)])
        self.assertEqual([row[i] for i, row in enumerate(cross["win_rates"])], [None] * 3)

    def test_one_that_is_stopped_shows_what_it_has(self):
        evaluation = self.start("eval", "--env", "blobby", "--policy", "random", "--opponent",
                                "reduced", "--games", 100000, "--setting", "points_to_win=1",
                                "--json", "out.json")
        time.sleep(2)
        evaluation.send_signal(signal.SIGINT)
        self.finish(evaluation)
        self.assertEqual(evaluation.returncode, 130, evaluation.out + evaluation.err)
        self.assertIn("stopped before every match was finished", evaluation.out)
        result = json.loads((self.folder / "out.json").read_text())
        self.assertTrue(result["stopped"])
        [opponent] = result["opponents"]
        self.assertGreater(len(opponent["matches"]), 0)
        both = opponent["both"]
        self.assertEqual(len(opponent["matches"]),
                         both["won"] + both["lost"] + both["drawn"] + both["cut"])

    def test_unknown_bots_are_refused(self):
        random = ["eval", "--env", "blobby", "--policy", "random", "--games", 2, "--opponent"]
        self.assert_refused(self.run_cli(*random, "nobody"), "nobody", "known: ", "reduced")
        self.assert_refused(self.run_cli(*random, "redused:3"), "'redused'", "did you mean reduced?")
        self.assert_refused(self.run_cli(*random, "hyp014:x"), "hyp014:x", "a whole number (0 to 25)")
        (self.folder / "runs/mine").mkdir(parents=True)
        self.assert_refused(self.run_cli(*random, "mine"), "--opponent runs/mine")


if __name__ == "__main__":
    unittest.main()
