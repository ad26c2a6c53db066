#include <iostream>
#include <random>

#include "bridge/rpc/grpc_env.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: first_client ADDRESS\n", 2;
  midlane::EnvOptions options;
  options.name = argv[1];  // grpc+unix:///tmp/midlane.sock or grpc://127.0.0.1:5000
  auto env = midlane::rpc::MakeGrpcEnv(options);
  if (!env.ok() || !(*env)->Reset({}).ok()) return std::cerr << env.status() << "\n", 1;
  std::mt19937 random(std::random_device{}());
  for (float sum = 0;;) {
    const absl::Status status = (*env)->Wait(options.timeout);
    if (!status.ok()) return std::cerr << status << "\n", 1;
    const midlane::AgentView agent = (*env)->agent(0);
    sum += agent.rewards[0];
    if (agent.last()) return std::cout << "return: " << sum << "\n", 0;
    for (int32_t* action = agent.actions; const midlane::HeadSpec& head : (*env)->spec().heads)
      *action++ = static_cast<int32_t>(random() % head.choices);
    if (!(*env)->Step().ok()) return 1;
  }
}
