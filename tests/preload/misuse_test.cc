// What an adapter that misuses the API is told: one sentence with file, line and the field's name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "host.h"

namespace midlane::testing {
namespace {

using ::testing::HasSubstr;

struct Misuse {
  const char* name;
  const char* said;
};

class MisuseTest : public ::testing::TestWithParam<Misuse> {};

TEST_P(MisuseTest, IsToldInOneSentence) {
  for (const char* dialect : {"lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"}) {
    SCOPED_TRACE(dialect);
    std::string executable = std::string("probe_") + dialect;
    HostOptions options;
    options.command = {std::string(getenv("MIDLANE_BUILD_DIR")) + "/tests/" + executable};
    options.description = "executable=" + executable + "\nadapter=" + getenv("MIDLANE_SOURCE_DIR") +
                          "/tests/preload/misuse_adapter.lua\nclock=virtual\n";
    options.settings = std::string("wrong=") + GetParam().name + "\n";
    options.shim = std::string(getenv("MIDLANE_BUILD_DIR")) + "/lib/libmidlane_preload.so";
    TestHost host(options);
    host.Start();
    EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70) << host.Output();
    EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
    std::string error = host.channel()->error;
    EXPECT_THAT(error, HasSubstr(GetParam().said));
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_THAT(host.Output(), HasSubstr("midlane: " + error + "\n"));
    if (std::string(GetParam().name) != "load") {
      EXPECT_EQ(error.rfind("preload/misuse_adapter.lua", 0), 0u) << error;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, MisuseTest,
    ::testing::Values(
        Misuse{"no_environment", "environment must be a name"}, Misuse{"no_agents", "agents must"},
        Misuse{"agent_twice", "\"one\" twice"}, Misuse{"many_agents", "1 to 16"},
        Misuse{"spaces", "agents[1]"}, Misuse{"no_speed", "frames_per_second"},
        Misuse{"half_skip", "frame_skip"}, Misuse{"dtype", "f64"},
        Misuse{"shape_text", "shape must be a list"}, Misuse{"shape_zero", "shape[2]"},
        Misuse{"shape_huge", "larger than"}, Misuse{"shape_rank", "shape must"},
        Misuse{"too_large", "has room for"}, Misuse{"tensor_twice", "\"x\" twice"},
        Misuse{"tensor_number", "observations[1] must be a table"},
        Misuse{"bounds", "min is above max"}, Misuse{"one_choice", "choices"},
        Misuse{"half_choice", "choices"}, Misuse{"mask_size", "u8 observation of shape {4}"},
        Misuse{"mask_type", "\"x\""}, Misuse{"mask_none", "\"nothing\""},
        Misuse{"head_twice", "\"move\" twice"}, Misuse{"long_name", "rewards[1]"},
        Misuse{"metric_type", "metrics[1]"}, Misuse{"spec_text", "takes a table"},
        Misuse{"two_specs", "differs"}, Misuse{"observe_before", "midlane.declare must come"},
        Misuse{"exchange_before", "midlane.declare must come"}, Misuse{"agent", "from 1 to 1"},
        Misuse{"agent_half", "whole number"}, Misuse{"tensor", "from 1 to 2"},
        Misuse{"count", "2 elements and gets 1"}, Misuse{"text", "\"x\": element 2"},
        Misuse{"count_all", "5 elements were declared together, and 3 come"},
        Misuse{"text_all", "\"allowed\": element 3"}, Misuse{"past_end", "2 from 2 on"},
        Misuse{"byte", "\"allowed\": element 3"}, Misuse{"outside", "\"x\" of agent \"one\" is 3"},
        Misuse{"reward_nan", "reward \"r\""}, Misuse{"flags", "flags must be a sum"},
        Misuse{"frame_text", "frame must be a number"}, Misuse{"frame_negative", "from 0"},
        Misuse{"keys", "\"dance\""}, Misuse{"backwards", "from 0 to 86400"},
        Misuse{"shared_table", "numbers and strings only"}, Misuse{"shared_long", "4096 bytes"},
        Misuse{"raw", "inside raw"}, Misuse{"callback", "arithmetic"}, Misuse{"load", "no string"},
        Misuse{"result", "must return a table"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace midlane::testing
