"""The bridge as other people's clients see it: dm-env-rpc's stub, its dm_env adaptor and compliance
suite, two agents in two processes, health, reflection, the certificates of `midlane keys`, and the
first clients of docs/protocol.md.

client_test.py MIDLANE FIRST_CLIENT_CC [unittest arguments]
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile

from absl.testing import absltest
from dm_env_rpc.v1 import compliance
from dm_env_rpc.v1 import connection as dm_connection
from dm_env_rpc.v1 import dm_env_adaptor
from dm_env_rpc.v1 import dm_env_rpc_pb2 as pb
from dm_env_rpc.v1 import error
from dm_env_rpc.v1 import tensor_utils
from google.protobuf import descriptor_pb2
from google.rpc import status_pb2
import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha import reflection_pb2_grpc
import numpy as np

import serving
from serving import Bridge
from serving import LISTEN

FIRST_CLIENT_CC = ""
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.normpath(os.path.join(HERE, "..", "..", ".."))


class BridgeTest(absltest.TestCase):
  environment = "probe"
  options = ()

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.bridge = Bridge("serve", cls.environment, "--listen", LISTEN, *cls.options)

  @classmethod
  def tearDownClass(cls):
    super().tearDownClass()
    code, left = cls.bridge.stop()
    assert code == 0, code
    assert not left, left

  def setUp(self):
    super().setUp()
    self.channel = self.bridge.channel()
    self.connection = dm_connection.Connection(self.channel)

  def tearDown(self):
    super().tearDown()
    self.channel.close()


class AdaptorTest(BridgeTest):

  def test_specs(self):
    env, _ = dm_env_adaptor.create_and_join_world(self.connection, {}, {})
    action = env.action_spec()["move"] if "move" in env.action_spec() else next(
        iter(env.action_spec().values()))
    self.assertGreaterEqual(action.num_values, 2)
    for spec in env.observation_spec().values():
      if isinstance(spec, dict):
        continue
      spec.validate(spec.generate_value())
    self.assertEqual(env.reward_spec().dtype, np.float32)
    self.assertEqual(env.discount_spec().maximum, 1)

  def test_episodes(self):
    env, _ = dm_env_adaptor.create_and_join_world(
        self.connection, {"length": 5, "seed": "3", "masks": False}, {"weights.step": 2.0,
                                                                     "weights.echo": 0})
    name = next(iter(env.action_spec()))
    for _ in range(3):
      timestep = env.reset()
      self.assertTrue(timestep.first())
      frames = [int(timestep.observation["frame"][0] if np.ndim(timestep.observation["frame"])
                    else timestep.observation["frame"])]
      while not timestep.last():
        timestep = env.step({name: 1})
        self.assertEqual(timestep.reward, 2)
        self.assertEqual(timestep.discount, 0 if timestep.last() else 1)
        frames.append(int(np.ravel(timestep.observation["frame"])[0]))
      self.assertLen(frames, 6)
      self.assertEqual(np.ravel(timestep.observation["own_action"])[0], 1)
    env.close()

  def test_settings_of_every_type(self):
    for value in (7, 7.0, "7", np.uint8(7), np.int32(7), np.float32(7)):
      name = dm_env_adaptor.create_world(self.connection, {"length": value})
      self.connection.send(pb.DestroyWorldRequest(world_name=name))
    with self.assertRaisesRegex(error.DmEnvRpcError, "length"):
      dm_env_adaptor.create_world(self.connection, {"length": [1, 2]})
    with self.assertRaisesRegex(error.DmEnvRpcError, "no_such"):
      dm_env_adaptor.create_world(self.connection, {"no_such": 1})

  def test_local_credentials(self):
    with self.bridge.channel():
      env_connection = dm_connection.create_secure_channel_and_connect(
          self.bridge.address,
          grpc.local_channel_credentials(grpc.LocalConnectionType.UDS), timeout=10)
      self.assertTrue(dm_env_adaptor.create_world(env_connection, {}))
      env_connection.close()


def play(address, world, agent, queue):
  """One agent in a process of its own: the frames it saw."""
  with grpc.insecure_channel(address) as channel:
    connection = dm_connection.Connection(channel)
    env = dm_env_adaptor.join_world(connection, world, {"agent": agent})
    name = next(iter(env.action_spec()))
    frames, others = [], []
    timestep = env.reset()
    for i in range(40):
      timestep = env.step({name: i % 4}) if not timestep.last() else env.reset()
      frames.append(int(np.ravel(timestep.observation["frame"])[0]))
      others.append(int(np.ravel(timestep.observation["other_action"])[0]))
    queue.put((agent, frames, others))
    env.close()


class TwoProcessesTest(BridgeTest):

  def test_both_see_the_same_tick(self):
    world = dm_env_adaptor.create_world(self.connection, {"agents": 2, "length": 15})
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    sides = [context.Process(target=play, args=(self.bridge.address, world, agent, queue))
             for agent in ("left", "right")]
    for side in sides:
      side.start()
    results = {agent: (frames, others) for agent, frames, others in (queue.get(timeout=60),
                                                                     queue.get(timeout=60))}
    for side in sides:
      side.join(20)
    self.assertEqual(results["left"], results["right"])
    self.connection.send(pb.DestroyWorldRequest(world_name=world))


class StandardServicesTest(BridgeTest):

  def test_health(self):
    stub = health_pb2_grpc.HealthStub(self.channel)
    for service in ("", "dm_env_rpc.v1.Environment"):
      response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
      self.assertEqual(response.status, health_pb2.HealthCheckResponse.SERVING)
    with self.assertRaises(grpc.RpcError) as caught:
      stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=10)
    self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

  def reflect(self, **request):
    stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
    responses = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=10)
    return next(responses)

  def test_list(self):
    listed = self.reflect(list_services="").list_services_response.service
    self.assertContainsSubset(
        {"dm_env_rpc.v1.Environment", "midlane.bridge.v1.Lanes", "grpc.health.v1.Health",
         "grpc.reflection.v1alpha.ServerReflection"}, {service.name for service in listed})

  def test_protos_are_the_published_ones(self):
    """Names, numbers, types and labels of the protos are those of the Python packages."""
    served = {}
    for symbol in ("dm_env_rpc.v1.Environment", "google.rpc.Status"):
      for data in self.reflect(
          file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        served[file.name] = file
    for published in (pb.DESCRIPTOR, status_pb2.DESCRIPTOR):
      theirs = descriptor_pb2.FileDescriptorProto()
      published.CopyToProto(theirs)
      ours = served[theirs.name]
      for file in (ours, theirs):
        file.ClearField("options")
        for message in file.message_type:
          strip(message)
      self.assertEqual(ours, theirs, theirs.name)


def strip(message):
  """Drops what differs without a meaning on the wire: reserved ranges and json names."""
  message.ClearField("reserved_range")
  for field in message.field:
    field.ClearField("json_name")
  for nested in message.nested_type:
    strip(nested)


class VanishTest(BridgeTest):

  def test_a_killed_client_ends_the_others_step(self):
    world = dm_env_adaptor.create_world(self.connection, {"agents": 2})
    dm_env_adaptor.join_world(self.connection, world, {"agent": "left"})
    code = (
        "import sys, grpc\n"
        "from dm_env_rpc.v1 import connection, dm_env_rpc_pb2 as pb\n"
        "c = connection.Connection(grpc.insecure_channel(sys.argv[1]))\n"
        "c.send(pb.JoinWorldRequest(world_name=sys.argv[2]))\n"
        "print('joined', flush=True)\n"
        "c.send(pb.StepRequest())\n"
        "print('stepped', flush=True)\n"
        "sys.stdin.read()\n")
    other = subprocess.Popen([sys.executable, "-c", code, self.bridge.address, world],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    self.assertEqual(other.stdout.readline(), "joined\n")
    self.assertEqual(self.connection.send(pb.StepRequest()).state, pb.RUNNING)
    self.assertEqual(other.stdout.readline(), "stepped\n")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {other.pid}"])
    with self.assertRaisesRegex(error.DmEnvRpcError, r"right.*vanished"):
      self.connection.send(pb.StepRequest())
    killer.wait()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    self.assertEqual(self.connection.send(pb.StepRequest()).state, pb.INTERRUPTED)


class FirstClientTest(BridgeTest):
  environment = "null"

  def run_client(self, *command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertRegex(done.stdout, r"return: \d+")

  def test_python(self):
    self.run_client(sys.executable, os.path.join(HERE, "examples", "first_client.py"),
                    self.bridge.address)

  def test_cc(self):
    self.run_client(FIRST_CLIENT_CC, "grpc+" + self.bridge.address)

  def test_protocol_md_shows_what_runs(self):
    with open(os.path.join(SOURCE, "docs", "protocol.md"), encoding="utf-8") as file:
      document = file.read()
    for name in ("first_client.py", "first_client.cc"):
      with open(os.path.join(HERE, "examples", name), encoding="utf-8") as file:
        self.assertIn(file.read(), document, name)
    self.assertLess(len(open(os.path.join(HERE, "examples", "first_client.py"),
                             encoding="utf-8").readlines()), 24)


class CommandTest(absltest.TestCase):

  def fails(self, part, *arguments):
    done = subprocess.run([serving.MIDLANE, *arguments], capture_output=True, text=True, timeout=60,
                          check=False)
    self.assertNotEqual(done.returncode, 0)
    self.assertIn(part, done.stderr)

  def test_errors(self):
    self.fails("nosuchgame", "serve", "nosuchgame", "--listen", "127.0.0.1:0")
    self.fails("neither unix:///PATH nor HOST:PORT", "serve", "null", "--listen", "here")
    self.fails("midlane keys", "serve", "null", "--listen", "0.0.0.0:0")
    self.fails("--listen", "serve", "null")

  def test_keys(self):
    with tempfile.TemporaryDirectory() as folder:
      keys = os.path.join(folder, "keys")
      done = subprocess.run([serving.MIDLANE, "keys", keys, "--host", "bridge.example"],
                            capture_output=True, text=True, timeout=60, check=True)
      self.assertIn("--tls-ca", done.stdout)
      self.fails("never overwritten", "keys", keys)
      bridge = Bridge("serve", "null", "--listen", LISTEN, "--tls-ca", f"{keys}/ca.pem",
                      "--tls-cert", f"{keys}/server.pem", "--tls-key", f"{keys}/server.key",
                      listen="127.0.0.1:0")

      def read(name):
        with open(os.path.join(keys, name), "rb") as file:
          return file.read()

      credentials = grpc.ssl_channel_credentials(read("ca.pem"), read("client.key"),
                                                 read("client.pem"))
      with grpc.secure_channel(bridge.address, credentials) as channel:
        connection = dm_connection.Connection(channel)
        self.assertTrue(dm_env_adaptor.create_world(connection, {}))
      # Without a certificate of ours nobody gets in.
      with grpc.secure_channel(bridge.address,
                               grpc.ssl_channel_credentials(read("ca.pem"))) as channel:
        with self.assertRaises(grpc.FutureTimeoutError):
          grpc.channel_ready_future(channel).result(timeout=1)
      self.assertEqual(bridge.stop()[0], 0)


# DeepMind's own compliance suite, each part on a world of `probe`.
class ComplianceBase(BridgeTest):

  def setUp(self):
    super().setUp()
    self._world = dm_env_adaptor.create_world(self.connection, {"length": 1000})

  def tearDown(self):
    with self.bridge.channel() as channel:
      other = dm_connection.Connection(channel)
      other.send(pb.DestroyWorldRequest(world_name=self._world))
    super().tearDown()

  @property
  def world_name(self):
    return self._world

  @property
  def connection(self):
    return self._connection

  @connection.setter
  def connection(self, value):
    self._connection = value


class CreateDestroyCompliance(BridgeTest, compliance.CreateDestroyWorld):
  connection = None
  required_world_settings = {}
  invalid_world_settings = {"nonsense": tensor_utils.pack_tensor(1)}
  has_multiple_world_support = True


class JoinLeaveCompliance(ComplianceBase, compliance.JoinLeaveWorld):
  invalid_join_settings = {"nonsense": tensor_utils.pack_tensor("x")}


class StepCompliance(ComplianceBase, compliance.Step):

  def setUp(self):
    super().setUp()
    self._specs = self.connection.send(pb.JoinWorldRequest(world_name=self._world)).specs

  @property
  def specs(self):
    return self._specs


class ResetCompliance(ComplianceBase, compliance.Reset):

  def join_world(self):
    return self.connection.send(pb.JoinWorldRequest(world_name=self._world)).specs


class ResetWorldCompliance(ComplianceBase, compliance.ResetWorld):
  pass


if __name__ == "__main__":
  serving.MIDLANE, FIRST_CLIENT_CC = sys.argv[1:3]
  del sys.argv[1:3]
  absltest.main()
