#include "deploy/torch_info.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/cuda.h>
#include <torch/version.h>

namespace midlane {

std::string TorchInfo() {
  const std::string config = at::show_config();
  std::string blas;
  const std::string key = "BLAS_INFO=";
  if (const size_t at = config.find(key); at != std::string::npos) {
    const size_t begin = at + key.size();
    blas = config.substr(begin, config.find_first_of(", \n", begin) - begin);
  }
  return std::string("version=") + TORCH_VERSION + "\nblas=" + blas +
         "\nthreads=" + std::to_string(at::get_num_threads()) +
         "\ncuda=" + std::to_string(torch::cuda::device_count()) + "\n";
}

}  // namespace midlane
