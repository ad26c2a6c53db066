#include "deploy/command_doctor.h"

#include <stdio.h>

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "bridge/make_env.h"
#include "deploy/doctor.h"
#include "deploy/files.h"

namespace midlane {
namespace {

int Doctor() {
  int notes = 0, bad = 0;
  const std::vector<std::vector<Finding>> checks = {
      CheckKernel(),         CheckCores(),
      CheckDisk("."),        CheckShim(PreloadPath()),
      CheckGames(EnvsDir()), CheckTorch(ExecutableDir() + "/midlane-torch")};
  for (const auto& findings : checks) {
    for (const Finding& finding : findings) {
      printf("%-4s  %-18s %s\n", HealthName(finding.health), finding.what.c_str(),
             finding.found.c_str());
      if (!finding.remedy.empty()) printf("      -> %s\n", finding.remedy.c_str());
      notes += finding.health == Health::kNote;
      bad += finding.health == Health::kBad;
    }
  }
  if (bad > 0) {
    printf("%d of these must be mended before training works.\n", bad);
  } else {
    printf("Everything that training needs is here%s.\n",
           notes > 0 ? "; the notes say what costs speed or carries a risk" : "");
  }
  return bad > 0 ? kExitFailed : 0;
}

}  // namespace

void AddDoctorCommand(CLI::App* app, CommandContext* context) {
  CLI::App* command = app->add_subcommand(
      "doctor",
      "Check this machine: kernel limits, libraries, BLAS and threads, the shim, the games.\n"
      "Says in words what is wrong and what to do; exits 1 where something must be mended.");
  command->callback([context] { context->exit_code = Doctor(); });
}

}  // namespace midlane
