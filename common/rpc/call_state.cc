#include "common/rpc/call_state.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock/clock.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/proto_buffer_writer.h"

namespace countersign::rpc {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr size_t kMaxRequestIdBytes = 128;

// The names that dashboards for grpc_server_handled_total know: those of Go's codes.
constexpr const char* kCodeNames[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

size_t CodeIndex(absl::StatusCode code) {
  const int index = static_cast<int>(code);
  return index >= 0 && index <= 16 ? static_cast<size_t>(index) : 2;
}

const char* TypeName(internal::Kind kind) {
  switch (kind) {
    case internal::Kind::kUnary:
    case internal::Kind::kAsyncUnary:
      return "unary";
    case internal::Kind::kServerStream:
      return "server_stream";
    case internal::Kind::kClientStream:
      return "client_stream";
  }
  return "unary";
}

bool IsRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxRequestIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

// Has to be unique in the logs, not secret: no need for OpenSSL's generator on every call.
std::string NewRequestId() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return absl::StrFormat("%016x%016x", generator(), generator());
}

bool IsStream(internal::Kind kind) {
  return kind == internal::Kind::kServerStream || kind == internal::Kind::kClientStream;
}

bool HidesItsMessage(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss;
}

absl::Status CancelledByClient() {
  return Error(absl::StatusCode::kCancelled, "CANCELLED", "the client cancelled the call or went away");
}

}  // namespace

MethodState::MethodState(const RoleTable& role_table, const internal::Method& added,
                         internal::Runtime& shared)
    : method(added),
      roles(role_table),
      runtime(shared),
      full_name(absl::StrCat("/", role_table.service(), "/", added.name)),
      type(TypeName(added.kind)),
      started(shared.started.With({type, role_table.service(), added.name})),
      seconds(shared.seconds.With({type, role_table.service(), added.name})) {}

void MethodState::Count(absl::StatusCode code, double elapsed) {
  const size_t index = CodeIndex(code);
  seconds.Observe(elapsed);
  absl::MutexLock lock(&mutex_);
  std::optional<metrics::Counter>& counter = handled_[index];
  if (!counter.has_value())
    counter = runtime.handled.With({type, roles.service(), method.name, kCodeNames[index]});
  counter->Increment();
}

void Done::operator()(absl::Status status) const { pending_->Answer(std::move(status)); }

Done::Pending::~Pending() { Answer(absl::InternalError("the handler dropped the call without an answer")); }

void Done::Pending::Answer(absl::Status status) {
  std::function<void(absl::Status)> answer;
  {
    absl::MutexLock lock(&mutex_);
    answer = std::exchange(answer_, nullptr);
  }
  if (answer != nullptr) answer(std::move(status));
}

void Waker::Wake() const {
  const std::shared_ptr<Target> target = target_.lock();
  if (target == nullptr) return;
  absl::MutexLock lock(&target->mutex);
  if (target->wake != nullptr) target->wake();
}

bool Call::IsCancelled() const {
  return context_->IsCancelled() || (deadline_ != absl::InfiniteFuture() && SystemClock().Now() >= deadline_);
}

std::optional<std::string> Call::Metadata(absl::string_view key) const {
  const auto& metadata = context_->client_metadata();
  const auto found = metadata.find(grpc::string_ref(key.data(), key.size()));
  if (found == metadata.end()) return std::nullopt;
  return std::string(found->second.data(), found->second.size());
}

std::string Call::peer() const { return context_->peer(); }

absl::Status CallState::Begin() {
  // Not the clock: how long something took must not change when the machine's time is set.
  start_ = std::chrono::steady_clock::now();
  method_.started.Increment();
  call_.method_ = &method_.full_name;
  std::optional<std::string> request_id = call_.Metadata(kRequestIdKey);
  call_.request_id_ =
      request_id.has_value() && IsRequestId(*request_id) ? *std::move(request_id) : NewRequestId();
  call_.context_->AddInitialMetadata(kRequestIdKey, call_.request_id_);

  const bool stream = IsStream(method().kind);
  const std::chrono::system_clock::time_point client_deadline = call_.context_->deadline();
  call_.deadline_ = client_deadline == std::chrono::system_clock::time_point::max()
                        ? absl::InfiniteFuture()
                        : absl::FromChrono(client_deadline);
  if (!stream)
    call_.deadline_ = std::min(call_.deadline_, SystemClock().Now() + method().options.max_duration);

  std::vector<std::string> uris;
  if (const auto authenticated = call_.context_->auth_context(); authenticated != nullptr) {
    for (const grpc::string_ref& uri : authenticated->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
      uris.emplace_back(uri.data(), uri.size());
    }
  }
  ASSIGN_OR_RETURN(call_.identity_, IdentityFromUris(uris, runtime().trust_domain));
  RETURN_IF_ERROR(method_.roles.Check(method().name, call_.identity_));
  if (runtime().draining.load(std::memory_order_relaxed)) return internal::Draining();
  return absl::OkStatus();
}

absl::Status CallState::CheckAlive() const {
  if (call_.context_->IsCancelled()) return CancelledByClient();
  if (call_.deadline_ != absl::InfiniteFuture() && SystemClock().Now() >= call_.deadline_) {
    return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                 "the deadline passed before the server came to the call; try again later");
  }
  return absl::OkStatus();
}

grpc::Status CallState::Conclude(const absl::Status& status) {
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  method_.Count(status.code(), elapsed);
  const bool slow = !IsStream(method().kind) && elapsed > absl::ToDoubleSeconds(method().options.slow);
  if (status.ok() && !slow) return grpc::Status::OK;

  const log::ScopedRequestId scope(call_.request_id_);
  const std::string caller = call_.identity_.id.empty() ? "unknown" : call_.identity_.ToString();
  if (HidesItsMessage(status.code())) {
    log::Error("call failed",
               {{"method", method_.full_name}, {"caller", caller}, {"seconds", elapsed}, {"status", status}});
    return ToGrpc(Error(status.code(), "INTERNAL",
                        absl::StrCat("internal error, correlation id ", call_.request_id_),
                        {{"correlation_id", call_.request_id_}}));
  }
  if (status.ok()) {
    log::Warn("call was slow", {{"method", method_.full_name}, {"caller", caller}, {"seconds", elapsed}});
  } else if (status.code() == absl::StatusCode::kCancelled) {
    // Usual: a stream ends when its client has enough of it.
    log::Debug("call cancelled", {{"method", method_.full_name}, {"caller", caller}, {"seconds", elapsed}});
  } else {
    log::Info("call failed", {{"method", method_.full_name},
                              {"caller", caller},
                              {"seconds", elapsed},
                              {"status", status},
                              {"reason", ReasonOf(status)}});
  }
  return ToGrpc(status);
}

absl::Status Parse(const grpc::ByteBuffer& bytes, const internal::AnyMessage& message) {
  grpc::ByteBuffer buffer(bytes);  // shares the bytes; parsing clears the buffer it is given
  if (message.raw() != nullptr) {
    message.raw()->Swap(&buffer);
    return absl::OkStatus();
  }
  if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::MessageLite>(&buffer,
                                                                                        message.proto())
           .ok()) {
    return Error(absl::StatusCode::kInvalidArgument, "MALFORMED_MESSAGE",
                 absl::StrCat("the request is no well-formed ", message.proto()->GetTypeName()));
  }
  return absl::OkStatus();
}

absl::Status Serialize(const internal::AnyMessage& message, grpc::ByteBuffer& bytes) {
  if (message.raw() != nullptr) {
    message.raw()->Swap(&bytes);
    return absl::OkStatus();
  }
  bool own = false;
  const grpc::Status status = grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::MessageLite>(
      *message.proto(), &bytes, &own);
  if (!status.ok()) return absl::InternalError("the response cannot be serialised");
  return absl::OkStatus();
}

}  // namespace countersign::rpc
