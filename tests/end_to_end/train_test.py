"""`midlane train null`: learns, resumes, survives the death of its parts, leaves no orphans."""
import signal
import time
import unittest

from cli import AWAKE, MIDLANE, CliTest, accounting, kill, processes_of

# Small and quick: iterations of a fraction of a second.
QUICK = ["--set", "ppo.batch_steps=2048", "--set", "ppo.minibatch_steps=1024", "--set", "ppo.epochs=1",
         *AWAKE]


class TrainTest(CliTest):
    def test_trains_then_goes_on_where_it_stopped(self):
        first = self.run_cli("train", "null", "--run", "a", "--seconds", 3, *QUICK)
        self.assertEqual(first.returncode, 0, first.out + first.err)
        self.assertIn("training null in runs/a", first.out)
        self.assertIn("trained all its time", first.out)
        self.assertIn("where the time went:", first.out)
        self.assertIn("chunks produced =", first.out)
        last = self.metrics("a")[-1]
        self.assertEqual(last["event"], "stop")
        self.assertEqual(*accounting(last))

        finished = self.run_cli("train", "null", "--run", "a", "--seconds", 3)
        self.assertEqual(finished.returncode, 0, finished.out + finished.err)
        self.assertIn("runs/a has had all its training already", finished.out)
        self.assertIn(f"go on with: {MIDLANE} train null --run a --seconds 60", finished.out)
        self.assertEqual(self.metrics("a")[-1], last, "something was started")

        again = self.run_cli("train", "null", "--run", "a", "--seconds", 6)
        self.assertEqual(again.returncode, 0, again.out + again.err)
        self.assertIn("resuming null in runs/a", again.out)
        later = self.metrics("a")[-1]
        self.assertGreater(later["timesteps"], last["timesteps"])
        self.assertGreater(later["version"], last["version"])
        self.assertEqual(*accounting(later))
        # The run kept its own configuration: the second command did not name it.
        self.assertIn("batch_steps = 2048", (self.folder / "runs/a/config.toml").read_text())

    def test_interrupt_stops_cleanly(self):
        train = self.start("train", "null", "--run", "a", *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("a"), process=train)
        train.send_signal(signal.SIGINT)
        self.finish(train)
        self.assertEqual(train.returncode, 0, train.out + train.err)
        self.assertIn(f"resume with: {MIDLANE} train null --run a", train.out)
        self.assertTrue((self.folder / "runs/a/checkpoint.mdl").exists())
        self.assertEqual(processes_of(self.folder), {})

    def test_one_more_worker_says_that_it_joined(self):
        train = self.start("train", "null", "--run", "a", *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("a"), process=train)
        more = self.start("rollout", "--run", "a", "--index", 7)
        self.wait_for("the third worker", lambda: self.iterations("a")[-1]["workers"]["count"] == 3,
                      process=train)
        more.send_signal(signal.SIGINT)
        self.finish(more)
        self.assertEqual(more.returncode, 0, more.out + more.err)
        for part in ["worker 7", "of null asks the learner at", "joined"]:
            self.assertIn(part, more.out)
        train.send_signal(signal.SIGINT)
        self.finish(train)

    def test_a_worker_waits_for_its_learner(self):
        (self.folder / "runs/a").mkdir(parents=True)
        config = self.run_cli("train", "null", *QUICK, "--print-config").out
        (self.folder / "runs/a/config.toml").write_text(config)
        worker = self.start("rollout", "--run", "a")
        time.sleep(0.5)
        learner = self.start("learn", "--run", "runs/a")
        self.wait_for("an iteration", lambda: self.iterations("a"), process=learner)
        for process in [worker, learner]:
            process.send_signal(signal.SIGINT)
            self.finish(process)
            self.assertEqual(process.returncode, 0, process.out + process.err)
        self.assertIn("waits for the learner of runs/a", worker.out)
        early = self.start("rollout", "--run", "a")
        time.sleep(0.5)
        early.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(early).returncode, 0, early.err)

    def test_killed_launcher_leaves_no_orphans(self):
        train = self.start("train", "null", "--run", "a", *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("a"), process=train)
        train.kill()
        self.finish(train)
        self.wait_for("the end of every process", lambda: not processes_of(self.folder), 30)
        self.assertTrue((self.folder / "runs/a/checkpoint.mdl").exists())

    def test_trains_far_worlds_as_near_ones(self):
        address = f"unix://{self.folder}/s.sock"
        server = self.start("serve", "blobby", "--listen", address)
        self.wait_for("the socket", lambda: (self.folder / "s.sock").exists(), process=server)
        far = f"grpc+{address}"
        config = self.run_cli("train", far, "--print-config")
        for line in [r"point_lost = -1", r"epochs = 8 ", r"games = 16 ", r'scripted = \["reduced:0"']:
            self.assertRegex(config.out, line)
        self.assert_refused(self.run_cli("train", far, "--run", "a", "--set", 'league.scripted=["nobody:0"]'),
                            "nobody", "reduced")
        train = self.run_cli("train", far, "--run", "a", "--seconds", 3, "--workers", 1, *QUICK, timeout=120)
        self.assertEqual(train.returncode, 0, train.out + train.err)
        self.assertGreater(self.metrics("a")[-1]["timesteps"], 0)
        self.assertEqual(*accounting(self.metrics("a")[-1]))

        # Its server is killed under a run and comes back at its place: the run waits and goes on.
        train = self.start("train", far, "--run", "b", "--workers", 1, *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("b"), process=train)
        server.kill()
        self.finish(server)
        self.wait_for("a warning", lambda: [line for line in self.metrics("b") if
                                            "workers wait: " + far in line.get("text", "")], process=train)
        server = self.start("serve", "blobby", "--listen", address)
        before = len(self.iterations("b"))
        self.wait_for("training after it", lambda: len(self.iterations("b")) > before + 3, process=train)
        train.send_signal(signal.SIGINT)
        self.finish(train)
        self.assertEqual(train.returncode, 0, train.out + train.err)
        self.assertEqual(*accounting(self.metrics("b")[-1]))

        # The server comes back elsewhere, and the run goes on there.
        server.send_signal(signal.SIGTERM)
        self.finish(server)
        gone = self.run_cli("eval", "a", "--opponent", "reduced", "--games", 2)
        self.assert_refused(gone, address, "--env")
        address = f"unix://{self.folder}/t.sock"
        server = self.start("serve", "blobby", "--listen", address)
        self.wait_for("the other socket", lambda: (self.folder / "t.sock").exists(), process=server)
        moved = self.run_cli("train", f"grpc+{address}", "--run", "a", "--seconds", 6, timeout=120)
        self.assertEqual(moved.returncode, 0, moved.out + moved.err)
        self.assertIn(f"resuming grpc+{address}", moved.out)

        # Or it goes on at home; but nowhere on another environment.
        home = self.run_cli("train", "blobby", "--run", "a", "--seconds", 8, timeout=120)
        self.assertEqual(home.returncode, 0, home.out + home.err)
        self.assertIn("resuming blobby", home.out)
        other = self.start("serve", "probe", "--listen", f"unix://{self.folder}/p.sock")
        self.wait_for("the third socket", lambda: (self.folder / "p.sock").exists(), process=other)
        self.assert_refused(self.run_cli("train", f"grpc+unix://{self.folder}/p.sock", "--run", "a"),
                            "'probe'", "other agents, observations or actions", "--run")

    def test_goes_on_after_the_death_of_a_worker_and_of_the_learner(self):
        train = self.start("train", "null", "--run", "a", *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("a"), process=train)

        def pids(word):
            return [pid for pid, command in processes_of(self.folder).items()
                    if f" {word} " in command]

        before = len(self.iterations("a"))
        self.assertTrue(kill(pids("rollout")[0]))
        self.wait_for("training after a worker's death",
                      lambda: len(self.iterations("a")) > before + 5, process=train)
        self.assertTrue(kill(pids("learn")[0]))
        starts = lambda: [line for line in self.metrics("a") if line["event"] == "start"]
        self.wait_for("a second learner", lambda: len(starts()) == 2, process=train)
        before = len(self.iterations("a"))
        self.wait_for("training after the learner's death",
                      lambda: len(self.iterations("a")) > before + 5, process=train)
        train.send_signal(signal.SIGTERM)
        self.finish(train)
        self.assertEqual(train.returncode, 0, train.out + train.err)
        self.assertIn("the worker 0 ended with signal 9", train.out)
        self.assertIn("the learner ended with signal 9", train.out)
        self.assertEqual(*accounting(self.metrics("a")[-1]))


if __name__ == "__main__":
    unittest.main()
