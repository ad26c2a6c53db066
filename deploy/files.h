// Small questions to the file system that the command line asks; whole files are read and written
// by learner/files.h.
//
// Thread-safety: free functions; any thread.
#ifndef MIDLANE_DEPLOY_FILES_H_
#define MIDLANE_DEPLOY_FILES_H_

#include <string>

namespace midlane {

bool FileExists(const std::string& path);

// The last `lines` lines of a file, without its trailing newline; empty where it cannot be read.
std::string FileTail(const std::string& path, int lines);

// Where the learner of a run listens, as it wrote in learner.address; empty where it has not.
std::string LearnerAddress(const std::string& run_dir);

// Folder of the running executable, for its siblings.
std::string ExecutableDir();

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_FILES_H_
