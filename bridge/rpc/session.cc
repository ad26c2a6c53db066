#include "bridge/rpc/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"

namespace midlane::rpc {
namespace {

// Deeper nesting than any request of the protocol has.
constexpr int kNestingMax = 16;

absl::Status NotJoined(const char* what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, " before joining: send JoinWorld with a world's name first"));
}

}  // namespace

Session::Session(WorldRegistry* registry, uint64_t id, std::string client, EnvPoller* poller)
    : registry_(registry), id_(id), client_(std::move(client)), poller_(poller) {}

Session::~Session() { Close(); }

Session::Place Session::place() {
  absl::MutexLock lock(&mu_);
  resetting_ = nullptr;  // what it was for has completed
  return place_;
}

void Session::HandleBytes(std::string_view bytes, wire::EnvironmentRequest* request,
                          wire::EnvironmentResponse* response, Completion* completion) {
  if (PlainStep step; ReadPlainStep(bytes, &step)) return Step(step, response, completion);
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  input.SetRecursionLimit(kNestingMax);
  if (!request->ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) {
    SetError(absl::InvalidArgumentError(
                 absl::StrCat("the ", bytes.size(),
                              " bytes of the message are no "
                              "dm_env_rpc.v1.EnvironmentRequest: send one, serialised whole")),
             response);
    return completion->Done();
  }
  Handle(*request, response, completion);
}

template <typename Request>
void Session::Step(const Request& request, wire::EnvironmentResponse* response,
                   Completion* completion) {
  const Place place = this->place();
  if (place.world) return place.world->Step(place.ticket, request, response, completion);
  SetError(NotJoined("Step"), response);
  completion->Done();
}

void Session::Handle(const wire::EnvironmentRequest& request, wire::EnvironmentResponse* response,
                     Completion* completion) {
  switch (request.payload_case()) {
    case wire::EnvironmentRequest::kStep:
      return Step(request.step(), response, completion);
    case wire::EnvironmentRequest::kReset: {
      const Place place = this->place();
      if (place.world) {
        return place.world->Reset(place.ticket, request.reset(), response, completion);
      }
      SetError(NotJoined("Reset"), response);
      break;
    }
    case wire::EnvironmentRequest::kCreateWorld: {
      const absl::StatusOr<Settings> settings = SettingsOf(request.create_world().settings());
      if (settings.ok()) {
        registry_->Create(id_, *settings, poller_, response, completion);
        absl::MutexLock lock(&mu_);
        if (closed_) registry_->ClientGone(id_);
        return;
      }
      SetError(settings.status(), response);
      break;
    }
    case wire::EnvironmentRequest::kJoinWorld:
      Join(request.join_world(), response);
      break;
    case wire::EnvironmentRequest::kResetWorld:
      return ResetWorld(request.reset_world(), response, completion);
    case wire::EnvironmentRequest::kLeaveWorld:
      Leave("left");
      response->mutable_leave_world();
      break;
    case wire::EnvironmentRequest::kDestroyWorld:
      return Destroy(request.destroy_world(), response, completion);
    case wire::EnvironmentRequest::kExtension:
      Extend(request.extension(), response);
      break;
    case wire::EnvironmentRequest::PAYLOAD_NOT_SET:
      SetError(absl::InvalidArgumentError(
                   "the request has no payload that dm_env_rpc v1 knows: set one of create_world, "
                   "join_world, step, reset, reset_world, leave_world, destroy_world, extension"),
               response);
      break;
  }
  completion->Done();
}

void Session::Join(const wire::JoinWorldRequest& request, wire::EnvironmentResponse* response) {
  const Place joined = place();
  if (joined.world) {
    if (!joined.world->destroyed()) {
      return SetError(absl::FailedPreconditionError(absl::StrCat(
                          "joined to world '", joined.world->name(),
                          "' already: send LeaveWorld first, or use another connection")),
                      response);
    }
    Leave("left");
  }
  const absl::StatusOr<std::shared_ptr<World>> world = registry_->Find(request.world_name());
  if (!world.ok()) return SetError(world.status(), response);
  const absl::StatusOr<Settings> settings = SettingsOf(request.settings());
  if (!settings.ok()) return SetError(settings.status(), response);
  const absl::StatusOr<Ticket> ticket =
      (*world)->Join(*settings, client_, response->mutable_join_world()->mutable_specs());
  if (!ticket.ok()) return SetError(ticket.status(), response);
  registry_->CountAgent((*world)->name(), 1);
  bool closed = false;
  {
    absl::MutexLock lock(&mu_);
    place_ = Place{*world, *ticket};
    closed = closed_;
  }
  if (closed) Leave("vanished from");
}

void Session::Leave(const char* how) {
  Place place;
  {
    absl::MutexLock lock(&mu_);
    place = std::exchange(place_, Place());
  }
  if (!place.world) return;
  place.world->Leave(place.ticket, how);
  registry_->CountAgent(place.world->name(), -1);
}

void Session::ResetWorld(const wire::ResetWorldRequest& request,
                         wire::EnvironmentResponse* response, Completion* completion) {
  const absl::StatusOr<std::shared_ptr<World>> world = registry_->Find(request.world_name());
  const absl::StatusOr<Settings> settings = SettingsOf(request.settings());
  const absl::Status status = world.ok() ? settings.status() : world.status();
  if (!status.ok()) {
    SetError(status, response);
    return completion->Done();
  }
  Ticket ticket = 0;
  {
    absl::MutexLock lock(&mu_);
    if (place_.world == *world) ticket = place_.ticket;
    resetting_ = *world;
    resetting_completion_ = completion;
  }
  (*world)->ResetWorld(ticket, *settings, response, completion);
  bool closed = false;
  {
    absl::MutexLock lock(&mu_);
    closed = closed_;
  }
  if (closed) (*world)->CancelReset(completion);
}

void Session::Destroy(const wire::DestroyWorldRequest& request, wire::EnvironmentResponse* response,
                      Completion* completion) {
  const Place joined = place();
  if (joined.world && joined.world->name() == request.world_name()) {
    SetError(absl::FailedPreconditionError(absl::StrCat("joined to world '", request.world_name(),
                                                        "': send LeaveWorld before DestroyWorld")),
             response);
    return completion->Done();
  }
  registry_->Destroy(request.world_name(), client_, response, completion);
}

void Session::Extend(const google::protobuf::Any& request, wire::EnvironmentResponse* response) {
  using midlane::bridge::v1::DescribeEnvironmentRequest;
  using midlane::bridge::v1::DescribeWorldRequest;
  if (request.Is<DescribeEnvironmentRequest>()) {
    midlane::bridge::v1::DescribeEnvironmentResponse description;
    registry_->Describe(&description);
    response->mutable_extension()->PackFrom(description);
    return;
  }
  DescribeWorldRequest describe;
  if (!request.Is<DescribeWorldRequest>()) {
    return SetError(absl::UnimplementedError(
                        absl::StrCat("extension '", request.type_url(),
                                     "' is unknown: midlane.bridge.v1.DescribeWorldRequest and "
                                     "DescribeEnvironmentRequest are those there are")),
                    response);
  }
  if (!request.UnpackTo(&describe)) {
    return SetError(
        absl::InvalidArgumentError("the extension's value is no DescribeWorldRequest: pack one"),
        response);
  }
  const absl::StatusOr<std::shared_ptr<World>> world = registry_->Find(describe.world_name());
  if (!world.ok()) return SetError(world.status(), response);
  midlane::bridge::v1::DescribeWorldResponse description;
  const absl::Status status = (*world)->Describe(&description);
  if (!status.ok()) return SetError(status, response);
  response->mutable_extension()->PackFrom(description);
}

void Session::Close() {
  std::shared_ptr<World> resetting;
  Completion* completion = nullptr;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    closed_ = true;
    resetting = std::move(resetting_);
    completion = resetting_completion_;
  }
  if (resetting) resetting->CancelReset(completion);
  Leave("vanished from");
  registry_->ClientGone(id_);
}

}  // namespace midlane::rpc
