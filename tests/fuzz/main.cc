// Driver of every fuzz target.
//   NAME_fuzz FILE...                       replays files
//   NAME_fuzz [--runs=N] [--seconds=S] [--seed=K] [--crashes=DIR]
// The input at hand is written to DIR/crash-NAME when the process dies of a signal.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

constexpr size_t kInputBytesMax = 1u << 20;
constexpr size_t kCorpusMax = 256;

std::string g_crash_path;
std::string g_input;

void SaveInput(int signal) {
  const int fd = open(g_crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0) {
    const char text[] = "fuzz: input saved to ";
    if (write(fd, g_input.data(), g_input.size()) >= 0 && write(2, text, sizeof text - 1) >= 0 &&
        write(2, g_crash_path.data(), g_crash_path.size()) >= 0) {
      (void)!write(2, "\n", 1);
    }
    close(fd);
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void RunOne() {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(g_input.data()), g_input.size());
}

// One random edit: flip, overwrite with an edge value, cut, repeat a part, insert, splice.
void Mutate(std::mt19937_64& random, const std::vector<std::string>& corpus, std::string* input) {
  static constexpr uint64_t kEdges[] = {0,          1,          0x7f,       0x80,
                                        0xff,       0x7fffffff, 0x80000000, 0xffffffff,
                                        UINT64_MAX, 1ull << 32, 64,         1ull << 63};
  auto below = [&](size_t n) { return n == 0 ? size_t{0} : size_t(random() % n); };
  const size_t size = input->size();
  switch (random() % 7) {
    case 0:
      if (size) (*input)[below(size)] ^= char(1u << (random() % 8));
      break;
    case 1:
      if (size) (*input)[below(size)] = char(random());
      break;
    case 2: {
      const uint64_t edge = kEdges[random() % std::size(kEdges)];
      const size_t width = size_t{1} << (random() % 4);
      if (size >= width) std::memcpy(&(*input)[below(size - width + 1)], &edge, width);
      break;
    }
    case 3:
      if (size) input->resize(below(size));
      break;
    case 4: {
      const size_t from = below(size), length = below(std::min<size_t>(size - from, 64));
      input->insert(below(size), input->substr(from, length));
      break;
    }
    case 5:
      input->insert(below(size + 1), std::string(1 + random() % 8, char(random())));
      break;
    case 6: {
      const std::string& other = corpus[below(corpus.size())];
      const size_t from = below(other.size());
      *input = input->substr(0, below(size)) + other.substr(from);
      break;
    }
  }
  if (input->size() > kInputBytesMax) input->resize(kInputBytesMax);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 20000, seed = 1;
  double seconds = 0;
  std::string crashes = ".";
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    auto value = [&](const char* flag) -> const char* {
      const size_t length = std::strlen(flag);
      return arg.compare(0, length, flag) == 0 ? argv[i] + length : nullptr;
    };
    if (const char* text = value("--runs=")) {
      runs = std::strtoull(text, nullptr, 10);
    } else if (const char* text = value("--seconds=")) {
      seconds = std::strtod(text, nullptr);
    } else if (const char* text = value("--seed=")) {
      seed = std::strtoull(text, nullptr, 10);
    } else if (const char* text = value("--crashes=")) {
      crashes = text;
    } else if (arg.compare(0, 2, "--") == 0) {
      std::fprintf(stderr, "fuzz: unknown option %s\n", arg.c_str());
      return 2;
    } else {
      files.push_back(arg);
    }
  }
  const char* slash = std::strrchr(argv[0], '/');
  const std::string name = slash ? slash + 1 : argv[0];
  g_crash_path = crashes + "/crash-" + name;
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) ::signal(signal, SaveInput);

  if (!files.empty()) {
    for (const std::string& file : files) {
      std::ifstream in(file, std::ios::binary);
      if (!in) {
        std::fprintf(stderr, "fuzz: cannot read %s\n", file.c_str());
        return 2;
      }
      g_input.assign(std::istreambuf_iterator<char>(in), {});
      RunOne();
    }
    return 0;
  }

  std::vector<std::string> corpus;
  if (midlane::FuzzSeeds) corpus = midlane::FuzzSeeds();
  corpus.emplace_back();
  for (const std::string& seed_input : corpus) {
    g_input = seed_input;
    RunOne();
  }
  std::mt19937_64 random(seed);
  const size_t seeds = corpus.size();
  const auto begun = std::chrono::steady_clock::now();
  auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  uint64_t done = 0;
  while (seconds > 0 ? elapsed() < seconds : done < runs) {
    g_input = corpus[random() % corpus.size()];
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) Mutate(random, corpus, &g_input);
    RunOne();
    ++done;
    // Without coverage to guide it, a corpus that drifts: some mutants take a place beside the
    // seeds, so that edits pile up.
    if (random() % 16 == 0) {
      if (corpus.size() < kCorpusMax) {
        corpus.push_back(g_input);
      } else if (seeds < kCorpusMax) {
        corpus[seeds + random() % (kCorpusMax - seeds)] = g_input;
      }
    }
  }
  std::printf("fuzz: %s: %llu runs in %.1f s\n", name.c_str(), (unsigned long long)done, elapsed());
  return 0;
}
