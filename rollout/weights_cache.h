// WeightsCache: weight versions that workers of one machine share, in memory-backed files.
//
// The first worker that wants a version takes a lock and downloads it, the others wait and map the
// finished file read-only. A file appears under its name only when it is complete and its hash was
// checked (temporary file, rename); names hold version, size and hash, so nothing stale is ever
// taken for something else. A worker that dies in a download loses the lock, and the next one
// begins afresh. Beyond kCacheVersionsMax or kCacheBytesMax the least recently used are unlinked;
// who has mapped them keeps them. The last worker to leave removes the folder, and a folder whose
// workers were all killed is removed by the next worker of the same user.
// Where the folder cannot be used (full, no /dev/shm, somebody else's) a version is held in private
// memory instead: slower, never wrong.
// Thread-safety: one thread at a time for each object; any number of processes and objects.
#ifndef MIDLANE_ROLLOUT_WEIGHTS_CACHE_H_
#define MIDLANE_ROLLOUT_WEIGHTS_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rollout/transport.h"

namespace midlane {

inline constexpr uint32_t kCacheVersionsMax = 8;
inline constexpr uint64_t kCacheBytesMax = 1ull << 30;

class WeightsCache {
 public:
  // `run` names the run on this machine (the learner's address). `root` is memory-backed.
  static std::unique_ptr<WeightsCache> Open(const std::string& run,
                                            const std::string& root = "/dev/shm");
  ~WeightsCache();
  WeightsCache(const WeightsCache&) = delete;
  WeightsCache& operator=(const WeightsCache&) = delete;

  // Takes the blob's next bytes, in order.
  using Append = std::function<absl::Status(std::string_view bytes)>;
  // Gives the whole blob to `append`; may be called again after a failure.
  using Download = std::function<absl::Status(const Append& append)>;

  // The blob: from the cache, or by `download`. DeadlineExceeded where another worker's download
  // lasts beyond `timeout`; DataLoss where what came has another size or hash; else the download's
  // error.
  absl::StatusOr<std::unique_ptr<Frame>> Get(uint64_t version, uint64_t bytes, uint64_t hash,
                                             absl::Duration timeout, const Download& download);

  // The folder, empty where private memory is used.
  const std::string& folder() const { return folder_; }

 private:
  WeightsCache(std::string folder, int users) : folder_(std::move(folder)), users_(users) {}

  absl::StatusOr<std::unique_ptr<Frame>> Fill(const std::string& path, uint64_t bytes,
                                              uint64_t hash, const Download& download);
  void Evict(const std::string& keep);

  std::string folder_;
  int users_ = -1;  // descriptor of the file on which every user holds a shared lock
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_WEIGHTS_CACHE_H_
