"""What bad input gets: one sentence that names the file or field and the remedy, exit code not 0,
and nothing lost."""
import os
import pathlib
import socket
import subprocess
import unittest

from cli import AWAKE, CliTest

QUICK = ["--set", "ppo.batch_steps=2048", "--set", "ppo.minibatch_steps=1024", "--set", "ppo.epochs=1",
         *AWAKE]


class CommandLineTest(CliTest):
    def test_unknown_words(self):
        self.assert_refused(self.run_cli("trian"), "did you mean train?", code=2)
        self.assert_refused(self.run_cli("train", "null", "--secnds", "3"),
                            "--secnds is no option of train; did you mean --seconds?", code=2)
        self.assert_refused(self.run_cli("play", "--help"), "play is no command", code=2)
        self.assert_refused(self.run_cli("eval", "x", "--opponent", "a", "b"),
                            "--opponent a --opponent b", code=2)
        self.assert_refused(self.run_cli("train", "null", "--timesteps", "many"), "--timesteps",
                            "like 200, 20k or 1.5M", code=2)
        self.assert_refused(self.run_cli("train", "null", "--set", "run.environment=probe"),
                            "run.environment", "the word after train")
        self.assert_refused(self.run_cli("train", "blobbi"), "blobbi", "did you mean blobby?")
        self.assert_refused(self.run_cli("train", "unix:///tmp/x.sock"), "grpc+unix:///tmp/x.sock")
        self.assert_refused(self.run_cli("train", "null", "--set", "ppo.epoch=2"), "ppo.epoch",
                            "did you mean ppo.epochs?")
        self.assertFalse((self.folder / "runs").exists(), "a refused command wrote something")

    def test_unknown_key_in_a_file(self):
        (self.folder / "mine.toml").write_text("[ppo]\n\nepoch = 2\n")
        self.assert_refused(self.run_cli("train", "null", "--config", "mine.toml"), "mine.toml:3",
                            "ppo.epochs")
        self.assert_refused(self.run_cli("train", "null", "--config", "none.toml"), "none.toml")

    def test_printed_configuration_is_complete_and_reads_back(self):
        printed = self.run_cli("train", "blobby", "--print-config")
        self.assertEqual(printed.returncode, 0, printed.err)
        (self.folder / "all.toml").write_text(printed.out)
        again = self.run_cli("train", "null", "--config", "all.toml", "--print-config")
        self.assertEqual(again.out.replace('environment = "null"  ', 'environment = "blobby"'),
                         printed.out)

    def test_help_of_every_command(self):
        for command in ["train", "eval", "watch", "preload", "doctor", "rollout", "learn"]:
            shown = self.run_cli(command, "--help")
            self.assertEqual(shown.returncode, 0, shown.err)
            self.assertIn("midlane " + command, shown.out)

    def test_unknown_bots(self):
        self.assert_refused(self.run_cli("train", "blobby", "--set", 'league.scripted=["nobody:0"]'),
                            "league.scripted", "nobody", "reduced")
        self.assert_refused(self.run_cli("train", "blobby", "--set", 'league.scripted=["reduced:x"]'),
                            "league.scripted", "'reduced:x'", "a whole number (0 to 25)")
        self.assert_refused(self.run_cli("train", "minetest", "--set", 'league.scripted=["reduced"]'),
                            "league.scripted", "reduced", "no scripted bots")
        self.assertFalse((self.folder / "runs").exists(), "a refused command wrote something")

    def test_version(self):
        said = self.run_cli("--version")
        self.assertEqual((said.returncode, said.out.split()[0]), (0, "midlane"), said.err)

    def test_eval_without_a_run(self):
        self.assert_refused(self.run_cli("eval", "runs/none"), "runs/none", "midlane train")
        self.assert_refused(self.run_cli("eval"), "name the run")
        (self.folder / "runs" / "demo").mkdir(parents=True)
        (self.folder / "runs" / "demo" / "checkpoint.mdl").write_text("")
        self.assert_refused(self.run_cli("eval", "dmeo"), "runs/dmeo", "did you mean demo?")
        (self.folder / "runs" / "young").mkdir(parents=True)
        (self.folder / "runs" / "young" / "config.toml").write_text("")
        self.assert_refused(self.run_cli("eval", "young"), "runs/young", "checkpoint.mdl", "within a minute")

    def test_eval_refuses_what_it_would_not_heed(self):
        random = ["eval", "--env", "probe", "--policy", "random", "--games", "2"]
        for setting, option in [("seed=5", "--seed"), ("left=idle", "leave it out"), ("frame_skip=2", "--frame-skip")]:
            self.assert_refused(self.run_cli(*random, "--setting", setting), setting, option)
        self.assert_refused(self.run_cli(*random, "--json", "--quiet"), "--json", "give a file", code=2)
        self.assertFalse((self.folder / "--quiet").exists(), "an option became a file")
        self.assert_refused(self.run_cli(*random, "--json", self.folder), "--json", "is a folder")
        self.assert_refused(self.run_cli("eval", "--env", "grpc+unx:///x", "--policy", "random"),
                            "grpc+unx", "it begins with grpc://")
        for gate in [["--require-lower", "0.9"], ["--check-determinism"]]:
            self.assert_refused(self.run_cli(*random, "--cross", *gate), gate[0], "--cross", code=2)
        self.assert_refused(self.run_cli(*random, "--frames-max", "0"), "--frames-max", code=2)
        self.assert_refused(self.run_cli("eval", "runs/x", *random[1:]), "runs/x", "--env")
        self.assert_refused(self.run_cli("eval", "--env", "null", "--policy", "random", "--cross"),
                            "--cross", "leave it out")
        self.assert_refused(self.run_cli("train", "null", "--games", "0"), "--games", code=2)


class RunFolderTest(CliTest):
    def test_second_learner_on_a_run_folder(self):
        train = self.start("train", "null", "--run", "a", *QUICK)
        self.wait_for("an iteration", lambda: self.iterations("a"), process=train)
        self.assert_refused(self.run_cli("train", "null", "--run", "a"), "runs/a")
        self.assert_refused(self.run_cli("learn", "--run", "runs/a"), "runs/a")
        self.assert_refused(self.run_cli("learn", "--run", "none"), "runs/none/config.toml", "--print-config")
        self.assert_refused(self.run_cli("rollout", "--run", "none"), "runs/none")
        self.assertIsNone(train.poll(), "the first run was hurt")

    def test_run_of_another_environment(self):
        self.run_cli("train", "null", "--run", "a", "--seconds", 1, *QUICK)
        self.assert_refused(self.run_cli("train", "probe", "--run", "a"), "runs/a/config.toml",
                            "null", "--run")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "tcp://127.0.0.1:%d" % taken.getsockname()[1]
            self.assert_refused(
                self.run_cli("train", "null", "--set", "learner.listen=" + address), address)

    def test_truncated_and_foreign_checkpoints(self):
        self.run_cli("train", "null", "--run", "a", "--seconds", 1, *QUICK)
        checkpoint = self.folder / "runs/a/checkpoint.mdl"
        whole = checkpoint.read_bytes()
        for bad in [whole[:len(whole) // 2], b"PK\3\4" + whole[4:], b"", whole[:-1] + b"\0"]:
            checkpoint.write_bytes(bad)
            self.assert_refused(self.run_cli("train", "null", "--run", "a"), "checkpoint.mdl")
            self.assertEqual(checkpoint.read_bytes(), bad, "a refused checkpoint was overwritten")
            self.assert_refused(self.run_cli("eval", "a", "--opponent", "x"), "checkpoint.mdl")
        checkpoint.write_bytes(whole)
        again = self.run_cli("train", "null", "--run", "a", "--seconds", 2)
        self.assertEqual(again.returncode, 0, again.out + again.err)

    def test_checkpoint_of_another_network(self):
        self.run_cli("train", "null", "--run", "a", "--seconds", 1, *QUICK)
        refused = self.run_cli("train", "null", "--run", "a", "--set", "network.hidden=[32]")
        self.assert_refused(refused, "checkpoint.mdl", "hidden [64 64]", "hidden [32]", "another run name")
        self.assertNotIn("changed:", refused.out)
        config = self.folder / "runs/a/config.toml"
        config.write_text(config.read_text().replace("hidden = [64, 64]", "hidden = [32]"))
        self.assert_refused(self.run_cli("train", "null", "--run", "a"), "checkpoint.mdl")
        mended = self.run_cli("train", "null", "--run", "a", "--seconds", 2, "--set", "network.hidden=[64,64]")
        self.assertEqual(mended.returncode, 0, mended.out + mended.err)


class GameTest(CliTest):
    def test_missing_game(self):
        game = self.folder / "envs" / "ghost"
        game.mkdir(parents=True)
        (game / "adapter.lua").write_text("return {}\n")
        (game / "game.toml").write_text(
            '[game]\nname = "ghost"\nexecutable = "ghost"\ncommand = ["/usr/games/ghost"]\n'
            'package = "ghost-package"\nadapter = "adapter.lua"\nfallback = "exit"\n'
            'start_timeout_seconds = 5\n')
        environment = {"MIDLANE_ENVS_DIR": str(self.folder / "envs")}
        self.assert_refused(self.run_cli("train", "ghost", environment=environment),
                            "/usr/games/ghost", "ghost-package")
        doctor = self.run_cli("doctor", environment=environment)
        self.assertEqual(doctor.returncode, 1)
        self.assertIn("apt-get install ghost-package", doctor.out)


class FullDiskTest(CliTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.disk],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("a small tmpfs needs root: " + mounted.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk])

    def test_full_disk_keeps_the_old_checkpoint(self):
        first = self.run_cli("train", "null", "--run", "a", "--seconds", 1, *QUICK, cwd=self.disk)
        self.assertEqual(first.returncode, 0, first.out + first.err)
        checkpoint = self.disk / "runs/a/checkpoint.mdl"
        before = checkpoint.read_bytes()
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        full = self.run_cli("train", "null", "--run", "a", "--seconds", 3, cwd=self.disk)
        self.assertNotEqual(full.returncode, 0, full.out)
        self.assertIn("space", full.err + full.out)
        self.assertEqual(checkpoint.read_bytes(), before, "the old checkpoint was lost")
        os.unlink(filler)
        again = self.run_cli("train", "null", "--run", "a", "--seconds", 5, cwd=self.disk)
        self.assertEqual(again.returncode, 0, again.out + again.err)


if __name__ == "__main__":
    unittest.main()
