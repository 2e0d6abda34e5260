// The one wrapper around every gRPC handler. It reads the caller's identity, checks the role table, gives the
// call a deadline and a request id, runs the body on the executor, counts and times it, logs what failed or
// was slow, and converts the status. A handler is a plain member function; this header needs no gRPC header,
// so api/*.cc needs none either and includes only its "*.pb.h":
//
//   class InventoryApi {
//    public:
//     explicit InventoryApi(InventoryStore& store) : store_(store) {}
//     std::unique_ptr<rpc::Service> Bind();
//
//    private:
//     absl::Status GetGateway(const rpc::Call& call, const v1::GetGatewayRequest& request,
//                             v1::Gateway* response);
//     void SubmitManifest(const rpc::Call& call, const v1::SubmitManifestRequest& request,
//                         v1::SubmitManifestResponse* response, rpc::Done done);
//     absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchResponse>>> Watch(
//         const rpc::Call& call, const v1::WatchRequest& request, rpc::Waker waker);
//     absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::UploadRequest, v1::Image>>> Upload(
//         const rpc::Call& call);
//     InventoryStore& store_;
//   };
//
//   std::unique_ptr<rpc::Service> InventoryApi::Bind() {
//     // roles.h: InventoryRoles() has the service's name and who may call what.
//     auto service = std::make_unique<rpc::Service>(InventoryRoles());
//     service->Unary("GetGateway", this, &InventoryApi::GetGateway);
//     service->AsyncUnary("SubmitManifest", this, &InventoryApi::SubmitManifest);
//     service->ServerStream("Watch", this, &InventoryApi::Watch);
//     service->ClientStream("Upload", this, &InventoryApi::Upload);
//     return service;
//   }
//
//   absl::Status InventoryApi::GetGateway(const rpc::Call& call, const v1::GetGatewayRequest& request,
//                                         v1::Gateway* response) {
//     ASSIGN_OR_RETURN(const domain::GatewayName name, ParseGatewayName(request.name()));
//     if (!MaySee(call.identity(), name)) return NotYourGateway(name);
//     ASSIGN_OR_RETURN(const domain::Gateway gateway, store_.GetGateway(name));
//     *response = ToProto(gateway);
//     return absl::OkStatus();
//   }
//
// Message types, streaming kinds and names are compared with the service's descriptor when the server starts:
// a name or type that does not fit, a method that is open to someone and has no handler, or one without a
// row of roles makes Server::Start fail and say which. (A method whose row is empty needs no handler: it
// answers UNIMPLEMENTED.)
//
// INTERNAL, UNKNOWN and DATA_LOSS leave the process as "internal error, correlation id <request id>"; the log
// line has the real message.
#ifndef COUNTERSIGN_COMMON_RPC_HANDLER_H_
#define COUNTERSIGN_COMMON_RPC_HANDLER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/identity.h"
#include "common/rpc/roles.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
class Service;
}  // namespace grpc

namespace countersign::rpc {

class Server;

// What a handler may know of the call it serves. Valid until the call is answered: for Unary until the body
// returns, for AsyncUnary until done is called, for streams as long as the Producer or Consumer lives.
// Thread-safe.
class Call {
 public:
  const Identity& identity() const { return identity_; }
  const std::string& method() const { return *method_; }  // "/package.Service/Method"
  const std::string& request_id() const {
    return request_id_;
  }  // of the call, for logs; not a mutation's request_id field
  // The client's, or the default maximum when it set none. Pass it on to calls to other services.
  // InfiniteFuture for a stream whose client set none.
  absl::Time deadline() const { return deadline_; }
  // Whether nobody waits for the answer any more: cancelled, disconnected, or past the deadline. Long work
  // should ask.
  bool IsCancelled() const;
  // The first value of a metadata key that the client sent (lower case).
  std::optional<std::string> Metadata(absl::string_view key) const;
  std::string peer() const;  // e.g. "ipv4:127.0.0.1:40312"

 private:
  friend class CallState;
  Identity identity_;
  const std::string* method_ = nullptr;
  std::string request_id_;
  absl::Time deadline_;
  grpc::CallbackServerContext* context_ = nullptr;
};

// Answers an AsyncUnary call. Call it once, from any thread; it does not block. When every copy is gone
// uncalled the call is answered INTERNAL. A handler that ends with an error may call it before it returns.
class Done {
 public:
  void operator()(absl::Status status) const;

 private:
  friend class CallState;
  struct Pending;
  explicit Done(std::shared_ptr<Pending> pending) : pending_(std::move(pending)) {}
  std::shared_ptr<Pending> pending_;
};

// Tells an idle server stream that there is something to send. Copy it into whatever knows (a subscription, a
// queue). Wake() is thread-safe, does not block, may be called early, often, and after the stream's end; a
// wake-up is never lost.
class Waker {
 public:
  Waker() = default;
  void Wake() const;

 private:
  friend class CallState;
  struct Target;
  explicit Waker(std::weak_ptr<Target> target) : target_(std::move(target)) {}
  std::weak_ptr<Target> target_;
};

// What a producer did when it was asked for its next message.
enum class Step {
  kWrite,  // it filled the message: send it, then ask again
  kWait,   // nothing now: ask again after Waker::Wake. The stream holds no thread meanwhile.
  kEnd,    // that was all: the stream ends with OK
};

// A server stream. Next runs on the executor, never concurrently with itself, and only when the transport has
// room, so that a slow reader holds back its producer. A status that is not OK ends the stream with it.
// `response` comes empty. Destroyed on the executor when the stream is over for whatever reason, never while
// Next runs; the destructor unsubscribes. `Response` may be grpc::ByteBuffer for bytes that are serialised
// already (downloads). While the server drains, a stream that waits is ended with UNAVAILABLE,
// SERVER_DRAINING and a retry delay; one that has something to say goes on until it waits or ends.
template <typename Response>
class Producer {
 public:
  virtual ~Producer() = default;
  virtual absl::StatusOr<Step> Next(Response* response) = 0;
};

// A client stream. OnMessage runs on the executor, in order, never concurrently; OnEnd once after the
// client's last message. A status that is not OK ends the call with it. Destroyed on the executor when the
// call is over, also when the client went away before OnEnd: what was begun is to be abandoned then. A client
// that vanishes at the wrong moment can look like one that has finished, so OnEnd has to check that all is
// there (a length, a digest). `Request` may be grpc::ByteBuffer (uploads).
template <typename Request, typename Response>
class Consumer {
 public:
  virtual ~Consumer() = default;
  virtual absl::Status OnMessage(const Request& request) = 0;
  virtual absl::Status OnEnd(Response* response) = 0;
};

struct MethodOptions {
  // Runs the body of a Unary or AsyncUnary on gRPC's own thread: only for bodies that never block (answers
  // from memory, AsyncUnary that hands its work on). Saves a change of threads.
  bool run_inline = false;
  // The deadline of a call whose client set none, and the cap of those that did; not for streams.
  absl::Duration max_duration = absl::Seconds(60);
  // A call that takes longer is logged.
  absl::Duration slow = absl::Seconds(1);
};

namespace internal {

// A message whose type only its handler knows: a protobuf message, or raw bytes.
class AnyMessage {
 public:
  explicit AnyMessage(std::unique_ptr<google::protobuf::MessageLite> proto) : proto_(std::move(proto)) {}
  explicit AnyMessage(std::shared_ptr<grpc::ByteBuffer> raw) : raw_(std::move(raw)) {}

  google::protobuf::MessageLite* proto() const { return proto_.get(); }
  grpc::ByteBuffer* raw() const { return raw_.get(); }

  template <typename T>
  T* get() const {
    if constexpr (std::is_same_v<T, grpc::ByteBuffer>) {
      return raw_.get();
    } else {
      return static_cast<T*>(proto_.get());
    }
  }

 private:
  std::unique_ptr<google::protobuf::MessageLite> proto_;
  std::shared_ptr<grpc::ByteBuffer> raw_;
};

AnyMessage NewRawMessage();

struct MessageType {
  const google::protobuf::Descriptor* descriptor;  // null for raw bytes
  AnyMessage (*create)();
};

template <typename T>
MessageType TypeOf() {
  if constexpr (std::is_same_v<T, grpc::ByteBuffer>) {
    return {nullptr, &NewRawMessage};
  } else {
    return {T::descriptor(), +[] { return AnyMessage(std::make_unique<T>()); }};
  }
}

class AnyProducer {
 public:
  virtual ~AnyProducer() = default;
  virtual absl::StatusOr<Step> Next(const AnyMessage& response) = 0;
};

class AnyConsumer {
 public:
  virtual ~AnyConsumer() = default;
  virtual absl::Status OnMessage(const AnyMessage& request) = 0;
  virtual absl::Status OnEnd(const AnyMessage& response) = 0;
};

template <typename Response>
class TypedProducer final : public AnyProducer {
 public:
  explicit TypedProducer(std::unique_ptr<Producer<Response>> producer) : producer_(std::move(producer)) {}
  absl::StatusOr<Step> Next(const AnyMessage& response) override {
    return producer_->Next(response.get<Response>());
  }

 private:
  std::unique_ptr<Producer<Response>> producer_;
};

template <typename Request, typename Response>
class TypedConsumer final : public AnyConsumer {
 public:
  explicit TypedConsumer(std::unique_ptr<Consumer<Request, Response>> consumer)
      : consumer_(std::move(consumer)) {}
  absl::Status OnMessage(const AnyMessage& request) override {
    return consumer_->OnMessage(*request.get<Request>());
  }
  absl::Status OnEnd(const AnyMessage& response) override {
    return consumer_->OnEnd(response.get<Response>());
  }

 private:
  std::unique_ptr<Consumer<Request, Response>> consumer_;
};

using UnaryBody =
    std::function<absl::Status(const Call&, const AnyMessage& request, const AnyMessage& response)>;
using AsyncUnaryBody =
    std::function<void(const Call&, const AnyMessage& request, const AnyMessage& response, Done done)>;
using ServerStreamBody = std::function<absl::StatusOr<std::unique_ptr<AnyProducer>>(
    const Call&, const AnyMessage& request, Waker waker)>;
using ClientStreamBody = std::function<absl::StatusOr<std::unique_ptr<AnyConsumer>>(const Call&)>;

enum class Kind { kUnary, kAsyncUnary, kServerStream, kClientStream };

struct Method {
  Kind kind;
  std::string name;  // short
  MessageType request;
  MessageType response;
  MethodOptions options;
  UnaryBody unary;
  AsyncUnaryBody async_unary;
  ServerStreamBody server_stream;
  ClientStreamBody client_stream;
};

}  // namespace internal

// The handlers of one gRPC service. Add every method once, then give it to a Server. The functions that are
// added must outlive the server, and run concurrently with themselves and each other. What a body was given
// (`request`, `response`, `call`) it must not keep longer than Call says.
class Service {
 public:
  // `roles` must outlive the service.
  explicit Service(const RoleTable& roles);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const RoleTable& roles() const { return roles_; }

  // absl::Status Body(const Call&, const Request&, Response*)
  template <typename Request, typename Response>
  void Unary(absl::string_view method,
             std::function<absl::Status(const Call&, const Request&, Response*)> body,
             MethodOptions options = {}) {
    internal::Method added = NewMethod<Request, Response>(internal::Kind::kUnary, method, options);
    added.unary = [body = std::move(body)](const Call& call, const internal::AnyMessage& request,
                                           const internal::AnyMessage& response) {
      return body(call, *request.get<Request>(), response.get<Response>());
    };
    Add(std::move(added));
  }
  template <typename Api, typename Request, typename Response>
  void Unary(absl::string_view method, Api* api,
             absl::Status (Api::*body)(const Call&, const Request&, Response*), MethodOptions options = {}) {
    Unary<Request, Response>(
        method,
        [api, body](const Call& call, const Request& request, Response* response) {
          return (api->*body)(call, request, response);
        },
        options);
  }
  template <typename Api, typename Request, typename Response>
  void Unary(absl::string_view method, const Api* api,
             absl::Status (Api::*body)(const Call&, const Request&, Response*) const,
             MethodOptions options = {}) {
    Unary<Request, Response>(
        method,
        [api, body](const Call& call, const Request& request, Response* response) {
          return (api->*body)(call, request, response);
        },
        options);
  }

  // void Body(const Call&, const Request&, Response*, Done): answers by `done`, later if it likes. For work
  // that waits without a thread, such as a write that commits together with others.
  template <typename Request, typename Response>
  void AsyncUnary(absl::string_view method,
                  std::function<void(const Call&, const Request&, Response*, Done)> body,
                  MethodOptions options = {}) {
    internal::Method added = NewMethod<Request, Response>(internal::Kind::kAsyncUnary, method, options);
    added.async_unary = [body = std::move(body)](const Call& call, const internal::AnyMessage& request,
                                                 const internal::AnyMessage& response, Done done) {
      body(call, *request.get<Request>(), response.get<Response>(), std::move(done));
    };
    Add(std::move(added));
  }
  template <typename Api, typename Request, typename Response>
  void AsyncUnary(absl::string_view method, Api* api,
                  void (Api::*body)(const Call&, const Request&, Response*, Done),
                  MethodOptions options = {}) {
    AsyncUnary<Request, Response>(
        method,
        [api, body](const Call& call, const Request& request, Response* response, Done done) {
          (api->*body)(call, request, response, std::move(done));
        },
        options);
  }

  // absl::StatusOr<std::unique_ptr<Producer<Response>>> Body(const Call&, const Request&, Waker). The body
  // runs on the executor.
  template <typename Request, typename Response>
  void ServerStream(
      absl::string_view method,
      std::function<absl::StatusOr<std::unique_ptr<Producer<Response>>>(const Call&, const Request&, Waker)>
          body,
      MethodOptions options = {}) {
    internal::Method added = NewMethod<Request, Response>(internal::Kind::kServerStream, method, options);
    added.server_stream = [body = std::move(body)](
                              const Call& call, const internal::AnyMessage& request,
                              Waker waker) -> absl::StatusOr<std::unique_ptr<internal::AnyProducer>> {
      absl::StatusOr<std::unique_ptr<Producer<Response>>> producer =
          body(call, *request.get<Request>(), std::move(waker));
      if (!producer.ok()) return producer.status();
      return std::make_unique<internal::TypedProducer<Response>>(*std::move(producer));
    };
    Add(std::move(added));
  }
  template <typename Api, typename Request, typename Response>
  void ServerStream(absl::string_view method, Api* api,
                    absl::StatusOr<std::unique_ptr<Producer<Response>>> (Api::*body)(const Call&,
                                                                                     const Request&, Waker),
                    MethodOptions options = {}) {
    ServerStream<Request, Response>(
        method,
        [api, body](const Call& call, const Request& request, Waker waker) {
          return (api->*body)(call, request, std::move(waker));
        },
        options);
  }

  // absl::StatusOr<std::unique_ptr<Consumer<Request, Response>>> Body(const Call&). The body runs on the
  // executor.
  template <typename Request, typename Response>
  void ClientStream(
      absl::string_view method,
      std::function<absl::StatusOr<std::unique_ptr<Consumer<Request, Response>>>(const Call&)> body,
      MethodOptions options = {}) {
    internal::Method added = NewMethod<Request, Response>(internal::Kind::kClientStream, method, options);
    added.client_stream =
        [body = std::move(body)](const Call& call) -> absl::StatusOr<std::unique_ptr<internal::AnyConsumer>> {
      absl::StatusOr<std::unique_ptr<Consumer<Request, Response>>> consumer = body(call);
      if (!consumer.ok()) return consumer.status();
      return std::make_unique<internal::TypedConsumer<Request, Response>>(*std::move(consumer));
    };
    Add(std::move(added));
  }
  template <typename Api, typename Request, typename Response>
  void ClientStream(absl::string_view method, Api* api,
                    absl::StatusOr<std::unique_ptr<Consumer<Request, Response>>> (Api::*body)(const Call&),
                    MethodOptions options = {}) {
    ClientStream<Request, Response>(
        method, [api, body](const Call& call) { return (api->*body)(call); }, options);
  }

  // OK when the handlers and the role table fit the service's descriptor; FAILED_PRECONDITION that lists each
  // misfit.
  absl::Status Validate() const;

 private:
  friend class Server;

  template <typename Request, typename Response>
  static internal::Method NewMethod(internal::Kind kind, absl::string_view name,
                                    const MethodOptions& options) {
    internal::Method method;
    method.kind = kind;
    method.name = std::string(name);
    method.request = internal::TypeOf<Request>();
    method.response = internal::TypeOf<Response>();
    method.options = options;
    return method;
  }
  void Add(internal::Method method);

  const RoleTable& roles_;
  std::vector<internal::Method> methods_;
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_HANDLER_H_
