import random
import sys

import grpc
from dm_env_rpc.v1 import connection, dm_env_adaptor

address = sys.argv[1]  # unix:///tmp/midlane.sock or 127.0.0.1:5000
with grpc.insecure_channel(address) as channel, connection.Connection(channel) as bridge:
    env, world = dm_env_adaptor.create_and_join_world(
        bridge, create_world_settings={}, join_world_settings={})
    with env:
        print("observations:", *env.observation_spec())
        timestep, episode_return = env.reset(), 0.0
        while not timestep.last():
            actions = {name: random.randint(spec.minimum, spec.maximum)
                       for name, spec in env.action_spec().items()}
            timestep = env.step(actions)
            episode_return += timestep.reward
        print("return:", episode_return)
    bridge.send(dm_env_adaptor.dm_env_rpc_pb2.DestroyWorldRequest(world_name=world))
