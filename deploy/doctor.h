// Doctor: checks of the machine for what Midlane needs, each with its finding and remedy in words.
//
// Thread-safety: free functions; one thread (CheckShim and CheckTorch start child processes).
#ifndef MIDLANE_DEPLOY_DOCTOR_H_
#define MIDLANE_DEPLOY_DOCTOR_H_

#include <string>
#include <vector>

namespace midlane {

enum class Health { kGood, kNote, kBad };  // kNote: works, but slower or with a risk

struct Finding {
  Health health = Health::kGood;
  std::string what;    // "open files"
  std::string found;   // "1,048,576 a process"
  std::string remedy;  // what to do; empty where kGood
};

std::vector<Finding> CheckKernel();  // limits, memfd, pidfd, address randomisation, /dev/shm
std::vector<Finding> CheckCores();   // count, governor, load, memory
std::vector<Finding> CheckDisk(const std::string& folder);
std::vector<Finding> CheckShim(const std::string& library);
std::vector<Finding> CheckGames(const std::string& envs_dir);
std::vector<Finding> CheckTorch(const std::string& midlane_torch);

// What CheckTorch concludes from the lines "key=value" that `midlane-torch torch-info` prints.
std::vector<Finding> JudgeTorch(const std::string& info, int cores);

// "good", "note", "BAD"
const char* HealthName(Health health);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_DOCTOR_H_
