"""Real games over the bridge, driven by DeepMind's dm_env adaptor: Blobby by one agent, by two in two
processes and by `midlane eval`; and a game without a folder of envs/, served by
`midlane preload --serve`.

game_test.py MIDLANE CATCH [unittest arguments]   CATCH: the program of the example in envs/README.md
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import unittest

from absl.testing import absltest
from dm_env_rpc.v1 import connection as dm_connection
from dm_env_rpc.v1 import dm_env_adaptor
from dm_env_rpc.v1 import dm_env_rpc_pb2 as pb
from dm_env_rpc.v1 import error
import grpc
import numpy as np

import serving
from serving import Bridge
from serving import LISTEN

CATCH = ""
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
ADAPTER = os.path.join(SOURCE, "tests", "envs", "catch", "adapter.lua")


class GameTest(absltest.TestCase):
  arguments = ()

  def setUp(self):
    super().setUp()
    self.bridge = Bridge(*self.arguments)
    self.addCleanup(self.bridge.process.kill)
    self.channel = self.bridge.channel()
    self.connection = dm_connection.Connection(self.channel)

  def tearDown(self):
    super().tearDown()
    self.channel.close()
    self.assertEqual(self.bridge.stop(), (0, []))

  def evaluate(self, *arguments):
    """The JSON of two matches of the random policy."""
    done = subprocess.run(
        [serving.MIDLANE, "eval", "--env", "grpc+" + self.bridge.address, "--policy", "random",
         "--games", "2", "--quiet", "--json", "-", *arguments],
        capture_output=True, text=True, timeout=120, check=False)
    self.assertEqual(done.returncode, 0, done.stderr)
    return done.stdout


def rallies(address, world, agent, queue):
  """One side of a match in a process of its own: the ball as it saw it."""
  with grpc.insecure_channel(address) as channel:
    connection = dm_connection.Connection(channel)
    env = dm_env_adaptor.join_world(connection, world, {"agent": agent})
    balls = []
    timestep = env.reset()
    for i in range(300):
      timestep = env.step({"move": (i * 7) % 6}) if not timestep.last() else env.reset()
      balls.append(np.array(timestep.observation["ball"][:2]))
    queue.put((agent, balls))
    env.close()


@unittest.skipUnless(os.path.exists("/usr/games/blobby") or os.environ.get("CI") == "true",
                     "Debian's package blobby is not installed")
class BlobbyTest(GameTest):
  arguments = ("serve", "blobby", "--listen", LISTEN)

  def test_a_point_is_lost_once_and_counts_as_in_training(self):
    env, _ = dm_env_adaptor.create_and_join_world(
        self.connection, {"right": "reduced", "seed": 5}, {"agent": "left", "weights.serve_wait": 0})
    timestep = env.reset()
    self.assertTrue(timestep.first())
    rewards = []
    while not timestep.last():
      timestep = env.step({"move": 3})  # hops away from the net for ever
      rewards.append(float(timestep.reward))
    self.assertEqual(sum(rewards), -1)
    self.assertEqual(timestep.discount, 0)
    env.close()

  def test_two_agents_in_two_processes_see_one_ball(self):
    world = dm_env_adaptor.create_world(self.connection, {"left": "agent", "right": "agent"})
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    sides = [context.Process(target=rallies, args=(self.bridge.address, world, agent, queue))
             for agent in ("left", "right")]
    for side in sides:
      side.start()
    seen = dict(queue.get(timeout=60) for _ in sides)
    for side in sides:
      side.join(20)
    for left, right in zip(seen["left"], seen["right"]):
      np.testing.assert_allclose(left[0], -right[0], atol=1e-6)
      self.assertEqual(left[1], right[1])
    self.assertGreater(np.std([ball[0] for ball in seen["left"]]), 0.05)
    self.connection.send(pb.DestroyWorldRequest(world_name=world))

  def test_an_evaluation_plays_over_grpc(self):
    json = self.evaluate("--opponent", "axji-0-2", "--setting", "points_to_win=3")
    self.assertEqual(json.count('"points_against": 3'), 3, json)  # and their mean


class PreloadTest(GameTest):

  @property
  def arguments(self):
    return ("preload", "--serve", LISTEN, "--adapter", ADAPTER, "--setting", "speed=1", "--", CATCH)

  def test_a_game_without_a_folder(self):
    env, _ = dm_env_adaptor.create_and_join_world(self.connection, {}, {"weights.missed": -1})
    for _ in range(3):
      timestep = env.reset()
      total = 0
      while not timestep.last():
        ball, paddle = (np.ravel(timestep.observation[name])[0] for name in ("ball", "paddle"))
        timestep = env.step({"move": 1 + int(np.sign(round(ball - paddle, 3)))})
        total += timestep.reward
      self.assertEqual(total, 1)
    env.close()
    with self.assertRaisesRegex(error.DmEnvRpcError, "no_such"):
      dm_env_adaptor.create_world(self.connection, {"no_such": 1})

  def test_an_evaluation_of_it(self):
    self.assertIn('"name": "(alone)"', self.evaluate())


class PreloadRefusalTest(absltest.TestCase):

  def refused(self, *arguments):
    done = subprocess.run([serving.MIDLANE, "preload", *arguments], capture_output=True, text=True,
                          timeout=60, check=False)
    self.assertNotEqual(done.returncode, 0)
    return done.stderr

  def test_what_the_command_line_lacks(self):
    self.assertIn("--adapter", self.refused("--serve", "unix:///tmp/x.sock", "--", CATCH))
    self.assertIn("there is no adapter /nowhere.lua", self.refused(
        "--serve", "unix:///tmp/x.sock", "--adapter", "/nowhere.lua", "--", CATCH))
    self.assertIn("nosuch", self.refused(
        "--serve", "unix:///tmp/x.sock", "--adapter", ADAPTER, "--", "nosuch"))
    self.assertIn("NAME=VALUE", self.refused(
        "--serve", "unix:///tmp/x.sock", "--adapter", ADAPTER, "--setting", "speed", "--", CATCH))

  def test_an_adapters_error_reaches_the_client(self):
    with tempfile.TemporaryDirectory() as folder:
      wrong = os.path.join(folder, "wrong.lua")
      with open(wrong, "w", encoding="utf-8") as file:
        file.write("local midlane = ...\nreturn {loaded = function(name)\n  error('no ball')\nend}\n")
      bridge = Bridge("preload", "--serve", LISTEN, "--adapter", wrong, "--", CATCH)
      self.addCleanup(bridge.process.kill)
      with bridge.channel() as channel:
        with self.assertRaisesRegex(error.DmEnvRpcError, r"wrong\.lua:3: no ball"):
          dm_env_adaptor.create_world(dm_connection.Connection(channel), {})
      self.assertEqual(bridge.stop(), (0, []))


if __name__ == "__main__":
  serving.MIDLANE, CATCH = sys.argv[1:3]
  del sys.argv[1:3]
  absltest.main()
